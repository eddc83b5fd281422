//! The floor: a relay on one thread that answers CONNECT, copies or splices, and decides nothing.
//!
//! Edge-triggered epoll, one registration a socket, 64 KiB a read; as little as such a program can do. What decides
//! cannot be faster.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use rustix::pipe::{PipeFlags, SpliceFlags};

use crate::{Outcome, client, stage, sys};

/// This process.
pub(crate) const ROLE: &str = "__relay";

/// Where the copying one listens.
pub(crate) const COPY_PORT: u16 = 3129;
/// Where the splicing one listens.
pub(crate) const SPLICE_PORT: u16 = 3130;

/// The way of a relay, as an argument.
pub(crate) const COPY: &str = "copy";
/// As [`COPY`].
pub(crate) const SPLICE: &str = "splice";

/// Relays for ever.
pub(crate) fn run(port: &str, way: &str) -> Outcome<()> {
    sys::pin(stage::MIDDLE_CORE)?;
    let listener = TcpListener::bind(stage::middle(port.parse()?))?;
    listener.set_nonblocking(true)?;
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    let watch = |fd: &dyn AsFdRef, key: RawFd| {
        let what = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&poll, fd.as_ref(), EventData::new_u64(key as u64), what)
    };
    watch(&listener, listener.as_raw_fd())?;
    client::say("ready")?;
    let mut relay = Relay {
        splices: way == SPLICE,
        room: vec![0; 64 * 1024],
        ends: HashMap::new(),
    };
    let mut events = Vec::with_capacity(256);
    loop {
        events.clear();
        match epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let key = event.data.u64() as RawFd;
            if key != listener.as_raw_fd() {
                relay.go_on(key, &watch);
                continue;
            }
            while let Ok((client, _)) = listener.accept() {
                client.set_nonblocking(true)?;
                client.set_nodelay(true)?;
                watch(&client, client.as_raw_fd())?;
                relay.ends.insert(client.as_raw_fd(), End::new(client));
            }
        }
    }
}

/// A socket that can be watched.
trait AsFdRef {
    fn as_ref(&self) -> std::os::fd::BorrowedFd<'_>;
}

impl<T: std::os::fd::AsFd> AsFdRef for T {
    fn as_ref(&self) -> std::os::fd::BorrowedFd<'_> {
        self.as_fd()
    }
}

struct Relay {
    splices: bool,
    room: Vec<u8>,
    ends: HashMap<RawFd, End>,
}

/// One socket, and what waits to be written to its peer.
struct End {
    socket: TcpStream,
    /// None until the tunnel is open.
    peer: Option<RawFd>,
    waiting: Vec<u8>,
    pipe: Option<(OwnedFd, OwnedFd)>,
    in_pipe: usize,
    is_over: bool,
}

impl End {
    fn new(socket: TcpStream) -> End {
        End {
            socket,
            peer: None,
            waiting: Vec::new(),
            pipe: None,
            in_pipe: 0,
            is_over: false,
        }
    }
}

impl Relay {
    /// Something happened to a socket: both directions of its tunnel are moved on as far as they go.
    fn go_on(&mut self, key: RawFd, watch: &dyn Fn(&dyn AsFdRef, RawFd) -> rustix::io::Result<()>) {
        let Some(end) = self.ends.get(&key) else {
            return;
        };
        let peer = match end.peer {
            Some(peer) => peer,
            None => match self.open(key, watch) {
                Ok(Some(peer)) => peer,
                Ok(None) => return,
                Err(_) => return drop(self.ends.remove(&key)),
            },
        };
        let moved = self
            .move_on(key, peer)
            .and_then(|one| Ok(one & self.move_on(peer, key)?));
        if !matches!(moved, Ok(false)) {
            self.ends.remove(&key);
            self.ends.remove(&peer);
        }
    }

    /// Reads the head, connects, answers. `None` while the head is not whole.
    fn open(
        &mut self,
        key: RawFd,
        watch: &dyn Fn(&dyn AsFdRef, RawFd) -> rustix::io::Result<()>,
    ) -> Outcome<Option<RawFd>> {
        let splices = self.splices;
        let end = self.ends.get_mut(&key).ok_or("it is gone")?;
        match rustix::net::recv(&end.socket, &mut self.room[..], RecvFlags::empty()) {
            Ok((0, _)) => return Err("no head".into()),
            Ok((received, _)) => end.waiting.extend_from_slice(&self.room[..received]),
            Err(Errno::AGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        if !end.waiting.ends_with(b"\r\n\r\n") {
            return Ok(None);
        }
        let head = String::from_utf8(std::mem::take(&mut end.waiting))?;
        let target = head.split(' ').nth(1).ok_or("no target")?;
        // On loopback this returns at once.
        let upstream = TcpStream::connect(target.parse::<SocketAddr>()?)?;
        upstream.set_nonblocking(true)?;
        upstream.set_nodelay(true)?;
        let peer = upstream.as_raw_fd();
        watch(&upstream, peer)?;
        rustix::net::send(
            &end.socket,
            b"HTTP/1.1 200 Connection Established\r\n\r\n",
            SendFlags::NOSIGNAL,
        )?;
        let mut other = End::new(upstream);
        (end.peer, other.peer) = (Some(peer), Some(key));
        if splices {
            for end in [end, &mut other] {
                let pipe = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
                rustix::pipe::fcntl_setpipe_size(&pipe.1, PIPE_BYTES)?;
                end.pipe = Some(pipe);
            }
        }
        self.ends.insert(peer, other);
        Ok(Some(peer))
    }

    /// One direction, until something would wait. True when it has ended.
    fn move_on(&mut self, from: RawFd, to: RawFd) -> rustix::io::Result<bool> {
        let [Some(from), Some(to)] = self.ends.get_disjoint_mut([&from, &to]) else {
            return Err(Errno::BADF);
        };
        if from.is_over {
            return Ok(true);
        }
        let over = match from.pipe {
            Some(_) => splice(from, to),
            None => copy(from, to, &mut self.room),
        };
        match over {
            Ok(()) => {
                from.is_over = true;
                rustix::net::shutdown(&to.socket, Shutdown::Write)?;
                Ok(true)
            }
            Err(Errno::AGAIN) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Ends with the sender; `AGAIN` when either socket would wait.
fn copy(from: &mut End, to: &mut End, room: &mut [u8]) -> rustix::io::Result<()> {
    loop {
        while !from.waiting.is_empty() {
            let sent = rustix::net::send(&to.socket, &from.waiting, SendFlags::NOSIGNAL)?;
            from.waiting.drain(..sent);
        }
        let (received, _) = rustix::net::recv(&from.socket, &mut *room, RecvFlags::empty())?;
        if received == 0 {
            return Ok(());
        }
        let sent = match rustix::net::send(&to.socket, &room[..received], SendFlags::NOSIGNAL) {
            Err(Errno::AGAIN) => 0,
            other => other?,
        };
        from.waiting.extend_from_slice(&room[sent..received]);
        // Edge-triggered: a read that did not fill the room has emptied the socket, and an event follows new bytes.
        if received < room.len() && from.waiting.is_empty() {
            return Err(Errno::AGAIN);
        }
    }
}

fn splice(from: &mut End, to: &mut End) -> rustix::io::Result<()> {
    let Some((out, into)) = &from.pipe else {
        return Err(Errno::BADF);
    };
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    loop {
        while from.in_pipe > 0 {
            from.in_pipe -= rustix::pipe::splice(out, None, &to.socket, None, from.in_pipe, flags)?;
        }
        match rustix::pipe::splice(&from.socket, None, into, None, PIPE_BYTES, flags)? {
            0 => return Ok(()),
            taken => from.in_pipe += taken,
        }
    }
}

/// The most that an unprivileged process gets.
const PIPE_BYTES: usize = 1 << 20;
