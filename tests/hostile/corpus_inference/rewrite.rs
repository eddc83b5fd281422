//! model_rewrite.dev: every body with Content-Length and chunked.

use std::io::Write;
use std::time::Duration;

use harness::corpus::{bytes, rows};
use harness::http::{Answer, Reader, chunk};
use harness::origin::Origin;
use harness::play_within;
use harness::raw::TlsRaw;
use harness::scene::PRIVATE;
use serde_json::Value;

use super::{Score, fence, name, ok_server, report};

fn post(reader: &mut Reader<TlsRaw>, row: &Value, body: &[u8], chunked: bool) -> Option<Answer> {
    let mut head = String::from("POST /v1/chat/completions HTTP/1.1\r\nHost: inference.local\r\n");
    match row["content_type"].as_str() {
        Some("") | None => {}
        Some(kind) => head.push_str(&format!("Content-Type: {kind}\r\n")),
    }
    for (name, value) in row["headers"].as_object().into_iter().flatten() {
        head.push_str(&format!(
            "{name}: {}\r\n",
            value.as_str().unwrap_or_default()
        ));
    }
    let mut wire = Vec::new();
    if chunked {
        head.push_str("Transfer-Encoding: chunked\r\n\r\n");
        // Chunks of a prime length, so that boundaries fall everywhere in the longer bodies.
        let length = if body.len() < 4096 { 7 } else { 65_521 };
        body.chunks(length)
            .for_each(|piece| wire.extend(chunk(piece)));
        wire.extend_from_slice(b"0\r\n\r\n");
    } else {
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        wire.extend_from_slice(body);
    }
    // Why dropped: a body may be refused before all of it is sent.
    drop(reader.stream.write_all(&[head.as_bytes(), &wire].concat()));
    reader.final_answer("POST")
}

/// SECURITY.md 32, 33, INF-11…14: exact bytes or a refusal, with Content-Length and chunked.
#[test]
fn only_the_model_value_changes_in_any_body() {
    play_within(Duration::from_secs(400), |scene| {
        let origin = ok_server(&format!("{PRIVATE}:8000"));
        let fence = fence(scene, &origin);
        let trust = fence.trust();
        let mut scores = Vec::new();
        for row in rows("model_rewrite.dev.jsonl") {
            let body = bytes(&row, "body_b64", "body_parts").expect("a body in the row");
            for chunked in [false, true] {
                origin.take();
                let mut reader = fence.inference(&trust, 65_536);
                reader.stream.sock.set_timeout(Duration::from_secs(20));
                let answer = post(&mut reader, &row, &body, chunked);
                let seen = format!(
                    "{:?} chunked {chunked}",
                    answer
                        .as_ref()
                        .map(|answer| (answer.message.status(), answer.message.text()))
                );
                scores.push((
                    name(&row),
                    judge_rewrite(&row, answer.as_ref(), &origin),
                    seen,
                ));
            }
        }
        report("model_rewrite", &scores, 98);
        drop(fence.end());
    });
}

fn judge_rewrite(row: &Value, answer: Option<&Answer>, origin: &Origin) -> Score {
    let also = |class: &str| {
        row["also_ok"]
            .as_array()
            .is_some_and(|classes| classes.iter().any(|known| known == class))
    };
    let Some(answer) = answer else {
        return Score::Unsafe("no answer".into());
    };
    let status = answer.message.status();
    let sent = origin.requests();
    if status != 200 {
        if !sent.is_empty() {
            return Score::Unsafe("refused, and yet sent".into());
        }
        let permitted = row["status"]
            .as_array()
            .is_some_and(|codes| codes.contains(&status.into()));
        return match row["expect"] == "error" {
            true if permitted => Score::Strict,
            true => Score::SafeOnly(format!("status {status}")),
            // Of the two answers the corpus permits for duplicates, INF-12 chooses the refusal.
            false if also("error") && answer.message.json()["error"] == "ambiguous_model" => {
                Score::Strict
            }
            false if also("error") => Score::SafeOnly(format!("refused with {status}")),
            false => Score::Unsafe(format!("valid body refused with {status}")),
        };
    }
    let expected = bytes(row, "expected_b64", "expected_parts");
    match (row["expect"] == "error", expected) {
        (true, _) if also("rewrite") || also("rewrite_all") => Score::SafeOnly("rewritten".into()),
        (true, _) => Score::Unsafe("accepted".into()),
        (false, Some(expected)) if sent.len() == 1 && sent[0].body == expected => Score::Strict,
        (false, _) => Score::Unsafe("other bytes upstream".into()),
    }
}
