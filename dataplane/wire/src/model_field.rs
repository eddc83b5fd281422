//! Finds the top-level member `model` of a JSON body and says which bytes to replace (INF-11 to INF-14).
//!
//! Apart from any JSON library because a body must leave byte for byte as it came but for one value, at any depth, size
//! and number spelling: there is never a tree. The scanner checks all of RFC 8259 on the way, since what it cannot read
//! it must not pass on.
//! Invariants: one pass, constant memory but for the model asked for (6 KiB at most), no recursion; the verdict does not
//! depend on how the body was split; an error names no byte of the body.
//! Must never know: which model takes the place.

use std::{fmt, ops::Range};

use crate::refusal::Code;

mod string;

use string::{KeyMatch, decode, plain_run};

/// Reads a body piece by piece.
#[derive(Clone, Debug)]
pub struct ModelScanner {
    state: State,
    /// Bytes before the piece in hand.
    offset: u64,
    depth: usize,
    /// One bit a level: set for an object.
    objects: [u64; DEPTH_MAX / 64],
    utf8: Utf8Tail,
    key: KeyMatch,
    inside: Option<InsideModel>,
    first_member_at: u64,
    object_is_empty: ObjectState,
    found: Option<Found>,
    failed: Option<ModelError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ObjectState {
    Empty,
    HasMembers,
}

/// The value of the model member in progress.
#[derive(Clone, Debug)]
struct InsideModel {
    start: u64,
    /// The literal between the quotes, as long as it is a string of bearable length.
    raw: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
struct Found {
    start: u64,
    end: u64,
    asked: Option<String>,
}

/// What the next byte may be (RFC 8259 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Blanks before the object.
    Start,
    /// After `{`.
    FirstKey,
    /// After a comma in an object.
    Key,
    /// After a key.
    Colon,
    /// After a colon, or a comma in an array.
    Value,
    /// After `[`.
    FirstItem,
    /// After a value.
    AfterValue,
    /// Inside a string.
    Text(Role),
    /// After a backslash.
    Escape(Role),
    /// In the hex digits of `\u`.
    Unicode { role: Role, digits: u8, code: u16 },
    /// In `true`, `false` or `null`: what is left of it.
    Word(&'static [u8]),
    /// In a number.
    Number(Number),
    /// After the object.
    End,
}

/// What a string stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// A member name of the top-level object.
    TopKey,
    /// A member name further down.
    InnerKey,
    /// The value of the model member.
    Model,
    /// Any other value.
    Value,
}

/// RFC 8259 §6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    ExponentMark,
    ExponentSign,
    Exponent,
}

impl ModelScanner {
    /// A scanner at the start of a body.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::Start,
            offset: 0,
            depth: 0,
            objects: [0; DEPTH_MAX / 64],
            utf8: Utf8Tail::default(),
            key: KeyMatch::default(),
            inside: None,
            first_member_at: 0,
            object_is_empty: ObjectState::Empty,
            found: None,
            failed: None,
        }
    }

    /// Takes the next piece of the body.
    ///
    /// # Errors
    /// [`ModelError`] at the first byte that settles it, and for ever after.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ModelError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        // Why: each block is checked as UTF-8 and then as JSON, and is still in the cache for the second reading.
        for block in bytes.chunks(BLOCK_BYTES) {
            // Invariant: what comes first in the body is reported first, so the good part of a bad block is scanned too.
            let (good, bad) = self.utf8.check(block);
            let outcome = self.scan(block.get(..good).unwrap_or(block));
            if let Err(error) = outcome.and(bad) {
                self.failed = Some(error);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Ends the body.
    ///
    /// # Errors
    /// [`ModelError::Incomplete`] when it ended inside the object, or the error met before.
    pub fn finish(self) -> Result<ModelField, ModelError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.state != State::End {
            return Err(ModelError::Incomplete);
        }
        Ok(match self.found {
            Some(Found { start, end, asked }) => ModelField::Replace { start, end, asked },
            None => ModelField::Insert {
                at: self.first_member_at,
                before: match self.object_is_empty {
                    ObjectState::Empty => Following::Nothing,
                    ObjectState::HasMembers => Following::Members,
                },
            },
        })
    }

    fn scan(&mut self, buf: &[u8]) -> Result<(), ModelError> {
        let mut at = 0;
        while let Some(&byte) = buf.get(at) {
            match self.state {
                State::Text(role) => {
                    let run = plain_run(buf.get(at..).unwrap_or(&[]));
                    self.text(role, buf.get(at..at + run).unwrap_or(&[]));
                    at += run;
                    match buf.get(at) {
                        None => break,
                        Some(b'"') => self.end_text(role, at)?,
                        Some(b'\\') => self.escape(role),
                        Some(_) => return Err(ModelError::Syntax),
                    }
                }
                State::AfterValue if byte == b',' => {
                    self.state = if self.in_object() {
                        State::Key
                    } else {
                        State::Value
                    };
                }
                State::FirstKey | State::Key if byte == b'"' => {
                    self.object_is_empty = ObjectState::HasMembers;
                    self.key = KeyMatch::default();
                    self.state = State::Text(if self.depth == 1 {
                        Role::TopKey
                    } else {
                        Role::InnerKey
                    });
                }
                State::Colon if byte == b':' => self.state = State::Value,
                State::Value | State::FirstItem if !is_space(byte) && byte != b']' => {
                    self.begin_value(byte, at)?
                }
                State::Number(number) => match number.after(byte) {
                    Some(next) => self.state = State::Number(next),
                    None if number.is_whole() => {
                        self.end_value(at);
                        continue;
                    }
                    None => return Err(ModelError::Syntax),
                },
                State::AfterValue | State::FirstKey | State::FirstItem
                    if matches!(byte, b'}' | b']') =>
                {
                    self.close(byte, at)?;
                }
                State::Start if byte == b'{' => {
                    self.open(Bracket::Object)?;
                    self.first_member_at = self.absolute(at + 1);
                }
                State::Escape(role) => self.escaped(role, byte)?,
                State::Unicode { role, digits, code } => self.unicode(role, digits, code, byte)?,
                State::Word(rest) => match rest.split_first() {
                    Some((expected, rest)) if *expected == byte => {
                        self.state = State::Word(rest);
                        if rest.is_empty() {
                            self.end_value(at + 1);
                        }
                    }
                    Some(_) | None => return Err(ModelError::Syntax),
                },
                State::Start
                | State::FirstKey
                | State::Key
                | State::Colon
                | State::Value
                | State::FirstItem
                | State::AfterValue
                | State::End
                    if is_space(byte) => {}
                State::Start => return Err(ModelError::NotAnObject),
                State::FirstKey
                | State::Key
                | State::Colon
                | State::Value
                | State::FirstItem
                | State::AfterValue
                | State::End => return Err(ModelError::Syntax),
            }
            at += 1;
        }
        self.offset += u64::try_from(buf.len()).unwrap_or(0);
        Ok(())
    }

    fn begin_value(&mut self, byte: u8, at: usize) -> Result<(), ModelError> {
        let is_model = self.depth == 1 && self.key.is_model();
        if is_model {
            let raw = (byte == b'"').then(Vec::new);
            self.inside = Some(InsideModel {
                start: self.absolute(at),
                raw,
            });
        }
        self.state = match byte {
            b'"' => State::Text(if is_model { Role::Model } else { Role::Value }),
            b'{' => return self.open(Bracket::Object),
            b'[' => return self.open(Bracket::Array),
            b't' => State::Word(b"rue"),
            b'f' => State::Word(b"alse"),
            b'n' => State::Word(b"ull"),
            b'-' => State::Number(Number::Minus),
            b'0' => State::Number(Number::Zero),
            b'1'..=b'9' => State::Number(Number::Integer),
            _ => return Err(ModelError::Syntax),
        };
        Ok(())
    }

    /// `end` is the offset after the last byte of the value, in the block.
    fn end_value(&mut self, end: usize) {
        self.state = State::AfterValue;
        if self.depth == 1
            && let Some(inside) = self.inside.take()
        {
            let asked = inside.raw.as_deref().and_then(decode);
            self.found = Some(Found {
                start: inside.start,
                end: self.absolute(end),
                asked,
            });
        }
    }

    fn open(&mut self, bracket: Bracket) -> Result<(), ModelError> {
        let word = self
            .objects
            .get_mut(self.depth / 64)
            .ok_or(ModelError::TooDeep)?;
        let bit = 1_u64 << (self.depth % 64);
        (*word, self.state) = match bracket {
            Bracket::Object => (*word | bit, State::FirstKey),
            Bracket::Array => (*word & !bit, State::FirstItem),
        };
        self.depth += 1;
        Ok(())
    }

    fn close(&mut self, byte: u8, at: usize) -> Result<(), ModelError> {
        if self.in_object() != (byte == b'}') {
            return Err(ModelError::Syntax);
        }
        self.depth -= 1;
        if self.depth == 0 {
            self.state = State::End;
        } else {
            self.end_value(at + 1);
        }
        Ok(())
    }

    fn in_object(&self) -> bool {
        let level = self.depth.saturating_sub(1);
        self.objects
            .get(level / 64)
            .is_some_and(|word| word >> (level % 64) & 1 == 1)
    }

    fn text(&mut self, role: Role, run: &[u8]) {
        match role {
            Role::TopKey => self.key.push(run),
            Role::Model => self.keep(run),
            Role::InnerKey | Role::Value => {}
        }
    }

    fn end_text(&mut self, role: Role, at: usize) -> Result<(), ModelError> {
        match role {
            Role::TopKey => {
                if self.key.is_look_alike() || (self.key.is_model() && self.found.is_some()) {
                    return Err(ModelError::Ambiguous);
                }
                self.state = State::Colon;
            }
            Role::InnerKey => self.state = State::Colon,
            Role::Model | Role::Value => self.end_value(at + 1),
        }
        Ok(())
    }

    fn escape(&mut self, role: Role) {
        self.state = State::Escape(role);
        if role == Role::Model {
            self.keep(b"\\");
        }
    }

    fn escaped(&mut self, role: Role, byte: u8) -> Result<(), ModelError> {
        if role == Role::Model {
            self.keep(&[byte]);
        }
        self.state = match byte {
            b'u' => State::Unicode {
                role,
                digits: 0,
                code: 0,
            },
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                // Why: none of these is a letter of `model`; the quote stands for all.
                self.text_of_key(role, u16::from(b'"'));
                State::Text(role)
            }
            _ => return Err(ModelError::Syntax),
        };
        Ok(())
    }

    fn unicode(&mut self, role: Role, digits: u8, code: u16, byte: u8) -> Result<(), ModelError> {
        let digit = char::from(byte)
            .to_digit(16)
            .and_then(|digit| u16::try_from(digit).ok());
        let code = code << 4 | digit.ok_or(ModelError::Syntax)?;
        if role == Role::Model {
            self.keep(&[byte]);
        }
        self.state = if digits == 3 {
            self.text_of_key(role, code);
            State::Text(role)
        } else {
            State::Unicode {
                role,
                digits: digits + 1,
                code,
            }
        };
        Ok(())
    }

    fn text_of_key(&mut self, role: Role, code: u16) {
        if role == Role::TopKey {
            self.key.push_unit(code);
        }
    }

    /// Keeps the literal of the model; one too long is asked for by no one and is forgotten.
    fn keep(&mut self, run: &[u8]) {
        let Some(inside) = &mut self.inside else {
            return;
        };
        if let Some(raw) = &mut inside.raw {
            if raw.len() + run.len() > ASKED_LITERAL_BYTES_MAX {
                inside.raw = None;
            } else {
                raw.extend_from_slice(run);
            }
        }
    }

    fn absolute(&self, at: usize) -> u64 {
        self.offset + u64::try_from(at).unwrap_or(0)
    }
}

impl Default for ModelScanner {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Clone, Copy, Debug)]
enum Bracket {
    Object,
    Array,
}

impl Number {
    fn after(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Minus, b'0') => Some(Self::Zero),
            (Self::Minus, b'1'..=b'9') | (Self::Integer, b'0'..=b'9') => Some(Self::Integer),
            (Self::Zero | Self::Integer, b'.') => Some(Self::Point),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Some(Self::ExponentMark),
            (Self::ExponentMark, b'+' | b'-') => Some(Self::ExponentSign),
            (Self::ExponentMark | Self::ExponentSign | Self::Exponent, b'0'..=b'9') => {
                Some(Self::Exponent)
            }
            _ => None,
        }
    }

    fn is_whole(self) -> bool {
        match self {
            Self::Zero | Self::Integer | Self::Fraction | Self::Exponent => true,
            Self::Minus | Self::Point | Self::ExponentMark | Self::ExponentSign => false,
        }
    }
}

/// Which bytes of the body make way for the model. Offsets count from the first byte of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelField {
    /// The value of the member.
    Replace {
        /// First byte of the value.
        start: u64,
        /// After its last byte.
        end: u64,
        /// What was asked for: the decoded string, when it was one of at most 1 KiB without a lone surrogate.
        asked: Option<String>,
    },
    /// There is no such member; it goes directly after `{`.
    Insert {
        /// After the `{`.
        at: u64,
        /// What it goes before.
        before: Following,
    },
}

/// What an inserted member is followed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Following {
    /// Other members: a comma is needed.
    Members,
    /// The end of the object.
    Nothing,
}

/// One replacement: the bytes of `range` give way to `before`, the model as JSON, and `after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// In the body as received.
    pub range: Range<u64>,
    /// Written before the model.
    pub before: &'static [u8],
    /// Written after the model.
    pub after: &'static [u8],
}

impl ModelField {
    /// The model the client named, if it named one in a readable string.
    #[must_use]
    pub fn asked(&self) -> Option<&str> {
        match self {
            Self::Replace { asked, .. } => asked.as_deref(),
            Self::Insert { .. } => None,
        }
    }

    /// The replacement to make.
    #[must_use]
    pub fn edit(&self) -> Edit {
        match *self {
            Self::Replace { start, end, .. } => Edit {
                range: start..end,
                before: b"",
                after: b"",
            },
            Self::Insert { at, before } => Edit {
                range: at..at,
                before: b"\"model\":",
                after: match before {
                    Following::Members => b",",
                    Following::Nothing => b"",
                },
            },
        }
    }

    /// The new body as slices, to be written one after the other. `model_json` is a JSON string literal; `body` is the
    /// one that was scanned, whole. `None` when it is shorter than that.
    #[must_use]
    pub fn splice<'a>(&self, body: &'a [u8], model_json: &'a [u8]) -> Option<[&'a [u8]; 5]> {
        let Edit {
            range,
            before,
            after,
        } = self.edit();
        let head = body.get(..usize::try_from(range.start).ok()?)?;
        let tail = body.get(usize::try_from(range.end).ok()?..)?;
        Some([head, before, model_json, after, tail])
    }
}

/// Why a body is refused. No part of the body is quoted (ERR-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelError {
    /// The body is something other than an object, or empty.
    NotAnObject,
    /// A byte that RFC 8259 does not allow there.
    Syntax,
    /// Not UTF-8.
    Utf8,
    /// Nested deeper than 512 levels.
    TooDeep,
    /// The body ends before the object does.
    Incomplete,
    /// `model` twice, or in another letter case.
    Ambiguous,
}

impl ModelError {
    /// The code of the refusal.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::Ambiguous => Code::AmbiguousModel,
            Self::NotAnObject | Self::Syntax | Self::Utf8 | Self::TooDeep | Self::Incomplete => {
                Code::InvalidJsonBody
            }
        }
    }
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnObject => "the body is not a JSON object",
            Self::Syntax => "the body is not JSON",
            Self::Utf8 => "the body is not UTF-8",
            Self::TooDeep => "the body is nested deeper than 512 levels",
            Self::Incomplete => "the body ends inside the object",
            Self::Ambiguous => "`model` occurs twice or in another letter case",
        })
    }
}

impl std::error::Error for ModelError {}

/// A character cut by the end of a block.
#[derive(Clone, Copy, Debug, Default)]
struct Utf8Tail {
    bytes: [u8; 4],
    len: usize,
}

impl Utf8Tail {
    /// How many bytes of the block may be scanned, and whether the byte after them breaks UTF-8.
    fn check(&mut self, block: &[u8]) -> (usize, Result<(), ModelError>) {
        let mut at = 0;
        while self.len > 0 {
            let (Some(&byte), Some(slot)) = (block.get(at), self.bytes.get_mut(self.len)) else {
                return (at, Ok(()));
            };
            *slot = byte;
            self.len += 1;
            match std::str::from_utf8(self.bytes.get(..self.len).unwrap_or(&[])) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return (at, Err(ModelError::Utf8)),
            }
            at += 1;
        }
        let rest = block.get(at..).unwrap_or(&[]);
        let Err(error) = std::str::from_utf8(rest) else {
            return (block.len(), Ok(()));
        };
        let good = at + error.valid_up_to();
        let cut = block.get(good..).unwrap_or(&[]);
        if error.error_len().is_some() {
            return (good, Err(ModelError::Utf8));
        }
        for (slot, byte) in self.bytes.iter_mut().zip(cut) {
            *slot = *byte;
        }
        self.len = cut.len();
        (block.len(), Ok(()))
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Levels of nesting, the object itself included (INF-14).
const DEPTH_MAX: usize = 512;
/// Read twice; fits the first-level cache.
const BLOCK_BYTES: usize = 16_384;
/// A literal that decodes to 1 KiB, every byte of it written as an escape.
const ASKED_LITERAL_BYTES_MAX: usize = 6 * string::ASKED_BYTES_MAX;

#[cfg(test)]
mod tests;
