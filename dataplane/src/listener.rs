//! Accept, for as long as the sandbox lives.
//!
//! One accept is under way at any time and is never dropped: a dropped one would leak the socket it
//! took. Errors are classed: a peer that gave up costs nothing, a machine out of descriptors or memory
//! costs a pause, and nothing ends the loop (TR-090).

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use monoio::net::TcpListener;

use crate::session::{self, Door};
use crate::worker::{Sandbox, Worker};

/// Accepts and serves until the worker ends.
pub(crate) async fn run(
    worker: Rc<Worker>,
    sandbox: Rc<Sandbox>,
    listener: TcpListener,
    door: Door,
) {
    let mut pause = PAUSE_FIRST;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                pause = PAUSE_FIRST;
                let (worker, sandbox) = (Rc::clone(&worker), Rc::clone(&sandbox));
                monoio::spawn(contained(async move {
                    session::serve(&worker, &sandbox, stream, door).await
                }));
            }
            Err(error) if is_peers_fault(&error) => {}
            Err(_) => {
                // Out of descriptors or memory, mostly: what is open goes on and frees some.
                monoio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// Where a listener is bound.
pub(crate) fn address(listener: &OwnedFd) -> Option<SocketAddr> {
    rustix::net::getsockname(listener).ok()?.try_into().ok()
}

/// Errors that accept(2) reports on behalf of a connection that is gone already.
fn is_peers_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Runs a task so that a panic inside ends this connection only (SECURITY 50). The panic hook has
/// reported it by then.
///
/// Boxed, because a task is moved a few times before it runs, and a connection's future is some KiB long.
pub(crate) fn contained(work: impl Future<Output = ()>) -> impl Future<Output = ()> {
    let mut work = Box::pin(work);
    std::future::poll_fn(move |context| {
        // The state behind a panic is dropped with the future; counters are restored by their guards.
        catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))).unwrap_or(Poll::Ready(()))
    })
}

const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// SECURITY 50: a panic in one task ends one connection only.
    #[test]
    fn a_panic_in_one_task_leaves_the_others_running() {
        let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new()
            .enable_timer()
            .build()
            .unwrap();
        runtime.block_on(async {
            let served = Rc::new(Cell::new(0));
            for turn in 0..100 {
                let served = Rc::clone(&served);
                monoio::spawn(contained(async move {
                    monoio::time::sleep(Duration::from_millis(1)).await;
                    assert!(turn % 2 == 0, "an injected panic");
                    served.set(served.get() + 1);
                }));
            }
            monoio::time::sleep(Duration::from_millis(200)).await;
            assert_eq!(served.get(), 50);
        });
    }
}
