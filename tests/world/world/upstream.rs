//! The other end: a listener whose connections the test answers by hand.

use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use harness::http::{Message, Reader, read_request};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::client::prepared;
use super::{BACKEND, STEP};

/// A listening upstream.
pub(crate) struct Upstream(TcpListener);

/// One connection of the data plane to a backend.
pub(crate) type Call = Reader<TcpStream>;

/// The same inside TLS.
pub(crate) type TlsCall = Reader<StreamOwned<ServerConnection, TcpStream>>;

impl Upstream {
    /// Listens at an address of the scene.
    pub(crate) fn bind(address: &str) -> Upstream {
        Upstream(TcpListener::bind(address).unwrap())
    }

    /// Listens where the routes of the world point.
    pub(crate) fn backend() -> Upstream {
        Upstream::bind(BACKEND)
    }

    /// The next connection, whenever it comes within the step limit.
    pub(crate) fn accept(&self) -> TcpStream {
        self.accept_within(STEP).expect("a connection comes")
    }

    /// The next connection, or `None` when `time` passes first.
    pub(crate) fn accept_within(&self, time: Duration) -> Option<TcpStream> {
        let mut wanted = [PollFd::new(&self.0, PollFlags::IN)];
        let limit = Timespec::try_from(time).unwrap();
        if poll(&mut wanted, Some(&limit)).unwrap() == 0 {
            return None;
        }
        Some(prepared(self.0.accept().unwrap().0))
    }

    /// Nobody has connected so far.
    pub(crate) fn is_untouched(&self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let found = self.0.accept();
        self.0.set_nonblocking(false).unwrap();
        matches!(found, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// The next connection with its first request.
    pub(crate) fn call(&self) -> (Call, Message) {
        let mut call = Reader::new(self.accept());
        let request = request(&mut call);
        (call, request)
    }

    /// The next connection inside TLS, handshake done.
    pub(crate) fn tls(&self, config: &Arc<ServerConfig>) -> TlsCall {
        let connection = ServerConnection::new(Arc::clone(config)).unwrap();
        let mut stream = StreamOwned::new(connection, self.accept());
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        Reader::new(stream)
    }
}

/// A backend whose one connection is kept alive.
pub(crate) struct Kept {
    pub(crate) listener: Upstream,
    pub(crate) call: Option<Call>,
}

impl Kept {
    /// Listens; nobody has called yet.
    pub(crate) fn start() -> Kept {
        Kept {
            listener: Upstream::backend(),
            call: None,
        }
    }

    /// The next request, on the same connection as the one before.
    pub(crate) fn request(&mut self) -> Message {
        let listener = &self.listener;
        let call = self
            .call
            .get_or_insert_with(|| Reader::new(listener.accept()));
        request(call)
    }
}

/// The next request of a connection.
pub(crate) fn request<S: std::io::Read>(call: &mut Reader<S>) -> Message {
    read_request(call, |_| {}).expect("a whole request")
}

/// Answers with a JSON body.
pub(crate) fn reply(call: &mut Reader<impl Write>, status: &str, body: &str) {
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    call.stream.write_all(answer.as_bytes()).unwrap();
}

/// Begins an event stream in chunks.
pub(crate) fn begin_events(call: &mut Reader<impl Write>) {
    call.stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
}

/// Sends one chunk.
pub(crate) fn send_chunk(call: &mut Reader<impl Write>, data: &str) {
    call.stream
        .write_all(&harness::http::chunk(data.as_bytes()))
        .unwrap();
}

/// Ends with a reset.
pub(crate) fn reset(stream: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
    // The caller drops the socket; with a zero linger time that sends RST.
}
