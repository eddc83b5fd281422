//! The corpora at the level of the parsers: no socket, no policy, only bytes and verdicts.

#[cfg(test)]
mod case;
#[cfg(test)]
mod conversation;
#[cfg(test)]
mod model_rewrite;
#[cfg(test)]
mod smuggling;
#[cfg(test)]
mod sse;
