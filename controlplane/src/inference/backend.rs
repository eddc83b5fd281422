//! A provider as a backend of inference: its profile, its key, its base URL (RTE-3, RTE-5).
//!
//! Apart from `inference`, which has names: this is where names become a key and an address, at the last moment.
//! Invariant: a `Backend` has a key that can stand in a header field and an endpoint that RTE-8 does not refuse; it is
//! not kept, and it shows no key.

use std::fmt;

use policy::route::{AuthStyle, Deadlines, Profile, Protocol, Reach};
use policy::secret::SecretError;
use policy::{Route, Secret};
use proto::inference::{ResolvedRoute, RouteStatus};
use zeroize::Zeroizing;

use crate::model::Provider;
use crate::provider::endpoint::{Endpoint, EndpointError};
use crate::provider::vault::{OpenError, Vault};
use crate::refused::Refused;

/// What a route needs of a provider.
pub struct Backend {
    profile: &'static Profile,
    endpoint: Endpoint,
    key: Zeroizing<String>,
    reach: Reach,
}

/// Why a provider cannot back inference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendError {
    /// Its type has no profile.
    Profile {
        /// The type.
        kind: String,
    },
    /// Every credential is blank.
    NoKey {
        /// The credential that is looked for first.
        expected: &'static str,
    },
    /// The credential cannot stand in a header field.
    Key {
        /// Its name.
        name: String,
        /// What is wrong with it.
        error: SecretError,
    },
    /// The credential cannot be opened.
    Sealed {
        /// Its name.
        name: String,
        /// Why not.
        error: OpenError,
    },
    /// Its base URL is refused.
    Endpoint(EndpointError),
}

impl Backend {
    /// Resolves a provider.
    ///
    /// # Errors
    /// As listed at `BackendError`.
    pub fn of(provider: &Provider, vault: &dyn Vault) -> Result<Backend, BackendError> {
        let profile = Profile::of(&provider.kind).ok_or_else(|| BackendError::Profile {
            kind: provider.kind.clone(),
        })?;
        let reach = Reach::by_word(provider.allow_private_endpoint);
        Ok(Backend {
            profile,
            endpoint: Endpoint::of(profile, &provider.config, reach)
                .map_err(BackendError::Endpoint)?,
            key: key(profile, provider, vault)?,
            reach,
        })
    }

    /// What is known of its type.
    pub(super) fn profile(&self) -> &'static Profile {
        self.profile
    }

    /// The credential in plain, for the field it is sent in.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// A text of somebody else's without the key: runs of it are masked (INF-28), and where a short key is left there is
    /// no text.
    pub(super) fn hide(&self, text: &str) -> Option<String> {
        let mut bytes = text.as_bytes().to_vec();
        Secret::new(&self.key).ok()?.masks(&mut bytes);
        let masked = String::from_utf8(bytes).ok()?;
        (!masked.contains(self.key.trim())).then_some(masked)
    }

    /// The route a data plane would use, to judge addresses and join paths as it does.
    pub(super) fn route(&self, model: &str) -> Result<Route, SecretError> {
        Ok(Route {
            name: super::ROUTE_NAME.to_owned(),
            protocols: self.profile.protocols.to_vec(),
            base: self.endpoint.base.clone(),
            model: model.to_owned(),
            auth: self.profile.auth.clone(),
            default_headers: self.profile.default_headers.to_vec(),
            deadlines: Deadlines::default(),
            credential: Secret::new(&self.key)?,
            allow_private_endpoint: self.reach == Reach::Private,
            version: 0,
        })
    }

    /// Its part of the message that goes to hosts: what travels on the route, so that nobody there asks for a type
    /// (RTE-4).
    pub(super) fn resolved(&self) -> ResolvedRoute {
        let headers = self.profile.default_headers.iter();
        ResolvedRoute {
            base_url: self.endpoint.text.clone(),
            protocols: ids(self.profile.protocols),
            api_key: self.key.to_string(),
            provider_type: self.profile.kind.to_owned(),
            auth_header: match &self.profile.auth {
                AuthStyle::Bearer => "authorization".to_owned(),
                AuthStyle::Header(name) => name.to_string(),
            },
            default_headers: headers
                .map(|(name, value)| (name.to_string(), value.as_str().to_owned()))
                .collect(),
            allow_private_endpoint: self.reach == Reach::Private,
            status: RouteStatus::Ready.into(),
            ..ResolvedRoute::default()
        }
    }
}

/// Protocol ids, in the order of INF-4.
pub(super) fn ids(protocols: &[Protocol]) -> Vec<String> {
    protocols.iter().map(Protocol::to_string).collect()
}

/// The profile's credential when it is not blank, else the first that is not, in the order of their keys (RTE-5).
fn key(
    profile: &Profile,
    provider: &Provider,
    vault: &dyn Vault,
) -> Result<Zeroizing<String>, BackendError> {
    let own = provider.credentials.get_key_value(profile.credential_key);
    for (name, sealed) in own.into_iter().chain(&provider.credentials) {
        let value = vault.open(&provider.id, name, sealed);
        let value = value.map_err(|error| BackendError::Sealed {
            name: name.clone(),
            error,
        })?;
        match Secret::new(&value) {
            Ok(_) => return Ok(value),
            Err(SecretError::Blank) => {}
            Err(error @ SecretError::NotFieldValue) => {
                return Err(BackendError::Key {
                    name: name.clone(),
                    error,
                });
            }
        }
    }
    Err(BackendError::NoKey {
        expected: profile.credential_key,
    })
}

impl BackendError {
    /// The refusal of a request that names this provider (RPC-10).
    pub(super) fn refused(&self, provider: &str) -> Refused {
        let why = format!("provider `{provider}`: {self}");
        match self {
            BackendError::Profile { .. }
            | BackendError::NoKey { .. }
            | BackendError::Key { .. }
            | BackendError::Endpoint(_) => Refused::Invalid(why),
            // Nothing in the request could be written better.
            BackendError::Sealed { .. } => Refused::Precondition(why),
        }
    }
}

impl fmt::Debug for Backend {
    /// Everything but the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend")
            .field("kind", &self.profile.kind)
            .field("endpoint", &self.endpoint.text)
            .field("reach", &self.reach)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackendError::Profile { kind } => write!(
                f,
                "type {kind} backs no inference; expected {}",
                Profile::kinds()
            ),
            BackendError::NoKey { expected } => {
                write!(f, "every credential is blank; set {expected}")
            }
            BackendError::Key { name, error } => write!(f, "credentials[{name}]: {error}"),
            BackendError::Sealed { name, error } => {
                write!(
                    f,
                    "credentials[{name}] cannot be opened: {error}; set it again"
                )
            }
            BackendError::Endpoint(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for BackendError {}
