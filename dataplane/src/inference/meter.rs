//! What is read from an answer in passing: tokens (INF-25), and whether a stream has told its last event. Never delays or
//! changes a byte.
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
            let before = seam.len();
            seam.extend_from_slice(&bytes[..bytes.len().min(CARRY)]);
            self.scan(&seam);
            seam.truncate(before);
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

    /// Whether an event stream's own last event is the last thing that came: `[DONE]`, or `message_stop`. Some clients
    /// leave on it and do not wait for the end of the message around it.
    pub(crate) fn has_last_event(&self) -> bool {
        let event = self.carry.trim_ascii_end();
        let is_whole = self.carry.len() >= event.len() + 2;
        let last = [&b"data: [DONE]"[..], b"data:[DONE]"]
            .iter()
            .any(|done| event.ends_with(done))
            || event.ends_with(b"}") && memchr::memmem::find(event, MESSAGE_STOP).is_some();
        is_whole && last
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

/// Of Anthropic's last event; with its quotes, so that a text which speaks of it is not taken for it.
const MESSAGE_STOP: &[u8] = b"\"message_stop\"";

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
            let bytes: Vec<&[u8]> = text.chunks(1).collect();
            assert_eq!(usage(&bytes), Usage { input: Some(12), output: Some(345) }, "byte by byte");
        }
    }

    /// LOG-2: what ends a stream is seen wherever a read boundary falls, and only at the very end.
    #[test]
    fn the_last_event_is_known_once_it_is_whole() {
        for text in [
            "data: {\"x\":1}\n\ndata: [DONE]\n\n",
            "data:[DONE]\r\n\r\n",
            "event: message_stop\ndata: {\"type\": \"message_stop\"}\n\n",
        ] {
            for split in 0..text.len() {
                let mut meter = Meter::default();
                meter.push(&text.as_bytes()[..split]);
                assert!(
                    !meter.has_last_event() || text[split..].trim().is_empty(),
                    "{text} {split}"
                );
                meter.push(&text.as_bytes()[split..]);
                assert!(meter.has_last_event(), "{text} {split}");
            }
        }
        for text in [
            "data: [DONE]\n",
            "data: [DONE]\n\ndata: {}\n\n",
            "data: {\"content\":\"data: [DONE]\"}\n\n",
            "data: {\"content\":\"\\\"message_stop\\\"\"}\n\n",
        ] {
            let mut meter = Meter::default();
            meter.push(text.as_bytes());
            assert!(!meter.has_last_event(), "{text}");
        }
    }

    #[test]
    fn nothing_reported_is_nothing_found() {
        assert_eq!(usage(&[b"{\"content\":\"no usage\"}"]).total(), None);
    }
}
