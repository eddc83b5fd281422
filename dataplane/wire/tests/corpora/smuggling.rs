//! The smuggling corpus: class, number of complete requests, and that no split changes either.

use serde_json::Value;

use crate::{
    case::{bytes, corpus, list, number, rows, splits, text},
    conversation::{Surface, Verdict, read},
};

/// TR-007, TR-009, SECURITY 11, 12, 13, 15
#[test]
fn every_smuggling_case_has_its_class_at_every_split() {
    let (mut cases, mut strict, mut cuts) = (0, 0, 0);
    for row in rows(corpus!("smuggling.dev.jsonl")) {
        let name = text(&row, "name");
        let input = bytes(&row, "bytes").unwrap();
        let surface = match text(&row, "surface") {
            "forward" => Surface::Forward,
            "inference" => Surface::Inference,
            other => panic!("{other}"),
        };
        let whole = read(surface, &[&input]);
        for pieces in splits(&input) {
            cuts += 1;
            assert_eq!(
                read(surface, &pieces),
                whole,
                "{name}: {} pieces, the first of {}",
                pieces.len(),
                pieces[0].len()
            );
        }
        let complete = whole
            .iter()
            .filter(|verdict| matches!(verdict, Verdict::Accepted { .. }))
            .count();
        let tunnels = whole.iter().filter(|verdict| is_connect(verdict)).count();
        cases += 1;
        if answers_fit(&row, &whole) && complete - tunnels <= number(&row["upstream_requests"]) {
            strict += 1;
        } else {
            assert!(
                is_safe(&row, &whole),
                "{name}: {whole:?}, wanted {} {}",
                row["expect"],
                row["responses"]
            );
        }
    }
    println!("{cases} cases, {strict} in their exact class, {cuts} splits");
    assert!(cases > 350 && strict * 100 >= cases * 97);
}

fn is_connect(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Accepted { method, .. } if method == b"CONNECT")
}

/// Whether each answer has a permitted status. Interim answers are not the parser's.
fn answers_fit(row: &Value, verdicts: &[Verdict]) -> bool {
    let permitted: Vec<Value> = list(row, "responses")
        .into_iter()
        .filter(|list| list[0] != 100)
        .collect();
    let statuses = verdicts.iter().map(|verdict| match verdict {
        Verdict::Accepted { status, .. } | Verdict::Refused(status) => *status,
        Verdict::Unfinished => 0,
    });
    let answers: Vec<u16> = statuses.collect();
    let fits = |(index, permitted): (usize, &Value)| {
        let status = answers.get(index).copied().unwrap_or(0);
        permitted
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one == status)
    };
    permitted.iter().enumerate().all(fits)
        && answers
            .iter()
            .skip(permitted.len())
            .all(|status| *status == 0)
}

/// Whether what happened is among the other classes the row calls safe.
fn is_safe(row: &Value, verdicts: &[Verdict]) -> bool {
    let refused = verdicts
        .iter()
        .any(|verdict| matches!(verdict, Verdict::Refused(_) | Verdict::Unfinished));
    let class: &[&str] = if refused {
        &["reject_400"]
    } else {
        &["accept", "normalise"]
    };
    let of_class = |value: &Value| class.iter().any(|class| value == class);
    of_class(&row["expect"]) && !refused || list(row, "also_ok").iter().any(of_class)
}
