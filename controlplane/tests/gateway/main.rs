//! A gateway as its clients meet it: real sockets, real certificates, SQLite.

#![expect(
    clippy::unwrap_used,
    reason = "what is around the tests is as much a test as they are"
)]

mod certificates;
mod gateways;
mod health;
mod hosts;
mod keys;
mod lifecycle;
mod objects;
#[path = "../store/server.rs"]
#[expect(dead_code, reason = "the store's tests do more with it")]
mod postgres;
mod presence;
mod push;
mod raw;
mod roles;
mod world;
