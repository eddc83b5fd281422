//! One direction of a bulk flow through a kernel pipe: the bytes never enter this process.
//!
//! The system call is made directly, never blocking, once the socket is readable: io_uring would hand
//! a splice to a kernel worker thread for every step. Each turn waits for readiness on the ring, so a
//! flow that is always ready still lets its neighbours in.
//!
//! Invariant: both sockets are non-blocking here. `SPLICE_F_NONBLOCK` speaks of the pipe alone: a splice
//! into a full blocking socket would hold the whole worker until its reader reads.

use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, SpliceFlags};

use super::Touch;
use crate::io::{Reading, Writing};
use crate::worker::Worker;

/// A pipe with nothing in it.
pub(crate) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    size: usize,
}

impl Pipe {
    fn open() -> io::Result<Pipe> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // An unprivileged user may be over its pipe budget: the default 64 KiB works too.
        let size = rustix::pipe::fcntl_setpipe_size(&write, PIPE_BYTES).unwrap_or(64 * 1024);
        Ok(Pipe { read, write, size })
    }
}

/// Returns when a read must tell what is next: the flow is not bulk any more, or nothing can be spliced
/// though the socket is readable (its end, or an urgent byte), or there is no pipe to be had.
pub(super) async fn run(
    worker: &Worker,
    from: &mut Reading,
    to: &mut Writing,
    touch: &Touch<'_>,
    bytes: &mut u64,
) -> io::Result<()> {
    let kept = worker.pipes.borrow_mut().pop();
    let Some(pipe) = kept.or_else(|| Pipe::open().ok()) else {
        return Ok(());
    };
    pump(&pipe, from, to, touch, bytes).await?;
    // Only an emptied pipe comes here: an error above closes it with what it held.
    let mut pipes = worker.pipes.borrow_mut();
    if pipes.len() < PIPES_KEPT_MAX {
        pipes.push(pipe);
    }
    Ok(())
}

async fn pump(
    pipe: &Pipe,
    from: &mut Reading,
    to: &mut Writing,
    touch: &Touch<'_>,
    bytes: &mut u64,
) -> io::Result<()> {
    for socket in [from.fd(), to.fd()] {
        rustix::io::ioctl_fionbio(socket, true)?;
    }
    let mut calm_turns = 0;
    loop {
        from.readable().await?;
        let taken =
            match rustix::pipe::splice(from.fd(), None, &pipe.write, None, pipe.size, flags()) {
                // Why no second try: before an urgent byte there is nothing to splice, and the socket stays readable.
                Ok(0) | Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Ok(taken) => taken,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
        let mut left = taken;
        while left > 0 {
            match rustix::pipe::splice(&pipe.read, None, to.fd(), None, left, flags()) {
                Ok(sent) => left -= sent,
                Err(rustix::io::Errno::AGAIN) => to.writable().await?,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        *bytes += taken as u64;
        touch.moved();
        calm_turns = if taken < CALM_BYTES {
            calm_turns + 1
        } else {
            0
        };
        if calm_turns == CALM_TURNS {
            return Ok(());
        }
    }
}

fn flags() -> SpliceFlags {
    SpliceFlags::MOVE | SpliceFlags::NONBLOCK
}

/// What one turn moves at the most.
const PIPE_BYTES: usize = 1024 * 1024;

/// Emptied pipes a worker keeps: two descriptors each.
const PIPES_KEPT_MAX: usize = 32;

/// Turns that move less than this are not bulk…
const CALM_BYTES: usize = 16 * 1024;

/// …and after so many in a row a copying buffer is cheaper.
const CALM_TURNS: u32 = 16;

#[cfg(test)]
mod tests;
