//! The one place where I/O races time.
//!
//! A dropped future does not stop the kernel: a read that was under way may still take bytes. So no
//! read or write is ever raced here. A deadline on a socket is an [`Alarm`]: when it rings, the socket
//! is shut down and the operation under way ends by itself, with its buffer. What is raced by dropping
//! (`race`, `within`) are futures that hold no bytes: readiness, a channel, a dial attempt.
//!
//! Invariant: an alarm is dropped before the stream it guards, so a number in the table always names
//! the socket it was registered for. Cost: a scan of the armed alarms every 50 ms; nothing on the way.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use rustix::net::Shutdown;

use crate::{clock, sys};

/// All alarms of one worker.
pub(crate) struct Deadlines {
    entries: RefCell<Vec<Entry>>,
    free: RefCell<Vec<usize>>,
}

struct Entry {
    fd: RawFd,
    how: Ends,
    at: Option<Instant>,
    rang: bool,
}

/// Names an alarm to its table, for as long as the alarm is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AlarmKey(usize);

/// What a deadline ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Reading only: an answer can still be written.
    Reading,
    /// The whole connection.
    Connection,
}

/// How often the table is looked at; a deadline rings at most this late.
const TICK: Duration = Duration::from_millis(50);

impl Deadlines {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Deadlines {
            entries: RefCell::default(),
            free: RefCell::default(),
        })
    }

    /// An alarm for the socket `fd`, not armed yet.
    pub(crate) fn alarm(self: &Rc<Self>, fd: RawFd) -> Alarm {
        let entry = Entry {
            fd,
            how: Ends::Connection,
            at: None,
            rang: false,
        };
        let mut entries = self.entries.borrow_mut();
        let key = match self.free.borrow_mut().pop() {
            Some(key) => {
                entries[key] = entry;
                key
            }
            None => {
                entries.push(entry);
                entries.len() - 1
            }
        };
        Alarm {
            table: Rc::clone(self),
            key,
            armed: Cell::new(false),
        }
    }

    /// Rings for ever; one task of the worker.
    pub(crate) async fn run(self: Rc<Self>) {
        loop {
            monoio::time::sleep(TICK).await;
            self.ring_at(clock::now());
        }
    }

    /// Ends the connection of an alarm at once, without having rung. The caller knows that the alarm is there.
    pub(crate) fn end(&self, AlarmKey(key): AlarmKey) {
        sys::shutdown_registered(self.entries.borrow()[key].fd, Shutdown::Both);
    }

    /// The peer's address of the connection of an alarm; none when it is broken. The caller knows that the alarm is
    /// there.
    pub(crate) fn peer(&self, AlarmKey(key): AlarmKey) -> Option<IpAddr> {
        sys::peer_registered(self.entries.borrow()[key].fd)
    }

    fn ring_at(&self, now: Instant) {
        for entry in self.entries.borrow_mut().iter_mut() {
            if entry.at.is_some_and(|at| at <= now) {
                entry.at = None;
                entry.rang = true;
                let how = match entry.how {
                    Ends::Reading => Shutdown::Read,
                    Ends::Connection => Shutdown::Both,
                };
                sys::shutdown_registered(entry.fd, how);
            }
        }
    }
}

/// The deadline of one socket.
pub(crate) struct Alarm {
    table: Rc<Deadlines>,
    key: usize,
    armed: Cell<bool>,
}

impl Alarm {
    /// Rings after `after`, unless it is armed anew or rested before.
    pub(crate) fn arm(&self, after: Duration, how: Ends) {
        let entry = &mut self.table.entries.borrow_mut()[self.key];
        // An unrepresentable time is no deadline: it lies beyond the life of the machine.
        entry.at = clock::now().checked_add(after);
        entry.how = how;
        self.armed.set(true);
    }

    /// No deadline until armed anew.
    pub(crate) fn rest(&self) {
        if self.armed.replace(false) {
            self.table.entries.borrow_mut()[self.key].at = None;
        }
    }

    /// Ends the connection at once, without having rung.
    pub(crate) fn end_now(&self) {
        self.table.end(self.key());
    }

    /// Its name to the table.
    pub(crate) fn key(&self) -> AlarmKey {
        AlarmKey(self.key)
    }

    /// Whether it rang since it was made.
    pub(crate) fn rang(&self) -> bool {
        self.table.entries.borrow()[self.key].rang
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.table.entries.borrow_mut()[self.key].at = None;
        self.table.free.borrow_mut().push(self.key);
    }
}

/// Which of two futures ended first.
pub(crate) enum First<A, B> {
    /// The first one.
    Left(A),
    /// The second one.
    Right(B),
}

/// Waits for the first of two futures and drops the other, which must hold no bytes.
///
/// Why pinned by the caller, here and below: an `async fn` that pins its argument has room for it twice, and
/// these are nested.
pub(crate) async fn race<A, B>(
    mut left: Pin<&mut impl Future<Output = A>>,
    mut right: Pin<&mut impl Future<Output = B>>,
) -> First<A, B> {
    poll_fn(|context| {
        if let Poll::Ready(value) = left.as_mut().poll(context) {
            return Poll::Ready(First::Left(value));
        }
        right.as_mut().poll(context).map(First::Right)
    })
    .await
}

/// Waits for both futures on this task.
pub(crate) async fn join<A, B>(
    mut left: Pin<&mut impl Future<Output = A>>,
    mut right: Pin<&mut impl Future<Output = B>>,
) -> (A, B) {
    let (mut a, mut b) = (None, None);
    poll_fn(|context| {
        if a.is_none()
            && let Poll::Ready(value) = left.as_mut().poll(context)
        {
            a = Some(value);
        }
        if b.is_none()
            && let Poll::Ready(value) = right.as_mut().poll(context)
        {
            b = Some(value);
        }
        match (a.take(), b.take()) {
            (Some(left), Some(right)) => Poll::Ready((left, right)),
            (left, right) => {
                (a, b) = (left, right);
                Poll::Pending
            }
        }
    })
    .await
}

/// The future's value, or `None` when `after` passed first. The future must hold no bytes.
pub(crate) async fn within<T>(
    after: Duration,
    future: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    match race(future, pin!(monoio::time::sleep(after))).await {
        First::Left(value) => Some(value),
        First::Right(()) => None,
    }
}
