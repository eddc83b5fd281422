//! The control plane: what operators decide, kept durably and pushed to every host.
//!
//! ```text
//!  api (tonic) ─► domain (provider, inference, sandbox, policy: pure) ─► engine ─► store (SQLite | PostgreSQL)
//!                                                                          │
//!                     fleet: one stream a host ◄── newest State ───────────┘
//! ```
//!
//! Reading order: `model` (what there is), `engine` (how it changes), the domain's files, `fleet`, `api`, `server`.
//!
//! Invariants: every change is one transaction against the state it was worked out from (compare and swap on the
//! generation); the domain is pure: state in, changes out; credentials are sealed everywhere but on their way to a
//! host or a verification.

#![forbid(unsafe_code)]

pub mod api;
mod clamp;
pub mod config;
pub mod engine;
pub mod fleet;
pub mod inference;
mod lock;
pub mod logs;
pub mod model;
mod page;
pub mod pki;
pub mod policy;
pub mod provider;
pub mod refused;
pub mod sandbox;
pub mod secrets;
pub mod server;
pub mod store;
