//! Package registries of one package each: a simple index for pip, an npm registry, a sparse index for cargo.
//!
//! Static files behind the recording server, in the least form that the unmodified tools take. The package is called
//! `demo-pkg` everywhere and says [`WORD`]; archives are packed when a test asks for them, by programs every machine has.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::ServerConfig;

use crate::origin::{After, Origin};

/// What the package says when it is used.
pub const WORD: &str = "a word from the package";

/// Path → type and content.
type Files = HashMap<String, (&'static str, Vec<u8>)>;

/// Serves a simple index (PEP 503) with one wheel.
///
/// # Panics
/// When the archive cannot be packed or the address not be bound, here and below.
pub fn pip(address: &str, tls: Option<Arc<ServerConfig>>, work: &Path) -> Origin {
    const WHEEL: &str = "demo_pkg-1.0-py3-none-any.whl";
    let root = work.join("pip");
    write(
        &root,
        "demo_pkg/__init__.py",
        &format!("WORD = \"{WORD}\"\n"),
    );
    let info = "demo_pkg-1.0.dist-info";
    write(
        &root,
        &format!("{info}/METADATA"),
        "Metadata-Version: 2.1\nName: demo-pkg\nVersion: 1.0\n",
    );
    let wheel = "Wheel-Version: 1.0\nGenerator: scene\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    write(&root, &format!("{info}/WHEEL"), wheel);
    write(&root, &format!("{info}/RECORD"), "demo_pkg/__init__.py,,\n");
    run(
        &root,
        "python3",
        &["-m", "zipfile", "-c", WHEEL, "demo_pkg", info],
    );
    let page =
        format!("<!DOCTYPE html><title>demo-pkg</title><a href=\"/files/{WHEEL}\">{WHEEL}</a>");
    let files = Files::from([
        (
            "/simple/demo-pkg/".to_owned(),
            ("text/html", page.into_bytes()),
        ),
        (
            format!("/files/{WHEEL}"),
            ("application/octet-stream", read(&root, WHEEL)),
        ),
    ]);
    serve(address, tls, files)
}

/// Serves an npm registry; `base` is how clients call it.
pub fn npm(address: &str, tls: Option<Arc<ServerConfig>>, work: &Path, base: &str) -> Origin {
    let root = work.join("npm");
    let manifest = "{\"name\": \"demo-pkg\", \"version\": \"1.0.0\", \"main\": \"index.js\"}\n";
    write(&root, "package/package.json", manifest);
    write(
        &root,
        "package/index.js",
        &format!("module.exports = \"{WORD}\";\n"),
    );
    run(&root, "tar", &["czf", "demo-pkg-1.0.0.tgz", "package"]);
    let tarball = format!("{base}/demo-pkg/-/demo-pkg-1.0.0.tgz");
    let document = serde_json::json!({
        "name": "demo-pkg",
        "dist-tags": {"latest": "1.0.0"},
        "versions": {"1.0.0": {
            "name": "demo-pkg", "version": "1.0.0", "main": "index.js", "dist": {"tarball": tarball},
        }},
    });
    let files = Files::from([
        (
            "/demo-pkg".to_owned(),
            ("application/json", document.to_string().into_bytes()),
        ),
        (
            "/demo-pkg/-/demo-pkg-1.0.0.tgz".to_owned(),
            (
                "application/octet-stream",
                read(&root, "demo-pkg-1.0.0.tgz"),
            ),
        ),
    ]);
    serve(address, tls, files)
}

/// Serves a sparse index below `/index/` with one crate; `base` is how clients call the server.
pub fn cargo(address: &str, tls: Option<Arc<ServerConfig>>, work: &Path, base: &str) -> Origin {
    let root = work.join("cargo");
    let manifest = "[package]\nname = \"demo-pkg\"\nversion = \"1.0.0\"\nedition = \"2021\"\n";
    write(&root, "demo-pkg-1.0.0/Cargo.toml", manifest);
    write(
        &root,
        "demo-pkg-1.0.0/src/lib.rs",
        &format!("pub const WORD: &str = \"{WORD}\";\n"),
    );
    run(
        &root,
        "tar",
        &["czf", "demo-pkg-1.0.0.crate", "demo-pkg-1.0.0"],
    );
    let sum = run(&root, "sha256sum", &["demo-pkg-1.0.0.crate"]);
    let sum = sum.split(' ').next().unwrap_or_default();
    let config = serde_json::json!({"dl": format!("{base}/crates/{{crate}}/{{version}}/download")});
    let entry = serde_json::json!({
        "name": "demo-pkg", "vers": "1.0.0", "deps": [], "cksum": sum, "features": {}, "yanked": false,
    });
    let files = Files::from([
        (
            "/index/config.json".to_owned(),
            ("application/json", config.to_string().into_bytes()),
        ),
        (
            "/index/de/mo/demo-pkg".to_owned(),
            ("text/plain", format!("{entry}\n").into_bytes()),
        ),
        (
            "/crates/demo-pkg/1.0.0/download".to_owned(),
            (
                "application/octet-stream",
                read(&root, "demo-pkg-1.0.0.crate"),
            ),
        ),
    ]);
    serve(address, tls, files)
}

fn serve(address: &str, tls: Option<Arc<ServerConfig>>, files: Files) -> Origin {
    Origin::start(address, tls, move |request, wire| {
        let target = request.target();
        let path = target.split('?').next().unwrap_or_default();
        let (status, kind, content) = match files.get(path) {
            Some((kind, content)) => ("200 OK", *kind, content.as_slice()),
            None => ("404 Not Found", "text/plain", &b"no such file\n"[..]),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            content.len()
        );
        wire.write_all(head.as_bytes())?;
        if request.method() != "HEAD" {
            wire.write_all(content)?;
        }
        Ok(After::KeepOpen)
    })
}

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().expect("a path below the root")).expect("a directory");
    fs::write(path, text).expect("a file of the package");
}

fn read(root: &Path, name: &str) -> Vec<u8> {
    fs::read(root.join(name)).expect("the packed archive")
}

fn run(root: &Path, program: &str, words: &[&str]) -> String {
    let output = Command::new(program)
        .args(words)
        .current_dir(root)
        .output()
        .unwrap_or_else(|error| unreachable!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
