//! Noticing that a client left while it is being served (INF-23).

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};

use crate::deadline::{First, race};
use crate::stream::{Fill, Stream};

/// Watches a client that is being served, so that work for one that left ends at once (INF-23).
///
/// One readiness wait stays under way for the whole exchange; it costs nothing while the client is
/// silent. A client that sends the next request early is not watched any more: those bytes wait their
/// turn, and an end behind them is seen when it is their turn.
pub(crate) struct Hangup(Option<Pin<Box<dyn Future<Output = io::Result<()>>>>>);

/// The client left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

impl Hangup {
    /// Starts watching `client`.
    pub(crate) fn of(client: &Stream) -> Hangup {
        let watch = client
            .input()
            .is_empty()
            .then(|| client.socket.read.readiness());
        Hangup(watch)
    }

    /// Runs `work` unless the client leaves first. Abandoned work must not be taken up again.
    ///
    /// # Errors
    /// `Gone` when the client ended or broke the connection.
    pub(crate) async fn unless<T>(
        &mut self,
        client: &mut Stream,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, Gone> {
        loop {
            let Some(watch) = &mut self.0 else {
                return Ok(work.await);
            };
            match race(work.as_mut(), pin!(watch)).await {
                First::Left(value) => return Ok(value),
                First::Right(Err(_)) => return Err(Gone),
                First::Right(Ok(())) => match client.read_ahead() {
                    Ok(None) => self.0 = Some(client.socket.read.readiness()),
                    Ok(Some(Fill::Bytes)) => self.0 = None,
                    Ok(Some(Fill::End | Fill::Cut)) | Err(_) => return Err(Gone),
                },
            }
        }
    }
}
