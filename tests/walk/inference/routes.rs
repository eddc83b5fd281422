//! Where a request goes, and what comes back from there.

use std::io::Write;

use harness::http::End;
use harness::model::MODEL;
use harness::origin::{After, Origin};
use harness::scene::PRIVATE;
use harness::{model, play};

use crate::{BODY, CHAT, HOST, World};

/// IR-10, IR-11
#[test]
fn a_protocol_without_a_route_is_named() {
    play(|scene| {
        let origin = model::start(&format!("{PRIVATE}:8000"), None);
        let routes = model::routes(&model::endpoint("http", origin.address()));
        let only_openai = routes
            .split("  - endpoint")
            .take(2)
            .collect::<Vec<_>>()
            .join("  - endpoint");
        let world = World::routed(scene, origin, &only_openai, "");
        let answer = world.post("/v1/messages", BODY).message;
        assert_eq!(
            (answer.status(), answer.json()["error"].as_str()),
            (400, Some("no_compatible_route"))
        );
        assert!(
            answer.text().contains("anthropic_messages"),
            "{}",
            answer.text()
        );
        assert_eq!(world.post(CHAT, BODY).message.status(), 200);
    });
}

/// IR-12, INF-16
#[test]
fn the_answer_says_when_another_model_was_used() {
    play(|scene| {
        let world = World::new(scene, "");
        let told = |body: &str| world.post(CHAT, body).message.field("x-ringfence-model");
        assert_eq!(told(r#"{"model":"anything"}"#).as_deref(), Some(MODEL));
        assert_eq!(told(r#"{"messages":[]}"#).as_deref(), Some(MODEL));
        assert_eq!(told(&format!(r#"{{"model":"{MODEL}"}}"#)), None);
    });
}

/// IR-13, INF-17
#[test]
fn answers_of_any_status_pass_and_redirects_are_not_followed() {
    play(|scene| {
        let elsewhere = Origin::greeting(&format!("{PRIVATE}:8001"), None, "stolen");
        let origin = Origin::start(&format!("{PRIVATE}:8000"), None, |request, wire| {
            let status = request.json()["status"].as_u64().unwrap_or(200);
            write!(
                wire,
                "HTTP/1.1 {status} Own Words\r\nLocation: http://10.99.0.1:8001/\r\nAlt-Svc: h3=\":443\"\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-End: 2\r\nContent-Length: 4\r\n\r\nbody"
            )?;
            Ok(After::KeepOpen)
        });
        let world = World::with(scene, origin, "");
        for status in [200, 301, 307, 404, 429, 500, 529] {
            let answer = world.post(CHAT, &format!(r#"{{"status":{status}}}"#));
            assert_eq!(
                (answer.message.status(), answer.end, answer.message.text()),
                (status, End::Complete, "body".into())
            );
            assert_eq!(answer.message.field("x-end").as_deref(), Some("2"));
            assert_eq!(
                (
                    answer.message.field("x-hop"),
                    answer.message.field("alt-svc")
                ),
                (None, None)
            );
        }
        assert_eq!(elsewhere.connections(), 0);
        // All went over one upstream connection: answers with a length leave it usable (RTE-9).
        assert_eq!(world.origin.connections(), 1);
    });
}

/// RTE-13: every dialect, whole and streamed, without a socket.
#[test]
fn a_mock_route_answers_in_every_dialect() {
    play(|scene| {
        let nobody = Origin::greeting(&format!("{PRIVATE}:8000"), None, "never");
        let routes = model::routes("mock://anywhere");
        let world = World::routed(scene, nobody, &routes, "");
        for path in [CHAT, "/v1/completions", "/v1/responses", "/v1/messages"] {
            let whole = world.post(path, r#"{"model":"any"}"#);
            assert_eq!((whole.message.status(), whole.end), (200, End::Complete));
            assert_eq!(
                whole.message.field("x-ringfence-mock").as_deref(),
                Some("true")
            );
            assert!(
                whole
                    .message
                    .text()
                    .contains("Hello from ringfence mock backend"),
                "{}",
                whole.message.text()
            );
            assert_eq!(whole.message.json()["model"], MODEL, "{path}");
            let streamed = world.post(path, r#"{"model":"any","stream":true}"#);
            assert_eq!(
                (streamed.message.status(), streamed.end),
                (200, End::Complete)
            );
            assert!(
                streamed
                    .message
                    .field("content-type")
                    .is_some_and(|kind| kind.starts_with("text/event-stream"))
            );
            assert!(
                streamed.message.text().matches("data: ").count() > 2,
                "{}",
                streamed.message.text()
            );
        }
        let list = world.ask("GET /v1/models", HOST, "").0.message;
        assert_eq!(list.json()["data"][0]["id"], MODEL, "{}", list.text());
        assert_eq!(world.origin.connections(), 0);
    });
}
