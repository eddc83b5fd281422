//! Bounded threads for what would block a worker: /proc look-ups and hashing.
//!
//! A full queue is an answer (`None`), never a wait: the caller is then unknown, and unknown is denied
//! where it matters.

use std::thread;

/// Hands jobs to the helper threads.
#[derive(Clone)]
pub(crate) struct Offload {
    jobs: flume::Sender<Job>,
}

type Job = Box<dyn FnOnce() + Send>;

/// The answer to one job, when it comes.
pub(crate) struct Answer<T>(Option<flume::Receiver<T>>);

impl Offload {
    /// Starts `threads` helpers.
    ///
    /// # Errors
    /// The system's, when a thread cannot be made.
    pub(crate) fn start(threads: usize) -> std::io::Result<Offload> {
        let (sender, receiver) = flume::bounded::<Job>(QUEUE_MAX);
        for index in 0..threads {
            let jobs = receiver.clone();
            thread::Builder::new()
                .name(format!("offload-{index}"))
                .spawn(move || {
                    for job in jobs {
                        job();
                    }
                })?;
        }
        Ok(Offload { jobs: sender })
    }

    /// Queues `work`; its value comes back to the worker that waits for the answer.
    pub(crate) fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Answer<T> {
        let (sender, receiver) = flume::bounded(1);
        let job = Box::new(move || {
            // A caller that went away no longer wants the value.
            drop(sender.send(work()));
        });
        Answer(self.jobs.try_send(job).is_ok().then_some(receiver))
    }
}

impl<T> Answer<T> {
    /// Waits for the value; `None` when the queue was full or the job panicked.
    pub(crate) async fn wait(self) -> Option<T> {
        self.0?.recv_async().await.ok()
    }
}

/// Jobs that may wait: more than the connections one sandbox may open at once.
const QUEUE_MAX: usize = 4096;
