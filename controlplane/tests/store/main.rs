//! Both bodies of the store, by one suite, and what each must bear: SIGKILL, a full disk, damage, a server that goes.
//!
//! PostgreSQL is a real server, made for the run in a directory of its own. Without one its tests say loudly that they were
//! skipped, and fail when `RINGFENCE_CLIENTS=required`.

#[cfg(test)]
mod damage;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod model;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod scratch;
#[cfg(test)]
mod server;
#[cfg(test)]
mod sqlite;
#[cfg(test)]
mod suite;
