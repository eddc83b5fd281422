//! The scanner: all of RFC 8259 as a loop over bytes, with an eye on the members of the outermost object.
//!
//! Apart from its caller because the caller cuts and checks blocks and says what to do with what is found.
//! Invariants: no recursion, a bit a level; text whose content does not matter is passed over in runs.

use super::{
    Following, ModelError, ModelField,
    string::{ASKED_BYTES_MAX, KeyMatch, decode, plain_run},
    token::{Number, Role, Spelled, State, Word},
};

/// What is known of the body so far.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    state: State,
    /// Bytes before the block in hand.
    offset: u64,
    depth: usize,
    /// One bit a level: set for an object.
    objects: [u64; DEPTH_MAX / 64],
    key: KeyMatch,
    unicode: Unit,
    inside: Option<InsideModel>,
    first_member_at: u64,
    before: Following,
    found: Option<ModelField>,
}

/// The value of the model member in progress.
#[derive(Clone, Debug)]
struct InsideModel {
    start: u64,
    /// The literal between the quotes, as long as it is a string of bearable length.
    raw: Option<Vec<u8>>,
}

/// The hex digits of a `\u` so far.
#[derive(Clone, Copy, Debug, Default)]
struct Unit {
    digits: u8,
    code: u16,
}

#[derive(Clone, Copy, Debug)]
enum Bracket {
    Object,
    Array,
}

impl Default for Scan {
    fn default() -> Self {
        Self {
            state: State::Start,
            offset: 0,
            depth: 0,
            objects: [0; DEPTH_MAX / 64],
            key: KeyMatch::default(),
            unicode: Unit::default(),
            inside: None,
            first_member_at: 0,
            before: Following::Nothing,
            found: None,
        }
    }
}

impl Scan {
    pub(super) fn push(&mut self, buf: &[u8]) -> Result<(), ModelError> {
        let mut at = 0;
        // Why: every byte may change it, and memory is slower than a register.
        let mut state = self.state;
        while let Some(&byte) = buf.get(at) {
            state = match (state, byte) {
                (State::Text(role), _) => {
                    (state, at) = self.text(role, buf, at)?;
                    continue;
                }
                (State::AfterValue, b',') if self.in_object() => State::Key,
                (State::AfterValue, b',') => State::Value,
                (State::FirstKey | State::Key, b'"') => self.begin_key(),
                (State::Colon, b':') => State::Value,
                (State::Number(number), _) => match number.after(byte) {
                    Some(next) => State::Number(next),
                    None if number.is_whole() => {
                        state = self.end_value(at);
                        continue;
                    }
                    None => return Err(ModelError::Syntax),
                },
                (State::AfterValue | State::FirstKey, b'}') => self.close(Bracket::Object, at)?,
                (State::AfterValue | State::FirstItem, b']') => self.close(Bracket::Array, at)?,
                (State::Escape(role), _) => self.escaped(role, byte)?,
                (State::Unicode(role), _) => self.unicode(role, byte)?,
                (State::Word(word), _) => match word.after(byte) {
                    Some(Spelled::More(rest)) => State::Word(rest),
                    Some(Spelled::Whole) => self.end_value(at + 1),
                    None => return Err(ModelError::Syntax),
                },
                (state, b' ' | b'\t' | b'\n' | b'\r') => state,
                (State::Value | State::FirstItem, _) => self.begin_value(byte, at)?,
                (State::Start, b'{') => {
                    self.first_member_at = self.absolute(at + 1);
                    self.open(Bracket::Object)?
                }
                (State::Start, _) => return Err(ModelError::NotAnObject),
                (
                    State::FirstKey | State::Key | State::Colon | State::AfterValue | State::End,
                    _,
                ) => {
                    return Err(ModelError::Syntax);
                }
            };
            at += 1;
        }
        self.state = state;
        self.offset = self.absolute(buf.len());
        Ok(())
    }

    pub(super) fn finish(self) -> Result<ModelField, ModelError> {
        if self.state != State::End {
            return Err(ModelError::Incomplete);
        }
        let insert = ModelField::Insert {
            at: self.first_member_at,
            before: self.before,
        };
        Ok(self.found.unwrap_or(insert))
    }

    fn begin_key(&mut self) -> State {
        if self.depth > 1 {
            return State::Text(Role::InnerKey);
        }
        self.before = Following::Members;
        self.key = KeyMatch::default();
        State::Text(Role::TopKey)
    }

    fn begin_value(&mut self, byte: u8, at: usize) -> Result<State, ModelError> {
        let is_model = self.depth == 1 && self.key.is_model();
        if is_model {
            let raw = (byte == b'"').then(Vec::new);
            self.inside = Some(InsideModel {
                start: self.absolute(at),
                raw,
            });
        }
        Ok(match byte {
            b'"' => State::Text(if is_model { Role::Model } else { Role::Value }),
            b'{' => self.open(Bracket::Object)?,
            b'[' => self.open(Bracket::Array)?,
            b't' => State::Word(Word::Rue),
            b'f' => State::Word(Word::Alse),
            b'n' => State::Word(Word::Ull),
            b'-' => State::Number(Number::Minus),
            b'0' => State::Number(Number::Zero),
            b'1'..=b'9' => State::Number(Number::Integer),
            _ => return Err(ModelError::Syntax),
        })
    }

    /// `end` is the offset after the last byte of the value, in the block.
    fn end_value(&mut self, end: usize) -> State {
        if self.depth == 1 && self.inside.is_some() {
            self.end_model(end);
        }
        State::AfterValue
    }

    /// Why apart: it happens once a body, and what it needs would be paid for at the end of every value.
    #[cold]
    fn end_model(&mut self, end: usize) {
        if let Some(inside) = self.inside.take() {
            let asked = inside.raw.as_deref().and_then(decode);
            self.found = Some(ModelField::Replace {
                start: inside.start,
                end: self.absolute(end),
                asked,
            });
        }
    }

    fn open(&mut self, bracket: Bracket) -> Result<State, ModelError> {
        let word = self
            .objects
            .get_mut(self.depth / 64)
            .ok_or(ModelError::TooDeep)?;
        let bit = 1_u64 << (self.depth % 64);
        self.depth += 1;
        Ok(match bracket {
            Bracket::Object => {
                *word |= bit;
                State::FirstKey
            }
            Bracket::Array => {
                *word &= !bit;
                State::FirstItem
            }
        })
    }

    fn close(&mut self, bracket: Bracket, at: usize) -> Result<State, ModelError> {
        if self.in_object() != matches!(bracket, Bracket::Object) {
            return Err(ModelError::Syntax);
        }
        self.depth -= 1;
        Ok(if self.depth == 0 {
            State::End
        } else {
            self.end_value(at + 1)
        })
    }

    fn in_object(&self) -> bool {
        let level = self.depth.saturating_sub(1);
        self.objects
            .get(level / 64)
            .is_some_and(|word| word >> (level % 64) & 1 == 1)
    }

    /// Passes over text from `at` on: the state after it, and the offset of the first byte not dealt with.
    fn text(
        &mut self,
        role: Role,
        buf: &[u8],
        mut at: usize,
    ) -> Result<(State, usize), ModelError> {
        loop {
            let rest = buf.get(at..).unwrap_or(&[]);
            let (run, rest) = rest
                .split_at_checked(plain_run(rest))
                .unwrap_or((rest, &[]));
            match role {
                Role::TopKey => self.key.push(run),
                Role::Model => self.keep(run),
                Role::InnerKey | Role::Value => {}
            }
            at += run.len();
            match *rest {
                [] => return Ok((State::Text(role), at)),
                [b'"', ..] => return Ok((self.end_text(role, at)?, at + 1)),
                // Why: text in bodies is full of these, and where it is not read they need no state.
                [
                    b'\\',
                    b'n' | b'"' | b'\\' | b'/' | b't' | b'r' | b'b' | b'f',
                    ..,
                ] if !role.is_read() => at += 2,
                [b'\\', ..] => {
                    if role == Role::Model {
                        self.keep(b"\\");
                    }
                    return Ok((State::Escape(role), at + 1));
                }
                _ => return Err(ModelError::Syntax),
            }
        }
    }

    fn end_text(&mut self, role: Role, at: usize) -> Result<State, ModelError> {
        match role {
            Role::TopKey if self.key.is_look_alike() => Err(ModelError::Ambiguous),
            Role::TopKey if self.key.is_model() && self.found.is_some() => {
                Err(ModelError::Ambiguous)
            }
            Role::TopKey | Role::InnerKey => Ok(State::Colon),
            Role::Model | Role::Value => Ok(self.end_value(at + 1)),
        }
    }

    fn escaped(&mut self, role: Role, byte: u8) -> Result<State, ModelError> {
        if role == Role::Model {
            self.keep(&[byte]);
        }
        match byte {
            b'u' => {
                self.unicode = Unit::default();
                Ok(State::Unicode(role))
            }
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                // Why: none of these is a letter of `model`; the quote stands for all.
                self.text_of_key(role, u16::from(b'"'));
                Ok(State::Text(role))
            }
            _ => Err(ModelError::Syntax),
        }
    }

    fn unicode(&mut self, role: Role, byte: u8) -> Result<State, ModelError> {
        let digit = char::from(byte)
            .to_digit(16)
            .and_then(|digit| u16::try_from(digit).ok());
        let Unit { digits, code } = self.unicode;
        let code = code << 4 | digit.ok_or(ModelError::Syntax)?;
        if role == Role::Model {
            self.keep(&[byte]);
        }
        self.unicode = Unit {
            digits: digits + 1,
            code,
        };
        if digits < 3 {
            return Ok(State::Unicode(role));
        }
        self.text_of_key(role, code);
        Ok(State::Text(role))
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

/// Levels of nesting, the object itself included (INF-14).
const DEPTH_MAX: usize = 512;
/// A literal that decodes to 1 KiB, every byte of it written as an escape.
const ASKED_LITERAL_BYTES_MAX: usize = 6 * ASKED_BYTES_MAX;
