//! Every text comes back from a JSON reader.

use super::*;

/// ERR-2, MS-8, TR-057
#[test]
fn any_text_is_one_string_on_one_line() {
    let all: String = (0..=0x2030_u32)
        .chain(0x1_F600..0x1_F610)
        .filter_map(char::from_u32)
        .collect();
    for text in [
        "",
        "a\"b\\",
        "\n\r\t\0\x1b\x7f",
        "data: x\n\ndata: y",
        all.as_str(),
    ] {
        let mut out = Vec::new();
        json_string(text, &mut out);
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        assert!(out.iter().all(|byte| *byte >= b' ' && *byte != 0x7F));
    }
}
