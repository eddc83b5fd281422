//! The model corpus: what is rewritten is right to the byte, and nothing else gets through.

use ringfence_wire::{ModelError, ModelField, ModelScanner, json_string};

use crate::case::{bytes, corpus, list, rows, splits, text};

const MODEL: &str = "meta/llama-3.1-8b-instruct";

fn scan(pieces: &[&[u8]]) -> Result<ModelField, ModelError> {
    let mut scanner = ModelScanner::new();
    pieces.iter().try_for_each(|piece| scanner.push(piece))?;
    scanner.finish()
}

/// INF-11 to INF-14, TR-062 to TR-064, SECURITY 32, 33
#[test]
fn no_body_leaves_with_another_model_and_every_rewrite_is_exact() {
    let mut literal = Vec::new();
    json_string(MODEL, &mut literal);
    let (mut cases, mut rewrites, mut exact) = (0, 0, 0);
    for row in rows(corpus!("model_rewrite.dev.jsonl")) {
        let name = text(&row, "name");
        let body = bytes(&row, "body").unwrap();
        let whole = scan(&[&body]);
        for pieces in splits(&body) {
            assert_eq!(
                scan(&pieces),
                whole,
                "{name}: the first piece of {}",
                pieces[0].len()
            );
        }
        let coded = row["headers"]
            .get("Content-Encoding")
            .is_some_and(|coding| coding != "identity");
        let also_ok = |class: &str| list(&row, "also_ok").iter().any(|other| other == class);
        cases += 1;
        rewrites += usize::from(row["expect"] == "rewrite");
        match whole {
            Ok(_) if coded => {} // 415 before the body is looked at.
            Ok(field) => {
                let spliced = field.splice(&body, &literal).unwrap().concat();
                match bytes(&row, "expected") {
                    Some(expected) => {
                        assert!(spliced == expected, "{name}: {}", spliced.escape_ascii());
                        exact += 1;
                    }
                    None => assert!(
                        row["expect"] == "error" && also_ok("rewrite"),
                        "{name} was accepted"
                    ),
                }
            }
            Err(error) => {
                assert_eq!(error.code().status(), 400);
                assert!(
                    row["expect"] == "error" || also_ok("error"),
                    "{name}: {error}"
                );
            }
        }
    }
    println!(
        "{cases} cases, {exact} of {rewrites} rewrites byte-exact, the others refused as INF-12 wants"
    );
    assert!(cases > 80 && exact * 100 >= rewrites * 90);
}
