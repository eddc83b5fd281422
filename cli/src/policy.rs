//! `ringfence policy`: what a policy says, without a connection. One verb a file.

mod check;
mod diff;
mod explain;
mod test;

pub(crate) use check::check;
pub(crate) use diff::diff;
pub(crate) use explain::explain;
pub(crate) use test::test;
