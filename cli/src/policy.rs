//! `ringfence policy`: what a policy says, and which policy a sandbox has. One verb a file.
//!
//! `check`, `diff`, `test`, and `explain` with a file need no connection; the others ask a gateway.

mod check;
mod diff;
mod explain;
mod get;
mod list;
pub(crate) mod revision;
mod set;
mod test;
#[cfg(test)]
mod tests;

pub(crate) use check::check;
pub(crate) use diff::diff;
pub(crate) use explain::explain;
pub(crate) use get::get;
pub(crate) use list::list;
pub(crate) use set::set;
pub(crate) use test::test;
