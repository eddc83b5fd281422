//! A name server with a zone, which keeps every question it was asked.
//!
//! Apart from `names`, whose answers change with the count: here a name has its addresses, an alias, a list of answers to
//! be given one after the other, or silence. What is not in the zone does not exist.

use std::collections::HashMap;
use std::net::{IpAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

use harness::scene::NAME_SERVER;
use serde_json::Value;

/// What a name has.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// These addresses, or none.
    Addresses(Vec<IpAddr>),
    /// Another name.
    Alias(String),
    /// The n-th question for IPv4 addresses gets the n-th list, later ones the last; nothing may be remembered.
    Sequence(Vec<Vec<IpAddr>>),
    /// No answer.
    Silence,
}

/// The running name server.
pub(crate) struct Zone(Arc<Mutex<Vec<(String, u16)>>>);

/// Question type of IPv4 addresses.
pub(crate) const A: u16 = 1;
const AAAA: u16 = 28;
const CNAME: u16 = 5;

impl Zone {
    /// Serves `entries` where the scene's resolver asks.
    pub(crate) fn serve(entries: HashMap<String, Entry>) -> Zone {
        let socket = UdpSocket::bind((NAME_SERVER, 53)).unwrap();
        let asked: Arc<Mutex<Vec<(String, u16)>>> = Arc::default();
        let zone = Zone(Arc::clone(&asked));
        thread::spawn(move || {
            let mut buf = [0; 4_096];
            while let Ok((read, peer)) = socket.recv_from(&mut buf) {
                let Some((name, kind, question)) = question(&buf[..read]) else {
                    continue;
                };
                let before = {
                    let mut asked = asked.lock().unwrap();
                    asked.push((name.clone(), kind));
                    asked
                        .iter()
                        .filter(|known| **known == (name.clone(), kind))
                        .count()
                        - 1
                };
                if let Some(answer) = answer(&buf[..2], question, kind, entries.get(&name), before)
                {
                    // A resolver that gave up is no fault of the server.
                    _ = socket.send_to(&answer, peer);
                }
            }
        });
        zone
    }

    /// One name.
    pub(crate) fn of<const N: usize>(entries: [(&str, Entry); N]) -> Zone {
        Zone::serve(entries.map(|(name, entry)| (name.to_owned(), entry)).into())
    }

    /// Every question so far, in order: the name in lower case and the type.
    pub(crate) fn asked(&self) -> Vec<(String, u16)> {
        self.0.lock().unwrap().clone()
    }

    /// The names asked for, each once.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.asked().into_iter().map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        names
    }

    /// How often the IPv4 addresses of `name` were asked for.
    pub(crate) fn count(&self, name: &str) -> usize {
        let wanted = (name.to_owned(), A);
        self.asked()
            .iter()
            .filter(|asked| **asked == wanted)
            .count()
    }
}

/// The entries of `ssrf_zone.dev.json`.
pub(crate) fn of_corpus(zone: &Value) -> HashMap<String, Entry> {
    let addresses = |value: &Value| -> Vec<IpAddr> {
        let list = value.as_array().cloned().unwrap_or_default();
        list.iter()
            .map(|text| text.as_str().unwrap().parse().unwrap())
            .collect()
    };
    let entry = |value: &Value| {
        if let Some(target) = value["CNAME"].as_str() {
            Entry::Alias(target.to_owned())
        } else if let Some(sequence) = value["sequence"].as_array() {
            Entry::Sequence(sequence.iter().map(addresses).collect())
        } else {
            Entry::Addresses([addresses(&value["A"]), addresses(&value["AAAA"])].concat())
        }
    };
    let names = zone.as_object().unwrap().iter();
    names
        .map(|(name, value)| (name.clone(), entry(value)))
        .collect()
}

fn answer(
    id: &[u8],
    question: &[u8],
    kind: u16,
    entry: Option<&Entry>,
    before: usize,
) -> Option<Vec<u8>> {
    let of_kind = |addresses: &[IpAddr]| -> Vec<Vec<u8>> {
        let data = addresses.iter().map(|address| match address {
            IpAddr::V4(address) => (A, address.octets().to_vec()),
            IpAddr::V6(address) => (AAAA, address.octets().to_vec()),
        });
        data.filter(|(family, _)| *family == kind)
            .map(|(_, data)| data)
            .collect()
    };
    let (code, lifetime, kind, records) = match entry {
        None => (3, 30, kind, Vec::new()),
        Some(Entry::Silence) => return None,
        Some(Entry::Addresses(addresses)) => (0, 30, kind, of_kind(addresses)),
        Some(Entry::Alias(target)) => (0, 30, CNAME, vec![encoded(target)]),
        Some(Entry::Sequence(lists)) => {
            (0, 0_u32, kind, of_kind(&lists[before.min(lists.len() - 1)]))
        }
    };
    let mut out = id.to_vec();
    out.extend_from_slice(&[0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
    out.extend_from_slice(question);
    for data in records {
        // The owner is the name in the question, at offset 12.
        out.extend_from_slice(&[0xc0, 12]);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1]);
        out.extend_from_slice(&lifetime.to_be_bytes());
        out.extend_from_slice(&(data.len() as u16).to_be_bytes());
        out.extend_from_slice(&data);
    }
    Some(out)
}

fn encoded(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.') {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out
}

/// The name, the type, and the question as sent.
fn question(query: &[u8]) -> Option<(String, u16, &[u8])> {
    let end = 12 + query.get(12..)?.iter().position(|byte| *byte == 0)?;
    let question = query.get(12..end + 5)?;
    let kind = u16::from_be_bytes([query[end + 1], query[end + 2]]);
    let mut labels = Vec::new();
    let mut rest = &query[12..end];
    while let Some((length, tail)) = rest.split_first() {
        let (label, tail) = tail.split_at_checked(usize::from(*length))?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        rest = tail;
    }
    Some((labels.join("."), kind, question))
}
