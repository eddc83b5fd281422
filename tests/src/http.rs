//! HTTP/1 as the harness reads it: byte-exact, lenient, and on purpose not the product's parser.
//!
//! Servers use [`read_request`] and keep what came, raw and decoded; clients use [`Reader`] and learn how an
//! answer ended, which is what most tests are about.

use std::io::{self, Read};

/// One message as it was on the wire.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// Number of the connection it came on, counted by its server from 0.
    pub connection: u64,
    /// First line and fields, with the empty line that ends them.
    pub head: Vec<u8>,
    /// The body without framing.
    pub body: Vec<u8>,
    /// The body as framed on the wire.
    pub body_wire: Vec<u8>,
}

impl Message {
    /// The words of the first line.
    pub fn first_line(&self) -> Vec<String> {
        let line = self
            .head
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        String::from_utf8_lossy(line)
            .trim_end()
            .split(' ')
            .map(str::to_owned)
            .collect()
    }

    /// A request's method.
    pub fn method(&self) -> String {
        self.first_line().first().cloned().unwrap_or_default()
    }

    /// A request's target.
    pub fn target(&self) -> String {
        self.first_line().get(1).cloned().unwrap_or_default()
    }

    /// An answer's status.
    pub fn status(&self) -> u16 {
        self.first_line()
            .get(1)
            .and_then(|word| word.parse().ok())
            .unwrap_or(0)
    }

    /// Every field in order, the name in lower case.
    pub fn fields(&self) -> Vec<(String, String)> {
        let text = String::from_utf8_lossy(&self.head);
        let pairs = text
            .split("\r\n")
            .skip(1)
            .filter_map(|line| line.split_once(':'));
        pairs
            .map(|(name, value)| {
                (
                    name.to_ascii_lowercase(),
                    value.trim_matches([' ', '\t']).to_owned(),
                )
            })
            .collect()
    }

    /// The first field of this name.
    pub fn field(&self, name: &str) -> Option<String> {
        self.fields()
            .into_iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value)
    }

    /// How many fields have this name.
    pub fn count(&self, name: &str) -> usize {
        self.fields()
            .iter()
            .filter(|(found, _)| found == name)
            .count()
    }

    /// The body as JSON, or null.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As its framing promises: all bytes, the last chunk, or a close where the close is the end.
    Complete,
    /// The connection ended before that.
    Truncated,
    /// Neither an end nor a close within the deadline.
    Silent,
}

/// An answer with its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Head and body.
    pub message: Message,
    /// How the body ended.
    pub end: End,
}

/// Reads messages from a byte stream, keeping what comes after one for the next.
#[derive(Debug)]
pub struct Reader<S> {
    /// The stream; requests are written to it directly.
    pub stream: S,
    buf: Vec<u8>,
    closed: bool,
}

enum More {
    Bytes,
    Closed,
    Silent,
}

impl<S: Read> Reader<S> {
    /// A reader at the beginning of a stream.
    pub fn new(stream: S) -> Self {
        Reader {
            stream,
            buf: Vec::new(),
            closed: false,
        }
    }

    /// Bytes that were read and belong to no message yet.
    pub fn rest(&self) -> &[u8] {
        &self.buf
    }

    /// The next final or interim answer to a request with this method; `None` when the stream ends or stays
    /// silent before a whole head.
    pub fn answer(&mut self, method: &str) -> Option<Answer> {
        let head = self.head()?;
        let mut message = Message {
            head,
            ..Message::default()
        };
        let end = self.answer_body(method, &mut message);
        Some(Answer { message, end })
    }

    /// The body of an answer whose head was read with [`Reader::head`].
    pub fn rest_of(&mut self, method: &str, mut message: Message) -> Answer {
        let end = self.answer_body(method, &mut message);
        Answer { message, end }
    }

    /// As [`Reader::answer`], past interim answers.
    pub fn final_answer(&mut self, method: &str) -> Option<Answer> {
        loop {
            let answer = self.answer(method)?;
            if answer.message.status() >= 200 || answer.message.status() == 101 {
                return Some(answer);
            }
        }
    }

    /// A head with its empty line.
    pub fn head(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = find(&self.buf, b"\r\n\r\n") {
                return Some(self.buf.drain(..at + 4).collect());
            }
            match self.more() {
                More::Bytes => {}
                More::Closed | More::Silent => return None,
            }
        }
    }

    /// The next piece of a chunked body, as far as it is here; empty at the last chunk. For tests that look at
    /// a stream while it runs.
    ///
    /// # Errors
    /// How the stream ended before that.
    pub fn chunk(&mut self) -> Result<Vec<u8>, End> {
        let size = self.line()?;
        let size = chunk_size(&size).ok_or(End::Truncated)?;
        let mut data = self.exactly(size + 2)?;
        data.truncate(size);
        Ok(data)
    }

    /// Reads to the end of the stream: everything left, and whether the end came.
    pub fn drain(&mut self) -> (Vec<u8>, End) {
        loop {
            match self.more() {
                More::Bytes => {}
                More::Closed => return (std::mem::take(&mut self.buf), End::Complete),
                More::Silent => return (std::mem::take(&mut self.buf), End::Silent),
            }
        }
    }

    fn answer_body(&mut self, method: &str, message: &mut Message) -> End {
        let status = message.status();
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return End::Complete;
        }
        let taken = if message.field("transfer-encoding").is_some() {
            self.chunked(message)
        } else if let Some(length) = message.field("content-length") {
            let length = length.parse().unwrap_or(0);
            self.counted(length, message)
        } else {
            let (bytes, end) = self.drain();
            message.body = bytes;
            return end;
        };
        taken.err().unwrap_or(End::Complete)
    }

    fn counted(&mut self, length: usize, message: &mut Message) -> Result<(), End> {
        while self.buf.len() < length {
            match self.more() {
                More::Bytes => {}
                More::Closed => {
                    message.body = std::mem::take(&mut self.buf);
                    return Err(End::Truncated);
                }
                More::Silent => {
                    message.body = std::mem::take(&mut self.buf);
                    return Err(End::Silent);
                }
            }
        }
        message.body = self.buf.drain(..length).collect();
        message.body_wire = message.body.clone();
        Ok(())
    }

    fn chunked(&mut self, message: &mut Message) -> Result<(), End> {
        loop {
            let line = self.line()?;
            let size = chunk_size(&line).ok_or(End::Truncated)?;
            message.body_wire.extend_from_slice(&line);
            if size == 0 {
                break;
            }
            // Why by pieces: a cut inside a chunk still leaves the bytes that came.
            let mut left = size;
            while left > 0 {
                if self.buf.is_empty() {
                    self.must_read()?;
                }
                let take = left.min(self.buf.len());
                message.body.extend(self.buf.drain(..take));
                left -= take;
            }
            message
                .body_wire
                .extend_from_slice(&message.body[message.body.len() - size..]);
            let end = self.exactly(2)?;
            message.body_wire.extend_from_slice(&end);
        }
        loop {
            let line = self.line()?;
            message.body_wire.extend_from_slice(&line);
            if line == b"\r\n" {
                return Ok(());
            }
        }
    }

    fn line(&mut self) -> Result<Vec<u8>, End> {
        loop {
            if let Some(at) = find(&self.buf, b"\r\n") {
                return Ok(self.buf.drain(..at + 2).collect());
            }
            self.must_read()?;
        }
    }

    /// Exactly this many bytes.
    ///
    /// # Errors
    /// How the stream ended before that.
    pub fn exactly(&mut self, count: usize) -> Result<Vec<u8>, End> {
        while self.buf.len() < count {
            self.must_read()?;
        }
        Ok(self.buf.drain(..count).collect())
    }

    fn must_read(&mut self) -> Result<(), End> {
        match self.more() {
            More::Bytes => Ok(()),
            More::Closed => Err(End::Truncated),
            More::Silent => Err(End::Silent),
        }
    }

    fn more(&mut self) -> More {
        if self.closed {
            return More::Closed;
        }
        let mut buf = [0; 65_536];
        match self.stream.read(&mut buf) {
            Ok(0) => {
                self.closed = true;
                More::Closed
            }
            Ok(read) => {
                self.buf.extend_from_slice(&buf[..read]);
                More::Bytes
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                More::Silent
            }
            Err(_) => {
                self.closed = true;
                More::Closed
            }
        }
    }
}

/// Reads one whole request; `None` when the stream ends or fails before its end. `interim` is called when the
/// request expects a 100.
pub fn read_request<S: Read>(
    reader: &mut Reader<S>,
    interim: impl FnOnce(&mut S),
) -> Option<Message> {
    let head = reader.head()?;
    let mut message = Message {
        head,
        ..Message::default()
    };
    if message.field("expect").is_some() {
        interim(&mut reader.stream);
    }
    let taken = if message.field("transfer-encoding").is_some() {
        reader.chunked(&mut message)
    } else {
        let length = message
            .field("content-length")
            .and_then(|value| value.parse().ok())
            .unwrap_or(0);
        reader.counted(length, &mut message)
    };
    taken.is_ok().then_some(message)
}

/// One chunk with its framing.
pub fn chunk(data: &[u8]) -> Vec<u8> {
    let mut out = format!("{:x}\r\n", data.len()).into_bytes();
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
    out
}

/// The position of the first occurrence of `needle`.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

fn chunk_size(line: &[u8]) -> Option<usize> {
    let digits = line.split(|byte| *byte == b';' || *byte == b'\r').next()?;
    usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
