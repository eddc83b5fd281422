//! One direction through leased buffers; half-close kept.
//!
//! The buffer grows with the flow: a chat keeps 4 KiB for the moment a message passes, a download that
//! fills its reads goes up to 256 KiB and then to splice. While a direction is silent it holds nothing.

use super::{Flow, Touch, splice};
use crate::io::{Reading, Writing};
use crate::worker::Worker;

pub(super) async fn run(
    worker: &Worker,
    from: &mut Reading,
    to: &mut Writing,
    early: Vec<u8>,
    touch: &Touch<'_>,
) -> Flow {
    let mut flow = Flow {
        bytes: 0,
        failed: false,
    };
    let result = pump(worker, from, to, early, touch, &mut flow.bytes).await;
    match result {
        Ok(()) => to.finish(),
        Err(_) => {
            flow.failed = true;
            touch.broke();
        }
    }
    flow
}

async fn pump(
    worker: &Worker,
    from: &mut Reading,
    to: &mut Writing,
    early: Vec<u8>,
    touch: &Touch<'_>,
    bytes: &mut u64,
) -> std::io::Result<()> {
    let limits = &worker.limits;
    if !early.is_empty() {
        *bytes += early.len() as u64;
        to.send_all(early).await.0?;
    }
    let mut size = limits.buffer_bytes_min;
    let mut full_reads = 0;
    loop {
        // A flow that filled its last read most likely has more: then the read itself waits.
        if full_reads == 0 {
            from.readable().await?;
        }
        let (received, buffer) = from.recv(worker.buffers.take(size)).await;
        let received = received?;
        if received == 0 {
            worker.buffers.give(buffer);
            return Ok(());
        }
        *bytes += received as u64;
        touch.moved();
        let filled = buffer.len() == buffer.capacity();
        let (sent, buffer) = to.send_all(buffer).await;
        worker.buffers.give(buffer);
        sent?;
        if filled {
            full_reads += 1;
            size = (size * 4).min(limits.buffer_bytes_max);
        } else {
            full_reads = 0;
            if received < size / 8 {
                size = (size / 2).max(limits.buffer_bytes_min);
            }
        }
        if full_reads >= limits.splice_after_full_reads {
            full_reads = 0;
            splice::run(worker, from, to, touch, bytes).await?;
        }
    }
}
