//! A recording HTTP/1.1 server, plain or TLS, one thread a connection.
//!
//! It keeps every complete request byte for byte and leaves the answer to a closure, which may also break the
//! rules: the connection is in its hands.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::http::{Message, Reader, read_request};

/// What happens to the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// The next request is read.
    KeepOpen,
    /// Closed in order: close-notify where there is TLS, then FIN.
    Close,
    /// FIN without close-notify.
    Cut,
    /// RST.
    Reset,
}

/// The answering side: gets the request and writes to the connection.
pub type Answering = dyn Fn(&Message, &mut Wire) -> io::Result<After> + Send + Sync;

/// A running server. Ends with its scene.
#[derive(Clone)]
pub struct Origin {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    requests: Mutex<Vec<Message>>,
    arrived: Condvar,
    connections: AtomicU64,
    open: AtomicU64,
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Origin {
    /// Starts a server on `address`; with TLS when there is a configuration.
    ///
    /// # Panics
    /// When the address cannot be bound.
    pub fn start<A>(address: &str, tls: Option<Arc<ServerConfig>>, answering: A) -> Origin
    where
        A: Fn(&Message, &mut Wire) -> io::Result<After> + Send + Sync + 'static,
    {
        let listener =
            TcpListener::bind(address).unwrap_or_else(|error| unreachable!("{address}: {error}"));
        let state = Arc::new(State {
            requests: Mutex::new(Vec::new()),
            arrived: Condvar::new(),
            connections: AtomicU64::new(0),
            open: AtomicU64::new(0),
        });
        let origin = Origin {
            address: listener.local_addr().expect("a bound address"),
            state: Arc::clone(&state),
        };
        let answering: Arc<Answering> = Arc::new(answering);
        thread::spawn(move || {
            for tcp in listener.incoming().flatten() {
                let number = state.connections.fetch_add(1, Ordering::SeqCst);
                state.open.fetch_add(1, Ordering::SeqCst);
                let (state, tls, answering) =
                    (Arc::clone(&state), tls.clone(), Arc::clone(&answering));
                thread::spawn(move || {
                    serve(number, tcp, tls, &state, &*answering);
                    state.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        origin
    }

    /// A server that answers every request with 200 and this text.
    pub fn greeting(address: &str, tls: Option<Arc<ServerConfig>>, text: &'static str) -> Origin {
        Origin::start(address, tls, move |request, wire| {
            let body = if request.method() == "HEAD" { "" } else { text };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
                text.len()
            );
            wire.write_all(head.as_bytes())?;
            wire.write_all(body.as_bytes())?;
            Ok(After::KeepOpen)
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every complete request so far, in the order of completion.
    pub fn requests(&self) -> Vec<Message> {
        self.state
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Takes the requests so far.
    pub fn take(&self) -> Vec<Message> {
        std::mem::take(
            &mut *self
                .state
                .requests
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Waits until `count` requests are complete, at most for `limit`; how many are.
    pub fn wait_for(&self, count: usize, limit: Duration) -> usize {
        let end = Instant::now() + limit;
        let mut requests = self
            .state
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while requests.len() < count {
            let Some(left) = end.checked_duration_since(Instant::now()) else {
                break;
            };
            let (guard, _) = self
                .state
                .arrived
                .wait_timeout(requests, left)
                .unwrap_or_else(PoisonError::into_inner);
            requests = guard;
        }
        requests.len()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Connections open now.
    pub fn open(&self) -> u64 {
        self.state.open.load(Ordering::SeqCst)
    }
}

/// One connection of a server.
pub struct Wire {
    stream: Stream,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl Wire {
    /// Whether the peer is gone, or goes within `limit`. A peer that sends is not gone, but its bytes are lost.
    pub fn gone_within(&mut self, limit: Duration) -> bool {
        self.tcp()
            .set_read_timeout(Some(limit))
            .expect("a read timeout");
        let mut byte = [0];
        let gone = match self.read(&mut byte) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => !matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            ),
        };
        self.tcp().set_read_timeout(None).expect("no read timeout");
        gone
    }

    fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => &tls.sock,
        }
    }

    fn end(mut self, after: After) {
        match after {
            After::KeepOpen | After::Close => {
                if let Stream::Tls(tls) = &mut self.stream {
                    tls.conn.send_close_notify();
                    // Why the result is dropped: the peer may have gone first.
                    drop(tls.conn.write_tls(&mut tls.sock));
                }
            }
            After::Cut => {}
            After::Reset => {
                rustix::net::sockopt::set_socket_linger(self.tcp(), Some(Duration::ZERO))
                    .unwrap_or_default();
            }
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Plain(tcp) => tcp.read(buf),
            Stream::Tls(tls) => tls.read(buf),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Plain(tcp) => tcp.write(buf),
            Stream::Tls(tls) => tls.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(tcp) => tcp.flush(),
            Stream::Tls(tls) => tls.flush(),
        }
    }
}

fn serve(
    number: u64,
    tcp: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    state: &State,
    answering: &Answering,
) {
    if tcp.set_nodelay(true).is_err() {
        return;
    }
    let stream = match tls {
        None => Stream::Plain(tcp),
        Some(config) => {
            let conn = ServerConnection::new(config).expect("a server connection");
            Stream::Tls(Box::new(StreamOwned::new(conn, tcp)))
        }
    };
    let mut reader = Reader::new(Wire { stream });
    let after = loop {
        let interim = |wire: &mut Wire| drop(wire.write_all(b"HTTP/1.1 100 Continue\r\n\r\n"));
        let Some(mut request) = read_request(&mut reader, interim) else {
            break After::Close;
        };
        request.connection = number;
        let close = request
            .field("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        state
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request.clone());
        state.arrived.notify_all();
        match answering(&request, &mut reader.stream) {
            Ok(After::KeepOpen) if close => break After::Close,
            Ok(After::KeepOpen) => {}
            Ok(after) => break after,
            Err(_) => break After::Cut,
        }
    };
    reader.stream.end(after);
}
