//! The body of `ringfence-inside`: plays raw connections for the test from within the sandbox.
//!
//! It speaks the frames of [`crate::mux`] on its standard input and output, connects where it is told, writes
//! each data frame with one write (TCP_NODELAY) and reads in the size it was told. It ends with its input.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::mux::{Frame, Kind, read, write};

type Out = Arc<Mutex<std::io::Stdout>>;

#[derive(Default)]
struct Gate {
    paused: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, paused: bool) {
        *self.paused.lock().unwrap_or_else(PoisonError::into_inner) = paused;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        while *paused {
            paused = self
                .changed
                .wait(paused)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Serves frames until the input ends.
pub fn serve() {
    let out: Out = Arc::new(Mutex::new(std::io::stdout()));
    let mut open: HashMap<u32, (TcpStream, Arc<Gate>)> = HashMap::new();
    let mut input = std::io::stdin().lock();
    while let Some(frame) = read(&mut input) {
        let number = frame.connection;
        match frame.kind {
            Kind::Open => {
                if let Some(connection) = connect(&frame, &out) {
                    open.insert(number, connection);
                }
            }
            Kind::Data => {
                if let Some((tcp, _)) = open.get_mut(&number) {
                    // Why dropped: a peer that is gone shows on the reading side, after what it still said.
                    drop(tcp.write_all(&frame.payload));
                }
            }
            Kind::End => {
                if let Some((tcp, _)) = open.get(&number) {
                    // Why dropped: a connection the peer has reset is as ended as can be.
                    drop(tcp.shutdown(Shutdown::Write));
                }
            }
            Kind::Close | Kind::Reset => {
                if let Some((tcp, gate)) = open.remove(&number) {
                    // Why a shutdown: the reading thread holds a second descriptor and lets go of it at the end it
                    // now sees. One of the reading side alone sends no FIN, so the last close can send RST.
                    let side = if frame.kind == Kind::Reset {
                        rustix::net::sockopt::set_socket_linger(&tcp, Some(Duration::ZERO))
                            .unwrap_or_default();
                        Shutdown::Read
                    } else {
                        Shutdown::Both
                    };
                    drop(tcp.shutdown(side));
                    gate.set(false);
                }
            }
            Kind::Pause | Kind::Resume => {
                if let Some((_, gate)) = open.get(&number) {
                    gate.set(frame.kind == Kind::Pause);
                }
            }
            Kind::File => {
                let bytes = std::fs::read(expand(&frame.payload)).unwrap_or_default();
                say(&out, Kind::File, number, &bytes);
            }
            Kind::Variable => {
                let value = std::env::var(String::from_utf8_lossy(&frame.payload).as_ref())
                    .unwrap_or_default();
                say(&out, Kind::Variable, number, value.as_bytes());
            }
            Kind::Opened | Kind::Failed => {}
        }
    }
}

fn connect(frame: &Frame, out: &Out) -> Option<(TcpStream, Arc<Gate>)> {
    let number = frame.connection;
    let text = String::from_utf8_lossy(&frame.payload).into_owned();
    let (address, size) = text.split_once(' ').unwrap_or((&text, "65536"));
    let size: usize = size.parse().unwrap_or(65_536);
    let tcp = match TcpStream::connect(address) {
        Ok(tcp) => tcp,
        Err(error) => {
            say(out, Kind::Failed, number, error.to_string().as_bytes());
            return None;
        }
    };
    tcp.set_nodelay(true).expect("no delay");
    let gate = Arc::new(Gate::default());
    let (mut reading, watching, out) = (
        tcp.try_clone().expect("a second descriptor"),
        Arc::clone(&gate),
        Arc::clone(out),
    );
    say(&out, Kind::Opened, number, b"");
    thread::spawn(move || {
        let mut buf = vec![0; size];
        loop {
            watching.pass();
            match reading.read(&mut buf) {
                Ok(0) => return say(&out, Kind::End, number, b""),
                Ok(count) => say(&out, Kind::Data, number, &buf[..count]),
                Err(error) => return say(&out, Kind::Failed, number, error.to_string().as_bytes()),
            }
        }
    });
    Some((tcp, gate))
}

fn say(out: &Out, kind: Kind, connection: u32, payload: &[u8]) {
    let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
    // Why dropped: when the test is gone, so is the reason to speak; the input ends next.
    drop(write(&mut *out, kind, connection, payload));
}

fn expand(path: &[u8]) -> String {
    let path = String::from_utf8_lossy(path).into_owned();
    match path.strip_prefix('$').and_then(|rest| rest.split_once('/')) {
        Some((name, rest)) => format!("{}/{rest}", std::env::var(name).unwrap_or_default()),
        None => path,
    }
}
