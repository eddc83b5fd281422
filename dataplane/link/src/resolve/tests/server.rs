//! A name server on 127.0.0.1, UDP and TCP on one port, that says what a test wants and counts what it was asked.
//! It writes messages by hand, so that it shares no mistake with the library under test.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};

/// Which way a question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Udp,
    Tcp,
}

/// A question.
pub(super) struct Asked {
    pub(super) name: String,
    pub(super) kind: u16,
    pub(super) way: Way,
    /// How often this name and kind were asked before.
    pub(super) before: usize,
    /// The question had an EDNS record.
    pub(super) edns: bool,
}

/// What the server answers.
pub(super) enum Reply {
    /// Records of the answer section.
    Answer(Vec<Rr>),
    /// No records, a response code, and a SOA with this negative time to live when there is one.
    Empty { code: u8, negative_ttl: Option<u32> },
    /// The truncation bit and nothing else.
    Truncated,
    /// No answer at all.
    Silence,
    /// The answer of another question: the same identifier, a different name.
    Forged,
    /// Bytes after the header, which announces 65,535 answers.
    Garbage(Vec<u8>),
}

/// A record: owner, time to live, content.
pub(super) struct Rr(pub(super) String, pub(super) u32, pub(super) Content);

/// What a record holds.
pub(super) enum Content {
    Address(IpAddr),
    Cname(String),
}

pub(super) const A: u16 = 1;
pub(super) const AAAA: u16 = 28;

/// An address record.
pub(super) fn address(owner: &str, ttl: u32, address: &str) -> Rr {
    Rr(
        owner.to_owned(),
        ttl,
        Content::Address(address.parse().unwrap()),
    )
}

/// An alias record.
pub(super) fn cname(owner: &str, ttl: u32, target: &str) -> Rr {
    Rr(owner.to_owned(), ttl, Content::Cname(target.to_owned()))
}

/// Nothing there.
pub(super) fn nothing() -> Reply {
    Reply::Empty {
        code: 0,
        negative_ttl: None,
    }
}

/// The running server; it ends with the test process.
pub(super) struct Server {
    pub(super) port: u16,
    asked: Arc<Mutex<HashMap<(String, u16), usize>>>,
}

impl Server {
    pub(super) fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Server {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let port = udp.local_addr().unwrap().port();
        Server::start_on(udp, tcp, port, answer)
    }

    /// On another address, with the port of a server that runs already.
    pub(super) fn start_at(
        ip: Ipv4Addr,
        port: u16,
        answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Server {
        let udp = UdpSocket::bind((ip, port)).unwrap();
        let tcp = TcpListener::bind((ip, port)).unwrap();
        Server::start_on(udp, tcp, port, answer)
    }

    fn start_on(
        udp: UdpSocket,
        tcp: TcpListener,
        port: u16,
        answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Server {
        let asked = Arc::new(Mutex::new(HashMap::new()));
        let answer = Arc::new(answer);
        let (counts, by_udp) = (asked.clone(), answer.clone());
        std::thread::spawn(move || {
            let mut buf = [0; 4_096];
            while let Ok((len, from)) = udp.recv_from(&mut buf) {
                if let Some(message) = respond(&buf[..len], Way::Udp, &counts, &*by_udp) {
                    udp.send_to(&message, from).unwrap();
                }
            }
        });
        let counts = asked.clone();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = tcp.accept() {
                let (counts, answer) = (counts.clone(), answer.clone());
                std::thread::spawn(move || {
                    let mut len = [0; 2];
                    while stream.read_exact(&mut len).is_ok() {
                        let mut question = vec![0; usize::from(u16::from_be_bytes(len))];
                        stream.read_exact(&mut question).unwrap();
                        let Some(message) = respond(&question, Way::Tcp, &counts, &*answer) else {
                            continue;
                        };
                        let mut framed =
                            u16::try_from(message.len()).unwrap().to_be_bytes().to_vec();
                        framed.extend(message);
                        if stream.write_all(&framed).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Server { port, asked }
    }

    /// How often a name and kind were asked.
    pub(super) fn asked(&self, name: &str, kind: u16) -> usize {
        self.asked
            .lock()
            .unwrap()
            .get(&(name.to_owned(), kind))
            .copied()
            .unwrap_or(0)
    }

    /// How many questions came in all.
    pub(super) fn total(&self) -> usize {
        self.asked.lock().unwrap().values().sum()
    }
}

fn respond(
    question: &[u8],
    way: Way,
    counts: &Mutex<HashMap<(String, u16), usize>>,
    answer: &(impl Fn(&Asked) -> Reply + ?Sized),
) -> Option<Vec<u8>> {
    let mut at = 12;
    let mut labels = Vec::new();
    while question[at] != 0 {
        let len = usize::from(question[at]);
        labels.push(
            str::from_utf8(&question[at + 1..at + 1 + len])
                .unwrap()
                .to_owned(),
        );
        at += 1 + len;
    }
    let name = labels.join(".");
    let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
    let end = at + 5;
    let before = {
        let mut counts = counts.lock().unwrap();
        let count = counts.entry((name.clone(), kind)).or_default();
        *count += 1;
        *count - 1
    };
    let edns = question[11] != 0;
    let reply = answer(&Asked {
        name: name.clone(),
        kind,
        way,
        before,
        edns,
    });
    let header = |flags: u16, answers: u16, authorities: u16| {
        let mut out = question[..2].to_vec();
        for number in [flags, 1, answers, authorities, 0] {
            out.extend(number.to_be_bytes());
        }
        out.extend(&question[12..end]);
        out
    };
    Some(match reply {
        Reply::Silence => return None,
        Reply::Truncated => header(0x8380, 0, 0),
        Reply::Garbage(bytes) => {
            let mut out = header(0x8180, u16::MAX, 0);
            out.extend(bytes);
            out
        }
        Reply::Forged => {
            let mut out = question[..2].to_vec();
            for number in [0x8180_u16, 1, 1, 0, 0] {
                out.extend(number.to_be_bytes());
            }
            write_name("other.example", &mut out);
            out.extend([0, 1, 0, 1]);
            write_record(&address("other.example", 60, "192.0.2.66"), &mut out);
            out
        }
        Reply::Empty { code, negative_ttl } => {
            let mut out = header(
                0x8180 | u16::from(code),
                0,
                u16::from(negative_ttl.is_some()),
            );
            if let Some(ttl) = negative_ttl {
                out.extend([0, 0, 6, 0, 1]);
                out.extend(ttl.to_be_bytes());
                out.extend(22_u16.to_be_bytes());
                out.extend([0, 0]);
                for number in [1, 1, 1, 1, ttl] {
                    out.extend(number.to_be_bytes());
                }
            }
            out
        }
        Reply::Answer(records) => {
            let mut out = header(0x8180, u16::try_from(records.len()).unwrap(), 0);
            for record in &records {
                write_record(record, &mut out);
            }
            out
        }
    })
}

fn write_record(Rr(owner, ttl, content): &Rr, out: &mut Vec<u8>) {
    write_name(owner, out);
    let (kind, data) = match content {
        Content::Address(IpAddr::V4(ip)) => (A, ip.octets().to_vec()),
        Content::Address(IpAddr::V6(ip)) => (AAAA, ip.octets().to_vec()),
        Content::Cname(target) => {
            let mut data = Vec::new();
            write_name(target, &mut data);
            (5, data)
        }
    };
    out.extend(kind.to_be_bytes());
    out.extend(1_u16.to_be_bytes());
    out.extend(ttl.to_be_bytes());
    out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    out.extend(data);
}

fn write_name(name: &str, out: &mut Vec<u8>) {
    for label in name.split('.') {
        out.push(u8::try_from(label.len()).unwrap());
        out.extend(label.as_bytes());
    }
    out.push(0);
}
