//! Load with TLS: chat requests, whole and streamed.

use std::fs;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};

use crate::client::{Count, Job};
use crate::tls::Wire;
use crate::{Outcome, origin, plain, stage};

/// The route's credential, which the origin insists on.
pub(crate) const KEY: &str = "sk-bench-0123456789abcdef";

/// The route's model, which the origin insists on.
pub(crate) const MODEL: &str = "bench-model-1";

/// What is asked for, and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Chat {
    pub(crate) answer: Answer,
    pub(crate) keep: Keep,
    /// Behind the gate.
    pub(crate) backend: Backend,
}

/// How the origin answers.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Answer {
    Whole,
    Events { count: u32, gap_ms: u32 },
}

/// How long a connection lasts.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) enum Keep {
    /// As long as the run.
    Open,
    /// One request, with a full handshake.
    Once,
    /// One request, with a resumed session after the first.
    OnceResumed,
}

/// How the gate reaches the origin.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) enum Backend {
    Plain,
    Tls,
}

/// The client's side of TLS.
pub(crate) struct Trust(Arc<ClientConfig>);

impl Trust {
    pub(crate) fn of(job: &Job) -> Outcome<Trust> {
        let pem = fs::read(&job.authority)?;
        let mut config = Arc::unwrap_or_clone(harness::authority::client_trusting_pem(&pem));
        let resumes = matches!(&job.kind, crate::scenario::Kind::Chat(chat) if chat.keep == Keep::OnceResumed);
        if !resumes {
            config.resumption = Resumption::disabled();
        }
        Ok(Trust(Arc::new(config)))
    }
}

/// Requests, one after the other, over connections that last as long as `chat` says.
pub(crate) async fn talk(job: &Job, chat: &Chat, trust: &Trust, count: &Count) -> Outcome<()> {
    let request = request(job, chat);
    if chat.keep == Keep::Open {
        let mut talk = Talk::open(job, trust).await?;
        loop {
            talk.ask(&request, chat.answer, Some(count)).await?;
        }
    }
    loop {
        let begun = count.now();
        let mut talk = Talk::open(job, trust).await?;
        talk.ask(&request, chat.answer, None).await?;
        count.done(begun);
        talk.wire.close().await?;
    }
}

/// About 300 bytes of body. A client behind the gate names another model and another key than the origin accepts.
fn request(job: &Job, chat: &Chat) -> Vec<u8> {
    let (model, key) = match job.through {
        Some(_) => ("gpt-4.1-mini", "unused"),
        None => (MODEL, KEY),
    };
    let how = match chat.answer {
        Answer::Whole => String::new(),
        Answer::Events { count, gap_ms } => {
            format!(r#","stream":true,"bench":{{"events":{count},"gap_ms":{gap_ms}}}"#)
        }
    };
    let body = format!(
        r#"{{"model":"{model}","messages":[{{"role":"system","content":"You answer in one sentence."}},{{"role":"user","content":"Which planet of the solar system has the most moons, and how many of them were known by the end of the last century?"}}],"temperature":0.2,"max_tokens":128{how}}}"#
    );
    let path = match chat.backend {
        Backend::Plain => "/v1/chat/completions",
        Backend::Tls => "/v1/messages",
    };
    format!(
        "POST {path} HTTP/1.1\r\nHost: inference.local\r\nContent-Type: application/json\r\nAccept: */*\r\nUser-Agent: bench/1\r\nAuthorization: Bearer {key}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

struct Talk {
    wire: Wire,
    /// Received and not used.
    input: Vec<u8>,
}

impl Talk {
    async fn open(job: &Job, trust: &Trust) -> Outcome<Talk> {
        let (target, name) = match job.through {
            Some(_) => (
                "inference.local:443".to_owned(),
                ServerName::try_from("inference.local")?,
            ),
            None => {
                let address = stage::origin(origin::CHAT_TLS);
                (address.to_string(), ServerName::from(address.ip()))
            }
        };
        let wire = plain::open(job.through, &target).await?;
        let session = rustls::ClientConnection::new(Arc::clone(&trust.0), name)?;
        Ok(Talk {
            wire: wire.into_tls(session.into()).await?,
            input: Vec::new(),
        })
    }

    async fn ask(&mut self, request: &[u8], answer: Answer, count: Option<&Count>) -> Outcome<()> {
        let begun = count.map_or(0, Count::now);
        self.wire.write(request).await?;
        let head = self.head().await?;
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(format!("{head}{}", String::from_utf8_lossy(&self.input)).into());
        }
        match answer {
            Answer::Whole => {
                self.whole(&head).await?;
                if let Some(count) = count {
                    count.done(begun);
                }
                Ok(())
            }
            Answer::Events {
                count: events,
                gap_ms,
            } => self.events(begun, events, gap_ms, count).await,
        }
    }

    async fn head(&mut self) -> Outcome<String> {
        loop {
            if let Some(at) = find(&self.input, b"\r\n\r\n") {
                let rest = self.input.split_off(at + 4);
                let head = std::mem::replace(&mut self.input, rest);
                return Ok(String::from_utf8(head)?
                    .to_ascii_lowercase()
                    .replacen("http", "HTTP", 1));
            }
            self.receive().await?;
        }
    }

    async fn whole(&mut self, head: &str) -> Outcome<()> {
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .ok_or("an answer without a length")?
            .parse()?;
        while self.input.len() < length {
            self.receive().await?;
        }
        if self.input != origin::whole_answer() {
            return Err("not the origin's answer".into());
        }
        self.input.clear();
        Ok(())
    }

    /// Every event must come, once and in order, and then the end.
    async fn events(
        &mut self,
        begun: u64,
        events: u32,
        gap_ms: u32,
        count: Option<&Count>,
    ) -> Outcome<()> {
        let mut body = Dechunk::default();
        let mut text = Vec::new();
        let mut next = 0;
        loop {
            let is_over = body.take(&mut self.input, &mut text)?;
            let mut used = 0;
            let mut fresh = 0;
            while let Some(len) = find(&text[used..], b"\n\n") {
                let event = &text[used..used + len];
                used += len + 2;
                if event == b"data: [DONE]" {
                    continue;
                }
                let (number, sent) = origin::read_event(event).ok_or("an event of another kind")?;
                if number != next {
                    return Err(format!("event {number} instead of {next}").into());
                }
                if let Some(count) = count {
                    if next == 0 {
                        count.first_byte(begun);
                    }
                    if gap_ms > 0 {
                        count.took(origin::clock_ns().saturating_sub(sent));
                    }
                }
                next += 1;
                fresh += 1;
            }
            text.drain(..used);
            if let Some(count) = count.filter(|_| gap_ms == 0) {
                count.more(fresh);
            }
            match (is_over, next == events) {
                (true, true) => return Ok(()),
                (true, false) => return Err(format!("{next} events instead of {events}").into()),
                (false, _) => self.receive().await?,
            }
        }
    }

    async fn receive(&mut self) -> Outcome<()> {
        let filled = self.input.len();
        self.input.resize(filled + 16 * 1024, 0);
        let received = self.wire.read(&mut self.input[filled..]).await;
        self.input
            .truncate(filled + *received.as_ref().unwrap_or(&0));
        match received? {
            0 => Err("the connection ended".into()),
            _ => Ok(()),
        }
    }
}

/// The body of a chunked answer without trailers; not the product's decoder, which is under test.
#[derive(Default)]
struct Dechunk {
    /// Bytes of the chunk in progress and its line end that are still to come.
    left: usize,
}

impl Dechunk {
    /// Moves what is there from `input` to `body`; true at the end.
    fn take(&mut self, input: &mut Vec<u8>, body: &mut Vec<u8>) -> Outcome<bool> {
        let mut used = 0;
        let is_over = loop {
            let rest = &input[used..];
            if self.left > 2 {
                let here = rest.len().min(self.left - 2);
                body.extend_from_slice(&rest[..here]);
                used += here;
                self.left -= here;
                if here == 0 {
                    break false;
                }
            } else if self.left > 0 {
                let here = rest.len().min(self.left);
                used += here;
                self.left -= here;
                if here == 0 {
                    break false;
                }
            } else {
                let Some(at) = find(rest, b"\r\n") else {
                    break false;
                };
                let size = usize::from_str_radix(std::str::from_utf8(&rest[..at])?, 16)?;
                if size == 0 {
                    if rest.len() < at + 4 {
                        break false;
                    }
                    used += at + 4;
                    break true;
                }
                used += at + 2;
                self.left = size + 2;
            }
        };
        input.drain(..used);
        Ok(is_over)
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
