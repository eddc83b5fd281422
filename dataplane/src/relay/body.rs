//! One framed message body, decoded as it arrives.

use wire::chunked::{self, ChunkDecoder, ChunkStep};
use wire::{HeadWriter, RequestFraming, ResponseFraming, Version};

/// Where a body ends, and how far it is.
pub(crate) enum Body {
    /// This many bytes are still to come.
    Length(u64),
    /// Chunks until the last one.
    Chunked(ChunkDecoder),
    /// Until the sender closes.
    UntilClose,
    /// It is complete; the trailer fields that may be passed on, as they go on the wire.
    Done(Vec<u8>),
}

/// The sender broke the framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Body {
    pub(crate) fn of_request(framing: RequestFraming) -> Body {
        match framing {
            RequestFraming::None | RequestFraming::Length(0) => Body::Done(Vec::new()),
            RequestFraming::Length(length) => Body::Length(length),
            RequestFraming::Chunked => Body::Chunked(ChunkDecoder::request()),
        }
    }

    pub(crate) fn of_response(framing: ResponseFraming) -> Body {
        match framing {
            ResponseFraming::None | ResponseFraming::Length(0) => Body::Done(Vec::new()),
            ResponseFraming::Length(length) => Body::Length(length),
            ResponseFraming::Chunked => Body::Chunked(ChunkDecoder::response()),
            ResponseFraming::UntilClose => Body::UntilClose,
        }
    }

    /// Whether the last byte was taken.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Body::Done(_))
    }

    /// Bytes of the chunk in progress that were announced and are still to come.
    pub(crate) fn announced(&self) -> Option<u64> {
        match self {
            Body::Chunked(decoder) => decoder.announced(),
            Body::Length(_) | Body::UntilClose | Body::Done(_) => None,
        }
    }

    /// Decodes what is there: `sink` gets the body's bytes in order. Returns how much of `input` is
    /// consumed; bytes behind the end of the body are not.
    ///
    /// # Errors
    /// A chunk that breaks the framing.
    pub(crate) fn take(
        &mut self,
        input: &[u8],
        mut sink: impl FnMut(&[u8]),
    ) -> Result<usize, Malformed> {
        let mut used = 0;
        while !self.is_done() && used < input.len() {
            let rest = &input[used..];
            match self {
                Body::Length(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    sink(&rest[..here]);
                    used += here;
                    *left -= here as u64;
                    if *left == 0 {
                        *self = Body::Done(Vec::new());
                    }
                }
                Body::Chunked(decoder) => match decoder.step(rest).map_err(|_| Malformed)? {
                    ChunkStep::Data { skip, len } => {
                        sink(&rest[skip..skip + len]);
                        used += skip + len;
                    }
                    ChunkStep::More { used: taken } => {
                        used += taken;
                        return Ok(used);
                    }
                    ChunkStep::End { used: taken } => {
                        used += taken;
                        *self = Body::Done(decoder.trailers().to_vec());
                    }
                },
                Body::UntilClose => {
                    sink(rest);
                    used = input.len();
                }
                Body::Done(_) => {}
            }
        }
        Ok(used)
    }
}

/// How a message body is framed toward its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body: an answer to HEAD, 204, 304.
    Bodiless,
    /// Announced.
    Length(u64),
    /// In chunks.
    Chunked,
    /// Until the connection closes, for receivers that know no chunks.
    UntilClose,
}

impl Framing {
    /// For a body of unknown length.
    pub(crate) fn unknown(version: Version) -> Framing {
        match version {
            Version::Http10 => Framing::UntilClose,
            Version::Http11 => Framing::Chunked,
        }
    }

    /// Passes an upstream's framing on as far as this client knows it.
    pub(crate) fn like(upstream: ResponseFraming, version: Version) -> Framing {
        match upstream {
            ResponseFraming::None => Framing::Bodiless,
            ResponseFraming::Length(length) => Framing::Length(length),
            ResponseFraming::Chunked | ResponseFraming::UntilClose => Framing::unknown(version),
        }
    }

    /// Adds the framing field to a head.
    pub(crate) fn announce(self, head: &mut HeadWriter) {
        match self {
            Framing::Bodiless | Framing::UntilClose => {}
            Framing::Length(length) => head.number_field("Content-Length", length),
            Framing::Chunked => head.own_field("Transfer-Encoding", "chunked"),
        }
    }

    /// Decodes what is there of `body` and frames it behind `out`: how much of `input` is consumed, and the
    /// size of what was passed. `piece` is room to work in; chunks that came together leave as one.
    ///
    /// # Errors
    /// A chunk that breaks the framing.
    pub(crate) fn pass(
        self,
        body: &mut Body,
        input: &[u8],
        piece: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(usize, u64), Malformed> {
        if self != Framing::Chunked {
            let before = out.len();
            let used = body.take(input, |bytes| out.extend_from_slice(bytes))?;
            return Ok((used, (out.len() - before) as u64));
        }
        piece.clear();
        let used = body.take(input, |bytes| piece.extend_from_slice(bytes))?;
        self.frame(piece, out);
        Ok((used, piece.len() as u64))
    }

    /// Frames bytes of the body behind `out`.
    pub(crate) fn frame(self, bytes: &[u8], out: &mut Vec<u8>) {
        if self == Framing::Chunked && !bytes.is_empty() {
            chunked::chunk_head(bytes.len(), out);
            out.extend_from_slice(bytes);
            out.extend_from_slice(chunked::CHUNK_END);
        } else {
            out.extend_from_slice(bytes);
        }
    }

    /// Ends the body; `trailers` are field lines that may be passed on.
    pub(crate) fn end(self, trailers: &[u8], out: &mut Vec<u8>) {
        if self == Framing::Chunked {
            out.extend_from_slice(b"0\r\n");
            out.extend_from_slice(trailers);
            out.extend_from_slice(b"\r\n");
        }
    }
}
