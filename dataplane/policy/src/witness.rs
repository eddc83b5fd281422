//! Shortest texts that some globs match and others do not.
//!
//! Apart from `pattern`, which judges one text, because a warning or a difference speaks of all
//! texts at once: "no path matches both" is a claim about two languages. The globs are run side by
//! side as one automaton over the texts of a `Domain`, breadth first. Invariant: a witness is a text
//! of its domain; "nothing" is said only after every state was seen, and `Unknown` after
//! `STATES_MAX` of them, so a caller that warns on `Nothing` alone never warns wrongly.

mod domain;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::ControlFlow;

pub(crate) use domain::Domain;
use domain::Spot;

use crate::pattern::Glob;

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Search {
    /// A shortest text.
    Found(Vec<u8>),
    /// There is none.
    Nothing,
    /// Too many states to say.
    Unknown,
}

/// A text of the domain that every one of `include` matches and none of `exclude` does.
pub(crate) fn find(domain: Domain, include: &[&Glob], exclude: &[&Glob]) -> Search {
    let all: Vec<&Glob> = include.iter().chain(exclude).copied().collect();
    let mut found = None;
    let end = explore(domain, &all, include.len(), |matched, text| {
        let (wanted, unwanted) = matched.split_at(include.len());
        if wanted.iter().all(|one| *one) && !unwanted.iter().any(|one| *one) {
            found = Some(text());
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    match (found, end) {
        (Some(text), _) => Search::Found(text),
        (None, Extent::Whole) => Search::Nothing,
        (None, Extent::Cut) => Search::Unknown,
    }
}

/// True when it is certain that every text of the domain that all of `include` match is matched by
/// one of `cover`.
pub(crate) fn covered(domain: Domain, include: &[&Glob], cover: &[&Glob]) -> bool {
    if include.iter().any(|glob| cover.contains(glob)) {
        return true;
    }
    // Cheap before exact: of several thousand rules most pairs differ in their first bytes.
    let likely: Vec<&Glob> = cover
        .iter()
        .copied()
        .filter(|cover| include.iter().all(|glob| may_meet(cover, glob)))
        .collect();
    !likely.is_empty() && find(domain, include, &likely) == Search::Nothing
}

/// One witness for each set of globs that some text of the domain matches together, as flags in the
/// order of `globs`; shortest first.
pub(crate) fn classes(domain: Domain, globs: &[&Glob]) -> Classes {
    let mut found: BTreeMap<Vec<bool>, Vec<u8>> = BTreeMap::new();
    let extent = explore(domain, globs, 0, |matched, text| {
        if !found.contains_key(matched) {
            found.insert(matched.to_vec(), text());
        }
        ControlFlow::Continue(())
    });
    let mut witnesses: Vec<Vec<u8>> = found.into_values().collect();
    witnesses.sort_by(|one, other| one.len().cmp(&other.len()).then_with(|| one.cmp(other)));
    Classes { witnesses, extent }
}

/// What `classes` found.
pub(crate) struct Classes {
    /// One text a class.
    pub(crate) witnesses: Vec<Vec<u8>>,
    /// Whether there may be classes beyond these.
    pub(crate) extent: Extent,
}

/// Whether every state was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Yes.
    Whole,
    /// The search was ended by `STATES_MAX`.
    Cut,
}

/// Whether the literal beginnings of two globs leave room for a common text.
fn may_meet(one: &Glob, other: &Glob) -> bool {
    let prefix = |glob: &Glob| {
        glob.as_str()
            .bytes()
            .take_while(|byte| *byte != b'*')
            .count()
    };
    let len = prefix(one).min(prefix(other));
    one.as_str().as_bytes().get(..len) == other.as_str().as_bytes().get(..len)
}

#[derive(Clone, Copy)]
enum Token {
    Byte(u8),
    /// `*`
    Segment,
    /// `**`
    Anything,
}

fn tokens(glob: &Glob) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut stars = 0_usize;
    for byte in glob.as_str().bytes().map(Some).chain([None]) {
        if byte == Some(b'*') {
            stars += 1;
            continue;
        }
        match std::mem::take(&mut stars) {
            0 => {}
            1 => tokens.push(Token::Segment),
            _ => tokens.push(Token::Anything),
        }
        tokens.extend(byte.map(Token::Byte));
    }
    tokens
}

/// Positions of all globs at once, one bit each, and the place in the domain.
#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    bits: Box<[u64]>,
    spot: Spot,
}

impl State {
    fn set(&mut self, at: usize) {
        if let Some(word) = self.bits.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
    }

    fn has(&self, at: usize) -> bool {
        self.bits
            .get(at / 64)
            .is_some_and(|word| word >> (at % 64) & 1 == 1)
    }
}

/// The tokens of one glob and where its bits begin; one bit more than tokens, the last accepts.
struct Track {
    tokens: Vec<Token>,
    first: usize,
}

impl Track {
    /// Marks a position, and those behind wildcards that take nothing.
    fn enter(&self, state: &mut State, mut at: usize) {
        state.set(self.first + at);
        while let Some(Token::Segment | Token::Anything) = self.tokens.get(at) {
            at += 1;
            state.set(self.first + at);
        }
    }

    fn step(&self, from: &State, byte: u8, to: &mut State) {
        for (at, token) in self.tokens.iter().enumerate() {
            if !from.has(self.first + at) {
                continue;
            }
            match token {
                Token::Byte(expected) if *expected == byte => self.enter(to, at + 1),
                Token::Segment if byte != b'/' => self.enter(to, at),
                Token::Anything => self.enter(to, at),
                Token::Byte(_) | Token::Segment => {}
            }
        }
    }

    fn accepts(&self, state: &State) -> bool {
        state.has(self.first + self.tokens.len())
    }

    fn is_alive(&self, state: &State) -> bool {
        (0..=self.tokens.len()).any(|at| state.has(self.first + at))
    }
}

/// Visits every reachable state that is a text of the domain; the first `required` globs must still
/// be able to match for a state to be followed.
fn explore(
    domain: Domain,
    globs: &[&Glob],
    required: usize,
    mut visit: impl FnMut(&[bool], &dyn Fn() -> Vec<u8>) -> ControlFlow<()>,
) -> Extent {
    let mut first = 0;
    let tracks: Vec<Track> = globs
        .iter()
        .map(|glob| {
            let tokens = tokens(glob);
            let track = Track { first, tokens };
            first += track.tokens.len() + 1;
            track
        })
        .collect();
    let nothing = State {
        bits: vec![0; first.div_ceil(64)].into(),
        spot: domain.start(),
    };
    let mut start = nothing.clone();
    for track in &tracks {
        track.enter(&mut start, 0);
    }
    let alphabet = domain.alphabet(globs);
    // The way back: parent and byte of every state, in the order they were found.
    let mut ways: Vec<(usize, u8)> = vec![(0, 0)];
    let mut seen: HashMap<State, usize> = HashMap::from([(start.clone(), 0)]);
    let mut queue: VecDeque<(State, usize)> = VecDeque::from([(start, 0)]);
    while let Some((state, index)) = queue.pop_front() {
        if domain.accepts(state.spot) {
            let matched: Vec<bool> = tracks.iter().map(|track| track.accepts(&state)).collect();
            if visit(&matched, &|| text(&ways, index)).is_break() {
                return Extent::Whole;
            }
        }
        for byte in &alphabet {
            let Some(spot) = domain.step(state.spot, *byte) else {
                continue;
            };
            let mut next = State {
                spot,
                ..nothing.clone()
            };
            for track in &tracks {
                track.step(&state, *byte, &mut next);
            }
            let dead = |track: &Track| !track.is_alive(&next);
            if tracks.iter().take(required).any(dead) || seen.contains_key(&next) {
                continue;
            }
            if seen.len() >= STATES_MAX {
                return Extent::Cut;
            }
            seen.insert(next.clone(), ways.len());
            queue.push_back((next, ways.len()));
            ways.push((index, *byte));
        }
    }
    Extent::Whole
}

fn text(ways: &[(usize, u8)], mut index: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some((parent, byte)) = ways.get(index).filter(|_| index > 0) {
        bytes.push(*byte);
        index = *parent;
    }
    bytes.reverse();
    bytes
}

/// States of one search: keeps a check of a 256-KiB document within seconds.
const STATES_MAX: usize = 20_000;
