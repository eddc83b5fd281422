//! Refusals as a client reads them.

use super::*;
use crate::{HeadLimits, Parse, Persistence, ResponseFraming, ResponseHead, ResponseParser};

/// The number in every answer of these tests.
const ID: RequestId = RequestId(0x2a);

fn read(bytes: &[u8]) -> (ResponseHead, Vec<u8>) {
    let Parse::Done(head, used) = ResponseParser::new(HeadLimits::upstream()).advance(bytes) else {
        panic!("well-formed")
    };
    (head, bytes.get(used..).unwrap().to_vec())
}

/// ERR-1, ERR-5, TR-023
#[test]
fn every_code_is_one_json_object_of_the_length_announced() {
    for code in Code::ALL {
        let (head, body) = read(&Refusal::new(code).to_bytes(ID, b"GET", AfterRefusal::Close));
        assert_eq!(head.status(), code.status());
        assert!(!head.reason().is_empty(), "{}", code.as_str());
        assert_eq!(
            head.framing(b"GET"),
            ResponseFraming::Length(body.len() as u64)
        );
        assert_eq!(head.persistence(), Persistence::Close);
        assert_eq!(
            head.field("content-type"),
            Some(b"application/json".as_slice())
        );
        assert_eq!(head.field("x-ringfence-policy"), Some(b"-".as_slice()));
        let retry = code.status() == 429 || code == Code::CapacityExceeded;
        assert_eq!(head.field("retry-after").is_some(), retry);
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["error"], code.as_str());
        assert_eq!(json["detail"], code.detail());
    }
}

/// ERR-5
#[test]
fn codes_are_distinct_and_lower_case() {
    let mut words: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Code::ALL.len());
    assert!(words.iter().all(|word| {
        word.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    }));
    assert!(Code::ALL.iter().all(|code| code.detail().ends_with('.')));
}

/// ERR-1, LR-19
#[test]
fn the_members_stand_in_one_order() {
    let refusal = Refusal::new(Code::PolicyDenied)
        .model("m\"x")
        .port(443)
        .host("h")
        .rule("GET /p")
        .policy("git")
        .hint("allow it")
        .reason("deny_rule")
        .detail("No \u{e9}.".to_owned());
    let (head, body) = read(&refusal.to_bytes(ID, b"POST", AfterRefusal::Close));
    let expected = "{\"error\":\"policy_denied\",\"detail\":\"No \u{e9}.\",\"reason\":\"deny_rule\",\"hint\":\"allow it\",\
                    \"policy\":\"git\",\"rule\":\"GET /p\",\"host\":\"h\",\"port\":443,\"model\":\"m\\\"x\",\"request_id\":\"000000000000002a\"}";
    assert_eq!(String::from_utf8(body).unwrap(), expected);
    assert_eq!(head.field("x-ringfence-policy"), Some(b"git".as_slice()));
}

/// ERR-1
#[test]
fn an_answer_to_head_tells_its_length_and_leaves_out_the_body() {
    let refusal = Refusal::new(Code::PolicyDenied);
    let (get, body) = read(&refusal.to_bytes(ID, b"GET", AfterRefusal::Close));
    let (head, nothing) = read(&refusal.to_bytes(ID, b"HEAD", AfterRefusal::Close));
    assert!(nothing.is_empty() && !body.is_empty());
    assert_eq!(get.field("content-length"), head.field("content-length"));
}

/// ERR-3
#[test]
fn a_connection_that_stays_open_is_not_called_closed() {
    let refusal = Refusal::new(Code::RateLimited).retry_after(17);
    let (head, _) = read(&refusal.to_bytes(ID, b"POST", AfterRefusal::KeepOpen));
    assert_eq!(head.persistence(), Persistence::KeepAlive);
    assert_eq!(head.field("retry-after"), Some(b"17".as_slice()));
}

/// ERR-2, TR-005
#[test]
fn a_name_with_control_bytes_cannot_forge_a_field() {
    let refusal = Refusal::new(Code::PolicyDenied)
        .policy("a\r\nEvil: 1")
        .host("b\r\n\r\nc");
    let (head, body) = read(&refusal.to_bytes(ID, b"GET", AfterRefusal::Close));
    assert_eq!(head.field("evil"), None);
    assert_eq!(head.field("x-ringfence-policy"), Some(b"-".as_slice()));
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(json["host"], "b\r\n\r\nc");
}

/// H1-10
#[test]
fn the_interim_answer_is_an_interim_head() {
    let (head, rest) = read(interim_continue());
    assert_eq!((head.status(), rest.len()), (100, 0));
}
