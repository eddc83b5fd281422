//! A record, opened at the head and closed exactly once: when it goes out of scope, on every way out.
//!
//! What is said is plain data of `link::record`; here is only who owns it meanwhile and when it is sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use link::record::{Event, Program, Record, RequestLine, Stage, Text};
use policy::Caller;
use wire::{RequestHead, RequestId};

use crate::clock;
use crate::worker::{Sandbox, Worker};

/// An open record. The stage is moved along by the walk.
pub(crate) struct Entry<'a, E> {
    worker: &'a Worker,
    sandbox: &'a Sandbox,
    wrap: fn(E) -> Event,
    id: RequestId,
    stage: Stage,
    since: Instant,
    said: Option<E>,
}

impl<'a, E> Entry<'a, E> {
    /// Opens a record of one kind; `wrap` names the kind.
    pub(crate) fn open(
        worker: &'a Worker,
        sandbox: &'a Sandbox,
        wrap: fn(E) -> Event,
        stage: Stage,
        said: E,
    ) -> Self {
        Entry {
            worker,
            sandbox,
            wrap,
            id: worker.next_request(),
            stage,
            since: clock::now(),
            said: Some(said),
        }
    }

    /// The request's number, which a refusal names too.
    pub(crate) fn id(&self) -> RequestId {
        self.id
    }

    /// The walk reached this stage.
    pub(crate) fn reached(&mut self, stage: Stage) {
        self.stage = stage;
    }

    /// How long it has been open.
    pub(crate) fn age(&self) -> Duration {
        clock::now().saturating_duration_since(self.since)
    }

    /// What is said so far.
    pub(crate) fn said(&mut self) -> &mut E {
        self.said.as_mut().expect("taken when closed only")
    }

    /// Nothing is added any more. For a refusal, whose goodbye may take a second longer than its record should.
    pub(crate) fn close(&mut self) {
        if let Some(said) = self.said.take() {
            push_as(
                self.id,
                self.worker,
                self.sandbox,
                self.stage,
                (self.wrap)(said),
            );
        }
    }
}

impl<E> Drop for Entry<'_, E> {
    fn drop(&mut self) {
        self.close();
    }
}

/// Sends a record that has no life of its own; the number it got.
pub(crate) fn push(worker: &Worker, sandbox: &Sandbox, stage: Stage, event: Event) -> RequestId {
    let id = worker.next_request();
    push_as(id, worker, sandbox, stage, event);
    id
}

/// Sends a further record of the request `id`.
pub(crate) fn push_as(
    id: RequestId,
    worker: &Worker,
    sandbox: &Sandbox,
    stage: Stage,
    event: Event,
) {
    worker.records.push(Record {
        at: clock::wall(),
        sandbox_id: sandbox.id_text.clone(),
        request_id: Some(id),
        stage,
        event,
    });
}

/// Method and path as they were received, without the query.
pub(crate) fn request_line(head: &RequestHead) -> RequestLine {
    RequestLine {
        method: Text::new(head.method()),
        path: Text::path(head.target()),
    }
}

/// The caller as records show it.
pub(crate) fn program(caller: &Caller) -> Arc<Program> {
    Arc::new(Program {
        binary: Text::new(&caller.exe.path),
        pid: caller.pid,
        sha256: caller.exe.sha256,
        ancestors: caller
            .ancestors
            .iter()
            .map(|ancestor| Text::new(&ancestor.path))
            .collect(),
        cmdline: Text::cmdline(&caller.cmdline),
    })
}
