//! Rows CP-1 to CP-7.

use super::*;

fn canonical(path: &str) -> Result<String, PathError> {
    let read = CanonicalPath::parse(path.as_bytes())?;
    let again = CanonicalPath::parse(read.as_bytes()).unwrap();
    assert_eq!(
        again.as_bytes(),
        read.as_bytes(),
        "{path} is the same when read again"
    );
    Ok(String::from_utf8(read.as_bytes().to_vec()).unwrap())
}

/// CP-1, CP-2, CP-3, L7-5, TR-012
#[test]
fn every_spelling_of_a_path_is_judged_as_one() {
    for (path, expected) in [
        ("/", "/"),
        ("//", "/"),
        ("/.", "/"),
        ("/a/..", "/"),
        ("/repos/../admin", "/admin"),
        ("/repos/%2e%2e/admin", "/admin"),
        ("/repos/%2E./admin", "/admin"),
        ("/repos//x", "/repos/x"),
        ("//repos/x", "/repos/x"),
        ("/%7euser/%41", "/~user/A"),
        ("/a%3ab", "/a%3Ab"),
        ("/a/./b/", "/a/b/"),
        ("/a/b/..", "/a/"),
        ("/a/b/.", "/a/b/"),
        ("/a//../b", "/b"),
        ("/a/b/../../c", "/c"),
        ("/a;x/b", "/a;x/b"),
        ("/%252e%252e/x", "/%252e%252e/x"),
        ("/...", "/..."),
        ("/..a/.b;c/a..", "/..a/.b;c/a.."),
        ("/%c3%a9", "/%C3%A9"),
        ("/%3f%23%25", "/%3F%23%25"),
        ("/!$&'()*+,;=:@-._~", "/!$&'()*+,;=:@-._~"),
        ("/a%2fb", "/a%2Fb"),
    ] {
        assert_eq!(canonical(path).as_deref(), Ok(expected), "{path}");
    }
}

/// CP-4, CP-5, L7-5, TR-012
#[test]
fn a_path_that_servers_read_differently_is_refused() {
    for (path, error) in [
        ("/a/..;x/b", PathError::HiddenDots),
        ("/a/.;/b", PathError::HiddenDots),
        ("/a/%2e%2e;/b", PathError::HiddenDots),
        ("/a/..%2Fb", PathError::HiddenDots),
        ("/a%2f%2e%2e", PathError::HiddenDots),
        ("/a%2f.;x%2fb", PathError::HiddenDots),
        ("/a%2f/../b", PathError::HiddenDots),
        ("/a/%2Fb/%2e%2e", PathError::HiddenDots),
        ("/a%2fb/../../c", PathError::HiddenDots),
        ("/../x", PathError::AboveRoot),
        ("/%2e%2e/x", PathError::AboveRoot),
        ("/a/../../x", PathError::AboveRoot),
        ("/..", PathError::AboveRoot),
        ("/a%5cb", PathError::EscapedByte),
        ("/a%5Cb", PathError::EscapedByte),
        ("/a%00", PathError::EscapedByte),
        ("/a%0a", PathError::EscapedByte),
        ("/a%7F", PathError::EscapedByte),
        ("/a%zz", PathError::Escape),
        ("/a%2", PathError::Escape),
        ("/a%", PathError::Escape),
        ("/a%+1", PathError::Escape),
        ("/a%2/b", PathError::Escape),
        ("/a\\b", PathError::Byte),
        ("/a\u{e9}", PathError::Byte),
        ("/a b", PathError::Byte),
        ("/a\"", PathError::Byte),
        ("/a?b", PathError::Byte),
        ("/a#b", PathError::Byte),
        ("/a[b]", PathError::Byte),
        ("", PathError::Relative),
        ("*", PathError::Relative),
        ("a", PathError::Relative),
    ] {
        assert_eq!(canonical(path), Err(error), "{path}");
        assert_eq!(error.code().as_str(), "invalid_request_target");
    }
}

/// CP-7, L7-5
#[test]
fn an_escaped_slash_is_kept_and_told() {
    let slashes = |path: &str| CanonicalPath::parse(path.as_bytes()).unwrap().slashes();
    assert_eq!(slashes("/a%2Fb"), Slashes::Escaped);
    assert_eq!(slashes("/a%2f..b/b"), Slashes::Escaped);
    assert_eq!(slashes("/x/../a%2fb"), Slashes::Escaped);
    assert_eq!(slashes("/a/b%252f"), Slashes::Plain);
}
