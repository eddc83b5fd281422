//! A connection as its parsers see it: pieces in, one verdict a request out.
//!
//! It stands in for the walk where the corpus needs a verdict that is not the parser's: which authorities are allowed
//! and what inference.local serves, in a few fixed lines.

use ringfence_wire::{
    ChunkDecoder, ChunkStep, Expectation, HeadLimits, ModelScanner, Parse, Persistence,
    RequestFraming, RequestHead, RequestParser, Scheme, Upgrade, target,
};

/// Where the bytes arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
    Forward,
    Inference,
}

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Read to its end: the status a willing upstream gives, method, target and body.
    Accepted {
        status: u16,
        method: Vec<u8>,
        target: Vec<u8>,
        body: Vec<u8>,
    },
    /// Answered with this status; the connection ends.
    Refused(u16),
    /// The bytes end inside it.
    Unfinished,
}

/// All requests of these pieces, in order. Nothing after a refusal, a close or a tunnel is read.
pub(crate) fn read(surface: Surface, pieces: &[&[u8]]) -> Vec<Verdict> {
    let mut conversation = Conversation {
        surface,
        unread: Vec::new(),
        state: State::Head(new_parser()),
        verdicts: Vec::new(),
    };
    for piece in pieces {
        conversation.unread.extend_from_slice(piece);
        while conversation.advance() {}
    }
    if !matches!(conversation.state, State::Over)
        && (!conversation.unread.is_empty() || !conversation.is_between())
    {
        conversation.verdicts.push(Verdict::Unfinished);
    }
    conversation.verdicts
}

struct Conversation {
    surface: Surface,
    unread: Vec<u8>,
    state: State,
    verdicts: Vec<Verdict>,
}

enum State {
    Head(RequestParser),
    Body {
        head: RequestHead,
        framing: BodyFraming,
        body: Vec<u8>,
    },
    Over,
}

enum BodyFraming {
    Length(u64),
    Chunked(ChunkDecoder),
}

fn new_parser() -> RequestParser {
    RequestParser::new(HeadLimits::default())
}

impl Conversation {
    fn is_between(&self) -> bool {
        matches!(self.state, State::Head(_))
    }

    /// Whether it got anywhere.
    fn advance(&mut self) -> bool {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Head(mut parser) => match parser.advance(&self.unread) {
                Parse::More => {
                    self.state = State::Head(parser);
                    false
                }
                Parse::Bad(error) => self.refuse(error.code().status()),
                Parse::Done(head, used) => {
                    self.unread.drain(..used);
                    self.begin(head)
                }
            },
            State::Body {
                head,
                framing,
                body,
            } => self.body(head, framing, body),
            State::Over => false,
        }
    }

    fn begin(&mut self, head: RequestHead) -> bool {
        if let Err(status) = judge(self.surface, &head) {
            return self.refuse(status);
        }
        let framing = match head.framing() {
            RequestFraming::None => BodyFraming::Length(0),
            RequestFraming::Length(length) => BodyFraming::Length(length),
            RequestFraming::Chunked => BodyFraming::Chunked(ChunkDecoder::request()),
        };
        if let BodyFraming::Length(length) = framing
            && self.is_too_large(length)
        {
            return self.refuse(413);
        }
        self.state = State::Body {
            head,
            framing,
            body: Vec::new(),
        };
        true
    }

    fn is_too_large(&self, length: u64) -> bool {
        self.surface == Surface::Inference && length > 32 << 20
    }

    fn body(&mut self, head: RequestHead, mut framing: BodyFraming, mut body: Vec<u8>) -> bool {
        match &mut framing {
            BodyFraming::Length(missing) => {
                let len = usize::try_from(*missing).unwrap().min(self.unread.len());
                body.extend(self.unread.drain(..len));
                *missing -= len as u64;
                if *missing == 0 {
                    return self.end(&head, body);
                }
                self.state = State::Body {
                    head,
                    framing,
                    body,
                };
                len > 0
            }
            BodyFraming::Chunked(decoder) => {
                let step = match decoder.step(&self.unread) {
                    Ok(step) => step,
                    Err(_) => return self.refuse(400),
                };
                let promised = decoder.announced().unwrap_or(0);
                let moved = match step {
                    ChunkStep::Data { skip, len } => {
                        body.extend_from_slice(&self.unread[skip..skip + len]);
                        self.unread.drain(..skip + len);
                        true
                    }
                    ChunkStep::More { used } => {
                        self.unread.drain(..used);
                        false
                    }
                    ChunkStep::End { used } => {
                        self.unread.drain(..used);
                        return self.end(&head, body);
                    }
                };
                if self.is_too_large(promised.saturating_add(body.len() as u64)) {
                    return self.refuse(413);
                }
                self.state = State::Body {
                    head,
                    framing,
                    body,
                };
                moved
            }
        }
    }

    fn end(&mut self, head: &RequestHead, body: Vec<u8>) -> bool {
        if self.surface == Surface::Inference && head.method() == b"POST" {
            let mut scanner = ModelScanner::new();
            if scanner.push(&body).and_then(|()| scanner.finish()).is_err() {
                return self.refuse(400);
            }
        }
        let status = if head.upgrade() == Some(Upgrade::WebSocket) {
            101
        } else {
            200
        };
        let (method, target) = (head.method().to_vec(), head.target().to_vec());
        let tunnel = status == 101 || method == b"CONNECT";
        self.verdicts.push(Verdict::Accepted {
            status,
            method,
            target,
            body,
        });
        if !tunnel && head.persistence() == Persistence::KeepAlive {
            self.state = State::Head(new_parser());
        }
        true
    }

    fn refuse(&mut self, status: u16) -> bool {
        self.verdicts.push(Verdict::Refused(status));
        false
    }
}

/// What the corpus takes for granted: denied.test is denied, every other `.test` name is allowed.
fn judge(surface: Surface, head: &RequestHead) -> Result<(), u16> {
    if head.expectation() == Expectation::Other {
        return Err(417);
    }
    match surface {
        Surface::Forward if head.method() == b"CONNECT" => {
            let authority =
                target::connect(head.target()).map_err(|error| error.code().status())?;
            if authority.host.as_str() == "denied.test" {
                Err(403)
            } else {
                Ok(())
            }
        }
        Surface::Forward => {
            let absolute =
                target::absolute(head.target()).map_err(|error| error.code().status())?;
            match absolute.scheme {
                Scheme::Https => Err(400),
                Scheme::Http if absolute.authority.host.as_str() == "denied.test" => Err(403),
                Scheme::Http => Ok(()),
            }
        }
        Surface::Inference => judge_inference(head),
    }
}

fn judge_inference(head: &RequestHead) -> Result<(), u16> {
    if head.host().is_some_and(|field| !field.host.is_inference()) {
        return Err(403);
    }
    let path_and_query = if head.target().starts_with(b"/") {
        head.target()
    } else {
        let absolute = target::absolute(head.target()).map_err(|_| 403_u16)?;
        if absolute.scheme != Scheme::Https || !absolute.authority.host.is_inference() {
            return Err(403);
        }
        absolute.path_and_query
    };
    let (path, _) = target::split_query(path_and_query);
    if head.upgrade().is_some() {
        return Err(403);
    }
    match (head.method(), path) {
        (b"POST", b"/v1/chat/completions" | b"/v1/messages") => Ok(()),
        (b"GET", b"/v1/models") if head.framing() == RequestFraming::None => Ok(()),
        (b"GET", b"/v1/models") => Err(400),
        _ => Err(403),
    }
}
