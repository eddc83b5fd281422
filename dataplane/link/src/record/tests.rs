//! The spelling of every kind of record.

use super::*;
use std::time::UNIX_EPOCH;

fn program() -> Arc<Program> {
    Arc::new(Program {
        binary: Text::new(b"/usr/bin/git"),
        pid: 12,
        sha256: [0x0f; 32],
        ancestors: vec![Text::new(b"/bin/bash"), Text::new(b"/bin/a\"b")],
        cmdline: Text::cmdline(b"git\0clone\0"),
    })
}

fn access() -> Access {
    Access {
        source: "127.0.0.1:40000".parse().ok(),
        proxy: "127.0.0.1:3128".parse().ok(),
        host: Some(Text::new(b"github.com")),
        port: Some(443),
        program: Some(program()),
        action: Action::Allow,
        policy: Some(Text::new(b"git")),
        policy_version: Some(Text::new(b"7")),
        reason: None,
        code: None,
        request: None,
        bytes_up: None,
        bytes_down: None,
        took: Some(Duration::from_micros(1_999)),
    }
}

fn line(event: Event) -> String {
    let record = Record {
        at: UNIX_EPOCH,
        sandbox_id: Text::new(b"box"),
        request_id: Some(RequestId(0x2a)),
        stage: Stage::Relay,
        event,
    };
    let mut out = String::new();
    record.write_line(&mut out);
    serde_json::from_str::<serde_json::Value>(&out).unwrap();
    out
}

/// LOG-1: the keys of CONNECT, in order.
#[test]
fn an_allowed_connect_has_every_key() {
    let expected = concat!(
        r#"{"ts":"1970-01-01T00:00:00.000Z","level":"info","msg":"CONNECT","sandbox_id":"box","request_id":"000000000000002a","stage":"relay","#,
        r#""src_addr":"127.0.0.1","src_port":40000,"proxy_addr":"127.0.0.1:3128","dst_host":"github.com","dst_port":443,"#,
        r#""binary":"/usr/bin/git","binary_pid":12,"#,
        r#""binary_sha256":"0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f","#,
        r#""ancestors":["/bin/bash","/bin/a\"b"],"cmdline":"git clone","action":"allow","engine":"rego","policy":"git","#,
        r#""policy_version":"7","reason":"-","code":"-","bytes_up":"-","bytes_down":"-","total_ms":1}"#,
        "\n"
    );
    assert_eq!(line(Event::Connect(access())), expected);
}

/// LOG-1: `-` stands for absent, for numbers and lists too.
#[test]
fn what_is_absent_is_a_dash() {
    let bare = Access {
        source: None,
        proxy: None,
        host: None,
        port: None,
        program: None,
        policy: None,
        policy_version: None,
        took: None,
        ..access()
    };
    let value: serde_json::Value = serde_json::from_str(&line(Event::Connect(bare))).unwrap();
    for key in [
        "src_addr",
        "src_port",
        "proxy_addr",
        "dst_host",
        "dst_port",
        "binary",
        "binary_pid",
        "binary_sha256",
        "ancestors",
        "cmdline",
        "policy",
        "policy_version",
        "reason",
        "code",
        "total_ms",
    ] {
        assert_eq!(value[key], "-", "{key}");
    }
}

/// LOG-1: FORWARD is as CONNECT with method and path, and the path has no query.
#[test]
fn a_forward_record_has_method_and_path_without_the_query() {
    let request = RequestLine {
        method: Text::new(b"GET"),
        path: Text::path(b"/a?key=secret"),
    };
    let text = line(Event::Forward(Access {
        request: Some(request),
        bytes_up: Some(0),
        ..access()
    }));
    assert!(
        text.contains(r#""msg":"FORWARD""#) && text.contains(r#""method":"GET","path":"/a""#),
        "{text}"
    );
    assert!(!text.contains("secret"), "{text}");
}

/// LOG-1: the keys of INFERENCE, in order.
#[test]
fn an_inference_record_has_every_key() {
    let inference = Inference {
        request: Some(RequestLine {
            method: Text::new(b"POST"),
            path: Text::path(b"/v1/messages"),
        }),
        protocol: Some("anthropic_messages"),
        kind: Some("messages"),
        action: Action::Allow,
        code: None,
        reason: None,
        route_version: Some(3),
        model: Some(Text::new(b"m-1")),
        status: Some(200),
        stream: Some(Delivery::Stream),
        first_byte: Some(Duration::from_millis(12)),
        total: Some(Duration::from_millis(1_500)),
        bytes_in: 10,
        bytes_out: 20,
        input_tokens: Some(1),
        output_tokens: None,
        end: Some(End::ClientGone),
        program: Some(program()),
        policy: None,
    };
    let text = line(Event::Inference(inference));
    let keys = concat!(
        r#""msg":"INFERENCE","sandbox_id":"box","request_id":"000000000000002a","stage":"relay","method":"POST","path":"/v1/messages","#,
        r#""protocol":"anthropic_messages","kind":"messages","action":"allow","code":"-","reason":"-","route_version":3,"#,
        r#""model":"m-1","status":200,"stream":true,"first_byte_ms":12,"total_ms":1500,"bytes_in":10,"bytes_out":20,"#,
        r#""input_tokens":1,"output_tokens":"-","end":"client_gone","binary":"/usr/bin/git","policy":"-"}"#
    );
    assert!(text.contains(keys), "{text}");
}

/// LOG-1: TUNNEL_CLOSED and REFUSED.
#[test]
fn an_ended_tunnel_and_a_refusal_have_their_keys() {
    let closed = TunnelClosed {
        host: Text::new(b"h"),
        port: 1,
        bytes_up: u64::MAX,
        bytes_down: 0,
        open: Duration::from_millis(61_007),
        end: TunnelEnd::Revoked,
        program: None,
    };
    let text = line(Event::TunnelClosed(closed));
    let keys = r#""bytes_up":18446744073709551615,"bytes_down":0,"seconds":61.007,"end":"tunnel_revoked","binary":"-"}"#;
    assert!(text.contains(keys), "{text}");
    let refused = Refused {
        code: "bad_request",
        reason: Some("bare_lf".into()),
        surface: Surface::Proxy,
        program: None,
    };
    let text = line(Event::Refused(refused));
    assert!(
        text.contains(r#""code":"bad_request","reason":"bare_lf","surface":"proxy","binary":"-"}"#),
        "{text}"
    );
}

/// LOG-3, TR-101, SECURITY 59: the bytes that forge lines or drive terminals, and quotes that would end a string.
#[test]
fn injected_bytes_are_escaped_in_every_value() {
    let hostile = "a\r\n{\"msg\":\"CONNECT\"}\u{1b}[0m\u{7f}\u{85}\u{2028}\u{2029}\u{202e}\\\u{0}";
    let text = line(Event::Connect(Access {
        host: Some(Text::new(hostile.as_bytes())),
        program: Some(Arc::new(Program {
            binary: Text::new(hostile.as_bytes()),
            pid: 1,
            sha256: [0; 32],
            ancestors: vec![Text::new(hostile.as_bytes())],
            cmdline: Text::cmdline(hostile.as_bytes()),
        })),
        policy: Some(Text::new(hostile.as_bytes())),
        ..access()
    }));
    assert_eq!(
        text.chars()
            .filter(|c| text::is_dangerous(*c))
            .collect::<String>(),
        "\n",
        "only the end of the line is raw"
    );
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["dst_host"], hostile, "a reader gets the value back");
    assert_eq!(value["ancestors"][0], hostile);
}

/// SECURITY 59: every byte and every dangerous character, alone.
#[test]
fn no_byte_breaks_the_line() {
    let mut values: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    values.extend(
        (0x80..0x3000)
            .filter_map(char::from_u32)
            .map(|c| c.to_string().into_bytes()),
    );
    for bytes in values {
        let text = line(Event::Connect(Access {
            host: Some(Text::new(&bytes)),
            ..access()
        }));
        let raw = text.chars().filter(|c| text::is_dangerous(*c)).count();
        assert_eq!(raw, 1, "{bytes:?}");
    }
}

/// LOG-1: what a load says, and that it is about no request.
#[test]
fn a_load_names_the_version_in_force_and_no_request() {
    let version = PolicyVersion {
        version: 3,
        hash: Text::new(b"abc"),
    };
    let of = |event: Event| {
        let record = Record {
            at: UNIX_EPOCH,
            sandbox_id: Text::new(b"box"),
            request_id: None,
            stage: Stage::Load,
            event,
        };
        let mut out = String::new();
        record.write_line(&mut out);
        out
    };
    assert_eq!(
        of(Event::PolicyLoaded(version.clone())),
        concat!(
            r#"{"ts":"1970-01-01T00:00:00.000Z","level":"info","msg":"POLICY_LOADED","sandbox_id":"box","request_id":"-","#,
            r#""stage":"load","policy_version":3,"policy_hash":"abc"}"#,
            "\n"
        )
    );
    let failed = of(Event::PolicyFailed(
        version,
        Text::new(b"p.yaml:1:2: version: no\nmore"),
    ));
    assert!(failed.contains(r#""level":"warn","msg":"POLICY_FAILED""#));
    assert!(failed.ends_with(
        "\"policy_version\":3,\"policy_hash\":\"abc\",\"error\":\"p.yaml:1:2: version: no\\nmore\"}\n"
    ));
    let applied = of(Event::SnapshotApplied(Applied {
        generation: 2,
        routes: 1,
        sandboxes: 1,
    }));
    assert!(applied.ends_with("\"generation\":2,\"routes\":1,\"sandboxes\":1}\n"));
}

/// LOG-1: what is said of the gateway, the file rules and a provider, and how loudly.
#[test]
fn what_is_less_than_it_should_be_is_a_warning() {
    let paths = || vec![Text::new(b"/opt/a"), Text::new(b"/opt/b")];
    for (event, keys) in [
        (
            Event::StreamLost(StreamLost {
                error: Text::new(b"it was silent"),
                retry: Duration::from_micros(733_900),
            }),
            r#""warn","msg":"STREAM_LOST",…"error":"it was silent","retry_ms":733}"#,
        ),
        (
            Event::BaselineAdded(paths()),
            r#""info","msg":"BASELINE_ADDED",…"paths":["/opt/a","/opt/b"]}"#,
        ),
        (
            Event::LandlockDegraded(Landlock {
                state: "none",
                paths: Vec::new(),
            }),
            r#""warn","msg":"LANDLOCK_DEGRADED",…"state":"none","paths":"-"}"#,
        ),
        (
            Event::ProviderRevoked(Revoked {
                provider: Some(Text::new(b"openai")),
                generation: 7,
            }),
            r#""warn","msg":"PROVIDER_REVOKED",…"provider":"openai","generation":7}"#,
        ),
        (
            Event::ProviderRevoked(Revoked {
                provider: None,
                generation: 7,
            }),
            r#""warn","msg":"PROVIDER_REVOKED",…"provider":"-","generation":7}"#,
        ),
    ] {
        let text = line(event);
        let (head, tail) = keys.split_once('…').unwrap();
        assert!(text.contains(head), "{text}");
        assert!(text.trim_end().ends_with(tail), "{text}");
    }
}

/// LOG-1: L7_REQUEST, what is absent as `-`; a query has no place in it.
#[test]
fn an_inspected_request_names_what_was_judged() {
    let text = line(Event::L7Request(L7Request {
        host: Text::new(b"api.test"),
        port: 443,
        policy: Some(Text::new(b"api")),
        policy_version: Some(Text::new(b"abc")),
        request: Some(RequestLine {
            method: Text::new(b"GET"),
            path: Text::path(b"/a?token=t"),
        }),
        decision: Action::Audit,
        deny_reason: None,
        code: None,
        status: Some(200),
        bytes_up: Some(0),
        bytes_down: Some(5),
        took: Some(Duration::from_millis(7)),
        program: None,
    }));
    assert!(
        text.ends_with(concat!(
            r#""dst_host":"api.test","dst_port":443,"policy":"api","policy_version":"abc","l7_protocol":"rest","#,
            r#""l7_action":"GET","l7_target":"/a","l7_decision":"audit","l7_deny_reason":"-","code":"-","#,
            r#""status":200,"bytes_up":0,"bytes_down":5,"total_ms":7,"binary":"-"}"#,
            "\n"
        )),
        "{text}"
    );
}
