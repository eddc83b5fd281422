//! Where an event stream stands (WHATWG HTML §9.2.5), followed across reads.
//!
//! Apart from the relay because the only question is what must be written before an event of our own (INF-21).
//! Invariant: the cost of a read does not depend on its size; the last four bytes decide.
//! Must never know: what an event says.

/// Follows line and event ends.
#[derive(Clone, Debug, Default)]
pub struct EventScanner {
    state: State,
}

/// After LF, CR or CRLF a line has ended; after an empty line an event has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// At the start of the stream, or after an empty line.
    #[default]
    EventStart,
    /// After an empty line that ended in CR; an LF still belongs to it.
    EventStartAfterReturn,
    /// After a line that was not empty.
    LineStart,
    /// After such a line that ended in CR; an LF still belongs to it.
    LineStartAfterReturn,
    /// Inside a line.
    InLine,
}

impl EventScanner {
    /// A scanner at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        // Why: four bytes hold either a byte of a line, after which nothing older matters, or two line ends.
        let tail = match bytes.len().checked_sub(4) {
            None | Some(0) => bytes,
            Some(start) => {
                self.state = State::InLine;
                bytes.get(start..).unwrap_or(bytes)
            }
        };
        for byte in tail {
            self.state = self.state.after(*byte);
        }
    }

    /// What ends an unfinished line or event, so that an event written next stands alone.
    #[must_use]
    pub fn closing(&self) -> &'static [u8] {
        match self.state {
            State::EventStart => b"",
            // Why: the LF completes a CRLF for a reader that knows no other line end, and is nothing to the others.
            State::EventStartAfterReturn | State::LineStart => b"\n",
            State::LineStartAfterReturn | State::InLine => b"\n\n",
        }
    }
}

impl State {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::EventStartAfterReturn, b'\n') => Self::EventStart,
            (Self::LineStartAfterReturn, b'\n') => Self::LineStart,
            (Self::InLine, b'\n') => Self::LineStart,
            (Self::InLine, b'\r') => Self::LineStartAfterReturn,
            (_, b'\n') => Self::EventStart,
            (_, b'\r') => Self::EventStartAfterReturn,
            _ => Self::InLine,
        }
    }
}

#[cfg(test)]
mod tests;
