//! Rows MS-1 to MS-11, each at every split position, and the reader compared with another one.

use super::{string::plain_run, *};
use crate::json_string;

/// The new body or the code, the same at once, byte by byte and cut at every position.
fn rewrite(body: &[u8], model: &str) -> Result<Vec<u8>, &'static str> {
    let whole = scan(&[body]);
    let single: Vec<&[u8]> = body.chunks(1).collect();
    assert_eq!(
        scan(&single),
        whole,
        "byte by byte: {}",
        body.escape_ascii()
    );
    if body.len() < 4_096 {
        for cut in 0..body.len() {
            let (first, second) = body.split_at(cut);
            assert_eq!(
                scan(&[first, second]),
                whole,
                "cut at {cut}: {}",
                body.escape_ascii()
            );
        }
    }
    let field = whole.map_err(|error| error.code().as_str())?;
    let mut literal = Vec::new();
    json_string(model, &mut literal);
    Ok(field.splice(body, &literal).unwrap().concat())
}

fn scan(pieces: &[&[u8]]) -> Result<ModelField, ModelError> {
    let mut scanner = ModelScanner::new();
    for piece in pieces {
        scanner.push(piece)?;
    }
    scanner.finish()
}

fn pinned(body: &str) -> String {
    String::from_utf8(rewrite(body.as_bytes(), "M").unwrap_or_else(|code| panic!("{code}: {body}")))
        .unwrap()
}

/// MS-1, MS-2, MS-3, MS-4, MS-11, INF-11, INF-13, TR-062
#[test]
fn only_the_value_of_the_top_level_model_changes() {
    for (body, expected) in [
        (
            r#"{"z":1,"model":"x","a":1E+2}"#,
            r#"{"z":1,"model":"M","a":1E+2}"#,
        ),
        (r#"{ "model" : null }"#, r#"{ "model" : "M" }"#),
        (r#"{"model":{"model":"y"}}"#, r#"{"model":"M"}"#),
        (
            r#"{"model":[[{"model":"]"}]] ,"a":2}"#,
            r#"{"model":"M" ,"a":2}"#,
        ),
        (r#"{"model":-1.5e3,"x":1}"#, r#"{"model":"M","x":1}"#),
        (r#"{"model":0}"#, r#"{"model":"M"}"#),
        (r#"{"model":true}"#, r#"{"model":"M"}"#),
        (r#"{"stream":true}"#, r#"{"model":"M","stream":true}"#),
        ("{}", r#"{"model":"M"}"#),
        ("{ }", r#"{"model":"M" }"#),
        (" {\n} ", " {\"model\":\"M\"\n} "),
        (r#"{"mod\u0065l":"x"}"#, r#"{"mod\u0065l":"M"}"#),
        (r#"{"\u006D\u006Fdel":"x"}"#, r#"{"\u006D\u006Fdel":"M"}"#),
        (
            r#"{"a":{"model":"k"},"b":"\"model\":\"k\"","model":"x"}"#,
            r#"{"a":{"model":"k"},"b":"\"model\":\"k\"","model":"M"}"#,
        ),
        (
            r#"{"a":[{"model":"k"},["model","k"]],"model":"x"}"#,
            r#"{"a":[{"model":"k"},["model","k"]],"model":"M"}"#,
        ),
        (
            r#"{"a":1,"a":2,"n":18446744073709551616,"e":1e400,"model":"x"}"#,
            r#"{"a":1,"a":2,"n":18446744073709551616,"e":1e400,"model":"M"}"#,
        ),
        (
            r#"{"models":1,"mode":2,"model\u0000":3,"":4,"mod\/el":5}"#,
            r#"{"model":"M","models":1,"mode":2,"model\u0000":3,"":4,"mod\/el":5}"#,
        ),
        (
            r#"{"x":"\ud800","model":"\ud800"}"#,
            r#"{"x":"\ud800","model":"M"}"#,
        ),
        (
            "{\"x\":\"é😀\u{2028}\u{7f}\",\"model\":\"模\"}",
            "{\"x\":\"é😀\u{2028}\u{7f}\",\"model\":\"M\"}",
        ),
        (
            "\t\r\n {\r\n \"model\"\t:\"a\"\r\n}\r\n",
            "\t\r\n {\r\n \"model\"\t:\"M\"\r\n}\r\n",
        ),
    ] {
        assert_eq!(pinned(body), expected);
    }
}

/// MS-5, INF-12, TR-063
#[test]
fn a_second_model_in_any_spelling_is_ambiguous() {
    for body in [
        r#"{"model":"a","model":"b"}"#,
        r#"{"model":"a","\u006dodel":"b"}"#,
        r#"{"model":{"model":1},"model":2}"#,
        r#"{"Model":"x"}"#,
        r#"{"MODEL":"x","model":"a"}"#,
        r#"{"model":"a","x":1,"mODEL":"b"}"#,
        r#"{"mod\u0045l":"x"}"#,
    ] {
        assert_eq!(
            rewrite(body.as_bytes(), "M"),
            Err("ambiguous_model"),
            "{body}"
        );
    }
}

/// MS-6, INF-14, TR-063
#[test]
fn anything_but_one_json_object_in_utf_8_is_refused() {
    let bodies: &[&[u8]] = &[
        b"",
        b" ",
        b"null",
        b"\"x\"",
        b"[{}]",
        b"1",
        b"{\"model\":\"x\"",
        b"{\"model\":\"x\"}}",
        b"{}{}",
        b"{}\n{}",
        b"{a:1}",
        b"{\"a\":1,}",
        b"{\"a\":[1,]}",
        b"{,}",
        b"{\"a\":01}",
        b"{\"a\":NaN}",
        b"{\"a\":-Infinity}",
        b"{\"a\":\"\xFF\"}",
        b"{\"a\":\"\xC0\xAF\"}",
        b"{\"a\":\"\xED\xA0\x80\"}",
        b"{\"a\":\"\xE2\x82\"}",
        b"{\"a\xFF\":1}",
        b"{\xFF}",
        b"{\"a\":1}\xE2",
        b"{\0\"\0}\0",
        b"\xFF\xFE{}",
        b"\xEF\xBB\xBF{}",
        b"{\"a\":\"\n\"}",
        b"{\"a\":\"\0\"}",
        b"{\"a\":\"\x1f\"}",
        b"{\"a\":\"\\x\"}",
        b"{\"a\":\"\\u12g4\"}",
        b"{\"a\":\"\\'\"}",
        b"{\"a\":1.}",
        b"{\"a\":.5}",
        b"{\"a\":-}",
        b"{\"a\":+1}",
        b"{\"a\":1e}",
        b"{\"a\":1e+}",
        b"{\"a\":0x1}",
        b"{\"a\":tru}",
        b"{\"a\":truee}",
        b"{\"a\":True}",
        b"{\"a\" 1}",
        b"{\"a\":1 \"b\":2}",
        b"{\"a\":[1}}",
        b"{\"a\":1]",
        b"{\"a\"}",
        b"{\"a\":}",
        b"{1:2}",
        b"{'a':1}",
        b"{\"a\":1}//",
        b"\x0b{}",
        b"{\"a\":1\xC2\xA0}",
        b"{\"a\":]}",
        b"{\"a\":[}",
        b"{\"a\":1:2}",
    ];
    for body in bodies {
        assert_eq!(
            rewrite(body, "M"),
            Err("invalid_json_body"),
            "{}",
            body.escape_ascii()
        );
    }
}

/// MS-7, INF-14, TR-064
#[test]
fn nesting_ends_at_512_levels() {
    for (levels, good) in [
        (200, true),
        (511, true),
        (512, false),
        (100_000, false),
        (1_000_000, false),
    ] {
        let arrays = [
            b"{\"a\":".to_vec(),
            vec![b'['; levels],
            vec![b']'; levels],
            b",\"model\":1}".to_vec(),
        ]
        .concat();
        assert_eq!(
            scan(&[&arrays]).is_ok(),
            good,
            "{levels} arrays in an object"
        );
        let objects = [b"{\"a\":".repeat(levels), b"1".to_vec(), vec![b'}'; levels]].concat();
        assert_eq!(
            scan(&[&objects]).is_ok(),
            good || levels == 512,
            "{levels} objects"
        );
    }
}

/// MS-8
#[test]
fn the_model_is_written_with_json_escapes() {
    let body = rewrite(b"{}", "a\"b\\").unwrap();
    assert_eq!(body, br#"{"model":"a\"b\\"}"#);
}

/// MS-10, TR-064
#[test]
fn eight_mebibytes_before_the_model_are_one_pass() {
    let body =
        |len: usize| format!("{{\"x\":\"{}\",\"model\":\"x\"}}", "a".repeat(len)).into_bytes();
    let large = body(8 << 20);
    let reads: Vec<&[u8]> = large.chunks(65_536).collect();
    assert_eq!(scan(&reads).unwrap().asked(), Some("x"));
    assert_eq!(scan(&reads), scan(&[&large]));
    let small = body(256 << 10);
    let single: Vec<&[u8]> = small.chunks(1).collect();
    assert_eq!(scan(&single), scan(&[&small]), "one byte a write");
}

/// INF-16, IR-12
#[test]
fn the_model_asked_for_is_decoded() {
    let long = |len: usize| format!("{{\"model\":\"{}\"}}", "a".repeat(len));
    for (body, asked) in [
        (r#"{"model":"gpt-4.1"}"#, Some("gpt-4.1")),
        (r#"{"model":""}"#, Some("")),
        (
            r#"{"model":"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é"}"#,
            Some("a\"\\/\u{8}\u{c}\n\r\té😀é"),
        ),
        (r#"{"model":"\ud83d"}"#, None),
        (r#"{"model":"\ud83d\u0041"}"#, None),
        (r#"{"model":"\ude00\ud83d"}"#, None),
        (r#"{"model":7}"#, None),
        (r#"{"model":{"a":"b"}}"#, None),
        ("{}", None),
    ] {
        assert_eq!(scan(&[body.as_bytes()]).unwrap().asked(), asked, "{body}");
    }
    assert!(scan(&[long(1_024).as_bytes()]).unwrap().asked().is_some());
    assert!(scan(&[long(1_025).as_bytes()]).unwrap().asked().is_none());
    assert!(scan(&[long(100_000).as_bytes()]).unwrap().asked().is_none());
}

/// INF-14
#[test]
fn what_comes_first_in_the_body_is_what_is_reported() {
    assert_eq!(
        rewrite(b"{\"model\":1,\"model\":2,\"\xFF\":3}", "M"),
        Err("ambiguous_model")
    );
    assert_eq!(
        rewrite(b"{\"model\":1,\"\xFF\":3,\"model\":2}", "M"),
        Err("invalid_json_body")
    );
    let mut scanner = ModelScanner::new();
    assert_eq!(scanner.push(b"["), Err(ModelError::NotAnObject));
    assert_eq!(scanner.push(b"{}"), Err(ModelError::NotAnObject));
    assert_eq!(scanner.finish(), Err(ModelError::NotAnObject));
}

/// INF-14
#[test]
fn half_a_character_outside_a_string_is_the_same_fault_at_every_split() {
    for body in [
        b"\xED\"x\"".as_slice(),
        b"{\xE2\x82",
        b"{\"a\":\xF0\x9F\"",
        b"{\"a\":\"\xED\x01",
    ] {
        let single: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(scan(&[body]), scan(&single), "{}", body.escape_ascii());
    }
}

/// TR-063
#[test]
fn a_run_ends_at_the_first_quote_backslash_or_control_byte() {
    for len in 0..40 {
        let text = "é".repeat(len);
        assert_eq!(plain_run(text.as_bytes()), 2 * len);
        for stop in 0..=255_u8 {
            let bytes = [text.as_bytes(), &[stop], b"\"\\\0\x1f!#[] "].concat();
            let stops = matches!(stop, b'"' | b'\\' | 0..0x20);
            assert_eq!(
                plain_run(&bytes),
                2 * len + usize::from(!stops),
                "{stop:#x} after {len}"
            );
        }
    }
}

/// TR-063: every body of few bytes, where the other reader knows duplicates and letter case no better than last wins.
#[test]
fn another_reader_accepts_the_same_short_bodies() {
    let alphabet: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"model\"",
        "1",
        "0",
        "-",
        ".5",
        "e1",
        " ",
        "null",
        "\"\\n\"",
    ];
    for number in 0..alphabet.len().pow(4) {
        let mut rest = number;
        let mut body = String::from("{");
        for _ in 0..4 {
            body.push_str(alphabet[rest % alphabet.len()]);
            rest /= alphabet.len();
        }
        let ours = scan(&[body.as_bytes()]);
        let theirs = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&body);
        assert!(
            ours == Err(ModelError::Ambiguous) || ours.is_ok() == theirs.is_ok(),
            "{body}: {ours:?} {theirs:?}"
        );
    }
}
