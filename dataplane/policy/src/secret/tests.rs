//! What a credential may be, and where it may show.

use wire::HeadWriter;

use super::{Secret, SecretError};

/// TR-085
#[test]
fn a_value_that_could_carry_a_header_is_refused() {
    for value in ["a\r\nX: y", "a\nb", "a\0b", "a\u{7f}b", "kéy"] {
        assert_eq!(
            Secret::new(value).err(),
            Some(SecretError::NotFieldValue),
            "{value:?}"
        );
    }
    for value in ["", "  ", "\t"] {
        assert_eq!(
            Secret::new(value).err(),
            Some(SecretError::Blank),
            "{value:?}"
        );
    }
}

/// TR-081
#[test]
fn the_credential_is_written_behind_its_prefix() {
    let mut head = HeadWriter::response(200, b"OK");
    Secret::new(" sk-test-1234567890 ")
        .unwrap()
        .expose_to(&mut head, b"authorization", b"Bearer ")
        .unwrap();
    let head = String::from_utf8(head.finish()).unwrap();
    assert!(
        head.contains("authorization: Bearer sk-test-1234567890\r\n"),
        "{head}"
    );
}

fn masked(body: &str) -> String {
    let mut body = body.as_bytes().to_vec();
    Secret::new("sk-abcdefghijkl").unwrap().masks(&mut body);
    String::from_utf8(body).unwrap()
}

/// IR-13, INF-28
#[test]
fn runs_of_eight_bytes_of_the_credential_are_masked_and_the_length_is_kept() {
    assert_eq!(
        masked("key sk-abcdefghijkl is wrong"),
        "key *************** is wrong"
    );
    assert_eq!(masked("key sk-abcde...ghijkl"), "key ********...ghijkl");
    assert_eq!(masked("key ...efghijkl"), "key ...********");
    assert_eq!(masked("sk-abcd efghijk"), "sk-abcd efghijk");
    assert_eq!(masked("sk-abcdesk-abcde"), "****************");
    assert_eq!(masked(""), "");
}

/// INF-28: a credential shorter than a run hides nothing, and nothing breaks.
#[test]
fn a_short_credential_masks_nothing() {
    let mut body = b"short short short".to_vec();
    Secret::new("short").unwrap().masks(&mut body);
    assert_eq!(body, b"short short short");
}
