//! What the lines of a request head say of how it is read (H1-4, H1-6, H1-10).
//!
//! Apart from the parser because that knows bytes and lines, and this knows names. Each line is judged when it is
//! complete, so a bad one is answered at once.
//! Invariant: a head that is finished has one framing and, in HTTP/1.1, one valid Host.

use crate::{
    fields::{Field, HeadError, HeadErrorKind, Line, Options, Span, Version},
    framing::{FramingFields, RequestFraming},
    host::HostField,
};

/// What is known of the head so far.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) start: usize,
    pub(super) method: Span,
    pub(super) target: Span,
    pub(super) version: Version,
    pub(super) lines: Vec<Line>,
    pub(super) framing: FramingFields,
    pub(super) host: Option<HostField>,
    /// Elements of every Connection field, sorted when the head is complete.
    pub(super) options: Options,
    pub(super) expectation: Expectation,
    pub(super) upgrade: Option<Upgrade>,
}

impl Draft {
    pub(super) fn new() -> Self {
        Self {
            start: 0,
            method: Span::default(),
            target: Span::default(),
            version: Version::Http11,
            lines: Vec::new(),
            framing: FramingFields::default(),
            host: None,
            options: Options::default(),
            expectation: Expectation::None,
            upgrade: None,
        }
    }

    pub(super) fn take_line(&mut self, line: Line, buf: &[u8]) -> Result<(), HeadError> {
        let field = line.of(buf);
        self.observe(field, line.value, buf)
            .map_err(|kind| HeadError::new(line.name.start(), kind))?;
        self.lines.push(line);
        Ok(())
    }

    /// The fields that decide how the message is read. Judged line by line, so that a bad one is answered at once.
    fn observe(&mut self, field: Field<'_>, value: Span, buf: &[u8]) -> Result<(), HeadErrorKind> {
        if field.is("content-length") {
            self.framing.request_length(field.value)?;
            self.check_content(buf)
        } else if field.is("transfer-encoding") {
            self.framing.transfer_encoding(field.value, self.version)?;
            self.check_content(buf)
        } else if field.is("host") {
            if self.host.is_some() {
                return Err(HeadErrorKind::HostRepeated);
            }
            self.host =
                Some(HostField::parse(field.value).map_err(|_| HeadErrorKind::HostInvalid)?);
            Ok(())
        } else if field.is("connection") {
            self.observe_connection(value, buf)
        } else if field.is("expect") {
            self.observe_expect(field.value);
            Ok(())
        } else if field.is("upgrade") {
            self.observe_upgrade(value, buf);
            Ok(())
        } else {
            Ok(())
        }
    }

    fn check_content(&self, buf: &[u8]) -> Result<(), HeadErrorKind> {
        let has_content = match self.framing.request() {
            RequestFraming::None | RequestFraming::Length(0) => false,
            RequestFraming::Length(_) | RequestFraming::Chunked => true,
        };
        if has_content && matches!(self.method.of(buf), b"CONNECT" | b"TRACE") {
            return Err(HeadErrorKind::ContentNotAllowed);
        }
        Ok(())
    }

    fn observe_connection(&mut self, value: Span, buf: &[u8]) -> Result<(), HeadErrorKind> {
        for element in value.elements(buf) {
            let option = element.of(buf);
            let kept: [&[u8]; 3] = [b"host", b"content-length", b"transfer-encoding"];
            if kept.iter().any(|name| option.eq_ignore_ascii_case(name)) {
                return Err(HeadErrorKind::ConnectionNamesFraming);
            }
            self.options.push(element)?;
        }
        Ok(())
    }

    fn observe_expect(&mut self, value: &[u8]) {
        self.expectation = match self.expectation {
            Expectation::None | Expectation::Continue
                if value.eq_ignore_ascii_case(b"100-continue") =>
            {
                Expectation::Continue
            }
            Expectation::None | Expectation::Continue | Expectation::Other => Expectation::Other,
        };
    }

    fn observe_upgrade(&mut self, value: Span, buf: &[u8]) {
        for element in value.elements(buf) {
            let protocol = element.of(buf);
            let named = if protocol.eq_ignore_ascii_case(b"h2c") {
                Upgrade::H2c
            } else if protocol.eq_ignore_ascii_case(b"websocket") {
                Upgrade::WebSocket
            } else {
                Upgrade::Other
            };
            self.upgrade = Some(match (self.upgrade, named) {
                (None, named) => named,
                (Some(Upgrade::H2c), _) | (Some(_), Upgrade::H2c) => Upgrade::H2c,
                (
                    Some(Upgrade::WebSocket | Upgrade::Other),
                    Upgrade::WebSocket | Upgrade::Other,
                ) => Upgrade::Other,
            });
        }
    }

    /// What only the end of the head shows.
    pub(super) fn finish(&mut self, head: &[u8]) -> Result<(), HeadError> {
        if self.version == Version::Http11 && self.host.is_none() {
            return Err(HeadError::new(head.len(), HeadErrorKind::HostMissing));
        }
        self.options.sort(head);
        Ok(())
    }
}

/// What an Expect field asks for (RFC 9110 §10.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// Nothing.
    None,
    /// `100-continue`.
    Continue,
    /// Anything else: 417.
    Other,
}

/// What an Upgrade field asks for (RFC 9110 §7.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// `websocket` and nothing else.
    WebSocket,
    /// `h2c` is among the protocols.
    H2c,
    /// Anything else, several protocols included.
    Other,
}
