//! Tokens read from an answer in passing (INF-25). Never delays or changes a byte.
//!
//! The four member names that carry usage in the supported dialects are looked for in the text; the last
//! value of each wins, which is what streams that report running totals need. A name inside a string
//! value is written with escaped quotes there, so it is not taken for a member.

/// Token counts seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) input: Option<u64>,
    pub(crate) output: Option<u64>,
}

impl Usage {
    /// Input plus output, when at least one was reported.
    pub(crate) fn total(self) -> Option<u64> {
        match (self.input, self.output) {
            (None, None) => None,
            (input, output) => Some(input.unwrap_or(0).saturating_add(output.unwrap_or(0))),
        }
    }
}

/// Follows a stream across its reads.
#[derive(Default)]
pub(crate) struct Meter {
    usage: Usage,
    /// End of the bytes before, where a member may have been cut.
    carry: Vec<u8>,
}

impl Meter {
    /// Takes note of the next bytes of a body.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if !self.carry.is_empty() {
            // Only the seam is looked at twice: the carry and as much of the new bytes.
            let mut seam = std::mem::take(&mut self.carry);
            seam.extend_from_slice(&bytes[..bytes.len().min(CARRY)]);
            self.scan(&seam);
            self.carry = seam;
        }
        self.scan(bytes);
        self.carry.extend_from_slice(bytes);
        let surplus = self.carry.len().saturating_sub(CARRY);
        self.carry.drain(..surplus);
    }

    /// What was reported.
    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    fn scan(&mut self, text: &[u8]) {
        for at in memchr::memmem::find_iter(text, SUFFIX) {
            let (before, after) = (&text[..at], &text[at + SUFFIX.len()..]);
            let slot = if before.ends_with(b"\"prompt") || before.ends_with(b"\"input") {
                &mut self.usage.input
            } else if before.ends_with(b"\"completion") || before.ends_with(b"\"output") {
                &mut self.usage.output
            } else {
                continue;
            };
            *slot = number(after).or(*slot);
        }
    }
}

fn number(text: &[u8]) -> Option<u64> {
    let digits = text
        .iter()
        .skip_while(|byte| **byte == b' ')
        .take_while(|byte| byte.is_ascii_digit());
    let mut value = None;
    for digit in digits {
        value = Some(
            value
                .unwrap_or(0u64)
                .saturating_mul(10)
                .saturating_add(u64::from(digit - b'0')),
        );
    }
    value
}

const SUFFIX: &[u8] = b"_tokens\":";

/// Longest member name, colon, and twenty digits.
const CARRY: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(pieces: &[&[u8]]) -> Usage {
        let mut meter = Meter::default();
        pieces.iter().for_each(|piece| meter.push(piece));
        meter.usage()
    }

    /// INF-25: usage is read in both dialects, wherever a read boundary falls.
    #[test]
    fn usage_is_found_at_every_split() {
        for text in [
            &br#"{"x":"\"input_tokens\":9","usage":{"prompt_tokens":12,"completion_tokens":345,"total_tokens":357}}"#[..],
            br#"data: {"usage":{"input_tokens": 12,"output_tokens":1}} data: {"usage":{"output_tokens": 345}}"#,
        ] {
            for split in 0..text.len() {
                let found = usage(&[&text[..split], &text[split..]]);
                assert_eq!(found, Usage { input: Some(12), output: Some(345) }, "split {split}");
            }
        }
    }

    #[test]
    fn nothing_reported_is_nothing_found() {
        assert_eq!(usage(&[b"{\"content\":\"no usage\"}"]).total(), None);
    }
}
