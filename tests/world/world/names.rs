//! A name server that answers what the test says, and counts.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use harness::scene::NAME_SERVER;

/// The running name server.
pub(crate) struct Names(Arc<AtomicUsize>);

impl Names {
    /// Answers the first question for an IPv4 address with `first`, later ones with `later`, with a time to live of
    /// zero; questions for other types get an empty answer.
    pub(crate) fn start(first: Ipv4Addr, later: Ipv4Addr) -> Names {
        let socket = UdpSocket::bind((NAME_SERVER, 53)).unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let names = Names(Arc::clone(&asked));
        thread::spawn(move || {
            let mut buf = [0; 4_096];
            while let Ok((read, peer)) = socket.recv_from(&mut buf) {
                let Some(question) = question(&buf[..read]) else {
                    continue;
                };
                let is_ipv4 = question[question.len() - 4..] == [0, 1, 0, 1];
                let mut answer = buf[..2].to_vec();
                answer.extend_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_ipv4), 0, 0, 0, 0]);
                answer.extend_from_slice(question);
                if is_ipv4 {
                    let address = match asked.fetch_add(1, Ordering::Relaxed) {
                        0 => first,
                        _ => later,
                    };
                    answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
                    answer.extend_from_slice(&address.octets());
                }
                // A resolver that gave up is no fault of the server.
                _ = socket.send_to(&answer, peer);
            }
        });
        names
    }

    /// How often an IPv4 address was asked for.
    pub(crate) fn asked(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Name, type and class of the one question.
fn question(query: &[u8]) -> Option<&[u8]> {
    let name = query.get(12..)?.iter().position(|byte| *byte == 0)?;
    query.get(12..12 + name + 5)
}
