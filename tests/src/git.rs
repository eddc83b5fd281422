//! A git server: `git http-backend` behind the recording HTTP server.
//!
//! The smart protocol over TLS is the heaviest real conversation a sandbox has at start: two requests, a
//! compressed body, and an answer whose length nobody knows in advance.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use rustls::ServerConfig;

use crate::http::{Message, chunk, find};
use crate::origin::{After, Origin, Wire};

/// Makes a repository `NAME.git` below `root` with one commit that holds `file`.
///
/// # Panics
/// When git fails.
pub fn repository(root: &Path, name: &str, file: &str, text: &[u8]) {
    let work = root.join("seed");
    let git = |dir: &Path, args: &[&str]| {
        let status = Command::new("git")
            .args([
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@git.test",
                "-c",
                "init.defaultBranch=main",
            ])
            .args(args)
            .current_dir(dir)
            .env("HOME", root)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdout(Stdio::null())
            .status()
            .expect("git starts");
        assert!(status.success(), "git {args:?} failed");
    };
    std::fs::create_dir_all(&work).expect("a directory for the repository");
    git(&work, &["init", "-q"]);
    std::fs::write(work.join(file), text).expect("a file in the repository");
    git(&work, &["add", file]);
    git(&work, &["commit", "-q", "-m", "one"]);
    git(
        root,
        &["clone", "-q", "--bare", "seed", &format!("{name}.git")],
    );
}

/// Serves the repositories below `root`.
pub fn start(address: &str, tls: Option<Arc<ServerConfig>>, root: &Path) -> Origin {
    let root = root.to_path_buf();
    Origin::start(address, tls, move |request, wire| {
        answer(&root, request, wire)
    })
}

fn answer(root: &Path, request: &Message, wire: &mut Wire) -> io::Result<After> {
    let target = request.target();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut command = Command::new(backend());
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", root)
        .env("GIT_CONFIG_COUNT", "2")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        // Whoever gets here may push: what a sandbox may do is not the server's to say.
        .env("GIT_CONFIG_KEY_1", "http.receivepack")
        .env("GIT_CONFIG_VALUE_1", "true")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", request.method())
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    for (field, variable) in [
        ("content-type", "CONTENT_TYPE"),
        ("content-encoding", "HTTP_CONTENT_ENCODING"),
        ("git-protocol", "GIT_PROTOCOL"),
    ] {
        if let Some(value) = request.field(field) {
            command.env(variable, value);
        }
    }
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let body = request.body.clone();
    let feeding = thread::spawn(move || stdin.write_all(&body));
    let mut out = Vec::new();
    child
        .stdout
        .take()
        .expect("stdout is piped")
        .read_to_end(&mut out)?;
    child.wait()?;
    // Why dropped: a backend may answer without reading its input.
    drop(feeding.join());
    relay(&out, wire)
}

/// CGI output → a chunked answer in pieces of 8 KiB.
fn relay(out: &[u8], wire: &mut Wire) -> io::Result<After> {
    let split = find(out, b"\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let fields = String::from_utf8_lossy(&out[..split]).into_owned();
    let status = fields
        .split("\r\n")
        .find_map(|line| line.strip_prefix("Status: "))
        .unwrap_or("200 OK");
    let mut head = format!("HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n");
    for line in fields
        .split("\r\n")
        .filter(|line| !line.starts_with("Status: "))
    {
        head.push_str(line);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    wire.write_all(head.as_bytes())?;
    for piece in out[split + 4..].chunks(8192) {
        wire.write_all(&chunk(piece))?;
    }
    wire.write_all(b"0\r\n\r\n")?;
    Ok(After::KeepOpen)
}

fn backend() -> PathBuf {
    let answer = Command::new("git")
        .arg("--exec-path")
        .output()
        .expect("git starts");
    PathBuf::from(String::from_utf8_lossy(&answer.stdout).trim()).join("git-http-backend")
}
