//! The harness: a world of its own for every test of the real command.
//!
//! A test that starts `ringfence run` needs servers that are not on loopback, names that resolve and
//! certificates that verify, on any machine, without root and without a trace afterwards. [`Scene`] makes that
//! world out of namespaces; the other modules are who lives in it.
//!
//! **Invariant:** nothing here touches the host's network, files or processes; a scene ends with its process.
//! The harness never links the product: it knows the command line and the wire, as a user does.

pub mod authority;
pub mod binary;
pub mod clients;
pub mod corpus;
pub mod dns;
pub mod git;
pub mod http;
pub mod inside;
pub mod model;
pub mod mux;
pub mod origin;
pub mod policy;
pub mod raw;
pub mod registry;
pub mod run;
pub mod scene;
pub mod smuggling;
pub mod soak;
mod sys;

pub use scene::{Scene, play, play_within};
