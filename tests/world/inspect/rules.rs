//! Which requests pass, the same on every way (LR, CP).

use std::io::Write;

use harness::{Scene, play};

use super::{
    AUTHORITY, Client, RULES, Way, answer, ask, echo, endpoint, once, open, request, send, setup,
    told,
};
use crate::world::Setup;
use crate::world::client::drain;

const NOT_ALLOWED: &str = "403 policy_denied request_not_allowed";

/// LR-1 to LR-4, CP-1 to CP-6, L7-3, L7-5, L7-6, TR-011, TR-012
fn rules(scene: &Scene, way: Way) {
    let world = setup(way, RULES).open();
    let origin = echo(scene, way);
    for (method, target, expected) in [
        ("GET", "/repos/myorg/foo", "200 GET /repos/myorg/foo"),
        (
            "GET",
            "/repos/myorg/foo?x=1",
            "200 GET /repos/myorg/foo?x=1",
        ),
        (
            "POST",
            "/repos/myorg/issues",
            "200 POST /repos/myorg/issues",
        ),
        ("GET", "/repos//x", "200 GET /repos/x"),
        (
            "GET",
            "//repos/%7ex?p=../../y%2f",
            "200 GET /repos/~x?p=../../y%2f",
        ),
        ("GET", "/repos/a%3ab/./c/", "200 GET /repos/a%3Ab/c/"),
        ("GET", "/repos/%252e%252e/x", "200 GET /repos/%252e%252e/x"),
        ("get", "/repos/myorg/foo", NOT_ALLOWED),
        ("DELETE", "/repos/myorg/foo", NOT_ALLOWED),
        ("GET", "/admin/settings", NOT_ALLOWED),
        ("GET", "/repos", NOT_ALLOWED),
        ("GET", "/repos/%2e%2e/admin", NOT_ALLOWED),
        ("GET", "/repos/../admin", NOT_ALLOWED),
        ("GET", "/repos/..;x/b", "400 invalid_request_target"),
        ("GET", "/repos/a%2fb", "400 invalid_request_target"),
        ("GET", "/repos/a%5cb", "400 invalid_request_target"),
        ("GET", "/repos/%00", "400 invalid_request_target"),
        ("GET", "/../x", "400 invalid_request_target"),
    ] {
        assert_eq!(
            once(&world, way, method, target),
            expected,
            "{way:?} {method} {target}"
        );
    }
    let head = ask(&mut open(&world, way), way, "HEAD", "/repos/myorg/foo");
    assert_eq!((head.status(), head.text()), (200, String::new()));
    let sent = origin.requests();
    assert_eq!(sent.len(), 8, "nothing of what was refused was sent");
}

/// LR-1 to LR-4, CP-1 to CP-6
#[test]
fn requests_pass_by_rule_inside_a_plain_tunnel() {
    play(|scene| rules(scene, Way::Plain));
}

/// LR-1 to LR-4, CP-1 to CP-6
#[test]
fn requests_pass_by_rule_inside_a_tunnel_whose_tls_is_ended() {
    play(|scene| rules(scene, Way::Tls));
}

/// LR-1 to LR-4, CP-1 to CP-6
#[test]
fn requests_pass_by_rule_on_the_forward_path() {
    play(|scene| rules(scene, Way::Forward));
}

/// LR-19, L7-13, ERR-1
fn a_refusal_names_rule_reason_and_policy_and_ends_the_connection(scene: &Scene, way: Way) {
    let world = setup(way, RULES).open();
    let origin = echo(scene, way);
    let mut client = open(&world, way);
    let refusal = ask(&mut client, way, "DELETE", "/repos/%2e/a?token=t");
    let body = refusal.json();
    assert_eq!(refusal.status(), 403, "{way:?}");
    assert_eq!(body["error"], "policy_denied");
    assert_eq!(body["reason"], "request_not_allowed");
    assert_eq!(body["policy"], "api");
    assert_eq!(body["rule"], "DELETE /repos/a");
    assert_eq!(
        (&body["host"], &body["port"]),
        (&"api.example.com".into(), &8080.into())
    );
    assert!(body["detail"].is_string() && body["request_id"].is_string());
    assert_eq!(refusal.field("x-ringfence-policy").as_deref(), Some("api"));
    assert_eq!(refusal.field("connection").as_deref(), Some("close"));
    assert_eq!(drain(&mut client.stream).0, b"", "{way:?}");
    assert_eq!(origin.requests().len(), 0);
    let ended = world.end();
    let msg = if way == Way::Forward {
        "FORWARD"
    } else {
        "L7_REQUEST"
    };
    let record = ended.one(msg);
    assert_eq!(record["request_id"], body["request_id"]);
    assert_eq!(record["policy"], "api");
    assert!(!record.to_string().contains("token"));
}

/// LR-12, L7-9, LOG-1
fn what_nobody_enforces_is_forwarded_and_recorded_as_audit(scene: &Scene, way: Way) {
    let world = setup(way, "enforcement: audit, access: read-only").open();
    let _origin = echo(scene, way);
    assert_eq!(once(&world, way, "DELETE", "/a"), "200 DELETE /a");
    assert_eq!(once(&world, way, "GET", "/a/../b"), "200 GET /b");
    let ended = world.end();
    let (msg, verdict, path) = match way {
        Way::Forward => ("FORWARD", "action", "path"),
        Way::Plain | Way::Tls => ("L7_REQUEST", "l7_decision", "l7_target"),
    };
    let said: Vec<_> = ended
        .of(msg)
        .iter()
        .map(|record| (record[verdict].clone(), record[path].clone()))
        .collect();
    assert_eq!(
        said,
        [("audit".into(), "/a".into()), ("allow".into(), "/b".into())],
        "{way:?}"
    );
}

/// LR-13, RW-8, L7-13, TR-001, H1-8
fn nothing_of_a_denied_request_in_a_pipeline_is_sent(scene: &Scene, way: Way) {
    let world = setup(way, RULES).open();
    let origin = echo(scene, way);
    let mut client = open(&world, way);
    let three = [
        request(way, "GET", "/repos/a", ""),
        request(way, "GET", "/admin", ""),
        request(way, "GET", "/repos/b", ""),
    ];
    client.stream.write_all(&three.concat()).unwrap();
    assert_eq!(told(&answer(&mut client, "GET")), "200 GET /repos/a");
    assert_eq!(told(&answer(&mut client, "GET")), NOT_ALLOWED);
    assert_eq!(drain(&mut client.stream).0, b"");
    assert_eq!(origin.requests().len(), 1, "{way:?}");
}

/// LR-14, TR-070, LIV-10, TR-069
fn a_new_policy_holds_from_the_next_request_of_a_connection(scene: &Scene, way: Way) {
    let world = setup(way, RULES).open();
    let _origin = echo(scene, way);
    let mut client = open(&world, way);
    let mut next = |target| told(&ask(&mut client, way, "GET", target));
    assert_eq!(next("/repos/a"), "200 GET /repos/a");
    let other = "enforcement: enforce, rules: [{allow: {method: GET, path: \"/other/**\"}}]";
    world.put_policy(&setup(way, other));
    assert_eq!(next("/other/a"), "200 GET /other/a");
    assert_eq!(next("/repos/a"), NOT_ALLOWED, "{way:?}");
    // The whole endpoint is gone: the reason is the connection's.
    let mut client = match way {
        Way::Forward => return,
        Way::Plain | Way::Tls => open(&world, way),
    };
    world.put_policy(&Setup::new().allow_port(1));
    assert_eq!(
        told(&ask(&mut client, way, "GET", "/other/a")),
        "403 policy_denied endpoint_not_allowed"
    );
}

/// DST-4, TR-034, L7-3: the addresses an admission speaks of hold for a connection that is open already.
fn an_open_upstream_connection_must_be_reachable_under_the_newest_policy(scene: &Scene, way: Way) {
    let world = setup(way, "access: full").open();
    let origin = echo(scene, way);
    let mut client = open(&world, way);
    assert_eq!(told(&ask(&mut client, way, "GET", "/a")), "200 GET /a");
    let narrower = endpoint(way, "access: full").replace("10.99.0.0/24", "10.99.0.8/32");
    world.put_policy(&Setup::new().allow("api", &narrower));
    assert_eq!(
        told(&ask(&mut client, way, "GET", "/b")),
        "403 destination_denied not_in_allowed_ips",
        "{way:?}"
    );
    assert_eq!(origin.requests().len(), 1);
}

/// LR-7: the caller is judged before any request rule.
fn a_program_that_may_not_connect_learns_nothing_of_request_rules(scene: &Scene, way: Way) {
    let program = "/usr/bin/no-such-tool";
    let world = Setup::new()
        .allow_program("api", &endpoint(way, RULES), program)
        .host("10.99.0.7 api.example.com")
        .open();
    let _origin = echo(scene, way);
    let denied = "403 policy_denied binary_not_allowed";
    if way == Way::Forward {
        assert_eq!(once(&world, way, "GET", "/repos/a"), denied);
    } else {
        let refusal = crate::world::client::refused(&world, AUTHORITY);
        assert_eq!(crate::world::client::verdict(&refusal), denied);
    }
}

/// LR-15, L7-4, TR-014
fn a_request_that_names_another_authority_than_its_tunnel_is_refused(scene: &Scene, way: Way) {
    let world = setup(way, "access: full").open();
    let origin = echo(scene, way);
    let of = |target: &str, host: &str| {
        let mut client: Client = open(&world, way);
        let text = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        client.stream.write_all(text.as_bytes()).unwrap();
        told(&answer(&mut client, "GET"))
    };
    let scheme = if way == Way::Tls { "https" } else { "http" };
    assert_eq!(of("/a", "API.example.com:8080"), "200 GET /a");
    assert_eq!(
        of(&format!("{scheme}://{AUTHORITY}/b"), AUTHORITY),
        "200 GET /b"
    );
    for (target, host) in [
        ("/", "other.example"),
        ("/", "api.example.com"),
        ("/", "api.example.com:443"),
        ("/", "other.example:8080"),
        (&*format!("{scheme}://other.example:8080/"), AUTHORITY),
        (&*format!("{scheme}://{AUTHORITY}/"), "other.example"),
    ] {
        assert_eq!(
            of(target, host),
            "403 authority_mismatch",
            "{way:?} {target} {host}"
        );
    }
    let mut client = open(&world, way);
    client
        .stream
        .write_all(format!("CONNECT {AUTHORITY} HTTP/1.1\r\nHost: {AUTHORITY}\r\n\r\n").as_bytes())
        .unwrap();
    assert_eq!(
        told(&answer(&mut client, "GET")),
        "400 invalid_request_target"
    );
    assert_eq!(origin.requests().len(), 2);
}

/// LR-16, RW-11, L7-14, TR-015, H1-11
fn an_upgrade_is_refused_before_a_byte_is_sent(scene: &Scene, way: Way) {
    let world = setup(way, "access: full").open();
    let origin = echo(scene, way);
    for (protocol, expected) in [
        ("websocket", "403 upgrade_not_allowed"),
        ("h2c", "403 unsupported_protocol"),
        ("other", "403 upgrade_not_allowed"),
    ] {
        let mut client = open(&world, way);
        let fields = format!("Connection: Upgrade\r\nUpgrade: {protocol}\r\n");
        send(&mut client, way, "GET", "/ws", &fields);
        assert_eq!(told(&answer(&mut client, "GET")), expected, "{way:?}");
    }
    assert_eq!(origin.connections() * u64::from(way == Way::Forward), 0);
    assert_eq!(origin.requests().len(), 0);
    // One that is not meant is ignored and removed.
    let mut client = open(&world, way);
    send(&mut client, way, "GET", "/ws", "Upgrade: websocket\r\n");
    assert_eq!(told(&answer(&mut client, "GET")), "200 GET /ws");
    assert_eq!(origin.requests()[0].field("upgrade"), None);
}

/// CP-7, LR-8, LR-9: rules that ask for more than a path.
fn encoded_slashes_and_queries_are_judged_where_the_endpoint_says_so(scene: &Scene, way: Way) {
    let git = "enforcement: enforce, allow_encoded_slash: true, rules: [{allow: {method: GET, path: \"/**/info/refs*\", query: {service: git-upload-pack}}}]";
    let world = setup(way, git).open();
    let _origin = echo(scene, way);
    let refs = |query: &str| once(&world, way, "GET", &format!("/o/r.git/info/refs{query}"));
    let service = "?service=git-upload-pack";
    assert_eq!(
        refs(service),
        format!("200 GET /o/r.git/info/refs{service}")
    );
    assert_eq!(refs("?service=git-receive-pack"), NOT_ALLOWED);
    assert_eq!(refs(""), NOT_ALLOWED);
    assert_eq!(
        refs(&format!("{service}&service=git-receive-pack")),
        NOT_ALLOWED
    );
    assert_eq!(
        once(&world, way, "GET", &format!("/o%2fx/info/refs{service}")),
        format!("200 GET /o%2Fx/info/refs{service}")
    );
}

/// LR-10, L7-10
fn one_value_is_enough_for_a_deny_rule_with_a_query(scene: &Scene, way: Way) {
    let deny =
        "enforcement: enforce, access: full, deny_rules: [{query: {service: git-upload-pack}}]";
    let world = setup(way, deny).open();
    let origin = echo(scene, way);
    let asked = |query: &str| once(&world, way, "GET", &format!("/o{query}"));
    let denied = "403 policy_denied deny_rule";
    assert_eq!(asked("?service=git-upload-pack"), denied);
    assert_eq!(
        asked("?service=git-receive-pack&service=git-upload-pack"),
        denied
    );
    assert_eq!(asked(""), "200 GET /o");
    assert_eq!(
        asked("?service=git-receive-pack"),
        "200 GET /o?service=git-receive-pack"
    );
    assert_eq!(origin.requests().len(), 2, "{way:?}");
}

/// LR-5, LR-6, L7-12
fn presets_are_their_methods(scene: &Scene, way: Way) {
    let all = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];
    let preset = |access| setup(way, &format!("enforcement: enforce, access: {access}"));
    let world = preset("read-only").open();
    let origin = echo(scene, way);
    for (access, allowed) in [("read-only", 3), ("read-write", 6), ("full", all.len())] {
        world.put_policy(&preset(access));
        for (at, method) in all.into_iter().enumerate() {
            let answer = ask(&mut open(&world, way), way, method, "/y");
            let expected = if at < allowed { 200 } else { 403 };
            assert_eq!(answer.status(), expected, "{way:?} {access} {method}");
        }
    }
    let sent = origin.requests();
    let sent: Vec<_> = sent.iter().map(|request| request.method()).collect();
    assert_eq!(sent, [&all[..3], &all[..6], &all[..]].concat(), "{way:?}");
}

/// CP-1 to CP-7, L7-5, L7-6, TR-012: where every path is allowed, the server sees the spelling that was judged.
fn paths_are_sent_in_the_spelling_that_is_judged(scene: &Scene, way: Way) {
    let world = setup(way, "enforcement: enforce, access: full").open();
    let origin = echo(scene, way);
    let good = [
        ("/repos/../admin", "/admin"),
        ("/repos/%2e%2e/admin", "/admin"),
        ("/repos/%2E./admin", "/admin"),
        ("/repos//x", "/repos/x"),
        ("//repos/x", "/repos/x"),
        ("/%7euser/%41", "/~user/A"),
        ("/a%3ab", "/a%3Ab"),
        ("/a/./b/", "/a/b/"),
        ("/a/b/..", "/a/"),
        ("/a;x/b", "/a;x/b"),
        ("/%252e%252e/x", "/%252e%252e/x"),
        ("/x?p=../../y%2f", "/x?p=../../y%2f"),
    ];
    for (target, sent) in good {
        assert_eq!(
            once(&world, way, "GET", target),
            format!("200 GET {sent}"),
            "{way:?} {target}"
        );
    }
    let status = |target: &[u8]| {
        let mut head = request(way, "GET", "/@", "");
        let at = head.windows(2).position(|two| two == b"/@").unwrap();
        head.splice(at..at + 2, target.iter().copied());
        let mut client = open(&world, way);
        client.stream.write_all(&head).unwrap();
        answer(&mut client, "GET").status()
    };
    for target in [
        &b"/a/..;x/b"[..],
        b"/a/.;/b",
        b"/../x",
        b"/%2e%2e/x",
        b"/a/../../x",
        b"/a%2fb",
        b"/a%5cb",
        b"/a\\b",
        b"/a%00",
        b"/a%0a",
        b"/a%zz",
        b"/a%2",
        b"/a\xe9",
    ] {
        let text = target.escape_ascii();
        assert_eq!(status(target), 400, "{way:?} {text}");
    }
    assert_eq!(origin.requests().len(), good.len(), "{way:?}");
    // An authority of the absolute form is part of the target and of its length.
    let front = match way {
        Way::Forward => format!("http://{AUTHORITY}").len(),
        Way::Plain | Way::Tls => 0,
    };
    let long = |length: usize| format!("/{}", "a".repeat(length - front - 1)).into_bytes();
    assert_eq!(status(&long(8_192)), 200, "{way:?}");
    assert_eq!(status(&long(8_193)), 414, "{way:?}");
}

super::on_every_way! {a_refusal_names_rule_reason_and_policy_and_ends_the_connection, what_nobody_enforces_is_forwarded_and_recorded_as_audit, nothing_of_a_denied_request_in_a_pipeline_is_sent, a_new_policy_holds_from_the_next_request_of_a_connection, a_program_that_may_not_connect_learns_nothing_of_request_rules, an_upgrade_is_refused_before_a_byte_is_sent, encoded_slashes_and_queries_are_judged_where_the_endpoint_says_so, one_value_is_enough_for_a_deny_rule_with_a_query, presets_are_their_methods, paths_are_sent_in_the_spelling_that_is_judged; an_open_upstream_connection_must_be_reachable_under_the_newest_policy, a_request_that_names_another_authority_than_its_tunnel_is_refused}
