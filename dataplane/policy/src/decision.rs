//! What was decided, as values: a refusal with its reason, or a receipt.
//!
//! Apart from `decide`, which makes them, because everybody reads them. Invariant: the fields of
//! `Admitted` and `InferenceGrant` are private, so neither exists without a decision (S3).

use std::borrow::Cow;
use std::sync::Arc;

use wire::{Authority, Code, Refusal};

use crate::address::AllowedIps;
use crate::document::Tls;
use crate::pattern::Glob;
use crate::route::Protocol;

/// The answer to "may this caller connect there?".
#[derive(Debug)]
#[must_use]
pub enum Decision {
    /// No.
    Deny(Denial),
    /// Yes, and nobody looks inside.
    Tunnel(Admitted),
    /// Yes, and every request is judged (L7-1).
    Inspect(Admitted),
}

/// The answer to "may this request go through?".
#[derive(Debug)]
#[must_use]
pub enum RequestDecision {
    /// Yes.
    Allow(Admitted),
    /// Nothing allows it and nobody enforces: it is forwarded and recorded as `audit` (L7-9).
    Audit(Admitted),
    /// No.
    Deny(Denial),
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The code of the refusal.
    pub code: Code,
    /// The `reason` of ERR-5, or what an operator's own rules gave as theirs; empty for codes that have none.
    pub reason: Cow<'static, str>,
    /// Key of the policy the denial is about, when there is one.
    pub policy: Option<Arc<str>>,
}

impl Denial {
    /// A denial that is about no policy: the code says it all.
    pub fn code(code: Code) -> Denial {
        Denial {
            code,
            reason: Cow::Borrowed(""),
            policy: None,
        }
    }

    /// Whether nothing was found out, which is denied (RGO-4).
    pub fn is_evaluation_failure(&self) -> bool {
        self.reason == POLICY_EVALUATION_FAILED
    }

    pub(crate) fn policy(reason: impl Into<Cow<'static, str>>, policy: Option<Arc<str>>) -> Denial {
        Denial {
            code: Code::PolicyDenied,
            reason: reason.into(),
            policy,
        }
    }

    pub(crate) fn destination(reason: impl Into<Cow<'static, str>>, policy: &Arc<str>) -> Denial {
        Denial {
            code: Code::DestinationDenied,
            reason: reason.into(),
            policy: Some(Arc::clone(policy)),
        }
    }

    /// The refusal to answer with; the caller adds host and port.
    pub fn refusal(&self) -> Refusal {
        let mut refusal = Refusal::new(self.code);
        if !self.reason.is_empty() {
            refusal = refusal.reason(self.reason.clone());
        }
        match &self.policy {
            Some(policy) => refusal.policy(policy),
            None => refusal,
        }
    }
}

/// Policy admitted this connection, or this request. Made by `decide` and `request` alone.
#[derive(Debug)]
#[must_use]
pub struct Admitted {
    target: Authority,
    policy: Arc<str>,
    reach: Reach,
    tls: Tls,
}

/// Which addresses the endpoints behind an admission speak of (DST-4, DST-5).
#[derive(Debug, Default)]
pub(crate) struct Reach {
    /// Some endpoint has no `allowed_ips`: public addresses are fine.
    public: Public,
    /// The `allowed_ips` of the others, each once. Few admissions have more than two, so the vector
    /// stays empty and nothing is allocated.
    lists: [Option<Arc<AllowedIps>>; 2],
    more_lists: Vec<Arc<AllowedIps>>,
}

/// Whether an endpoint without `allowed_ips` is among those that matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Public {
    Permitted,
    #[default]
    NotPermitted,
}

impl Reach {
    /// Takes in one endpoint.
    pub(crate) fn join(&mut self, list: Option<&Arc<AllowedIps>>) {
        let Some(list) = list else {
            self.public = Public::Permitted;
            return;
        };
        // Why pointers are enough: `compile` keeps equal lists once.
        if self.lists().any(|known| Arc::ptr_eq(known, list)) {
            return;
        }
        match self.lists.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(Arc::clone(list)),
            None => self.more_lists.push(Arc::clone(list)),
        }
    }

    fn lists(&self) -> impl Iterator<Item = &Arc<AllowedIps>> {
        self.lists.iter().flatten().chain(&self.more_lists)
    }
}

impl Admitted {
    pub(crate) fn new(target: Authority, policy: Arc<str>) -> Admitted {
        Admitted {
            target,
            policy,
            reach: Reach::default(),
            tls: Tls::Passthrough,
        }
    }

    /// Takes in one matching endpoint (DST-5, OV-7).
    pub(crate) fn join(&mut self, list: Option<&Arc<AllowedIps>>, tls: Tls) {
        self.reach.join(list);
        if tls == Tls::Terminate {
            self.tls = Tls::Terminate;
        }
    }

    /// The admission of one request on this connection: named by its own match, and for the addresses
    /// of the endpoints that let it through (TR-078).
    pub(crate) fn narrowed(self, policy: Arc<str>, reach: Reach) -> Admitted {
        Admitted {
            policy,
            reach,
            ..self
        }
    }

    /// An admission nobody gave, to judge addresses alone.
    #[cfg(test)]
    pub(crate) fn assume_admitted_for_test(target: Authority) -> Admitted {
        let mut admitted = Admitted::new(target, "assumed".into());
        admitted.join(None, Tls::Passthrough);
        admitted
    }

    /// Where to.
    pub fn target(&self) -> &Authority {
        &self.target
    }

    /// Key of the policy that names this decision (POL-6).
    pub fn policy_name(&self) -> &Arc<str> {
        &self.policy
    }

    /// `terminate` when any matching endpoint says so.
    pub fn tls(&self) -> Tls {
        self.tls
    }

    /// True when a matching endpoint has `allowed_ips` (FWD-4).
    pub fn has_allowed_ips(&self) -> bool {
        self.reach.lists().next().is_some()
    }

    pub(crate) fn permits_public(&self) -> bool {
        self.reach.public == Public::Permitted
    }

    pub(crate) fn lists(&self) -> impl Iterator<Item = &AllowedIps> {
        self.reach.lists().map(|list| &**list)
    }
}

/// The caller may use inference.local, within these limits. Made by `decide` alone.
#[derive(Clone, Debug)]
#[must_use]
pub struct InferenceGrant {
    pub(crate) models: Option<Arc<[Glob]>>,
    pub(crate) requests_per_minute: Option<u64>,
    pub(crate) tokens_per_minute: Option<u64>,
    pub(crate) max_concurrent: Option<u64>,
}

impl InferenceGrant {
    /// Judges the model that would be sent upstream (INF-26).
    ///
    /// # Errors
    /// `model_not_allowed`; never for `model_discovery`.
    pub fn check_model(&self, protocol: Protocol, model: &str) -> Result<(), Denial> {
        let listed =
            |models: &Arc<[Glob]>| models.iter().any(|glob| glob.matches(model.as_bytes()));
        if protocol == Protocol::ModelDiscovery || self.models.as_ref().is_none_or(listed) {
            return Ok(());
        }
        Err(Denial::code(Code::ModelNotAllowed))
    }

    /// Requests a minute, when limited (INF-25).
    pub fn requests_per_minute(&self) -> Option<u64> {
        self.requests_per_minute
    }

    /// Tokens a minute, when limited (INF-25).
    pub fn tokens_per_minute(&self) -> Option<u64> {
        self.tokens_per_minute
    }

    /// Requests in flight, when limited (INF-25).
    pub fn max_concurrent(&self) -> Option<u64> {
        self.max_concurrent
    }
}

/// Reasons of `policy_denied` (ERR-5).
pub(crate) const NO_NETWORK_POLICIES: &str = "no_network_policies";
pub(crate) const ENDPOINT_NOT_ALLOWED: &str = "endpoint_not_allowed";
pub(crate) const BINARY_NOT_ALLOWED: &str = "binary_not_allowed";
pub(crate) const REQUEST_NOT_ALLOWED: &str = "request_not_allowed";
pub(crate) const DENY_RULE: &str = "deny_rule";
pub(crate) const POLICY_EVALUATION_FAILED: &str = "policy_evaluation_failed";
