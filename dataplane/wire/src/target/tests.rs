//! Rows URI-1 to URI-11 and CT-1 to CT-5.

use super::*;

fn parts(target: &str) -> (String, String, Option<String>) {
    let read = absolute(target.as_bytes()).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        read.authority.to_string(),
        text(read.path()),
        read.query().map(text),
    )
}

/// URI-1, URI-2, URI-4, URI-5, URI-6, FWD-2
#[test]
fn an_absolute_target_is_cut_into_authority_path_and_query() {
    for (target, authority, path, query) in [
        (
            "http://10.86.8.223:8000/screenshot/",
            "10.86.8.223:8000",
            "/screenshot/",
            None,
        ),
        ("http://example.com/path", "example.com:80", "/path", None),
        ("http://10.0.0.1:9090", "10.0.0.1:9090", "/", None),
        ("http://h:/", "h:80", "/", None),
        (
            "http://host:80/api?key=val&foo=bar",
            "host:80",
            "/api",
            Some("key=val&foo=bar"),
        ),
        ("http://h?x=1", "h:80", "/", Some("x=1")),
        (
            "http://h/?u=http://127.0.0.1/",
            "h:80",
            "/",
            Some("u=http://127.0.0.1/"),
        ),
        ("http://h/a?b?c", "h:80", "/a", Some("b?c")),
        ("http://[::1]:8080/test", "[::1]:8080", "/test", None),
        ("http://[fe80::1]/path", "[fe80::1]:80", "/path", None),
        ("HTTP://Example.COM/", "example.com:80", "/", None),
        (
            "http://inference.local/v1/models",
            "inference.local:80",
            "/v1/models",
            None,
        ),
        (
            "http://INFERENCE.LOCAL.:8080/",
            "inference.local:8080",
            "/",
            None,
        ),
    ] {
        let expected = (
            authority.to_owned(),
            path.to_owned(),
            query.map(str::to_owned),
        );
        assert_eq!(parts(target), expected, "{target}");
    }
}

/// URI-3
#[test]
fn an_https_target_is_read_so_that_it_can_be_named_in_the_refusal() {
    let read = absolute(b"https://api.example.com/v1/chat").unwrap();
    assert_eq!(
        (read.scheme, read.authority.port.number()),
        (Scheme::Https, 443)
    );
    assert_eq!(read.explicit_port, None);
    assert_eq!(read.origin_form().concat(), b"/v1/chat");
    assert_eq!(
        absolute(b"http://h?x=1").unwrap().origin_form().concat(),
        b"/?x=1"
    );
}

/// URI-7 to URI-10, TR-013
#[test]
fn a_target_that_names_no_clear_authority_is_invalid() {
    for target in [
        "",
        "example.com/path",
        "example.com:443",
        "/path",
        "*",
        "http:///path",
        "http:/h/",
        "http://:80/",
        "http://",
        "http:",
        "http://[::1/x",
        "http://h:99999/",
        "http://h:0/",
        "http://h:80a/",
        "http://u:p@h/",
        "http://h:80@127.0.0.1/",
        "http://h%40x/",
        "http://h#f",
        "http://h/#f",
        "http://h/?q#f",
        "http:\\h\\",
        "http://h\\x/",
        "http://127.1/",
        "http://0x7f.1/",
        "http://2130706433/",
        "http://127.0.0.1.:80/",
        "http://[::1%25eth0]/",
        "http://h /",
        "http://h/\t",
        "http://h/\u{e9}",
        "ht tp://h/",
        "1http://h/",
        "://h/",
        "http://h:80:80/",
        "http://*.h/",
        "mailto:x",
        "//h/p",
    ] {
        assert_eq!(
            absolute(target.as_bytes()).map(|read| read.authority),
            Err(TargetError::Invalid),
            "{target}"
        );
    }
}

/// URI-11
#[test]
fn another_scheme_is_told_apart_from_a_malformed_target() {
    for target in [
        "ftp://h/",
        "ws://h/",
        "unix:/x",
        "httpx://h/",
        "file:///etc/passwd",
        "coap+tcp://h/",
    ] {
        assert_eq!(
            absolute(target.as_bytes()).map(|read| read.scheme),
            Err(TargetError::UnsupportedScheme),
            "{target}"
        );
    }
    assert_eq!(
        TargetError::UnsupportedScheme.code().as_str(),
        "unsupported_scheme"
    );
}

/// CT-1, CT-9, CT-11
#[test]
fn a_connect_target_is_a_host_and_a_port() {
    for (target, expected) in [
        ("example.com:443", "example.com:443"),
        ("EXAMPLE.Com.:443", "example.com:443"),
        ("xn--bcher-kva.example:443", "xn--bcher-kva.example:443"),
        ("a_b.example:1", "a_b.example:1"),
        ("[2001:db8::1]:443", "[2001:db8::1]:443"),
        ("8.8.8.8:443", "8.8.8.8:443"),
        ("Inference.LOCAL.:443", "inference.local:443"),
    ] {
        assert_eq!(connect(target.as_bytes()).unwrap().to_string(), expected);
    }
    for (target, intercepted) in [
        ("inference.local:443", true),
        ("xinference.local:443", false),
        ("inference.local.example.com:443", false),
        ("x.inference.local:443", false),
    ] {
        assert_eq!(
            connect(target.as_bytes()).unwrap().host.is_inference(),
            intercepted,
            "{target}"
        );
    }
}

/// CT-2 to CT-5, TR-013
#[test]
fn a_connect_target_of_another_form_is_invalid() {
    for target in [
        "",
        "example.com",
        "example.com:",
        "example.com:0",
        "example.com:65536",
        "example.com:65979",
        "example.com:443.0",
        "example.com:+443",
        "example.com:443/",
        "u@h:443",
        "http://h:443",
        "h:443#x",
        "h%2e:443",
        "bücher.example:443",
        "a..b:443",
        ".a:443",
        "*.a:443",
        "a,b:443",
        "127.1:80",
        "017700000001:80",
        "0x7f.0.0.1:80",
        "1.2.3.256:80",
        "8.8.8.8.:80",
        "foo.09:80",
        "::1:80",
        "[::1",
        "[::1]",
        "[::1%eth0]:80",
        "[::ffff:127.1]:80",
        "[example.com]:443",
        "[::1]x:80",
        "/",
        "*",
        ":443",
        "h:443 ",
        " h:443",
    ] {
        assert_eq!(
            connect(target.as_bytes()),
            Err(TargetError::Invalid),
            "{target}"
        );
    }
    assert_eq!(
        TargetError::Invalid.code().as_str(),
        "invalid_request_target"
    );
}

/// FWD-7, L7-15
#[test]
fn a_host_field_leaves_out_the_port_of_its_scheme_and_no_other() {
    for (scheme, authority, field) in [
        (Scheme::Http, "h.test:80", "h.test"),
        (Scheme::Https, "h.test:443", "h.test"),
        (Scheme::Http, "h.test:443", "h.test:443"),
        (Scheme::Https, "h.test:8443", "h.test:8443"),
        (Scheme::Http, "[2001:db8::80]:80", "[2001:db8::80]"),
    ] {
        let authority = connect(authority.as_bytes()).unwrap();
        assert_eq!(scheme.host_field(&authority), field);
    }
}
