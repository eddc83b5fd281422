//! Patterns of a policy: hosts (POL-3), globs over paths, binaries and models (L7-11, POL-4).
//!
//! The same value checks a pattern at load and matches it later, so what loads is what matches
//! (TR-071). Invariant: matching is linear in the text for each wildcard run and never recurses.

use std::fmt;

use wire::Host;

/// A glob: `*` matches any run of bytes but `/`, `**` any run; every other byte is literal (L7-11).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Glob {
    text: Box<str>,
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Part {
    Literal(Box<[u8]>),
    /// `*`
    Segment,
    /// `**`, or any longer run of stars.
    Anything,
}

impl Glob {
    /// Every text is a glob.
    pub fn new(text: &str) -> Glob {
        let mut parts = Vec::new();
        let mut rest = text.as_bytes();
        while let Some(first) = rest.first() {
            let same_kind = |byte: &u8| (*byte == b'*') == (*first == b'*');
            let run = rest.iter().take_while(|byte| same_kind(byte)).count();
            let (head, tail) = rest.split_at(run);
            parts.push(match (first, run) {
                (b'*', 1) => Part::Segment,
                (b'*', _) => Part::Anything,
                (_, _) => Part::Literal(head.into()),
            });
            rest = tail;
        }
        Glob {
            text: text.into(),
            parts: parts.into(),
        }
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True when no wildcard is in it.
    pub fn is_literal(&self) -> bool {
        matches!(&*self.parts, [] | [Part::Literal(_)])
    }

    /// True when it matches every text.
    pub fn matches_everything(&self) -> bool {
        matches!(&*self.parts, [Part::Anything])
    }

    /// What stands before the first wildcard: its length is how specific it is (POL-6).
    pub fn literal_prefix(&self) -> &[u8] {
        match self.parts.first() {
            Some(Part::Literal(literal)) => literal,
            Some(Part::Segment | Part::Anything) | None => &[],
        }
    }

    /// Matches the whole of `text`.
    pub fn matches(&self, text: &[u8]) -> bool {
        // Why greedy with two marks is enough: what stands between two `**` is best matched as early
        // as possible, and a `*` stopped by a `/` cannot be helped by moving an earlier `*`, which
        // the same `/` stops. `tests` compares this with the definition.
        let mut at = Cursor { part: 0, text: 0 };
        let mut segment: Option<Cursor> = None;
        let mut anything: Option<Cursor> = None;
        loop {
            match self.parts.get(at.part) {
                Some(Part::Anything) => {
                    at.part += 1;
                    anything = Some(at);
                    segment = None;
                    continue;
                }
                Some(Part::Segment) => {
                    at.part += 1;
                    segment = Some(at);
                    continue;
                }
                Some(Part::Literal(literal)) if starts_with_at(text, at.text, literal) => {
                    at = Cursor {
                        part: at.part + 1,
                        text: at.text + literal.len(),
                    };
                    continue;
                }
                None if at.text == text.len() => return true,
                Some(Part::Literal(_)) | None => {}
            }
            // Nothing fits here: let the latest wildcard take one byte more.
            if let Some(mark) =
                segment.filter(|mark| text.get(mark.text).is_some_and(|byte| *byte != b'/'))
            {
                at = Cursor {
                    part: mark.part,
                    text: mark.text + 1,
                };
                segment = Some(at);
            } else if let Some(mark) = anything.filter(|mark| mark.text < text.len()) {
                at = Cursor {
                    part: mark.part,
                    text: mark.text + 1,
                };
                anything = Some(at);
                segment = None;
            } else {
                return false;
            }
        }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[derive(Clone, Copy)]
struct Cursor {
    part: usize,
    text: usize,
}

/// The `host` of an endpoint (POL-3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// One name or address.
    Exact(Host),
    /// `*.name`: exactly one more label.
    OneLabel(Host),
    /// `**.name`: one label more, or several.
    AnyLabels(Host),
}

/// Why a host pattern was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostPatternError {
    /// Not a host of CON-2.
    NotAHost,
    /// A wildcard anywhere but as the whole first label.
    MisplacedWildcard,
    /// Fewer than two labels behind the wildcard.
    TooWide,
    /// `inference.local` needs no policy and can have none (INF-1).
    Inference,
}

impl HostPattern {
    /// Parses a pattern; letter case and one trailing dot do not matter.
    ///
    /// # Errors
    /// As listed at `HostPatternError`.
    pub fn parse(text: &str) -> Result<HostPattern, HostPatternError> {
        let (wildcard, name) = if let Some(name) = text.strip_prefix("**.") {
            (
                Some(HostPattern::AnyLabels as fn(Host) -> HostPattern),
                name,
            )
        } else if let Some(name) = text.strip_prefix("*.") {
            (Some(HostPattern::OneLabel as fn(Host) -> HostPattern), name)
        } else {
            (None, text)
        };
        if name.contains('*') {
            return Err(HostPatternError::MisplacedWildcard);
        }
        let host = parse_host(name).ok_or(HostPatternError::NotAHost)?;
        match wildcard {
            None if host.is_inference() => Err(HostPatternError::Inference),
            None => Ok(HostPattern::Exact(host)),
            Some(_) if host.literal().is_some() => Err(HostPatternError::NotAHost),
            Some(_) if !host.as_str().contains('.') => Err(HostPatternError::TooWide),
            Some(pattern) => Ok(pattern(host)),
        }
    }

    /// Matches a host (POL-3).
    pub fn matches(&self, host: &Host) -> bool {
        match self {
            HostPattern::Exact(exact) => exact == host,
            HostPattern::OneLabel(suffix) => {
                front_labels(host, suffix).is_some_and(|front| !front.contains('.'))
            }
            HostPattern::AnyLabels(suffix) => front_labels(host, suffix).is_some(),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Exact(host) => f.write_str(host.as_str()),
            HostPattern::OneLabel(suffix) => write!(f, "*.{}", suffix.as_str()),
            HostPattern::AnyLabels(suffix) => write!(f, "**.{}", suffix.as_str()),
        }
    }
}

impl fmt::Display for HostPatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HostPatternError::NotAHost => "not a host name or IP address",
            HostPatternError::MisplacedWildcard => {
                "a wildcard is allowed as the whole first label only"
            }
            HostPatternError::TooWide => "a wildcard must be followed by at least two labels",
            HostPatternError::Inference => {
                "inference.local needs no network policy; see the `inference` section"
            }
        })
    }
}

impl std::error::Error for HostPatternError {}

fn starts_with_at(text: &[u8], at: usize, literal: &[u8]) -> bool {
    text.get(at..).is_some_and(|rest| rest.starts_with(literal))
}

/// Reads a host as people write it: IPv6 addresses with or without brackets.
pub(crate) fn parse_host(text: &str) -> Option<Host> {
    let bare_v6 = text.contains(':') && !text.starts_with('[');
    if bare_v6 {
        return Host::parse(format!("[{text}]").as_bytes()).ok();
    }
    Host::parse(text.as_bytes()).ok()
}

/// What stands before `.suffix`, when something does.
fn front_labels<'h>(host: &'h Host, suffix: &Host) -> Option<&'h str> {
    let front = host
        .as_str()
        .strip_suffix(suffix.as_str())?
        .strip_suffix('.')?;
    (!front.is_empty()).then_some(front)
}

#[cfg(test)]
mod tests;
