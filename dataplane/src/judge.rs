//! Asking the policy, from a worker.
//!
//! The one way to a decision in the data plane. A compiled table answers at once; rules that have to be evaluated
//! elsewhere may be waited for, which is why asking is a future.

use policy::{Caller, Decision, Policy};
use wire::Authority;

use crate::worker::{Sandbox, Worker};

/// May this caller connect there?
pub(crate) async fn connect(
    _worker: &Worker,
    _sandbox: &Sandbox,
    policy: &Policy,
    caller: &Caller,
    target: &Authority,
) -> Decision {
    policy::connect(policy, caller, target)
}
