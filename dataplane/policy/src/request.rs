//! May this request go through? Judged on its own, whichever way it came in (L7-3, L7-7 to L7-10).
//!
//! Apart from `decide` because a connection is admitted once and its requests one by one, each by the
//! newest policy. Invariants: the connection is judged first, so a caller that may not connect learns
//! nothing of request rules (LR-7); deny rules win whatever allows (L7-8); an admission reaches the
//! addresses of the endpoints that let this very request through and no others (TR-078). Nothing is
//! allocated unless an escaped query value is longer than `query` keeps room for.

mod query;

use wire::{Authority, CanonicalPath, Code, Slashes};

pub(crate) use query::{Matcher, Query};

use crate::caller::Caller;
use crate::compile::Policy;
use crate::decide;
use crate::decision::{
    Admitted, DENY_RULE, Decision, Denial, REQUEST_NOT_ALLOWED, Reach, RequestDecision,
};
use crate::document::{EncodedSlash, Enforcement};
use crate::table::{CompiledEndpoint, InspectionMode, Order, Table};

/// One request, as rules see it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'r> {
    /// Method, exact case (H1-3).
    pub method: &'r [u8],
    /// The path that is judged and sent (L7-6).
    pub path: &'r CanonicalPath,
    /// What follows `?`, as received.
    pub query: Option<&'r [u8]>,
}

/// Judges one request of `caller` to `target`.
///
/// Where the policy does not inspect the connection, every request on it is allowed.
pub fn request(
    policy: &Policy,
    caller: &Caller,
    target: &Authority,
    asked: &Asked<'_>,
) -> RequestDecision {
    within(
        decide::connect(policy, caller, target),
        policy,
        caller,
        asked,
    )
}

/// Judges a request within what was decided of its connection.
fn within(
    connection: Decision,
    policy: &Policy,
    caller: &Caller,
    asked: &Asked<'_>,
) -> RequestDecision {
    match connection {
        Decision::Deny(denial) => RequestDecision::Deny(denial),
        Decision::Tunnel(admitted) => RequestDecision::Allow(admitted),
        Decision::Inspect(admitted) => {
            let query = Query::new(asked.query);
            let found = Found::collect(&policy.table, caller, admitted.target(), asked, &query);
            found.decide(&policy.table, caller, admitted, asked)
        }
    }
}

/// The first endpoint, in the order of POL-6, of each kind that matters.
#[derive(Debug, Default)]
struct Found {
    /// Has a deny rule for it.
    denying: First,
    /// Allows it.
    allowing: First,
    /// Would allow it, were it not for `%2F`.
    slash_refusing: First,
    /// Speaks of the path, and refuses what nothing allows.
    enforcing: First,
    /// Speaks of the path.
    covering: First,
    /// Addresses of those that allow it.
    reach: Reach,
    /// Whether `%2F` may pass where the request is only audited.
    slash: EncodedSlash,
}

#[derive(Clone, Copy, Debug, Default)]
struct First(Option<Order>);

impl First {
    fn note(&mut self, order: Order) {
        self.0 = Some(self.0.map_or(order, |first| first.min(order)));
    }
}

impl Found {
    fn collect(
        table: &Table,
        caller: &Caller,
        target: &Authority,
        asked: &Asked<'_>,
        query: &Query<'_>,
    ) -> Found {
        let mut found = Found::default();
        let plain = asked.path.slashes() == Slashes::Plain;
        for endpoint in table.matching(caller, target) {
            let order = endpoint.order();
            let rules = match &endpoint.inspection {
                // L7-7: everything at that address is allowed; but `%2F` needs an endpoint that says so.
                InspectionMode::Raw if plain => {
                    found.allow(order, endpoint);
                    continue;
                }
                InspectionMode::Raw => {
                    found.slash_refusing.note(order);
                    continue;
                }
                InspectionMode::Rest(rules) => rules,
            };
            if !rules.covers(asked.path.as_bytes()) {
                continue;
            }
            if rules.denies(asked.method, asked.path.as_bytes(), query) {
                found.denying.note(order);
                continue;
            }
            if found.denying.0.is_some() {
                continue;
            }
            if rules.allows(asked.method, asked.path.as_bytes(), query) {
                if plain || rules.encoded_slash == EncodedSlash::Allow {
                    found.allow(order, endpoint);
                } else {
                    found.slash_refusing.note(order);
                }
            }
            found.covering.note(order);
            if rules.enforcement == Enforcement::Enforce {
                found.enforcing.note(order);
            }
            if rules.encoded_slash == EncodedSlash::Allow {
                found.slash = EncodedSlash::Allow;
            }
        }
        found
    }

    fn allow(&mut self, order: Order, endpoint: &CompiledEndpoint) {
        self.allowing.note(order);
        self.reach.join(endpoint.allowed_ips.as_ref());
    }

    /// `connection` is the admission of the connection: its name is the one left where no endpoint
    /// speaks of the path.
    fn decide(
        self,
        table: &Table,
        caller: &Caller,
        connection: Admitted,
        asked: &Asked<'_>,
    ) -> RequestDecision {
        let key = |order: Order| {
            let policy = table.policies.get(order.policy);
            policy.map_or_else(
                || connection.policy_name().clone(),
                |policy| policy.key.clone(),
            )
        };
        if let Some(order) = self.denying.0 {
            return RequestDecision::Deny(Denial::policy(DENY_RULE, Some(key(order))));
        }
        if let Some(order) = self.allowing.0 {
            let key = key(order);
            return RequestDecision::Allow(connection.narrowed(key, self.reach));
        }
        let bad_target = |order| {
            RequestDecision::Deny(Denial {
                policy: Some(key(order)),
                ..Denial::code(Code::InvalidRequestTarget)
            })
        };
        if let Some(order) = self.slash_refusing.0 {
            return bad_target(order);
        }
        // L7-9: refused where somebody who speaks of the path enforces, or nobody speaks of it.
        let Some(covering) = self.covering.0.filter(|_| self.enforcing.0.is_none()) else {
            let named = self
                .enforcing
                .0
                .map_or(connection.policy_name().clone(), key);
            return RequestDecision::Deny(Denial::policy(REQUEST_NOT_ALLOWED, Some(named)));
        };
        if asked.path.slashes() == Slashes::Escaped && self.slash == EncodedSlash::Refuse {
            return bad_target(covering);
        }
        let mut reach = Reach::default();
        table
            .matching(caller, connection.target())
            .filter(|endpoint| endpoint.covers(asked.path.as_bytes()))
            .for_each(|endpoint| reach.join(endpoint.allowed_ips.as_ref()));
        let key = key(covering);
        RequestDecision::Audit(connection.narrowed(key, reach))
    }
}

#[cfg(test)]
mod tests;
