//! The scenes themselves, without ringfence: what a test relies on is here before the product is.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use harness::clients::{Client, program};
use harness::http::{End, Reader};
use harness::origin::{After, Origin};
use harness::scene::{PRIVATE, PUBLIC};
use harness::{clients, dns, git, model, play};

fn run(program: &str, args: &[&str]) -> std::process::Output {
    let output = Command::new(program)
        .args(args)
        .env_remove("https_proxy")
        .env_remove("HTTPS_PROXY")
        .output()
        .expect("the program starts");
    assert!(
        output.status.success(),
        "{program} {args:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

#[test]
fn a_scene_has_addresses_and_names_of_its_own() {
    play(|_| {
        for address in [PRIVATE, PUBLIC, "10.99.0.77", "127.0.0.1"] {
            let listener = TcpListener::bind((address, 8443)).unwrap();
            TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        }
        let hosts = std::fs::read_to_string("/etc/hosts").unwrap();
        assert!(hosts.contains("10.99.0.1 api.test"), "{hosts}");
        let routes = std::fs::read_to_string("/proc/net/route").unwrap();
        assert_eq!(
            routes.lines().count(),
            1,
            "a scene has no route out: {routes}"
        );
        TcpStream::connect_timeout(&"9.9.9.9:443".parse().unwrap(), Duration::from_secs(2))
            .unwrap_err();
    });
}

#[test]
fn a_scene_leaves_no_trace_on_the_machine() {
    let before = std::fs::read_to_string("/etc/hosts").unwrap();
    play(|_| {
        assert!(
            std::fs::read_to_string("/etc/hosts")
                .unwrap()
                .contains("api.test")
        )
    });
    if std::env::var_os("RINGFENCE_SCENE").is_none() {
        assert_eq!(std::fs::read_to_string("/etc/hosts").unwrap(), before);
        assert!(!std::path::Path::new("/mnt/work").exists());
    }
}

#[test]
fn curl_and_wget_trust_the_scenes_servers() {
    if !clients::present(&[Client::Program("curl"), Client::Program("wget")]) {
        return;
    }
    play(|scene| {
        let tls = scene.authority().server(&["api.test"]);
        let api = Origin::greeting(&format!("{PRIVATE}:443"), Some(tls), "hello from api\n");
        Origin::greeting(&format!("{PRIVATE}:80"), None, "plain\n");
        assert_eq!(
            run("curl", &["-sS", "https://api.test/a?b=c"]).stdout,
            b"hello from api\n"
        );
        assert_eq!(
            run("wget", &["-qO-", "https://api.test/w"]).stdout,
            b"hello from api\n"
        );
        assert_eq!(
            run("curl", &["-sS", "http://api.test/p"]).stdout,
            b"plain\n"
        );
        let seen = api.requests();
        assert!(
            seen[0]
                .head
                .starts_with(b"GET /a?b=c HTTP/1.1\r\nHost: api.test\r\n"),
            "{:?}",
            seen[0]
        );
        assert_eq!(seen[1].target(), "/w");
    });
}

#[test]
fn git_clones_from_the_scene_over_https() {
    if !clients::present(&[Client::Program("git")]) {
        return;
    }
    play(|scene| {
        let root = scene.private().join("git");
        std::fs::create_dir(&root).unwrap();
        git::repository(&root, "seed", "file.txt", &[b'x'; 100_000]);
        git::start(
            &format!("{PRIVATE}:443"),
            Some(scene.authority().server(&["git.test"])),
            &root,
        );
        let clone = scene.work().join("clone");
        run(
            "git",
            &[
                "clone",
                "-q",
                "https://git.test/seed.git",
                clone.to_str().unwrap(),
            ],
        );
        assert_eq!(
            std::fs::read(clone.join("file.txt")).unwrap().len(),
            100_000
        );
    });
}

#[test]
fn the_model_server_streams_only_as_fast_as_its_client_looks() {
    play(|scene| {
        let server = model::start(&format!("{PRIVATE}:8000"), None);
        let mut tcp = TcpStream::connect(server.address()).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"do:gate=seen do:events=2"}]}"#;
        write!(
            tcp,
            "POST /v1/chat/completions HTTP/1.1\r\nHost: m\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut reader = Reader::new(tcp);
        reader.head().unwrap();
        assert!(
            String::from_utf8(reader.chunk().unwrap())
                .unwrap()
                .contains("piece-0")
        );
        reader
            .stream
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        assert_eq!(reader.chunk(), Err(End::Silent));
        std::fs::write(scene.work().join("seen"), "").unwrap();
        reader
            .stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        assert!(
            String::from_utf8(reader.chunk().unwrap())
                .unwrap()
                .contains("piece-1")
        );
    });
}

#[test]
fn the_name_server_remembers_what_it_was_asked() {
    play(|_| {
        let server = dns::NameServer::start();
        let socket = std::net::UdpSocket::bind("10.99.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let query =
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04Nope\x04test\x00\x00\x01\x00\x01";
        socket.send_to(query, "10.99.0.53:53").unwrap();
        let mut buf = [0; 512];
        let read = socket.recv(&mut buf).unwrap();
        assert_eq!((&buf[..4], read), (&b"\x12\x34\x81\x83"[..], query.len()));
        assert_eq!(server.asked(), ["nope.test"]);
    });
}

#[test]
fn faults_of_the_model_server_look_as_they_should() {
    play(|_| {
        let server = model::start(&format!("{PRIVATE}:8000"), None);
        let ask = |words: &str| {
            let mut tcp = TcpStream::connect(server.address()).unwrap();
            tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let body = format!(r#"{{"model":"m","stream":true,"messages":"{words}"}}"#);
            write!(tcp, "POST /v1/messages HTTP/1.1\r\nHost: m\r\nx-api-key: {}\r\nContent-Length: {}\r\n\r\n{body}", model::key(), body.len()).unwrap();
            tcp
        };
        assert!(Reader::new(ask("do:reset-first")).answer("POST").is_none());
        let mut garbage = Vec::new();
        ask("do:garbage").read_to_end(&mut garbage).unwrap();
        assert!(garbage.starts_with(b"SSH"));
        assert_eq!(
            Reader::new(ask("do:short")).answer("POST").unwrap().end,
            End::Truncated
        );
        assert_eq!(
            Reader::new(ask("do:cut=1")).answer("POST").unwrap().end,
            End::Truncated
        );
        let whole = Reader::new(ask("do:events=5")).answer("POST").unwrap();
        assert_eq!(whole.end, End::Complete);
        assert!(whole.message.text().contains("message_stop"));
        let refused = Reader::new(ask("do:status=401")).answer("POST").unwrap();
        assert!(refused.message.text().contains(model::key()));
    });
}

#[test]
fn outside_programs_are_found_where_a_sandbox_finds_them() {
    assert!(program("sh").is_some());
}

/// The scripts of `tests/clients` against the model server itself: what they need from ringfence is nothing
/// but the same answers.
#[test]
fn the_sdk_scripts_work_without_anything_between() {
    if !clients::present(&[
        Client::Python("openai"),
        Client::Python("anthropic"),
        Client::Npm("openai"),
    ]) {
        return;
    }
    play(|scene| {
        let tls = scene.authority().server(&["model.test"]);
        let server = model::start(&format!("{PRIVATE}:443"), Some(tls));
        let python = |words: &[&str]| {
            let output = direct(clients::PYTHON, words);
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let streamed = "piece-0 piece-1 piece-2 end";
        assert_eq!(
            python(&["openai_chat.py", "whole"]),
            "any Hello from the scene\n"
        );
        assert_eq!(
            python(&["openai_chat.py", "stream", "g1"]).trim_end(),
            streamed
        );
        assert_eq!(
            python(&["openai_chat.py", "responses", "g2"]).trim_end(),
            streamed
        );
        assert_eq!(
            python(&["anthropic_messages.py", "whole"]),
            "any Hello from the scene\n"
        );
        assert_eq!(
            python(&["anthropic_messages.py", "stream", "g3"]).trim_end(),
            format!("{streamed} end_turn")
        );
        assert_eq!(
            python(&["workload.py", "3", "8", "20"]).trim_end(),
            "11 whole"
        );
        let node =
            |words: &[&str]| String::from_utf8_lossy(&direct("node", words).stdout).into_owned();
        assert_eq!(node(&["openai_chat.mjs", "g4"]).trim_end(), streamed);
        assert!(
            node(&["fetch.mjs", "https://model.test/v1/chat/completions", "g5"])
                .contains("piece-2")
        );
        assert!(server.requests().len() > 16);
    });
}

fn direct(program: &str, words: &[&str]) -> std::process::Output {
    let bundle = "/etc/ssl/certs/ca-certificates.crt";
    let output = Command::new(program)
        .arg(format!("/mnt/scripts/{}", words[0]))
        .args(&words[1..])
        .env("OPENAI_BASE_URL", "https://model.test/v1")
        .env("ANTHROPIC_BASE_URL", "https://model.test")
        .env("SSL_CERT_FILE", bundle)
        .env("NODE_EXTRA_CA_CERTS", bundle)
        .output()
        .expect("the client starts");
    assert!(
        output.status.success(),
        "{words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// The raw client's way of seeing: bytes in the order and pieces sent, FIN, RST, pauses, files.
#[test]
fn raw_connections_show_exactly_what_the_other_side_did() {
    play(|scene| {
        let server = Origin::start(&format!("{PRIVATE}:8000"), None, |request, wire| {
            wire.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")?;
            match request.target().as_str() {
                "/reset" => return Ok(After::Reset),
                "/close" => return Ok(After::Close),
                _ => wire.write_all(b"llo")?,
            }
            Ok(After::KeepOpen)
        });
        let fence = scene.run().unfenced();
        for size in [1, 16, 65_536] {
            for (target, end) in [
                ("/whole", End::Complete),
                ("/reset", End::Truncated),
                ("/close", End::Truncated),
            ] {
                let mut reader = Reader::new(fence.connect("10.99.0.1:8000", size));
                for byte in format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").bytes() {
                    reader.stream.write_all(&[byte]).unwrap();
                }
                let answer = reader
                    .answer("GET")
                    .unwrap_or_else(|| unreachable!("{target} at {size}"));
                assert_eq!(answer.end, end, "{target} at {size}");
            }
        }
        let half = fence.connect("10.99.0.1:8000", 16);
        half.half_close().unwrap();
        assert_eq!(
            Reader::new(half).drain(),
            (Vec::new(), End::Complete),
            "the server sees the FIN and closes"
        );
        let mut silent = fence.connect("10.99.0.1:8000", 16);
        silent.set_timeout(Duration::from_millis(50));
        assert_eq!(Reader::new(silent).drain().1, End::Silent);
        assert_eq!(
            fence
                .try_connect("10.99.0.1:9", 16)
                .unwrap_err()
                .to_string(),
            "Connection refused (os error 111)"
        );
        assert!(fence.file("/etc/hosts").starts_with(b"127.0.0.1 localhost"));
        assert_eq!(fence.variable("HOME"), "/mnt/work");
        assert_eq!(server.requests().len(), 9);
        fence.end().success();
    });
}
