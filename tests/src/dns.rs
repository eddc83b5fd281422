//! A name server that knows nothing and remembers everything it was asked.
//!
//! Names of the scene are in its hosts file; a query that arrives here is one ringfence sent. "No query for a
//! denied name" (CON-5) is therefore an empty list.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::scene::NAME_SERVER;

/// The running name server.
#[derive(Clone, Debug)]
pub struct NameServer {
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    /// Starts it on the address that the scene's `/etc/resolv.conf` names.
    ///
    /// # Panics
    /// When the port cannot be bound.
    pub fn start() -> NameServer {
        let socket = UdpSocket::bind((NAME_SERVER, 53)).expect("port 53 of the scene");
        let server = NameServer {
            asked: Arc::default(),
        };
        let asked = Arc::clone(&server.asked);
        thread::spawn(move || {
            let mut buf = [0; 4096];
            while let Ok((read, peer)) = socket.recv_from(&mut buf) {
                let query = &buf[..read];
                asked
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(question(query));
                if let Some(answer) = no_such_name(query) {
                    // Why the result is dropped: a resolver that gave up is no fault of the server.
                    drop(socket.send_to(&answer, peer));
                }
            }
        });
        server
    }

    /// The names asked for so far, in lower case, without the last dot.
    pub fn asked(&self) -> Vec<String> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn question(query: &[u8]) -> String {
    let mut labels = Vec::new();
    let mut rest = query.get(12..).unwrap_or_default();
    while let Some((length @ 1.., tail)) = rest.split_first() {
        let length = usize::from(*length).min(tail.len());
        labels.push(String::from_utf8_lossy(&tail[..length]).to_ascii_lowercase());
        rest = &tail[length..];
    }
    labels.join(".")
}

/// NXDOMAIN, with the question as asked and nothing else.
fn no_such_name(query: &[u8]) -> Option<Vec<u8>> {
    let name = query.get(12..)?.iter().position(|byte| *byte == 0)?;
    let mut answer = query.get(..12 + name + 5)?.to_vec();
    answer[2] = 0x81;
    answer[3] = 0x83;
    answer[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    Some(answer)
}
