//! (caller, target) → decision, and everything a decision is made from.
//!
//! Pure: values in, values out. No file, clock, socket or thread, so the data plane, the control
//! plane and a person at a shell get the same answer from the same code.
//!
//! Reading order: `document` (what an operator can say) ← `source` (its text); `compile` → `table`
//! (what is looked up); `decide` (the only door), and `request` behind it → `decision` (the answer, and
//! its receipt);
//! `address` (which addresses an admission may dial); `route`, `secret` (where inference goes);
//! `rego` (the same rules as their specification) and `explain` (why); `custom` (an operator's own rules).
//!
//! Precedence, stated once (POL-6): exact host, then wildcard, then no host; for requests then the
//! longest literal beginning of the endpoint's `path`; then the policy key in byte order. Any policy
//! that allows, allows (POL-5); for requests a deny rule wins over all of them (L7-8).
//!
//! Invariant: `decision::Admitted` is made in `decide` and narrowed in `request`, or made in `custom` for an
//! operator's own rules; `address::VerifiedAddr` is made in `address`; and
//! nowhere else; their fields are private.

#![forbid(unsafe_code)]

pub mod address;
pub mod answer;
pub mod caller;
pub mod cases;
pub mod compile;
pub mod custom;
pub mod decide;
pub mod decision;
pub mod diff;
pub mod document;
#[cfg(test)]
mod drawn;
pub mod explain;
pub mod lint;
pub mod pattern;
pub mod rego;
pub mod request;
pub mod route;
pub mod secret;
pub mod source;
mod table;
pub mod update;
mod witness;

pub use address::{
    Class, Site, VerifiedAddr, classify, require_private, special_name, verify, verify_at,
    verify_backend, verify_backend_at,
};
pub use caller::{Caller, Executable, IdentityError, SandboxId};
pub use compile::Policy;
pub use decide::{connect, infer};
pub use decision::{Admitted, Decision, Denial, InferenceGrant, RequestDecision};
pub use document::PolicyDocument;
pub use request::{Asked, request};
pub use route::{Protocol, Route, Routes};
pub use secret::Secret;
pub use source::{Loaded, Places, Problem, Problems, from_data, parse};
pub use update::{StaticChange, update};
