//! What is known of a provider type (RTE-3): a table.
//!
//! Apart from `route` because the request path must never see it (RTE-4): a profile is used while a
//! route is built and forgotten then.

use super::{AuthStyle, FieldName, FieldValue, Protocol};

/// One row of RTE-3.
#[derive(Debug)]
pub struct Profile {
    /// The type, lower case.
    pub kind: &'static str,
    /// Base URL when nothing overrides it.
    pub base_url: &'static str,
    /// What the type speaks.
    pub protocols: &'static [Protocol],
    /// Name of its credential, in a provider or an environment.
    pub credential_key: &'static str,
    /// Name of the override of its base URL.
    pub base_url_key: &'static str,
    /// How the credential is sent.
    pub auth: AuthStyle,
    /// Fields added when the client sent none of that name.
    pub default_headers: &'static [(FieldName, FieldValue)],
}

impl Profile {
    /// The profile of a type: trimmed, letter case ignored; only types that can back inference.
    pub fn of(kind: &str) -> Option<&'static Profile> {
        PROFILES
            .iter()
            .find(|profile| profile.kind.eq_ignore_ascii_case(kind.trim()))
    }

    /// The fields a route of this type adds.
    pub(super) fn default_fields(&self) -> Vec<(FieldName, FieldValue)> {
        self.default_headers.to_vec()
    }

    /// Every type there is, for messages.
    pub fn kinds() -> String {
        PROFILES
            .iter()
            .map(|profile| format!("`{}`", profile.kind))
            .collect::<Vec<_>>()
            .join(" or ")
    }
}

const OPENAI: &[Protocol] = &[
    Protocol::OpenAiChatCompletions,
    Protocol::OpenAiCompletions,
    Protocol::OpenAiResponses,
    Protocol::ModelDiscovery,
];

const ANTHROPIC: &[Protocol] = &[Protocol::AnthropicMessages, Protocol::ModelDiscovery];

static PROFILES: [Profile; 3] = [
    Profile {
        kind: "openai",
        base_url: "https://api.openai.com/v1",
        protocols: OPENAI,
        credential_key: "OPENAI_API_KEY",
        base_url_key: "OPENAI_BASE_URL",
        auth: AuthStyle::Bearer,
        default_headers: &[],
    },
    Profile {
        kind: "anthropic",
        base_url: "https://api.anthropic.com/v1",
        protocols: ANTHROPIC,
        credential_key: "ANTHROPIC_API_KEY",
        base_url_key: "ANTHROPIC_BASE_URL",
        auth: AuthStyle::Header(FieldName::known("x-api-key")),
        default_headers: &[(
            FieldName::known("anthropic-version"),
            FieldValue::known("2023-06-01"),
        )],
    },
    Profile {
        kind: "nvidia",
        base_url: "https://integrate.api.nvidia.com/v1",
        protocols: OPENAI,
        credential_key: "NVIDIA_API_KEY",
        base_url_key: "NVIDIA_BASE_URL",
        auth: AuthStyle::Bearer,
        default_headers: &[],
    },
];
