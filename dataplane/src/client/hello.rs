//! The beginning of a client's TLS: the name it asks for, before there is a session that would answer.
//!
//! Apart from `tls`, which knows no sockets, and from the two surfaces that end TLS, which know what they serve and
//! what to write down.

use wire::{ClientHello, Parse};

use super::close_heard;
use crate::limits::Limits;
use crate::stream::{Fill, Stream};

/// Why there is no ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHello {
    /// What came is none.
    Foreign,
    /// The client ended, or the alarm rang.
    Ended,
}

/// Waits for a whole ClientHello, and leaves it in the input for the session. Its time is the caller's alarm.
///
/// # Errors
/// [`NoHello`].
pub(crate) async fn read_hello(client: &mut Stream) -> Result<ClientHello, NoHello> {
    loop {
        match wire::client_hello(client.input()) {
            Parse::Done(hello, _) => return Ok(hello),
            Parse::Bad(_) => return Err(NoHello::Foreign),
            Parse::More => match client.fill().await {
                Ok(Fill::Bytes) => {}
                Ok(Fill::End | Fill::Cut) | Err(_) => return Err(NoHello::Ended),
            },
        }
    }
}

/// Ends a handshake for a name that is not served here.
pub(crate) async fn refuse_name(client: &mut Stream, limits: &Limits) {
    if client.put(UNRECOGNIZED_NAME).is_ok() {
        close_heard(client, limits).await;
    }
}

/// A TLS record with the fatal alert `unrecognized_name` (RFC 6066 §3, RFC 8446 §6).
const UNRECOGNIZED_NAME: &[u8] = &[21, 3, 3, 0, 2, 2, 112];
