//! Forms of printed data.

use serde_json::{Value, json};

use super::*;

/// What a reader of YAML makes of the text.
fn read(text: &str) -> Value {
    policy::custom::data_file(text, "printed")
        .unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

/// CLI-1
#[test]
fn json_and_yaml_hold_the_same_keys_and_values() {
    let awkward = [
        "",
        " ",
        "a b",
        "null",
        "True",
        "NO",
        "y",
        "on",
        "1",
        "-1",
        "1.5",
        "0x1f",
        "1e3",
        "e3b0c4",
        ".inf",
        "~",
        "- a",
        "a: b",
        "a:",
        "#",
        "a #b",
        "'",
        "\"",
        "\\",
        "{",
        "[",
        "*a",
        "&a",
        "!a",
        "%a",
        "@a",
        "`a",
        "|",
        ">",
        "?",
        "2026-01-01",
        "12:30:00",
        "<<",
        "=",
        "---",
        "...",
        "é",
        "line\nline\n",
        "\ttab",
        "\u{1b}[2J",
        "\u{7f}",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "<redacted>",
    ];
    let by_key: serde_json::Map<_, _> = awkward
        .iter()
        .map(|&text| (text.to_owned(), json!(text)))
        .collect();
    let value = json!({
        "texts": awkward.as_slice(),
        "keys": by_key,
        "nested": [[1, [2, []]], [{"a": {"b": [{}, {"c": null}]}, "d": true}], {}],
        "numbers": [0, -7, u64::MAX, 1.5],
        "none": null,
        "empty": {"list": [], "map": {}, "text": ""},
    });
    let yaml = Encoding::Yaml.text(&value);
    // A number that the reader's signed 64 bits cannot hold comes back as it can hold it.
    let as_read = |mut value: Value| {
        value["numbers"][2] = json!(u64::MAX as f64);
        value
    };
    assert_eq!(read(&yaml), as_read(value.clone()), "{yaml}");
    let json: Value = serde_json::from_str(&Encoding::Json.text(&value)).unwrap();
    assert_eq!(json, value);
}

#[test]
fn yaml_is_in_blocks_and_plain_where_it_can_be() {
    let value = json!({"providers": [{"name": "a-b", "type": "openai", "keys": ["K"]}, {"name": "1"}], "count": 2});
    let expected = "count: 2\nproviders:\n  - keys:\n      - K\n    name: a-b\n    type: openai\n  - name: \"1\"";
    assert_eq!(Encoding::Yaml.text(&value), expected);
    assert_eq!(Encoding::Yaml.text(&json!({})), "{}");
    let long = "k".repeat(2_000);
    assert_eq!(
        read(&Encoding::Yaml.text(&json!({ &long: 1 }))),
        json!({ &long: 1 })
    );
}

#[test]
fn columns_are_aligned_and_no_cell_moves_the_cursor() {
    let rows = [["a", "", "x\u{1b}[2J"], ["längere", "b", "c"]];
    let rows = rows.map(|row| row.map(str::to_owned).to_vec());
    let expected = "N        M  O\na        -  x\u{fffd}[2J\nlängere  b  c";
    assert_eq!(table(&["N", "M", "O"], rows), expected);
}

#[test]
fn a_fact_that_is_not_known_takes_no_line() {
    let (none, list, map) = (Value::Null, json!(["a", "b"]), json!({"K": "v"}));
    let all = [
        ("x", &none),
        ("list", &list),
        ("map", &map),
        ("y", &json!([])),
    ]
    .map(|(k, v)| (k, v.clone()));
    let text = facts(all.iter().map(|(key, value)| (*key, value)));
    assert_eq!(text, "list: a, b\nmap: K=v");
}

#[test]
fn only_a_yes_is_a_yes() {
    for (answer, yes) in [
        ("y\n", true),
        (" YES \n", true),
        ("\n", false),
        ("", false),
        ("yeah", false),
        ("n", false),
    ] {
        assert_eq!(terminal::is_yes(answer), yes, "{answer:?}");
    }
}

#[test]
fn a_time_that_was_never_is_none_and_no_time_panics() {
    assert_eq!(time(0), None);
    assert_eq!(time(-1), None);
    assert_eq!(
        time(1_767_225_600_000).as_deref(),
        Some("2026-01-01T00:00:00.000Z")
    );
    assert!(time(i64::MAX).is_some());
}
