//! The only door: who may connect where, and who may use inference.local.
//!
//! Apart from `table` because order and reasons are decided here and nowhere else. Invariant: a
//! name that must never be looked up is refused before an `Admitted` for it can exist (DST-11,
//! CON-10), and a refusal names the same policy every time (POL-6, TR-068).

use wire::{Authority, Code};

use crate::address::{SPECIAL_NAME, special_name};
use crate::caller::{Caller, IdentityError};
use crate::compile::{Policy, Standing};
use crate::decision::{
    Admitted, BINARY_NOT_ALLOWED, Decision, Denial, ENDPOINT_NOT_ALLOWED, InferenceGrant,
    NO_NETWORK_POLICIES, POLICY_EVALUATION_FAILED,
};
use crate::document::Tls;
use crate::table::{CompiledPolicy, InspectionMode};

/// May this caller connect there?
///
/// One hash look-up on (host, port), then the wildcard and hostless endpoints of the port. Nothing
/// is allocated, unless an admission joins more than two lists of addresses.
pub fn connect(policy: &Policy, caller: &Caller, target: &Authority) -> Decision {
    // The table does not know what an operator's own rules say (`custom::connect`).
    if policy.standing == Standing::NeverLoaded || policy.rules.is_some() {
        return Decision::Deny(Denial::policy(POLICY_EVALUATION_FAILED, None));
    }
    if policy.table.policies.is_empty() {
        return Decision::Deny(Denial::policy(NO_NETWORK_POLICIES, None));
    }
    if target.host.is_inference() {
        // CON-10: intercepted on port 443 before anybody asks here; no policy can open the others.
        return Decision::Deny(Denial::policy(ENDPOINT_NOT_ALLOWED, None));
    }
    match judge(policy, caller, target) {
        Decision::Tunnel(admitted) | Decision::Inspect(admitted) if special_name(&target.host) => {
            Decision::Deny(Denial::destination(SPECIAL_NAME, admitted.policy_name()))
        }
        decision @ (Decision::Deny(_) | Decision::Tunnel(_) | Decision::Inspect(_)) => decision,
    }
}

/// The table's answer, special names aside: what the Rego rules are compared with.
pub(crate) fn judge(policy: &Policy, caller: &Caller, target: &Authority) -> Decision {
    let table = &policy.table;
    let mut named: Option<&CompiledPolicy> = None;
    let mut admitted: Option<Admitted> = None;
    let mut inspect = false;
    // Endpoints of one policy often follow each other; its binaries are matched once.
    let mut last: Option<(usize, bool)> = None;
    for endpoint in table.candidates(target) {
        let Some(candidate) = table.policies.get(endpoint.policy) else {
            continue;
        };
        named = named.or(Some(candidate));
        let held = match last {
            Some((policy, held)) if policy == endpoint.policy => held,
            Some(_) | None => candidate.binaries.hold(caller),
        };
        last = Some((endpoint.policy, held));
        if !held {
            continue;
        }
        let tls = match &endpoint.inspection {
            InspectionMode::Raw => Tls::Passthrough,
            InspectionMode::Rest(rules) => {
                inspect = true;
                rules.tls
            }
        };
        admitted
            .get_or_insert_with(|| Admitted::new(target.clone(), candidate.key.clone()))
            .join(endpoint.allowed_ips.as_ref(), tls);
    }
    match (admitted, named) {
        (Some(admitted), _) if inspect => Decision::Inspect(admitted),
        (Some(admitted), _) => Decision::Tunnel(admitted),
        (None, Some(policy)) => {
            Decision::Deny(Denial::policy(BINARY_NOT_ALLOWED, Some(policy.key.clone())))
        }
        (None, None) => Decision::Deny(Denial::policy(ENDPOINT_NOT_ALLOWED, None)),
    }
}

/// May this caller use inference.local? The caller is a condition only where the policy lists
/// binaries (INF-2, INF-8).
///
/// # Errors
/// `identity_unavailable` or `integrity_violation` for a caller that could not be named,
/// `inference_binary_denied` for one that is not listed, `policy_denied` without any policy.
pub fn infer(
    policy: &Policy,
    caller: Result<&Caller, IdentityError>,
) -> Result<InferenceGrant, Denial> {
    if policy.standing == Standing::NeverLoaded {
        return Err(Denial::policy(POLICY_EVALUATION_FAILED, None));
    }
    if let Some(binaries) = &policy.inference.binaries {
        let caller = caller.map_err(|error| Denial::code(error.code()))?;
        if !binaries.hold(caller) {
            return Err(Denial::code(Code::InferenceBinaryDenied));
        }
    }
    Ok(policy.inference.grant.clone())
}

#[cfg(test)]
pub(crate) mod tests;
