//! The data plane: one io_uring thread a core, from a sandbox's listener to the record.
//!
//! ```text
//!  listener ─► session ─► client.read_head ─► policy ─┬─ Deny ───► client.refuse ─────────────┐
//!  (which      (identify:  (wire)            (decide) ├─ Tunnel ─► upstream ─► relay ─────────┼─► record
//!   sandbox)    which                                 ├─ Inspect ► inspect ─► judge ─► exchange ┤
//!               binary)                               └─ Infer ──► inference ─► upstream ─────┘
//! ```
//!
//! The files, in the order a request meets them: `listener`, `session`, `identify`, `client`, `judge`, `tunnel`,
//! `forward`, `inspect`, `inference`, `upstream`, `exchange`, `relay`, `revoke`, `record`. Beneath them: `stream` over `io`
//! and `tls`, `leaf` over `mint`, `hangup`, `buffers`, `deadline`. Started by `boot`; everything a core owns is in `worker`.
//!
//! **Invariant:** nothing here names tokio, takes a lock or waits for anything but the ring.

mod boot;
mod budget;
mod buffers;
mod client;
mod clock;
mod deadline;
mod exchange;
mod forward;
mod hangup;
mod identify;
mod inference;
mod inspect;
mod io;
mod judge;
mod leaf;
mod limits;
mod listener;
mod mint;
mod offload;
mod record;
mod relay;
mod revoke;
mod session;
mod snapshot;
mod stream;
mod sys;
mod tls;
mod tunnel;
mod upstream;
mod worker;

pub use boot::{AttachError, Attachment, BootError, Config, DataPlane, Trust, start};
pub use identify::Lookup;
pub use judge::{Evaluators, Prepared, RULES_VERB, RulesError, rules_main};
pub use limits::Limits;
pub use mint::MintError;
pub use snapshot::Snapshot;
