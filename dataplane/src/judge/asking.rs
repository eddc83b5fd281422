//! The task that asks one version of one sandbox's rules, question by question.
//!
//! It owns the process: starts it on a helper thread, starts another when it is gone, and ends it with the last judge.
//! Invariant: a question that was taken is settled, whatever becomes of the process.

use std::os::fd::AsRawFd;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use monoio::io::{AsyncReadRentExt, AsyncWriteRentExt};
use monoio::net::UnixStream;
use policy::custom::{Rules, Ruling};

use super::launch::{Evaluators, Running};
use super::{Judge, frame};
use crate::deadline::{Deadlines, Ends};
use crate::offload::Offload;

/// Runs until the judge is gone.
pub(super) async fn run(
    judge: Weak<Judge>,
    questions: flume::Receiver<Box<[u8]>>,
    rules: Arc<Rules>,
    evaluators: Evaluators,
    offload: Offload,
    deadlines: Rc<Deadlines>,
) {
    let mut asker = Asker {
        process: None,
        rules,
        patience: evaluators.bounds.wall + KEEPER_SLACK,
        evaluators,
        offload,
        deadlines,
    };
    // Before the first question, which would have to wait for it.
    asker.start().await;
    while let Ok(question) = questions.recv_async().await {
        let (ruling, keep) = asker.ask(&question).await;
        let Some(judge) = judge.upgrade() else { break };
        judge.settle(&question, &ruling);
        if keep == Keep::Answer {
            judge.cache.borrow_mut().put(question, ruling);
        }
    }
    asker.stop();
}

/// What happens to an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// The rules gave it, and would give it again.
    Answer,
    /// It was not theirs: the next question may have one.
    Nothing,
}

/// What became of one try.
enum Asked {
    Answered(Ruling, Keep),
    /// The process is gone.
    Ended,
    /// It said nothing in time.
    Silent,
}

struct Asker {
    process: Option<Process>,
    rules: Arc<Rules>,
    evaluators: Evaluators,
    offload: Offload,
    deadlines: Rc<Deadlines>,
    /// Longer than the keeper may take: it ends an evaluation, this ends a keeper.
    patience: Duration,
}

struct Process {
    channel: UnixStream,
    running: Running,
}

impl Asker {
    async fn start(&mut self) {
        let (evaluators, rules) = (self.evaluators.clone(), Arc::clone(&self.rules));
        let started = self.offload.submit(move || evaluators.start(&rules)).wait();
        self.process = started.await.and_then(Result::ok).and_then(|running| {
            let channel = running.channel.try_clone().ok()?;
            Some(Process {
                channel: UnixStream::from_std(channel).ok()?,
                running,
            })
        });
    }

    /// The answer. A process that has ended since the last question is no reason to deny this one; one that ends or
    /// stays silent over it is.
    async fn ask(&mut self, question: &[u8]) -> (Ruling, Keep) {
        let known = self.process.is_some();
        match self.ask_once(question).await {
            Asked::Answered(ruling, keep) => (ruling, keep),
            Asked::Ended if known => match self.ask_once(question).await {
                Asked::Answered(ruling, keep) => (ruling, keep),
                Asked::Ended | Asked::Silent => (Ruling::failed(), Keep::Nothing),
            },
            Asked::Ended | Asked::Silent => (Ruling::failed(), Keep::Nothing),
        }
    }

    async fn ask_once(&mut self, question: &[u8]) -> Asked {
        if self.process.is_none() {
            self.start().await;
        }
        let Some(process) = &mut self.process else {
            return Asked::Ended;
        };
        let alarm = self.deadlines.alarm(process.channel.as_raw_fd());
        alarm.arm(self.patience, Ends::Connection);
        let answer = process.exchange(question).await;
        let rang = alarm.rang();
        drop(alarm);
        match answer.as_deref() {
            Some([frame::ANSWER, answer @ ..]) => {
                Asked::Answered(Ruling::read(answer), Keep::Answer)
            }
            Some([frame::STOPPED, ..]) => Asked::Answered(Ruling::failed(), Keep::Nothing),
            Some(_) | None => {
                self.stop();
                if rang { Asked::Silent } else { Asked::Ended }
            }
        }
    }

    /// Ends the process, where waiting for its end is allowed.
    fn stop(&mut self) {
        if let Some(Process { running, .. }) = self.process.take() {
            drop(self.offload.submit(move || drop(running)));
        }
    }
}

impl Process {
    async fn exchange(&mut self, question: &[u8]) -> Option<Vec<u8>> {
        let mut message = Vec::with_capacity(4 + question.len());
        message.extend_from_slice(&frame::head(question.len()).ok()?);
        message.extend_from_slice(question);
        self.channel.write_all(message).await.0.ok()?;
        let (read, head) = self.channel.read_exact(vec![0; 4]).await;
        read.ok()?;
        let len = frame::len(head.try_into().ok()?).ok()?;
        let (read, answer) = self.channel.read_exact(vec![0; len]).await;
        read.ok()?;
        Some(answer)
    }
}

/// What a keeper may need beyond the evaluation: to end it, to begin anew and to say so.
const KEEPER_SLACK: Duration = Duration::from_millis(400);
