//! The walk of a request, byte by byte: a data plane inside the test, its clients and its upstreams too.
//!
//! Apart from the tests beside it because those run the real command and see what a user sees; here the
//! test holds both ends of every connection, so it can say what came when, and what never came.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod backend_tls;
#[cfg(test)]
mod custom_rego;
#[cfg(test)]
mod cuts;
#[cfg(test)]
mod dial;
#[cfg(test)]
mod doors;
#[cfg(test)]
mod entries;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod forward;
#[cfg(test)]
mod heads;
#[cfg(test)]
mod inference;
#[cfg(test)]
mod inspect;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod malformed;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod model;
#[cfg(test)]
mod pool;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod revoke;
#[cfg(test)]
mod smuggling;
#[cfg(test)]
mod ssrf;
#[cfg(test)]
mod targets;
#[cfg(test)]
mod tunnel;
#[cfg(test)]
mod world;
