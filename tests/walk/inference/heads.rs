//! What travels to the model in a head, and the credential that always does.

use harness::model::{MODEL, key};
use harness::play;

use crate::{BODY, CHAT, HOST, World};

/// IR-6, IR-7, IR-9, INF-9, INF-10
#[test]
fn only_listed_fields_reach_the_model_and_the_credential_always_does() {
    play(|scene| {
        let world = World::new(scene, "");
        let dropped = [
            "x-api-key",
            "api-key",
            "x-goog-api-key",
            "x-goog-user-project",
            "cookie",
            "x-other",
            "te",
            "proxy-authorization",
            "x-forwarded-for",
        ];
        let passed = [
            "openai-organization",
            "x-stainless-lang",
            "idempotency-key",
            "traceparent",
            "tracestate",
            "x-request-id",
            "user-agent",
            "accept",
            "anthropic-beta",
        ];
        let mut fields = String::from(
            "Host: inference.local\r\nAuthorization: Bearer own\r\nConnection: keep-alive, authorization, content-type\r\n",
        );
        for name in dropped.iter().chain(&passed) {
            fields.push_str(&format!("{name}: value-of-{name}\r\n"));
        }
        world.ask(&format!("POST {CHAT}?key=k&api_key=k"), &fields, BODY);
        let sent = world.origin.take().pop().expect("a request at the model");
        for name in passed {
            assert_eq!(sent.field(name), Some(format!("value-of-{name}")), "{name}");
        }
        for name in dropped {
            assert_eq!(sent.field(name), None, "{name}");
        }
        assert_eq!(
            (sent.field("authorization"), sent.count("authorization")),
            (Some(format!("Bearer {}", key())), 1)
        );
        assert_eq!(
            sent.field("content-type").as_deref(),
            Some("application/json")
        );
        assert_eq!(sent.field("host").as_deref(), Some("10.99.0.1:8000"));
        assert_eq!(sent.target(), CHAT);
        assert_eq!(sent.text(), BODY.replace("any", MODEL));
    });
}

/// IR-8
#[test]
fn an_anthropic_route_uses_its_own_field_and_keeps_the_clients_version() {
    play(|scene| {
        let world = World::new(scene, "");
        for (fields, version) in [
            ("", "2023-06-01"),
            ("anthropic-version: 2024-01-01\r\n", "2024-01-01"),
        ] {
            world.ask("POST /v1/messages", &format!("{HOST}{fields}"), BODY);
            let sent = world.origin.take().pop().expect("a request at the model");
            assert_eq!(
                (
                    sent.field("x-api-key").as_deref(),
                    sent.field("authorization")
                ),
                (Some(key()), None)
            );
            assert_eq!(
                (
                    sent.field("anthropic-version").as_deref(),
                    sent.count("anthropic-version")
                ),
                (Some(version), 1)
            );
        }
    });
}
