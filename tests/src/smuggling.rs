//! The smuggling corpus, played over any connection that leads into the data plane, and scored.
//!
//! Apart from its tests because the corpus is one and the surfaces are many (TR-007): whoever has a connection that
//! reads requests hands it in, and the same rows are judged by the same rules. Scores are those of the corpora's README.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;

use crate::corpus::{bytes, rows};
use crate::http::{End, Message, Reader, find};
use crate::origin::Origin;
use crate::raw::Raw;

/// No case may take longer to be answered or closed (SECURITY.md 14 says two seconds, and the rest is for a busy machine);
/// a head that does not end is answered after ten.
const PATIENCE: Duration = Duration::from_secs(7);
/// What follows the answers would be a second verdict on the same bytes; it must show before the next case.
const AFTERWARDS: Duration = Duration::from_millis(150);

/// A connection that reads requests.
pub trait Line: Read + Write {
    /// How long a read waits.
    fn wait(&mut self, time: Duration);
    /// Sends the end of what the client has to say, and goes on reading.
    fn end_sending(&mut self);
}

impl Line for TcpStream {
    fn wait(&mut self, time: Duration) {
        self.set_read_timeout(Some(time)).expect("a read timeout");
    }

    fn end_sending(&mut self) {
        // Why dropped: the other side may have gone first, here and below.
        drop(self.shutdown(Shutdown::Write));
    }
}

impl Line for Raw {
    fn wait(&mut self, time: Duration) {
        self.set_timeout(time);
    }

    fn end_sending(&mut self) {
        drop(self.half_close());
    }
}

/// TLS over a line. Reading never writes: an answer that came before the other side stopped listening is read, although
/// what was still to be sent cannot be.
#[derive(Debug)]
pub struct TlsLine<L: Line>(pub StreamOwned<ClientConnection, L>);

impl<L: Line> Read for TlsLine<L> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let StreamOwned { conn, sock } = &mut self.0;
        loop {
            match conn.reader().read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            // At the end of the bytes the reader tells a close-notify from a cut.
            conn.read_tls(sock)?;
            conn.process_new_packets().map_err(io::Error::other)?;
        }
    }
}

impl<L: Line> Write for TlsLine<L> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<L: Line> Line for TlsLine<L> {
    fn wait(&mut self, time: Duration) {
        self.0.sock.wait(time);
    }

    fn end_sending(&mut self) {
        self.0.conn.send_close_notify();
        drop(self.flush());
        self.0.sock.end_sending();
    }
}

/// One row with the bytes to send.
#[derive(Clone, Debug)]
pub struct Case {
    /// What the corpus expects.
    pub row: Value,
    /// What is sent.
    pub data: Vec<u8>,
}

impl Case {
    /// The row's name without its surface.
    pub fn name(&self) -> &str {
        let name = self.row["name"].as_str().unwrap_or("?");
        name.split_once('/').map_or(name, |(_, name)| name)
    }

    /// The same case where a refusal with one of `statuses` is the one right answer.
    #[must_use]
    pub fn refused_with(mut self, statuses: &[u16]) -> Case {
        self.row["expect"] = "reject_400".into();
        self.row["also_ok"] = Value::Array(Vec::new());
        self.row["responses"] = serde_json::json!([statuses]);
        self.row["upstream_requests"] = 0.into();
        self
    }
}

/// The cases of `smuggling.dev.jsonl` for `surface`.
pub fn cases(surface: &str) -> Vec<Case> {
    rows("smuggling.dev.jsonl")
        .into_iter()
        .filter(|row| row["surface"] == surface)
        .map(|row| {
            let data = bytes(&row, "bytes_b64", "parts").expect("bytes in the row");
            Case { row, data }
        })
        .collect()
}

/// What one case led to.
#[derive(Debug)]
pub struct Seen {
    /// Every status in order, 100 included.
    pub statuses: Vec<u16>,
    /// The connection ended.
    pub closed: bool,
    /// Neither all answers nor a close came in time.
    pub hang: bool,
    /// Complete requests at the origin.
    pub upstream: Vec<Message>,
}

/// Plays one case. The origin is whom the surface leads to.
pub fn play<L: Line>(line: L, origin: &Origin, case: &Case) -> Seen {
    origin.take();
    let mut reader = Reader::new(line);
    let mut statuses = send(&mut reader, &case.row, &case.data);
    reader.stream.wait(PATIENCE);
    let expected = case.row["responses"].as_array().map_or(1, |answers| {
        let finals = answers.iter().filter(|codes| {
            !codes
                .as_array()
                .is_some_and(|codes| codes.contains(&100.into()))
        });
        finals.count()
    });
    let answered = |statuses: &[u16]| statuses.iter().filter(|status| **status != 100).count();
    let mut closed = false;
    while answered(&statuses) < expected {
        let Some(answer) = reader.answer("POST") else {
            closed = !matches!(reader.drain().1, End::Silent);
            break;
        };
        statuses.push(answer.message.status());
    }
    let hang = !closed && answered(&statuses) < expected;
    reader.stream.wait(AFTERWARDS);
    while let Some(answer) = reader.answer("POST") {
        statuses.push(answer.message.status());
    }
    closed |= matches!(reader.drain().1, End::Complete);
    drop(reader);
    Seen {
        statuses,
        closed,
        hang,
        upstream: origin.requests(),
    }
}

fn send<L: Line>(reader: &mut Reader<L>, row: &Value, data: &[u8]) -> Vec<u16> {
    let mut statuses = Vec::new();
    // Why errors are dropped: a refusal may come, and the connection go, before all is sent.
    match row["split"].as_str() {
        Some("bytewise") => data
            .iter()
            .for_each(|byte| drop(reader.stream.write_all(&[*byte]))),
        Some("after_cr") => data
            .split_inclusive(|byte| *byte == b'\r')
            .for_each(|piece| drop(reader.stream.write_all(piece))),
        Some("wait100") => {
            let split = find(data, b"\r\n\r\n").expect("a head") + 4;
            drop(reader.stream.write_all(&data[..split]));
            reader.stream.wait(Duration::from_secs(1));
            statuses.extend(reader.answer("POST").map(|answer| answer.message.status()));
            drop(reader.stream.write_all(&data[split..]));
        }
        Some(other) => unreachable!("split {other}"),
        None => data
            .chunks(65_536)
            .for_each(|piece| drop(reader.stream.write_all(piece))),
    }
    if row["eof"] == true {
        reader.stream.end_sending();
    }
    statuses
}

/// How a case went.
#[derive(Debug, PartialEq, Eq)]
pub enum Score {
    /// As the row says.
    Strict,
    /// Another safe way.
    SafeOnly(String),
    /// Not safe.
    Unsafe(String),
}

/// Judges by the row alone; what a surface demands beyond it is `also`, asked of every request at the origin.
pub fn judge(case: &Case, seen: &Seen, also: impl Fn(&Message) -> Option<String>) -> Score {
    let row = &case.row;
    let may_be = |class: &str| {
        row["also_ok"]
            .as_array()
            .is_some_and(|classes| classes.iter().any(|known| known == class))
    };
    let wanted = row["upstream_requests"].as_u64().unwrap_or(0) as usize;
    let finals: Vec<u16> = seen
        .statuses
        .iter()
        .copied()
        .filter(|status| *status != 100)
        .collect();
    let is_good = |status: &u16| matches!(status, 101 | 200);
    let good = finals.iter().filter(|status| is_good(status)).count();
    let complete = seen.upstream.len();
    if seen.hang {
        return Score::Unsafe("hang".into());
    }
    if complete > good {
        return Score::Unsafe(format!("desync: {complete} upstream, {good} answered"));
    }
    let wrong = seen
        .upstream
        .iter()
        .find_map(|request| misformed(row, request).or_else(|| also(request)));
    if let Some(wrong) = wrong {
        return Score::Unsafe(wrong);
    }
    let fits = statuses_fit(row, seen);
    let rejected_as_wanted = row["expect"] == "reject_400";
    let accepted = complete == wanted && wanted > 0 && finals.iter().all(is_good);
    if complete > wanted && !(rejected_as_wanted && (may_be("accept") || may_be("normalise"))) {
        return Score::Unsafe(format!("{complete} complete requests upstream"));
    }
    if !rejected_as_wanted && !accepted && !fits && !may_be("reject_400") {
        return Score::Unsafe("valid message refused".into());
    }
    let ends = row["after"] != "close" || seen.closed;
    if fits && ends && complete == wanted.min(good) {
        Score::Strict
    } else {
        Score::SafeOnly("another safe class or status".into())
    }
}

/// What no request that leaves may be, whatever came in.
fn misformed(row: &Value, request: &Message) -> Option<String> {
    let texts = |key: &str| {
        let list = row[key].as_array().cloned().unwrap_or_default();
        list.into_iter()
            .filter_map(|text| text.as_str().map(str::to_owned))
    };
    if let Some(field) = texts("strip").find(|field| request.count(field) > 0) {
        return Some(format!("{field} not stripped"));
    }
    let framing = request.count("content-length") + request.count("transfer-encoding");
    let coding = request.field("transfer-encoding");
    if framing > 1 || coding.is_some_and(|coding| coding != "chunked") {
        return Some("ambiguous framing upstream".to_owned());
    }
    let host = row["upstream_host"].as_str();
    if request.count("host") != 1
        || host.is_some_and(|host| request.field("host").as_deref() != Some(host))
    {
        return Some(format!("Host upstream: {:?}", request.field("host")));
    }
    None
}

/// `responses`: the permitted statuses of each answer in order; 0 is a close without one. A list with 100 in
/// it is that of an interim answer that may be left out.
fn statuses_fit(row: &Value, seen: &Seen) -> bool {
    let mut statuses = seen.statuses.iter().copied().peekable();
    for permitted in row["responses"].as_array().into_iter().flatten() {
        let permitted: Vec<u64> = permitted
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_u64)
            .collect();
        match statuses.peek() {
            Some(status) if permitted.contains(&u64::from(*status)) => {
                let interim = permitted.contains(&100) && *status != 100;
                if !interim {
                    statuses.next();
                }
            }
            Some(_) if permitted.contains(&100) && permitted.len() > 1 => {}
            Some(_) => return false,
            None if permitted.contains(&0) && seen.closed => {}
            None => return false,
        }
    }
    statuses.next().is_none()
}

/// Plays every case, each on a connection of its own, and scores it.
pub fn run<L: Line>(
    cases: &[Case],
    origin: &Origin,
    open: impl Fn() -> L,
    also: impl Fn(&Message) -> Option<String>,
) -> Vec<(String, Score, String)> {
    let mut scores = Vec::new();
    for case in cases {
        let seen = play(open(), origin, case);
        let told = format!(
            "{:?} closed {} upstream {}",
            seen.statuses,
            seen.closed,
            seen.upstream.len()
        );
        scores.push((case.name().to_owned(), judge(case, &seen, &also), told));
    }
    scores
}

/// Prints what missed, and fails when a case was not safe or fewer than `strict_percent` were strict.
///
/// # Panics
/// Then.
pub fn report(corpus: &str, scores: &[(String, Score, String)], strict_percent: usize) {
    let count =
        |wanted: fn(&Score) -> bool| scores.iter().filter(|(_, score, _)| wanted(score)).count();
    let strict = count(|score| matches!(score, Score::Strict));
    let hazards = count(|score| matches!(score, Score::Unsafe(_)));
    for (name, score, seen) in scores {
        match score {
            Score::Strict => {}
            Score::SafeOnly(why) => eprintln!("{corpus}: {name}: safe, not strict ({why}): {seen}"),
            Score::Unsafe(why) => eprintln!("{corpus}: {name}: NOT SAFE ({why}): {seen}"),
        }
    }
    eprintln!(
        "{corpus}: {} cases, {hazards} not safe, {strict} strict",
        scores.len()
    );
    assert_eq!(hazards, 0, "{corpus}: safe must be 100 %");
    assert!(
        strict * 100 >= scores.len() * strict_percent,
        "{corpus}: strict {strict} of {}",
        scores.len()
    );
}
