//! The corpora against inference.local: through a real fence, a real TLS session and a recording model server.
//!
//! Scores are those of the corpora's README: safe must be 100 %, strict at least 97 %. A row that misses is
//! named with what was seen.

mod event_streams;
mod rewrite;
mod smuggling;

use std::io::Write;

use harness::model;
use harness::origin::{After, Origin};
use harness::policy::text;
use harness::raw::Fence;
use harness::scene::Scene;
use harness::smuggling::{Score, report};
use serde_json::Value;

/// The route's model in the model_rewrite corpus.
const REWRITTEN: &str = "meta/llama-3.1-8b-instruct";

fn fence(scene: &Scene, origin: &Origin) -> Fence {
    let routes =
        model::routes(&model::endpoint("http", origin.address())).replace(model::MODEL, REWRITTEN);
    scene
        .run()
        .policy(&text("", ""))
        .routes(&routes)
        .flag("--quiet")
        .fence()
}

fn ok_server(address: &str) -> Origin {
    Origin::start(address, None, |_, wire| {
        wire.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\nok",
        )?;
        Ok(After::KeepOpen)
    })
}

fn name(row: &Value) -> String {
    row["name"].as_str().unwrap_or("?").to_owned()
}
