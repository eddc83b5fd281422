//! `ringfence policy`: what a policy says, without a connection. One verb a file.

mod check;
mod explain;

pub(crate) use check::check;
pub(crate) use explain::explain;
