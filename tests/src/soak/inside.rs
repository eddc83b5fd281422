//! The clients of a soak, in the sandbox. Each has a kind and does it until the time is up.
//!
//! `ringfence-soak SECONDS KIND=COUNT...` prints one line a kind on standard output: the name, operations done, operations
//! lost, and the longest one in milliseconds; behind them a few of the losses in words.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::outside::{DONE, event};
use super::{
    ECHO, FORWARD, HOST, INSPECTED, INSPECTED_TLS, Kind, TURNING, TURNING_HOST, pattern, sum,
};
use crate::authority::client_trusting_pem;
use crate::http::{End, Reader, find};
use crate::raw::PROXY;

/// An operation that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(30);
/// Losses told in words.
const TOLD_MAX: usize = 20;

/// Plays `words`: seconds, then `KIND=COUNT` each.
///
/// # Panics
/// At words it does not know.
pub fn play(words: &[String]) {
    let seconds: u64 = words[0].parse().expect("seconds");
    let end = Instant::now() + Duration::from_secs(seconds);
    let trust = trust();
    // The first connection has this program hashed, which is not what a soak is about.
    drop(connect("denied.test:443"));
    let tallies: Arc<Mutex<Vec<(Kind, Tally)>>> = Arc::default();
    let mut clients = Vec::new();
    let mut number = 0;
    for word in &words[1..] {
        let (kind, count) = word.split_once('=').expect("KIND=COUNT");
        let kind = Kind::named(kind).expect("a kind");
        for _ in 0..count.parse::<u64>().expect("a count") {
            number += 1;
            let (tallies, trust) = (Arc::clone(&tallies), Arc::clone(&trust));
            let client = thread::Builder::new()
                .stack_size(512 * 1024)
                .spawn(move || {
                    let tally = live(kind, number, end, &trust);
                    tallies
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((kind, tally));
                });
            clients.push(client.expect("a thread for a client"));
        }
    }
    for client in clients {
        client.join().expect("a client does not panic");
    }
    let tallies = tallies.lock().unwrap_or_else(PoisonError::into_inner);
    tell(&tallies);
}

#[expect(
    clippy::print_stdout,
    reason = "the summary is what this program is run for"
)]
fn tell(tallies: &[(Kind, Tally)]) {
    for kind in Kind::ALL {
        let mut all = Tally::default();
        for (_, tally) in tallies.iter().filter(|(found, _)| *found == kind) {
            all.done += tally.done;
            all.lost += tally.lost;
            all.longest = all.longest.max(tally.longest);
            all.told.extend(tally.told.iter().cloned());
        }
        println!(
            "{kind} {} {} {}",
            all.done,
            all.lost,
            all.longest.as_millis()
        );
        all.told.truncate(TOLD_MAX);
        for told in &all.told {
            println!("! {kind}: {told}");
        }
    }
}

#[derive(Default)]
struct Tally {
    done: u64,
    lost: u64,
    longest: Duration,
    told: Vec<String>,
}

fn trust() -> Arc<ClientConfig> {
    let dir = std::env::var("RINGFENCE_RUNTIME_DIR").expect("a sandbox");
    let pem = std::fs::read(format!("{dir}/ca.pem")).expect("the authority's certificate");
    client_trusting_pem(&pem)
}

/// Pseudo-random and repeatable: a client's own.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn live(kind: Kind, number: u64, end: Instant, trust: &Arc<ClientConfig>) -> Tally {
    let mut dice = Dice(number.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1);
    let mut tally = Tally::default();
    // Not all in the same instant.
    thread::sleep(Duration::from_millis(dice.roll(500)));
    while Instant::now() < end {
        let since = Instant::now();
        let turn = match kind {
            Kind::Tunnel => tunnel(&mut dice),
            Kind::Forward => forward(&mut dice),
            Kind::InspectedPlain => inspected_plain(&mut dice),
            Kind::InspectedTls => inspected_tls(&mut dice, trust),
            Kind::Inference => inference(&mut dice, trust),
            Kind::Denied => denied(&mut dice),
            Kind::Turning => turning(&mut dice),
        };
        match turn {
            Ok(done) => tally.done += done,
            Err(why) => {
                tally.lost += 1;
                if tally.told.len() < TOLD_MAX {
                    tally.told.push(why.0);
                }
            }
        }
        tally.longest = tally.longest.max(since.elapsed());
        thread::sleep(Duration::from_millis(dice.roll(20)));
    }
    tally
}

/// Why an operation is lost, in words.
struct Lost(String);

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Lost {
        Lost(error.to_string())
    }
}

impl From<String> for Lost {
    fn from(why: String) -> Lost {
        Lost(why)
    }
}

type Turn = Result<u64, Lost>;

fn proxy() -> io::Result<TcpStream> {
    let stream = TcpStream::connect(PROXY)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// CONNECT; the status and the stream behind the head.
fn connect(authority: &str) -> Result<(u16, TcpStream), Lost> {
    let mut stream = proxy()?;
    write!(
        stream,
        "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n"
    )?;
    let mut head = Vec::new();
    let mut byte = [0];
    while find(&head, b"\r\n\r\n").is_none() {
        if stream.read(&mut byte)? == 0 {
            return Err(Lost(format!(
                "CONNECT {authority}: closed without an answer"
            )));
        }
        head.push(byte[0]);
    }
    let status = String::from_utf8_lossy(&head)
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or(0);
    Ok((status, stream))
}

fn connected(authority: &str) -> Result<TcpStream, Lost> {
    match connect(authority)? {
        (200, stream) => Ok(stream),
        (status, _) => Err(Lost(format!("CONNECT {authority}: {status}"))),
    }
}

fn echo(stream: &mut TcpStream, dice: &mut Dice) -> io::Result<()> {
    let sent = pattern(dice.roll(u64::MAX), 1 + dice.roll(16_384) as usize);
    stream.write_all(&sent)?;
    let mut found = vec![0; sent.len()];
    stream.read_exact(&mut found)?;
    if found != sent {
        return Err(io::Error::other("other bytes came back"));
    }
    Ok(())
}

fn tunnel(dice: &mut Dice) -> Turn {
    let mut stream = connected(&format!("{HOST}:{ECHO}"))?;
    let rounds = 1 + dice.roll(40);
    for round in 0..rounds {
        echo(&mut stream, dice).map_err(|error| format!("echo {round}: {error}"))?;
        thread::sleep(Duration::from_millis(dice.roll(30)));
    }
    Ok(rounds)
}

/// One request with its answer, checked. `base` is empty in a tunnel.
fn exchange<S: Read + Write>(
    reader: &mut Reader<S>,
    base: &str,
    host: &str,
    dice: &mut Dice,
) -> Result<(), Lost> {
    if dice.roll(3) > 0 {
        let (len, seed) = (dice.roll(30_000) as usize, dice.roll(1_000_000));
        write!(
            reader.stream,
            "GET {base}/bytes/{len}/{seed} HTTP/1.1\r\nHost: {host}\r\n\r\n"
        )?;
        reader.stream.flush()?;
        let answer = reader
            .answer("GET")
            .ok_or_else(|| "no answer to GET".to_owned())?;
        let is_right = answer.end == End::Complete && answer.message.body == pattern(seed, len);
        return if answer.message.status() == 200 && is_right {
            Ok(())
        } else {
            Err(Lost(format!(
                "GET {len} {seed}: {} {:?}, {} bytes",
                answer.message.status(),
                answer.end,
                answer.message.body.len()
            )))
        };
    }
    let body = pattern(dice.roll(u64::MAX), dice.roll(40_000) as usize);
    write!(
        reader.stream,
        "POST {base}/sum HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    reader.stream.write_all(&body)?;
    reader.stream.flush()?;
    let answer = reader
        .answer("POST")
        .ok_or_else(|| "no answer to POST".to_owned())?;
    let wanted = format!("{} {}", body.len(), sum(&body));
    if answer.message.status() == 200 && answer.message.text() == wanted {
        Ok(())
    } else {
        Err(Lost(format!(
            "POST: {} {:?}",
            answer.message.status(),
            answer.message.text()
        )))
    }
}

fn forward(dice: &mut Dice) -> Turn {
    let host = format!("{HOST}:{FORWARD}");
    let mut reader = Reader::new(proxy()?);
    let requests = 1 + dice.roll(15);
    for _ in 0..requests {
        exchange(&mut reader, &format!("http://{host}"), &host, dice)?;
    }
    Ok(requests)
}

/// Requests in a tunnel, and sometimes one at the end that no rule allows.
fn inspected<S: Read + Write>(mut reader: Reader<S>, host: &str, dice: &mut Dice) -> Turn {
    let requests = 1 + dice.roll(15);
    for _ in 0..requests {
        exchange(&mut reader, "", host, dice)?;
    }
    if dice.roll(4) == 0 {
        write!(
            reader.stream,
            "DELETE /bytes/1/1 HTTP/1.1\r\nHost: {host}\r\n\r\n"
        )?;
        reader.stream.flush()?;
        let answer = reader
            .answer("DELETE")
            .ok_or_else(|| "no answer to DELETE".to_owned())?;
        if answer.message.status() != 403
            || answer.message.json()["reason"] != "request_not_allowed"
        {
            return Err(Lost(format!("DELETE: {}", answer.message.text())));
        }
    }
    Ok(requests)
}

fn inspected_plain(dice: &mut Dice) -> Turn {
    let host = format!("{HOST}:{INSPECTED}");
    let stream = connected(&host)?;
    inspected(Reader::new(stream), &host, dice)
}

fn tls(
    stream: TcpStream,
    trust: &Arc<ClientConfig>,
    name: &str,
) -> Result<StreamOwned<ClientConnection, TcpStream>, Lost> {
    let name = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
    let conn = ClientConnection::new(Arc::clone(trust), name).map_err(|error| error.to_string())?;
    Ok(StreamOwned::new(conn, stream))
}

fn inspected_tls(dice: &mut Dice, trust: &Arc<ClientConfig>) -> Turn {
    let host = format!("{HOST}:{INSPECTED_TLS}");
    let stream = tls(connected(&host)?, trust, HOST)?;
    inspected(Reader::new(stream), &host, dice)
}

fn inference(dice: &mut Dice, trust: &Arc<ClientConfig>) -> Turn {
    let stream = tls(connected("inference.local:443")?, trust, "inference.local")?;
    let mut reader = Reader::new(stream);
    let requests = 1 + dice.roll(4);
    for _ in 0..requests {
        let events = 1 + dice.roll(60);
        let body = format!(
            "{{\"model\":\"any\",\"stream\":true,\"max_tokens\":{events},\"messages\":[]}}"
        );
        write!(
            reader.stream,
            "POST /v1/chat/completions HTTP/1.1\r\nHost: inference.local\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        reader.stream.flush()?;
        let answer = reader
            .answer("POST")
            .ok_or_else(|| "no answer to a completion".to_owned())?;
        let wanted: String = (0..events).map(event).collect::<String>() + DONE;
        if answer.message.status() != 200
            || answer.end != End::Complete
            || answer.message.text() != wanted
        {
            let found = answer.message.text();
            return Err(Lost(format!(
                "completion: {} {:?} {} of {} bytes",
                answer.message.status(),
                answer.end,
                found.len(),
                wanted.len()
            )));
        }
    }
    Ok(requests)
}

fn denied(dice: &mut Dice) -> Turn {
    if dice.roll(2) == 0 {
        return match connect("denied.test:443")? {
            (403, _) => Ok(1),
            (status, _) => Err(Lost(format!("CONNECT denied.test: {status}"))),
        };
    }
    let mut reader = Reader::new(proxy()?);
    write!(
        reader.stream,
        "GET http://denied.test/ HTTP/1.1\r\nHost: denied.test\r\n\r\n"
    )?;
    match reader.answer("GET") {
        Some(answer) if answer.message.status() == 403 && answer.end == End::Complete => Ok(1),
        Some(answer) => Err(Lost(format!("GET denied.test: {}", answer.message.text()))),
        None => Err(Lost("GET denied.test: no answer".to_owned())),
    }
}

/// Refused or served, and a tunnel may end at any time; what comes through it is right.
fn turning(dice: &mut Dice) -> Turn {
    match connect(&format!("{TURNING_HOST}:{TURNING}"))? {
        (403, _) => Ok(1),
        (200, mut stream) => {
            for _ in 0..1 + dice.roll(80) {
                match echo(&mut stream, dice) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::Other => return Err(error.into()),
                    Err(error) if is_time_out(&error) => return Err(error.into()),
                    // Revoked.
                    Err(_) => return Ok(1),
                }
                thread::sleep(Duration::from_millis(dice.roll(30)));
            }
            Ok(1)
        }
        (status, _) => Err(Lost(format!("CONNECT {TURNING_HOST}: {status}"))),
    }
}

fn is_time_out(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}
