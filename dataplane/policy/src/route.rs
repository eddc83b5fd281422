//! A route: which protocols go to which backend, as which model, with whose credential.
//!
//! Apart from the document because routes are the operator's and policies the sandbox's. Invariant:
//! a route knows all a request needs (RTE-4): nobody asks for a provider type after this file, and
//! a plain `http` backend exists only with the word that permits private addresses (RTE-6, RTE-8).

mod base;
mod broken;
mod field;
mod file;
mod flag;
mod profile;
mod resolved;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use base::{BaseUrl, BaseUrlError, Scheme};
pub use broken::{Broken, Fault, NoRoute};
pub use field::{FieldName, FieldNameError, FieldValue, FieldValueError};
pub use flag::ModelFlagError;
pub use profile::Profile;
pub use resolved::{Resolved, RouteError};

use crate::secret::Secret;

/// What a request speaks (INF-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// POST /v1/chat/completions.
    OpenAiChatCompletions,
    /// POST /v1/completions.
    OpenAiCompletions,
    /// POST /v1/responses.
    OpenAiResponses,
    /// POST /v1/messages.
    AnthropicMessages,
    /// GET /v1/models and below.
    ModelDiscovery,
}

impl Protocol {
    /// All of them, in the order of INF-4.
    pub const ALL: [Protocol; 5] = [
        Protocol::OpenAiChatCompletions,
        Protocol::OpenAiCompletions,
        Protocol::OpenAiResponses,
        Protocol::AnthropicMessages,
        Protocol::ModelDiscovery,
    ];

    /// The protocol id.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::OpenAiChatCompletions => "openai_chat_completions",
            Protocol::OpenAiCompletions => "openai_completions",
            Protocol::OpenAiResponses => "openai_responses",
            Protocol::AnthropicMessages => "anthropic_messages",
            Protocol::ModelDiscovery => "model_discovery",
        }
    }

    /// Reads an id: trimmed, letter case ignored (RB-2).
    pub fn parse(text: &str) -> Option<Protocol> {
        let id = text.trim();
        Protocol::ALL
            .into_iter()
            .find(|protocol| protocol.as_str().eq_ignore_ascii_case(id))
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a credential is sent (RTE-3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthStyle {
    /// `Authorization: Bearer …`.
    Bearer,
    /// A field of this name.
    Header(FieldName),
}

/// How far the operator's word lets a backend be (RTE-8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// On the Internet, by TLS.
    Public,
    /// At private and loopback addresses as well, there also in plain `http`.
    Private,
}

impl Reach {
    /// What `allow_private_endpoint` says, where it was written.
    pub fn by_word(allow_private_endpoint: bool) -> Reach {
        if allow_private_endpoint {
            Reach::Private
        } else {
            Reach::Public
        }
    }
}

/// Deadlines of a route (INF-19).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Resolving and connecting together.
    pub connect: Duration,
    /// From the request's last byte to the response header.
    pub header: Duration,
    /// Between two upstream bytes.
    pub idle: Duration,
    /// The whole exchange; none by default.
    pub total: Option<Duration>,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines {
            connect: Duration::from_secs(10),
            header: Duration::from_secs(300),
            idle: Duration::from_secs(300),
            total: None,
        }
    }
}

/// Reads `500ms`, `10s`, `2m`, `1h`: a whole number and a unit. Which ones make sense is the caller's to say.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        "h" => Duration::from_secs(number.checked_mul(3_600)?),
        _ => return None,
    })
}

/// One way to a model.
pub struct Route {
    /// `inference.local`, the only name there is.
    pub name: String,
    /// What it speaks; never empty, no id twice.
    pub protocols: Vec<Protocol>,
    /// Where the backend is.
    pub base: BaseUrl,
    /// The model every request is pinned to (INF-11).
    pub model: String,
    /// How the credential is sent.
    pub auth: AuthStyle,
    /// Fields added when the client sent none of that name (INF-10).
    pub default_headers: Vec<(FieldName, FieldValue)>,
    /// Its deadlines.
    pub deadlines: Deadlines,
    /// The credential.
    pub credential: Secret,
    /// The operator's word that private and loopback addresses are meant (RTE-8).
    pub allow_private_endpoint: bool,
    /// Counts changes; 1 for what comes from a file or a flag.
    pub version: u64,
}

impl Route {
    /// How far its backend may be.
    pub fn reach(&self) -> Reach {
        Reach::by_word(self.allow_private_endpoint)
    }

    /// Origin-form target at the backend (RTE-7): base path plus request path, without the
    /// request's `/v1` when the base already ends in that segment; the query unchanged.
    pub fn upstream_target(&self, path: &[u8], query: Option<&[u8]>) -> Vec<u8> {
        let prefix = self.base.prefix.as_bytes();
        let path = match path.strip_prefix(b"/v1") {
            Some(rest)
                if prefix.ends_with(b"/v1") && (rest.is_empty() || rest.starts_with(b"/")) =>
            {
                rest
            }
            Some(_) | None => path,
        };
        let mut target = Vec::with_capacity(
            prefix.len() + path.len() + query.map_or(0, |query| query.len() + 1) + 1,
        );
        target.extend_from_slice(prefix);
        target.extend_from_slice(path);
        if target.is_empty() {
            target.push(b'/');
        }
        if let Some(query) = query {
            target.push(b'?');
            target.extend_from_slice(query);
        }
        target
    }
}

impl Route {
    /// Whether a connection opened for one may serve the other: all but the version is equal.
    fn is_same(&self, other: &Route) -> bool {
        let Route {
            name,
            protocols,
            base,
            model,
            auth,
            default_headers,
            deadlines,
            credential,
            allow_private_endpoint,
            version: _,
        } = self;
        *name == other.name
            && *protocols == other.protocols
            && *base == other.base
            && *model == other.model
            && *auth == other.auth
            && *default_headers == other.default_headers
            && *deadlines == other.deadlines
            && credential.is_same(&other.credential)
            && *allow_private_endpoint == other.allow_private_endpoint
    }
}

impl fmt::Debug for Route {
    /// Everything but the credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("name", &self.name)
            .field("protocols", &self.protocols)
            .field("base", &self.base)
            .field("model", &self.model)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// The routes of a data plane, in listed order.
#[derive(Debug, Default)]
pub struct Routes {
    usable: Vec<Arc<Route>>,
    /// Those that cannot be used, each with how many usable ones are listed before it.
    broken: Vec<(usize, Broken)>,
}

impl Routes {
    /// The first route that speaks the protocol (RTE-2). One that is broken is still the one: another that speaks the same
    /// is not what the operator set.
    ///
    /// # Errors
    /// Why no request of this protocol can be sent.
    pub fn select(&self, protocol: Protocol) -> Result<&Arc<Route>, NoRoute> {
        let usable = self
            .usable
            .iter()
            .position(|route| route.protocols.contains(&protocol));
        let broken = self
            .broken
            .iter()
            .find(|(_, broken)| broken.speaks(protocol));
        match (usable, broken) {
            (usable, Some((before, broken))) if usable.is_none_or(|at| *before <= at) => {
                Err(NoRoute::Broken(broken.fault))
            }
            (Some(at), _) => self.usable.get(at).ok_or(NoRoute::Incompatible),
            (None, _) if self.is_empty() => Err(NoRoute::NotConfigured),
            (None, _) => Err(NoRoute::Incompatible),
        }
    }

    /// Routes that were read again, to take the place of `before`: one that did not change stays the same object, and
    /// with it its idle connections; the others get the next version.
    #[must_use]
    pub fn in_place_of(self, before: &Routes) -> Routes {
        let versions = before.usable.iter().map(|route| route.version);
        let next = versions.max().map_or(1, |newest| newest.saturating_add(1));
        let take = |mut route: Arc<Route>| {
            if let Some(kept) = before.usable.iter().find(|kept| kept.is_same(&route)) {
                return Arc::clone(kept);
            }
            // Just read, so there is one owner.
            if let Some(route) = Arc::get_mut(&mut route) {
                route.version = next;
            }
            route
        };
        Routes {
            usable: self.usable.into_iter().map(take).collect(),
            broken: self.broken,
        }
    }

    /// True without any route, a broken one included: `inference_not_configured`.
    pub fn is_empty(&self) -> bool {
        self.usable.is_empty() && self.broken.is_empty()
    }

    /// Those that can be used, in listed order.
    pub fn as_slice(&self) -> &[Arc<Route>] {
        &self.usable
    }

    /// Those that cannot.
    pub fn broken(&self) -> impl Iterator<Item = &Broken> {
        self.broken.iter().map(|(_, broken)| broken)
    }
}

impl From<Vec<Route>> for Routes {
    fn from(routes: Vec<Route>) -> Routes {
        Routes {
            usable: routes.into_iter().map(Arc::new).collect(),
            broken: Vec::new(),
        }
    }
}
