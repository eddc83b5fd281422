//! Programs that follow `HTTP_PROXY`: they reach an internal service by plain HTTP, and nothing public.
//!
//! Apart from `clients`, whose programs speak TLS through tunnels: here it is the proxy that speaks HTTP, and every client
//! writes its requests to it in a way of its own.

use harness::clients::{Client, PYTHON, present};
use harness::origin::Origin;
use harness::policy::{ANY, private, public, text};
use harness::run::{Ended, Run};
use harness::scene::{PRIVATE, PUBLIC, Scene};
use harness::{play, play_within};

/// The service inside, and one on a public address that the policy names as well.
struct Places {
    inside: Origin,
    outside: Origin,
}

fn places() -> Places {
    Places {
        inside: Origin::greeting(&format!("{PRIVATE}:8080"), None, "hello from inside\n"),
        outside: Origin::greeting(&format!("{PUBLIC}:8080"), None, "hello from outside\n"),
    }
}

fn run(scene: &Scene) -> Run {
    let network = [
        private("inside", "api.test", 8080, ANY),
        public("outside", "public.test", 8080, ANY),
    ]
    .concat();
    scene
        .run()
        .policy(&text(&network, ""))
        .env("HOME", "/mnt/work")
}

/// `command` is a shell script in which `$1` is the URL; it prints status and body.
fn asked(scene: &Scene, command: &str, url: &str) -> Ended {
    let script = format!("set -- {url}; {command}");
    run(scene).sh(&script).end()
}

/// What a client prints that forwards: once inside, refused outside for want of a list.
fn forwards(scene: &Scene, command: &str, times: usize) {
    let places = places();
    let ended = asked(scene, command, "http://api.test:8080/a").success();
    assert_eq!(
        ended.out().trim_end(),
        "200 hello from inside\n".repeat(times).trim_end(),
        "{}",
        ended.story()
    );
    assert_eq!(
        ended.records_of("FORWARD").len(),
        times,
        "{}",
        ended.story()
    );
    for request in places.inside.take() {
        assert_eq!(request.target(), "/a");
        assert_eq!(request.field("host").as_deref(), Some("api.test:8080"));
        assert_eq!(request.field("via").as_deref(), Some("1.1 ringfence"));
        for gone in [
            "proxy-connection",
            "proxy-authorization",
            "upgrade",
            "http2-settings",
            "keep-alive",
        ] {
            assert_eq!(
                request.count(gone),
                0,
                "{gone}: {:?}",
                String::from_utf8_lossy(&request.head)
            );
        }
    }
    let ended = asked(scene, command, "http://public.test:8080/a");
    let out = ended.out();
    assert!(
        out.starts_with("403 ") && out.contains("forward_requires_allowed_ips"),
        "{}",
        ended.story()
    );
    let ended = asked(scene, command, "http://denied.test:8080/a");
    let out = ended.out();
    assert!(
        out.starts_with("403 ") && out.contains("endpoint_not_allowed"),
        "{}",
        ended.story()
    );
    assert_eq!(places.outside.connections(), 0);
}

/// MX-1, MX-4, FWD-7, TR-041
#[test]
fn curl_reaches_an_internal_service_and_nothing_public() {
    if !present(&[Client::Program("curl")]) {
        return;
    }
    // The status last, as curl writes it, and turned round for the comparison.
    let command = r#"curl -sS -o /mnt/work/body -w '%{http_code} ' "$1" && cat /mnt/work/body"#;
    play(|scene| forwards(scene, command, 1));
}

/// MX-1, MX-4, FWD-7, TR-041
#[test]
fn python_requests_reaches_an_internal_service_and_nothing_public() {
    if !present(&[Client::Python("requests")]) {
        return;
    }
    play(|scene| {
        forwards(
            scene,
            &format!("{PYTHON} /mnt/scripts/fetch_requests.py $1"),
            1,
        )
    });
}

/// MX-1, MX-4, FWD-7, TR-041
#[test]
fn python_httpx_reaches_an_internal_service_and_nothing_public() {
    if !present(&[Client::Python("httpx")]) {
        return;
    }
    play(|scene| {
        forwards(
            scene,
            &format!("{PYTHON} /mnt/scripts/fetch_httpx.py $1"),
            2,
        )
    });
}

/// MX-1, MX-4, FWD-7, TR-041: by the usual agent, and by hand.
#[test]
fn node_reaches_an_internal_service_and_nothing_public() {
    if !present(&[Client::Npm("http-proxy-agent")]) {
        return;
    }
    play(|scene| forwards(scene, "node /mnt/scripts/proxied.mjs agent $1", 1));
}

/// MX-1, MX-4, FWD-7, TR-041
#[test]
fn node_by_hand_reaches_an_internal_service_and_nothing_public() {
    if !present(&[Client::Program("node")]) {
        return;
    }
    play(|scene| forwards(scene, "node /mnt/scripts/proxied.mjs request $1", 1));
}

/// MX-1, MX-4: a fetch that says CONNECT for plain HTTP, too, is a tunnel, and judged as one.
#[test]
fn nodes_fetch_with_a_proxy_agent_tunnels_to_an_internal_service() {
    if !present(&[Client::Npm("undici")]) {
        return;
    }
    play(|scene| {
        let places = places();
        let command = "node /mnt/scripts/proxied.mjs fetch $1";
        let ended = asked(scene, command, "http://api.test:8080/a").success();
        assert_eq!(ended.out(), "200 hello from inside\n", "{}", ended.story());
        assert_eq!(ended.records_of("CONNECT").len(), 1);
        let ended = asked(scene, command, "http://denied.test:8080/a");
        assert!(ended.out().starts_with("failed "), "{}", ended.story());
        assert_eq!(places.inside.requests().len(), 1);
    });
}

/// MX-1, MX-4, FWD-7, FWD-10, TR-041: its offer to upgrade to HTTP/2 is taken away, and the answer is HTTP/1.1.
#[test]
fn javas_client_reaches_an_internal_service_and_nothing_public() {
    if !present(&[Client::Program("java")]) {
        return;
    }
    let command = "proxy=${http_proxy#http://}; \
         java -XX:-UsePerfData -Dhttp.proxyHost=${proxy%:*} -Dhttp.proxyPort=${proxy#*:} /mnt/scripts/Client.java $1";
    play_within(std::time::Duration::from_secs(300), |scene| {
        forwards(scene, command, 2)
    });
}
