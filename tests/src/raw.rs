//! Raw connections through a real fence, held by the test.
//!
//! [`Fence`] is a `ringfence run` whose command is `ringfence-inside`; [`Raw`] is one connection it plays. The
//! test speaks bytes, or TLS with a client of its own, and sees exactly what a sandboxed process would see.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::authority::client_trusting_pem;
use crate::http::Reader;
use crate::mux::{Frame, Kind, read, write};
use crate::run::{Ended, Running};

/// The proxy's address inside a sandbox.
pub const PROXY: &str = "127.0.0.1:3128";
/// The direct door's address inside a sandbox (INF-29).
pub const DIRECT: &str = "127.0.0.1:443";

/// How long a step may take unless a test says otherwise: 32 MiB and TLS that is not optimised, on a busy machine. Never
/// what a test waits for.
const PATIENCE: Duration = Duration::from_secs(40);

/// A TLS client over a raw connection.
pub type TlsRaw = StreamOwned<ClientConnection, Raw>;

/// Gone once the fence has been told to end, whoever still holds a connection.
type Input = Arc<Mutex<Option<ChildStdin>>>;
type Listeners = Arc<Mutex<HashMap<u32, Sender<Frame>>>>;

/// A running fence with `ringfence-inside` in it.
#[derive(Debug)]
pub struct Fence {
    running: Running,
    input: Input,
    listeners: Listeners,
    next: AtomicU32,
}

impl Fence {
    /// Takes over a started `ringfence run … -- /mnt/bin/inside` with piped input and output.
    pub(crate) fn over(mut running: Running) -> Fence {
        let child: &mut Child = running.child();
        let input = Arc::new(Mutex::new(Some(
            child.stdin.take().expect("stdin is piped"),
        )));
        let mut output = child.stdout.take().expect("stdout is piped");
        let listeners: Listeners = Arc::default();
        let known = Arc::clone(&listeners);
        thread::spawn(move || {
            while let Some(frame) = read(&mut output) {
                let known = known.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(listener) = known.get(&frame.connection) {
                    // Why dropped: the test may have let go of the connection.
                    drop(listener.send(frame));
                }
            }
            known.lock().unwrap_or_else(PoisonError::into_inner).clear();
        });
        Fence {
            running,
            input,
            listeners,
            next: AtomicU32::new(1),
        }
    }

    /// Connects to the proxy.
    pub fn proxy(&self) -> Raw {
        self.connect(PROXY, 65_536)
    }

    /// Connects to `address` as seen inside, reading the socket in pieces of `read_bytes`.
    ///
    /// # Panics
    /// When the connection is refused; the text says what inside saw, and what ringfence said if it ended.
    pub fn connect(&self, address: &str, read_bytes: usize) -> Raw {
        self.try_connect(address, read_bytes)
            .unwrap_or_else(|error| {
                unreachable!("connect to {address}: {error}; {}", self.running.said())
            })
    }

    /// As [`Fence::connect`], with the failure as a value.
    ///
    /// # Errors
    /// What the connect inside said.
    pub fn try_connect(&self, address: &str, read_bytes: usize) -> io::Result<Raw> {
        let raw = self.channel();
        raw.say(Kind::Open, format!("{address} {read_bytes}").as_bytes())?;
        match raw.frames.recv_timeout(PATIENCE) {
            Ok(frame) if frame.kind == Kind::Opened => Ok(raw),
            Ok(frame) => Err(io::Error::other(
                String::from_utf8_lossy(&frame.payload).into_owned(),
            )),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// The bytes of a file as seen inside; `$NAME/` at the front stands for a variable's value.
    ///
    /// # Panics
    /// When inside does not answer.
    pub fn file(&self, path: &str) -> Vec<u8> {
        self.ask(Kind::File, path)
    }

    /// A variable's value inside, empty when unset.
    ///
    /// # Panics
    /// When inside does not answer.
    pub fn variable(&self, name: &str) -> String {
        String::from_utf8_lossy(&self.ask(Kind::Variable, name)).into_owned()
    }

    /// A client configuration that trusts the fence's own authority.
    pub fn trust(&self) -> Arc<ClientConfig> {
        client_trusting_pem(&self.file("$RINGFENCE_RUNTIME_DIR/ca.pem"))
    }

    /// A TLS session with inference.local through CONNECT.
    pub fn inference(&self, trust: &Arc<ClientConfig>, read_bytes: usize) -> Reader<TlsRaw> {
        let mut reader = Reader::new(self.connect(PROXY, read_bytes));
        let head = "CONNECT inference.local:443 HTTP/1.1\r\nHost: inference.local:443\r\n\r\n";
        reader
            .stream
            .write_all(head.as_bytes())
            .expect("the request is sent");
        let head = reader
            .head()
            .unwrap_or_else(|| unreachable!("no answer to CONNECT; {}", self.running.said()));
        let head = String::from_utf8_lossy(&head);
        assert!(
            head.starts_with("HTTP/1.1 200 "),
            "CONNECT inference.local: {head}"
        );
        Reader::new(tls(reader.stream, trust, "inference.local"))
    }

    /// The `ringfence run` around it.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// Ends the program inside and waits for ringfence.
    pub fn end(self) -> Ended {
        drop(
            self.input
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        self.running.wait()
    }

    fn ask(&self, kind: Kind, what: &str) -> Vec<u8> {
        let raw = self.channel();
        raw.say(kind, what.as_bytes())
            .expect("inside reads its input");
        let limit = Duration::from_secs(60);
        raw.frames
            .recv_timeout(limit)
            .unwrap_or_else(|_| unreachable!("inside gave no answer; {}", self.running.said()))
            .payload
    }

    fn channel(&self) -> Raw {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let (sender, frames) = channel();
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number, sender);
        Raw {
            number,
            frames,
            input: Arc::clone(&self.input),
            listeners: Arc::clone(&self.listeners),
            held: Vec::new(),
            ended: false,
            timeout: PATIENCE,
        }
    }
}

/// A TLS client session over `raw` for `name`; the handshake happens with the first bytes.
///
/// # Panics
/// When the name is no DNS name.
pub fn tls(raw: Raw, trust: &Arc<ClientConfig>, name: &str) -> TlsRaw {
    let name = ServerName::try_from(name.to_owned()).expect("a DNS name");
    StreamOwned::new(
        ClientConnection::new(Arc::clone(trust), name).expect("a client connection"),
        raw,
    )
}

/// One connection played inside. Closes when dropped.
#[derive(Debug)]
pub struct Raw {
    number: u32,
    frames: Receiver<Frame>,
    input: Input,
    listeners: Listeners,
    held: Vec<u8>,
    ended: bool,
    timeout: Duration,
}

impl Raw {
    /// How long a read waits before it is [`io::ErrorKind::TimedOut`].
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Sends FIN.
    ///
    /// # Errors
    /// When inside is gone.
    pub fn half_close(&self) -> io::Result<()> {
        self.say(Kind::End, b"")
    }

    /// Closes with RST.
    ///
    /// # Errors
    /// When inside is gone.
    pub fn reset(&self) -> io::Result<()> {
        self.say(Kind::Reset, b"")
    }

    /// Stops reading the socket inside, so that its window fills.
    ///
    /// # Errors
    /// When inside is gone.
    pub fn pause(&self) -> io::Result<()> {
        self.say(Kind::Pause, b"")
    }

    /// Reads the socket again.
    ///
    /// # Errors
    /// When inside is gone.
    pub fn resume(&self) -> io::Result<()> {
        self.say(Kind::Resume, b"")
    }

    fn say(&self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let input = input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        write(input, kind, self.number, payload)
    }
}

impl Read for Raw {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.held.is_empty() {
            if self.ended {
                return Ok(0);
            }
            match self.frames.recv_timeout(self.timeout) {
                Ok(frame) if frame.kind == Kind::Data => self.held = frame.payload,
                Ok(frame) if frame.kind == Kind::End => self.ended = true,
                Ok(frame) => {
                    self.ended = true;
                    return Err(io::Error::new(
                        io::ErrorKind::ConnectionReset,
                        String::from_utf8_lossy(&frame.payload).into_owned(),
                    ));
                }
                Err(RecvTimeoutError::Timeout) => return Err(io::ErrorKind::TimedOut.into()),
                Err(RecvTimeoutError::Disconnected) => self.ended = true,
            }
        }
        let take = buf.len().min(self.held.len());
        buf[..take].copy_from_slice(&self.held[..take]);
        self.held.drain(..take);
        Ok(take)
    }
}

impl Write for Raw {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.say(Kind::Data, buf)?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.number);
        // Why dropped: inside may have ended before.
        drop(self.say(Kind::Close, b""));
    }
}
