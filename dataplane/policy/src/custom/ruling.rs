//! What an answer of the rules means: a decision, or a denial because it means nothing.
//!
//! Apart from the evaluator because this side trusts no byte of it: the rules are the operator's, the process that
//! evaluated them may have been misled by what a caller chose. Invariant: a field that is there and is not what
//! it must be fails the whole answer; nothing is guessed, dropped or widened (GEN-8).

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};
use wire::{Authority, Code, Slashes};

use crate::address::{AllowedIps, Block, SPECIAL_NAME, special_name};
use crate::compile::{Policy, Standing};
use crate::decision::{
    Admitted, BINARY_NOT_ALLOWED, DENY_RULE, Decision, Denial, ENDPOINT_NOT_ALLOWED,
    NO_NETWORK_POLICIES, POLICY_EVALUATION_FAILED, REQUEST_NOT_ALLOWED, RequestDecision,
};
use crate::document::{EncodedSlash, Enforcement, Tls};
use crate::request::Asked;

/// The answer to one question. Cheap to clone, and kept by whoever asked.
#[derive(Clone, Debug)]
pub struct Ruling(Option<Arc<Ruled>>);

/// An answer that could be read.
#[derive(Debug)]
struct Ruled {
    connection: Verdict,
    /// `matched_network_policy`.
    policy: Option<Arc<str>>,
    /// `deny_reason`.
    reason: Option<Cow<'static, str>>,
    config: Config,
    /// `deny_request` and `allow_request`; a rule that is not there says neither.
    request: Option<Verdict>,
    /// `request_deny_reason`.
    request_reason: Option<Cow<'static, str>>,
}

/// `network_action`, and what the two rules of a request say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Allow,
    Deny,
}

/// `matched_endpoint_config`; without one: public addresses, not inspected.
#[derive(Debug)]
struct Config {
    allowed_ips: Option<Arc<AllowedIps>>,
    inspection: Option<Tls>,
    enforcement: Enforcement,
    encoded_slash: EncodedSlash,
}

impl Default for Config {
    /// Where the rules do not say that what they do not allow is to pass, it does not.
    fn default() -> Config {
        Config {
            allowed_ips: None,
            inspection: None,
            enforcement: Enforcement::Enforce,
            encoded_slash: EncodedSlash::Refuse,
        }
    }
}

impl Ruling {
    /// No answer: the evaluation failed, took too long or too much, or was never begun.
    pub fn failed() -> Ruling {
        Ruling(None)
    }

    /// Reads what [`super::Evaluator::answer`] wrote.
    pub fn read(answer: &[u8]) -> Ruling {
        let value: Option<Value> = serde_json::from_slice(answer).ok();
        Ruling(
            value
                .as_ref()
                .and_then(Value::as_object)
                .and_then(Ruled::read)
                .map(Arc::new),
        )
    }

    /// Whether there is an answer.
    pub fn is_failed(&self) -> bool {
        self.0.is_none()
    }
}

impl Ruled {
    fn read(answer: &Map<String, Value>) -> Option<Ruled> {
        let connection = match answer.get("network_action")?.as_str()? {
            "allow" => Verdict::Allow,
            "deny" => Verdict::Deny,
            _ => return None,
        };
        let mut config = optional(answer, "matched_endpoint_config", |value| {
            Config::read(value.as_object()?)
        })?
        .unwrap_or_default();
        let inspected = optional(answer, "inspected", Value::as_bool)?;
        if inspected == Some(true) && config.inspection.is_none() {
            config.inspection = Some(Tls::Passthrough);
        }
        let allowed = optional(answer, "allow_request", Value::as_bool)?;
        let denied = optional(answer, "deny_request", Value::as_bool)?;
        Some(Ruled {
            request: match (denied, allowed) {
                (Some(true), _) => Some(Verdict::Deny),
                (_, Some(true)) => Some(Verdict::Allow),
                (_, _) => None,
            },
            request_reason: optional(answer, "request_deny_reason", words)?.map(reason),
            connection,
            policy: optional(answer, "matched_network_policy", name)?.map(Into::into),
            reason: optional(answer, "deny_reason", words)?.map(reason),
            config,
        })
    }
}

impl Config {
    fn read(config: &Map<String, Value>) -> Option<Config> {
        let protocol = optional(config, "protocol", |value| {
            (value.as_str()? == "rest").then_some(())
        })?;
        let tls = optional(config, "tls", |value| match value.as_str()? {
            "terminate" => Some(Tls::Terminate),
            "passthrough" => Some(Tls::Passthrough),
            _ => None,
        })?;
        let allowed_ips = optional(config, "allowed_ips", |value| {
            let blocks = value.as_array()?.iter();
            let blocks: Option<Vec<Block>> = blocks
                .map(|block| Block::parse(block.as_str()?).ok())
                .collect();
            AllowedIps::new(blocks?)
        })?;
        let enforcement = optional(config, "enforcement", |value| match value.as_str()? {
            "enforce" => Some(Enforcement::Enforce),
            "audit" => Some(Enforcement::Audit),
            _ => None,
        })?;
        let slash = optional(config, "allow_encoded_slash", Value::as_bool)?;
        Some(Config {
            enforcement: enforcement.unwrap_or(Enforcement::Enforce),
            encoded_slash: match slash {
                Some(true) => EncodedSlash::Allow,
                Some(false) | None => EncodedSlash::Refuse,
            },
            allowed_ips: allowed_ips.map(Arc::new),
            inspection: protocol.map(|()| tls.unwrap_or_default()),
        })
    }
}

/// What `ruling` says of a connection to `target`, and what no rule may say (CON-10, DST-11).
pub fn connect(policy: &Policy, target: &Authority, ruling: &Ruling) -> Decision {
    if policy.standing == Standing::NeverLoaded {
        return Decision::Deny(Denial::policy(POLICY_EVALUATION_FAILED, None));
    }
    if target.host.is_inference() {
        return Decision::Deny(Denial::policy(ENDPOINT_NOT_ALLOWED, None));
    }
    let Ruling(Some(ruled)) = ruling else {
        return Decision::Deny(Denial::policy(POLICY_EVALUATION_FAILED, None));
    };
    if ruled.connection == Verdict::Deny {
        let reason = ruled.reason.clone();
        let reason = reason.unwrap_or(Cow::Borrowed(ENDPOINT_NOT_ALLOWED));
        return Decision::Deny(Denial::policy(reason, ruled.policy.clone()));
    }
    let name = ruled.policy.clone().unwrap_or_else(|| UNNAMED.into());
    if special_name(&target.host) {
        return Decision::Deny(Denial::destination(SPECIAL_NAME, &name));
    }
    let mut admitted = Admitted::new(target.clone(), name);
    admitted.join(
        ruled.config.allowed_ips.as_ref(),
        ruled.config.inspection.unwrap_or_default(),
    );
    match ruled.config.inspection {
        Some(_) => Decision::Inspect(admitted),
        None => Decision::Tunnel(admitted),
    }
}

/// What `ruling` says of one request, asked with [`super::question::request`]. The connection comes first (LR-7).
pub fn request(
    policy: &Policy,
    target: &Authority,
    asked: &Asked<'_>,
    ruling: &Ruling,
) -> RequestDecision {
    let admitted = match connect(policy, target, ruling) {
        Decision::Deny(denial) => return RequestDecision::Deny(denial),
        Decision::Tunnel(admitted) => return RequestDecision::Allow(admitted),
        Decision::Inspect(admitted) => admitted,
    };
    let Ruling(Some(ruled)) = ruling else {
        return RequestDecision::Deny(Denial::policy(POLICY_EVALUATION_FAILED, None));
    };
    let deny = |reason: &'static str| {
        let own = ruled.reason.as_ref().or(ruled.request_reason.as_ref());
        let reason = own.cloned().unwrap_or(Cow::Borrowed(reason));
        let policy = Some(Arc::clone(admitted.policy_name()));
        RequestDecision::Deny(Denial::policy(reason, policy))
    };
    match (ruled.request, ruled.config.enforcement) {
        (Some(Verdict::Deny), _) => return deny(DENY_RULE),
        (None, Enforcement::Enforce) => return deny(REQUEST_NOT_ALLOWED),
        (Some(Verdict::Allow), _) | (None, Enforcement::Audit) => {}
    }
    if asked.path.slashes() == Slashes::Escaped
        && ruled.config.encoded_slash == EncodedSlash::Refuse
    {
        return RequestDecision::Deny(Denial {
            policy: Some(Arc::clone(admitted.policy_name())),
            ..Denial::code(Code::InvalidRequestTarget)
        });
    }
    match ruled.request {
        Some(_) => RequestDecision::Allow(admitted),
        None => RequestDecision::Audit(admitted),
    }
}

/// Outer: is the answer well formed; inner: is the field there.
#[expect(
    clippy::option_option,
    reason = "malformed, absent and read are the three cases this function is about"
)]
fn optional<'v, T>(
    fields: &'v Map<String, Value>,
    field: &str,
    read: impl FnOnce(&'v Value) -> Option<T>,
) -> Option<Option<T>> {
    match fields.get(field) {
        None => Some(None),
        Some(value) => read(value).map(Some),
    }
}

/// The name of a policy: it stands in answers, records and a header.
fn name(value: &Value) -> Option<&str> {
    let name = value.as_str()?;
    let fits = !name.is_empty() && name.len() <= NAME_BYTES_MAX;
    (fits && !name.chars().any(char::is_control)).then_some(name)
}

/// A reason in words: as much of it as fits. It may quote what a caller chose, so control characters are not a fault of
/// the rules and are left out.
fn words(value: &Value) -> Option<String> {
    let mut words: String = value
        .as_str()?
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    words.truncate(words.floor_char_boundary(NAME_BYTES_MAX));
    Some(words)
}

/// The closed list of ERR-5 costs no copy.
fn reason(text: String) -> Cow<'static, str> {
    REASONS
        .into_iter()
        .find(|reason| *reason == text)
        .map_or_else(|| Cow::Owned(text), Cow::Borrowed)
}

const REASONS: [&str; 6] = [
    REQUEST_NOT_ALLOWED,
    DENY_RULE,
    NO_NETWORK_POLICIES,
    ENDPOINT_NOT_ALLOWED,
    BINARY_NOT_ALLOWED,
    POLICY_EVALUATION_FAILED,
];

/// Longest name of a policy and longest reason.
const NAME_BYTES_MAX: usize = 253;

/// The policy of an allowed connection whose rules name none, as records show what is absent.
const UNNAMED: &str = "-";
