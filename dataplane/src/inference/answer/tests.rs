use wire::{HeadLimits, Parse, ResponseParser};

use super::*;

const KEY: &str = "sk-0123456789abcdefghij";

fn secret() -> Secret {
    Secret::new(KEY).unwrap()
}

fn head(text: &str) -> ResponseHead {
    match ResponseParser::new(HeadLimits::upstream()).advance(text.as_bytes()) {
        Parse::Done(head, _) => head,
        Parse::More | Parse::Bad(_) => panic!("a whole head"),
    }
}

fn written(text: &str) -> String {
    let plan = Plan {
        protocol: Protocol::OpenAiResponses,
        version: Version::Http11,
        persistence: Persistence::KeepAlive,
        reveal: None,
    };
    let head = write_head(&head(text), Framing::Length(0), &plan, &secret());
    String::from_utf8(head).unwrap()
}

/// INF-28, SECURITY 39: the answer is more than its body.
#[test]
fn a_credential_in_the_head_of_a_401_is_masked() {
    for status in ["401", "403"] {
        let shown = written(&format!(
            "HTTP/1.1 {status} bad key {KEY}\r\nWWW-Authenticate: Bearer realm=\"{KEY}\"\r\nx-other: fine\r\n\r\n"
        ));
        assert!(!shown.contains("0123456"), "{shown}");
        assert!(shown.contains("x-other: fine"), "{shown}");
    }
}

/// INF-28: however the reads fall, no piece of the run is left over.
#[test]
fn a_credential_cut_by_reads_is_masked_whole() {
    let text = format!("your key {KEY} is bad");
    let wanted = text.replace(KEY, &"*".repeat(KEY.len()));
    for first in 0..=text.len() {
        for second in first..=text.len() {
            let mut held = Held::default();
            let mut shown = Vec::new();
            let pieces = [&text[..first], &text[first..second], &text[second..]];
            for (index, piece) in pieces.iter().enumerate() {
                let mut piece = piece.as_bytes().to_vec();
                held.pass(&mut piece, index == 2, &secret());
                shown.extend(piece);
            }
            assert_eq!(String::from_utf8_lossy(&shown), wanted, "{first} {second}");
        }
    }
}
