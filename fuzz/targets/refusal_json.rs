//! Refusals filled with any text: one well-formed head, one JSON object, the texts unharmed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_wire::{
    AfterRefusal, Code, HeadLimits, Parse, Refusal, RequestId, ResponseFraming, ResponseParser,
};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.splitn(4, '|');
    let mut next = || parts.next().unwrap_or("");
    let (host, policy, model, hint) = (next(), next(), next(), next());
    let code = Code::ALL[data.len() % Code::ALL.len()];
    let refusal = Refusal::new(code)
        .host(host)
        .policy(policy)
        .model(model)
        .hint(hint)
        .rule(&text)
        .detail(text.to_string());
    let bytes = refusal.to_bytes(RequestId(7), b"GET", AfterRefusal::Close);
    let Parse::Done(head, used) = ResponseParser::new(HeadLimits {
        head_bytes_max: usize::MAX,
        ..HeadLimits::upstream()
    })
    .advance(&bytes) else {
        panic!("a refusal is a well-formed answer")
    };
    let body = &bytes[used..];
    assert_eq!(head.status(), code.status());
    assert!(head.fields().count() <= 5);
    assert_eq!(
        head.framing(b"GET"),
        ResponseFraming::Length(body.len() as u64)
    );
    let json: serde_json::Value = serde_json::from_slice(body).expect("one JSON value");
    let id = RequestId(7).to_string();
    let members = [
        ("error", code.as_str()),
        ("host", host),
        ("policy", policy),
        ("model", model),
        ("hint", hint),
        ("rule", &text),
        ("detail", &text),
        ("request_id", &id),
    ];
    for (name, expected) in members {
        assert_eq!(json[name], expected);
    }
    assert_eq!(
        json.as_object().map(serde_json::Map::len),
        Some(members.len())
    );
});
