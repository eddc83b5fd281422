//! Routes that are set and cannot be used, and why a request finds none.
//!
//! Apart from `Route`, which always can be used: a route without a credential or an address does not exist as one.
//! Invariant: what is broken keeps its place among the others (RTE-2) and breaks nothing but itself (DPL-6).

use std::fmt;

use wire::Code;

use super::{Protocol, Route, Routes};

/// A route that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// As the gateway calls it.
    pub name: String,
    /// What it would speak; empty where even that is not known, and it then stands for everything.
    pub protocols: Vec<Protocol>,
    /// Why.
    pub fault: Fault,
    /// Its version.
    pub version: u64,
}

impl Broken {
    /// Whether a request of this protocol would have been its.
    pub(super) fn speaks(&self, protocol: Protocol) -> bool {
        self.protocols.is_empty() || self.protocols.contains(&protocol)
    }
}

/// Why a route cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its provider was deleted by force (PRV-8).
    ProviderMissing,
    /// What it says does not make a request.
    Unusable,
    /// The gateway did not confirm it for too long (DPL-9).
    Stale,
}

impl Fault {
    /// The code of the refusal.
    pub fn code(self) -> Code {
        match self {
            Fault::ProviderMissing => Code::ProviderMissing,
            Fault::Unusable => Code::RouteBroken,
            Fault::Stale => Code::RouteStale,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code().as_str())
    }
}

/// Why no request of a protocol can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// There is no route at all.
    NotConfigured,
    /// None speaks it.
    Incompatible,
    /// The one that speaks it cannot be used.
    Broken(Fault),
}

impl Routes {
    /// What a gateway says now, to take the place of what it said before: a route of the same version that says the
    /// same stays the same object, and with it its idle connections.
    #[must_use]
    pub fn of_gateway(listed: Vec<Result<Route, Broken>>, before: &Routes) -> Routes {
        let mut routes = Routes::default();
        for entry in listed {
            match entry {
                Ok(route) => {
                    let kept = before
                        .usable
                        .iter()
                        .find(|kept| kept.version == route.version && kept.is_same(&route));
                    routes
                        .usable
                        .push(kept.map_or_else(|| route.into(), std::sync::Arc::clone));
                }
                Err(broken) => routes.broken.push((routes.usable.len(), broken)),
            }
        }
        routes
    }

    /// The same routes when nobody confirmed them for too long: none can be used, and none is held (DPL-9).
    #[must_use]
    pub fn gone_stale(&self) -> Routes {
        let stale = |route: &std::sync::Arc<Route>| Broken {
            name: route.name.clone(),
            protocols: route.protocols.clone(),
            fault: Fault::Stale,
            version: route.version,
        };
        let mut broken: Vec<_> = self.usable.iter().map(stale).collect();
        // Backwards, so that a place that is still to come is not moved by one that came.
        for (before, known) in self.broken.iter().rev() {
            let fault = Fault::Stale;
            broken.insert(
                *before,
                Broken {
                    fault,
                    ..known.clone()
                },
            );
        }
        Routes {
            usable: Vec::new(),
            broken: broken.into_iter().map(|broken| (0, broken)).collect(),
        }
    }
}
