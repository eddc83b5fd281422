//! A policy's two forms: the message that travels and the document that is enforced.
//!
//! Apart from `proto`, which has no logic, and from `policy`, which knows no messages. Both planes use it, so there is one
//! translation (TR-072).
#![forbid(unsafe_code)]
