//! Real programs inside `ringfence run`, unmodified: they reach what the policy allows and the operator's model.
//!
//! Streams are checked by cause, not by time: the model server sends its second event only when the client has
//! made a file that says it saw the first.

use harness::clients::{Client, PYTHON, node_version, present, program};
use harness::model::{MODEL, key};
use harness::origin::Origin;
use harness::policy::{ANY, private, public, text};
use harness::run::Run;
use harness::scene::{PRIVATE, PUBLIC, Scene};
use harness::{git, model, play};

/// What a stream of three events looks like in every script.
const STREAMED: &str = "piece-0 piece-1 piece-2 end";

/// A run that may reach api.test:443.
fn to_api(scene: &Scene) -> (Origin, Run) {
    let tls = scene.authority().server(&["api.test"]);
    let api = Origin::greeting(&format!("{PRIVATE}:443"), Some(tls), "hello from api\n");
    let run = scene
        .run()
        .policy(&text(&private("api", "api.test", 443, ANY), ""));
    (api, run.env("HOME", "/mnt/work"))
}

/// A run without any network policy, with the scene's model server behind inference.local.
fn to_model(scene: &Scene) -> (Origin, Run) {
    let tls = scene.authority().server(&["model.test", PRIVATE]);
    let server = model::start(&format!("{PRIVATE}:8443"), Some(tls));
    let run = scene
        .run()
        .policy(&text("", ""))
        .routes(&model::routes(&model::endpoint("https", server.address())));
    (server, run.env("HOME", "/mnt/work"))
}

/// What every request that reached the model must look like (INF-9…INF-13).
fn paid_and_pinned(server: &Origin) {
    let requests = server.requests();
    assert!(!requests.is_empty(), "no request reached the model");
    for request in requests {
        let (bearer, header) = (request.field("authorization"), request.field("x-api-key"));
        match request.target().as_str() {
            "/v1/messages" => {
                assert_eq!((bearer.as_deref(), header.as_deref()), (None, Some(key())))
            }
            _ => assert_eq!((bearer, header), (Some(format!("Bearer {}", key())), None)),
        }
        if request.method() == "POST" {
            assert_eq!(request.json()["model"], MODEL, "{}", request.text());
        }
    }
}

fn script(run: Run, interpreter: &str, words: &[&str]) -> String {
    let path = format!("/mnt/scripts/{}", words[0]);
    let ended = run
        .command([&[interpreter, path.as_str()], &words[1..]].concat())
        .end()
        .success();
    ended.out().trim_end().to_owned()
}

#[test]
fn curl_reaches_an_allowed_host_through_the_fence() {
    if !present(&[Client::Program("curl")]) {
        return;
    }
    play(|scene| {
        let (api, run) = to_api(scene);
        let ended = run
            .command(["curl", "-sS", "--fail", "https://api.test/one?two"])
            .end()
            .success();
        assert_eq!(ended.out(), "hello from api\n", "{}", ended.story());
        assert_eq!(api.requests()[0].target(), "/one?two");
        let records = ended.records_of("CONNECT");
        assert_eq!(records.len(), 1, "{}", ended.story());
        assert_eq!(records[0]["action"], "allow");
        assert_eq!(records[0]["policy"], "api");
        let curl = std::fs::canonicalize(program("curl").unwrap()).unwrap();
        assert_eq!(records[0]["binary"], curl.to_str().unwrap());
    });
}

#[test]
fn curl_reaches_a_public_host_without_allowed_ips() {
    if !present(&[Client::Program("curl")]) {
        return;
    }
    play(|scene| {
        let tls = scene.authority().server(&["public.test"]);
        Origin::greeting(&format!("{PUBLIC}:443"), Some(tls), "hello from public\n");
        let run = scene
            .run()
            .policy(&text(&public("public", "public.test", 443, ANY), ""));
        let ended = run
            .command(["curl", "-sS", "--fail", "https://public.test/"])
            .end()
            .success();
        assert_eq!(ended.out(), "hello from public\n");
    });
}

#[test]
fn curl_tunnels_to_a_plain_server() {
    if !present(&[Client::Program("curl")]) {
        return;
    }
    play(|scene| {
        Origin::greeting(&format!("{PRIVATE}:8080"), None, "plain\n");
        let run = scene
            .run()
            .policy(&text(&private("api", "api.test", 8080, ANY), ""));
        let ended = run
            .command([
                "curl",
                "-sS",
                "--fail",
                "--proxytunnel",
                "http://api.test:8080/",
            ])
            .end()
            .success();
        assert_eq!(ended.out(), "plain\n");
    });
}

#[test]
fn wget_reaches_an_allowed_host_through_the_fence() {
    if !present(&[Client::Program("wget")]) {
        return;
    }
    play(|scene| {
        let (_api, run) = to_api(scene);
        let ended = run
            .command(["wget", "-q", "-O-", "https://api.test/"])
            .end()
            .success();
        assert_eq!(ended.out(), "hello from api\n");
    });
}

#[test]
fn git_clones_over_https_with_git_alone_in_the_policy() {
    if !present(&[Client::Program("git"), Client::Program("curl")]) {
        return;
    }
    play(|scene| {
        let root = scene.private().join("git");
        std::fs::create_dir(&root).unwrap();
        git::repository(&root, "seed", "file.txt", &[b'x'; 300_000]);
        git::start(
            &format!("{PRIVATE}:443"),
            Some(scene.authority().server(&["git.test"])),
            &root,
        );
        // The socket is git-remote-https's; git is its ancestor, and the ancestor is what the policy names.
        let git = std::fs::canonicalize(program("git").unwrap()).unwrap();
        let policy = text(
            &private("git", "git.test", 443, &[git.to_str().unwrap()]),
            "",
        );
        let run = scene.run().policy(&policy).env("HOME", "/mnt/work");
        let ended = run
            .sh("git clone -q https://git.test/seed.git /mnt/work/clone && wc -c </mnt/work/clone/file.txt \
                 && if curl -sS https://git.test/seed.git/info/refs; then echo leaked; else echo refused; fi")
            .end()
            .success();
        assert_eq!(
            ended.out().split_whitespace().collect::<Vec<_>>(),
            ["300000", "refused"],
            "{}",
            ended.story()
        );
    });
}

#[test]
fn python_requests_and_httpx_reach_an_allowed_host() {
    if !present(&[Client::Python("requests"), Client::Python("httpx")]) {
        return;
    }
    play(|scene| {
        let (_api, run) = to_api(scene);
        assert_eq!(
            script(run, PYTHON, &["fetch_requests.py", "https://api.test/"]),
            "200 hello from api"
        );
        let run = scene
            .run()
            .policy(&text(&private("api", "api.test", 443, ANY), ""))
            .env("HOME", "/mnt/work");
        assert_eq!(
            script(run, PYTHON, &["fetch_httpx.py", "https://api.test/"]),
            "200 hello from api\n200 hello from api"
        );
    });
}

#[test]
fn curl_sees_the_first_event_before_the_second_is_sent() {
    if !present(&[Client::Program("curl")]) {
        return;
    }
    play(|scene| {
        let (server, run) = to_model(scene);
        let body = r#"{"model":"any","stream":true,"messages":[{"role":"user","content":"do:gate=curl"}]}"#;
        let ended = run
            .sh(&format!(
                "curl -sSN --fail-with-body -H 'Content-Type: application/json' -H 'Authorization: Bearer guess' -d '{body}' \
                 https://inference.local/v1/chat/completions | while IFS= read -r line; do \
                 case $line in *piece-0*) : >/mnt/work/curl;; esac; printf '%s\\n' \"$line\"; done"
            ))
            .end()
            .success();
        assert!(
            ended.out().contains("piece-2") && ended.out().contains("data: [DONE]"),
            "{}",
            ended.story()
        );
        paid_and_pinned(&server);
        let records = ended.records_of("INFERENCE");
        assert_eq!(records.len(), 1, "{}", ended.story());
        assert_eq!(
            (
                &records[0]["status"],
                &records[0]["end"],
                &records[0]["model"]
            ),
            (&200.into(), &"complete".into(), &MODEL.into())
        );
    });
}

#[test]
fn the_model_is_reached_by_name_over_tls_and_in_plain_by_literal() {
    if !present(&[Client::Program("curl")]) {
        return;
    }
    play(|scene| {
        let tls = scene.authority().server(&["model.test"]);
        let named = model::start(&format!("{PRIVATE}:443"), Some(tls));
        let plain = model::start(&format!("{PRIVATE}:8000"), None);
        for (server, endpoint) in [
            (&named, "https://model.test/v1".to_owned()),
            (&plain, model::endpoint("http", plain.address())),
        ] {
            let run = scene
                .run()
                .policy(&text("", ""))
                .routes(&model::routes(&endpoint));
            let ended = run
                .command([
                    "curl",
                    "-sS",
                    "--fail-with-body",
                    "https://inference.local/v1/models",
                ])
                .end()
                .success();
            assert!(ended.out().contains(MODEL), "{}", ended.story());
            paid_and_pinned(server);
        }
    });
}

/// INF-29: no proxy variable, and the name still works.
#[test]
fn a_client_that_ignores_proxy_variables_reaches_the_model_by_the_direct_door() {
    if !present(&[Client::Program("curl")]) {
        return;
    }
    play(|scene| {
        let (server, run) = to_model(scene);
        let ended = run
            .command([
                "curl",
                "-sS",
                "--fail-with-body",
                "--noproxy",
                "*",
                "https://inference.local/v1/models",
            ])
            .end()
            .success();
        assert!(ended.out().contains(MODEL), "{}", ended.story());
        paid_and_pinned(&server);
    });
}

#[test]
fn the_openai_sdk_for_python_completes_and_streams() {
    if !present(&[Client::Python("openai")]) {
        return;
    }
    play(|scene| {
        let (server, run) = to_model(scene);
        let routes = model::routes(&model::endpoint("https", server.address()));
        let again = || {
            scene
                .run()
                .policy(&text("", ""))
                .routes(&routes)
                .env("HOME", "/mnt/work")
        };
        assert_eq!(
            script(run, PYTHON, &["openai_chat.py", "whole"]),
            format!("{MODEL} Hello from the scene")
        );
        assert_eq!(
            script(again(), PYTHON, &["openai_chat.py", "stream", "chat"]),
            STREAMED
        );
        assert_eq!(
            script(
                again(),
                PYTHON,
                &["openai_chat.py", "responses", "responses"]
            ),
            STREAMED
        );
        paid_and_pinned(&server);
    });
}

#[test]
fn the_anthropic_sdk_for_python_completes_and_streams() {
    if !present(&[Client::Python("anthropic")]) {
        return;
    }
    play(|scene| {
        let (server, run) = to_model(scene);
        let routes = model::routes(&model::endpoint("https", server.address()));
        let again = scene
            .run()
            .policy(&text("", ""))
            .routes(&routes)
            .env("HOME", "/mnt/work");
        assert_eq!(
            script(run, PYTHON, &["anthropic_messages.py", "whole"]),
            format!("{MODEL} Hello from the scene")
        );
        assert_eq!(
            script(
                again,
                PYTHON,
                &["anthropic_messages.py", "stream", "messages"]
            ),
            format!("{STREAMED} end_turn")
        );
        paid_and_pinned(&server);
        for request in server.requests() {
            assert_eq!(request.count("anthropic-version"), 1);
        }
    });
}

#[test]
fn nodes_fetch_streams_from_the_model() {
    if !present(&[Client::Program("node")]) {
        return;
    }
    play(|scene| {
        let (server, run) = to_model(scene);
        let out = script(
            run,
            "node",
            &[
                "fetch.mjs",
                "https://inference.local/v1/chat/completions",
                "fetch",
            ],
        );
        assert!(
            out.starts_with("200 ") && out.contains("piece-2") && out.ends_with("data: [DONE]"),
            "{out}"
        );
        paid_and_pinned(&server);
    });
}

/// Node follows proxy variables from 22.21 and 24 on (NODE_USE_ENV_PROXY); an older one has no way to a host
/// but the model's direct door, and then the attempt must fail inside, not leave.
#[test]
fn nodes_fetch_reaches_an_allowed_host_where_node_knows_proxies() {
    if !present(&[Client::Program("node")]) {
        return;
    }
    play(|scene| {
        let (api, run) = to_api(scene);
        let (major, minor) = node_version().expect("node says its version");
        // Why the option: Node trusts its own roots and NODE_EXTRA_CA_CERTS; the scene's authority is in the bundle.
        let run = run.env("NODE_OPTIONS", "--use-openssl-ca");
        let ended = run
            .command(["node", "/mnt/scripts/fetch.mjs", "https://api.test/"])
            .end();
        if major >= 24 || (major, minor) >= (22, 21) {
            assert_eq!(ended.out(), "200 hello from api\n", "{}", ended.story());
        } else {
            eprintln!(
                "node {major}.{minor} does not follow proxy variables; checked that it cannot leave"
            );
            assert_ne!(ended.code(), Some(0), "{}", ended.story());
            assert_eq!(api.connections(), 0);
        }
    });
}

#[test]
fn the_openai_package_for_node_streams() {
    if !present(&[Client::Npm("openai")]) {
        return;
    }
    play(|scene| {
        let (server, run) = to_model(scene);
        assert_eq!(script(run, "node", &["openai_chat.mjs", "npm"]), STREAMED);
        paid_and_pinned(&server);
    });
}
