//! Absolute-form targets on the proxy's door: which are understood, and how the others are refused.

use std::io::Write;
use std::net::TcpStream;

use harness::http::{Message, Reader};
use harness::origin::Origin;
use harness::{dns::NameServer, play};

use crate::world::client::{Ending, drain, verdict};
use crate::world::upstream::{Upstream, reply};
use crate::world::{Setup, World};

const LISTED: &str = "allowed_ips: [10.99.0.0/24, 'fd00:99::/64']";

fn world() -> World {
    Setup::new()
        .host("10.99.0.7 example.com host h")
        .allow("80", &format!("{{port: 80, {LISTED}}}"))
        .allow("8000", &format!("{{port: 8000, {LISTED}}}"))
        .allow("8080", &format!("{{port: 8080, {LISTED}}}"))
        .open()
}

fn ask(world: &World, method: &str, target: &str, fields: &str) -> (Message, Reader<TcpStream>) {
    let mut client = Reader::new(world.proxy());
    let head = format!("{method} {target} HTTP/1.1\r\nHost: x.test\r\n{fields}\r\n");
    client.stream.write_all(head.as_bytes()).unwrap();
    let answer = client
        .answer(method)
        .unwrap_or_else(|| panic!("no answer to {method} {target}"));
    (answer.message, client)
}

/// URI-1, URI-2, URI-4 to URI-6, FWD-2, TR-013: host, port, path and query as the upstream sees them.
#[test]
fn an_absolute_target_names_host_port_path_and_query() {
    play(|scene| {
        scene.address("6", "fd00:99::7".parse().unwrap());
        let origins = ["[::]:80", "[::]:8000", "[::]:8080"]
            .map(|address| Origin::greeting(address, None, "here"));
        let world = world();
        for (target, port, host, sent) in [
            (
                "http://10.99.0.7:8000/screenshot/",
                8000,
                "10.99.0.7:8000",
                "/screenshot/",
            ),
            ("http://example.com/path", 80, "example.com", "/path"),
            ("http://10.99.0.7:8080", 8080, "10.99.0.7:8080", "/"),
            ("http://h:/", 80, "h", "/"),
            (
                "http://host:80/api?key=val&foo=bar",
                80,
                "host",
                "/api?key=val&foo=bar",
            ),
            ("http://h?x=1", 80, "h", "/?x=1"),
            (
                "http://h/?u=http://127.0.0.1/",
                80,
                "h",
                "/?u=http://127.0.0.1/",
            ),
            (
                "http://[fd00:99::7]:8080/test",
                8080,
                "[fd00:99::7]:8080",
                "/test",
            ),
            ("http://[fd00:99::7]/path", 80, "[fd00:99::7]", "/path"),
            ("HTTP://Example.COM/", 80, "example.com", "/"),
            ("http://example.com./", 80, "example.com", "/"),
            // Not inspected: the path is as it came.
            ("http://h/a/%2e%2e/b//c", 80, "h", "/a/%2e%2e/b//c"),
        ] {
            let (answer, _client) = ask(&world, "GET", target, "");
            assert_eq!(answer.status(), 200, "{target}: {}", answer.text());
            let origin = origins
                .iter()
                .find(|origin| origin.address().port() == port)
                .unwrap();
            let requests = origin.take();
            let [request] = &requests[..] else {
                panic!("{target}: {} requests", requests.len())
            };
            let seen = (request.field("host").unwrap(), request.target());
            assert_eq!(seen, (host.to_owned(), sent.to_owned()), "{target}");
        }
    });
}

/// URI-3, URI-7 to URI-12, MX-9, FWD-1 to FWD-3, ERR-1, TR-013, TR-052
#[test]
fn a_target_that_is_not_taken_is_refused_with_its_code_and_nothing_is_looked_up() {
    play(|_| {
        let names = NameServer::start();
        let upstream = Upstream::bind("10.99.0.7:80");
        let world = world();
        let mut refused = 0;
        let mut all = |wanted: &str, targets: &[&str]| {
            for target in targets {
                let (answer, mut client) = ask(&world, "GET", target, "");
                assert_eq!(verdict(&answer), wanted, "{target}");
                assert_eq!(
                    drain(&mut client.stream),
                    (Vec::new(), Ending::Clean),
                    "{target}"
                );
                assert_eq!(
                    answer.field("x-ringfence-policy").as_deref(),
                    Some("-"),
                    "{target}"
                );
                refused += 1;
            }
        };
        all(
            "400 use_connect_for_https",
            &[
                "https://api.example.com/v1/chat",
                "HTTPS://h/",
                "https://h:8443/",
            ],
        );
        all(
            "400 invalid_request_target",
            &[
                "example.com/path",
                "/path",
                "*",
                "http:///path",
                "http:/h/",
                "http://:80/",
                "http://[::1/x",
                "http://h:99999/",
                "http://h:0/",
                "http://h:80a/",
                "http://u:p@h/",
                "http://h:80@127.0.0.1/",
                "http://h%40x/",
                "http://h#f",
                "http:\\\\h\\",
                "http://127.1/",
                "http://0x7f.1/",
                "http://2130706433/",
                "http://127.0.0.1.:80/",
                "http://[::1%25eth0]/",
            ],
        );
        all(
            "400 unsupported_scheme",
            &["ftp://h/", "ws://h/", "unix:/x"],
        );
        all(
            "403 inference_requires_https",
            &[
                "http://inference.local/v1/models",
                "http://inference.local:443/v1/models",
                "http://inference.local:8080/v1/models",
                "http://INFERENCE.LOCAL./v1/models",
            ],
        );
        let (answer, _) = ask(
            &world,
            "POST",
            "http://inference.local/v1/chat/completions",
            "Content-Length: 0\r\n",
        );
        assert_eq!(verdict(&answer), "403 inference_requires_https");
        assert!(
            answer.json()["hint"]
                .as_str()
                .unwrap()
                .contains("https://inference.local")
        );
        let (answer, _) = ask(&world, "GET", "https://h/", "");
        assert!(
            answer.json()["detail"]
                .as_str()
                .unwrap()
                .contains("CONNECT"),
            "{}",
            answer.text()
        );
        assert_eq!(names.asked(), Vec::<String>::new());
        assert!(upstream.is_untouched());
        assert_eq!(world.end().of("REFUSED").len(), refused + 2);
    });
}

/// FWD-7, RW-10: OPTIONS for the server itself, for one resource, and in the form that only an origin takes.
#[test]
fn options_keeps_what_it_asks_about() {
    play(|_| {
        let world = world();
        let origin = Origin::greeting("10.99.0.7:80", None, "here");
        for (target, sent) in [
            ("http://h", "*"),
            ("http://h:80", "*"),
            ("http://h/", "/"),
            ("http://h/a?b", "/a?b"),
            ("http://h?b", "/?b"),
        ] {
            assert_eq!(
                ask(&world, "OPTIONS", target, "").0.status(),
                200,
                "{target}"
            );
            assert_eq!(origin.take()[0].target(), sent, "{target}");
        }
        let (answer, _) = ask(&world, "OPTIONS", "*", "");
        assert_eq!(verdict(&answer), "400 invalid_request_target");
        assert!(origin.take().is_empty());
    });
}

/// FWD-7, RFC 9110 §9.3.8: a TRACE has no content.
#[test]
fn a_trace_is_forwarded_without_content_and_refused_with_it() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind("10.99.0.7:80");
        for fields in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
            let (answer, _) = ask(&world, "TRACE", "http://h/", fields);
            assert_eq!(verdict(&answer), "400 bad_request", "{fields}");
        }
        assert!(upstream.is_untouched());
        let mut client = Reader::new(world.proxy());
        client
            .stream
            .write_all(b"TRACE http://h/x HTTP/1.1\r\nHost: h\r\nMax-Forwards: 1\r\n\r\n")
            .unwrap();
        let (mut call, request) = upstream.call();
        assert_eq!(
            (request.method().as_str(), request.target().as_str()),
            ("TRACE", "/x")
        );
        assert_eq!(request.field("max-forwards").as_deref(), Some("1"));
        reply(&mut call, "200 OK", "{}");
        assert_eq!(client.answer("TRACE").unwrap().message.status(), 200);
    });
}

/// RW-6, H1-6: what is no head is refused before anything is dialled.
#[test]
fn a_head_that_could_be_read_in_two_ways_is_not_forwarded() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind("10.99.0.7:80");
        for head in [
            "GET http://h/ HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
            "GET http://h/ HTTP/1.1\r\nHost: a, b\r\n\r\n",
            "GET http://h/ HTTP/1.1\r\nHost: h:99999\r\n\r\n",
            "GET http://h/ HTTP/1.1\r\n\r\n",
            "GET http://h/ HTTP/1.1\r\nHost: h\r\nConnection: host\r\n\r\n",
            "GET http://h/ HTTP/1.1\r\nHost: h\r\nConnection: x, content-length\r\nContent-Length: 0\r\n\r\n",
            "GET  http://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET http://h/  HTTP/1.1\r\nHost: h\r\n\r\n",
        ] {
            let mut client = Reader::new(world.proxy());
            client.stream.write_all(head.as_bytes()).unwrap();
            let answer = client.answer("GET").unwrap().message;
            assert_eq!(verdict(&answer), "400 bad_request", "{head:?}");
        }
        assert!(upstream.is_untouched());
        // HTTP/1.0 needs no Host, and its connection ends after the answer.
        let mut client = Reader::new(world.proxy());
        client
            .stream
            .write_all(b"GET http://h/ HTTP/1.0\r\n\r\n")
            .unwrap();
        let (mut call, request) = upstream.call();
        assert_eq!(request.field("host").as_deref(), Some("h"));
        reply(&mut call, "200 OK", "{}");
        assert_eq!(client.answer("GET").unwrap().message.status(), 200);
        assert_eq!(drain(&mut client.stream), (Vec::new(), Ending::Clean));
    });
}
