//! What the workers judge by: all policies and routes of a host, as of one generation.
//!
//! Immutable and swapped whole. A request takes it once, at its head, so verdict, addresses and
//! credential of one request come from one generation (S5, TR-069).

use std::collections::HashMap;
use std::sync::Arc;

use policy::{Policy, Route, Routes, SandboxId};

/// One generation. Cloning it to change one object shares all others.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// The policy of each sandbox; a sandbox that is not here is denied everything.
    pub policies: HashMap<SandboxId, Arc<Policy>>,
    /// The inference routes; `None` until they were loaded for the first time (DPL-5). Those that are broken or stale say
    /// so themselves.
    pub routes: Option<Arc<Routes>>,
}

impl Snapshot {
    /// Whether requests may still be sent by this very route.
    pub(crate) fn uses(&self, route: &Arc<Route>) -> bool {
        let routes = self.routes.iter();
        let mut usable = routes.flat_map(|routes| routes.as_slice());
        usable.any(|used| Arc::ptr_eq(used, route))
    }
}
