//! The tools an agent builds with, unmodified, over HTTPS that ringfence reads: git, pip, npm, cargo.
//!
//! Each gets the narrowest policy it works with, and is refused by request what that policy leaves out. Trust comes from
//! the variables of the sandbox alone: no tool is told to skip a check.

use harness::clients::{Client, PYTHON, present, program};
use harness::origin::Origin;
use harness::policy::{ANY, entry, text};
use harness::run::{Ended, Run};
use harness::scene::{PRIVATE, Scene};
use harness::{git, play, play_within, registry};
use std::time::Duration;

/// An endpoint whose TLS is ended and whose requests are judged; `rules` is `access:` or `rules:`.
fn judged(host: &str, rules: &str) -> String {
    format!(
        "{{host: {host}, port: 443, protocol: rest, tls: terminate, enforcement: enforce, allowed_ips: [10.99.0.0/24], {rules}}}"
    )
}

fn run(scene: &Scene, network: &str) -> Run {
    scene
        .run()
        .policy(&text(network, ""))
        .env("HOME", "/mnt/work")
        .limit(Duration::from_secs(120))
}

/// Every inspected request of a run: method, target and verdict.
fn requests(ended: &Ended) -> Vec<String> {
    let word =
        |record: &serde_json::Value, key: &str| record[key].as_str().unwrap_or("-").to_owned();
    let records = ended.records_of("L7_REQUEST").into_iter();
    records
        .map(|record| {
            ["l7_action", "l7_target", "l7_decision"]
                .map(|key| word(record, key))
                .join(" ")
        })
        .collect()
}

fn assert_all_allowed(ended: &Ended) {
    let requests = requests(ended);
    assert!(
        !requests.is_empty(),
        "nothing was inspected: {}",
        ended.story()
    );
    assert!(
        requests.iter().all(|request| request.ends_with(" allow")),
        "{requests:#?}"
    );
}

fn repository(scene: &Scene) -> Origin {
    let root = scene.private().join("git");
    std::fs::create_dir(&root).expect("a directory for the repositories");
    git::repository(&root, "seed", "file.txt", &[b'x'; 300_000]);
    git::start(
        &format!("{PRIVATE}:443"),
        Some(scene.authority().server(&["git.test"])),
        &root,
    )
}

/// Clones, and pushes one more commit.
const CLONE_AND_PUSH: &str = "git clone -q https://git.test/seed.git /mnt/work/clone && wc -c </mnt/work/clone/file.txt \
     && cd /mnt/work/clone && echo more >more.txt && git add more.txt \
     && git -c user.name=t -c user.email=t@git.test commit -q -m two \
     && if git push -q origin HEAD:main; then echo pushed; else echo refused; fi";

/// L7, LR-8, LR-9, LR-5, TR-029: a read-only preset and one rule for what a clone posts.
#[test]
fn git_clones_with_a_read_only_preset_and_the_upload_pack_rule_and_cannot_push() {
    if !present(&[Client::Program("git")]) {
        return;
    }
    play(|scene| {
        let server = repository(scene);
        let git = std::fs::canonicalize(program("git").unwrap()).unwrap();
        let network = entry(
            "git",
            &[
                judged("git.test", "access: read-only"),
                judged(
                    "git.test",
                    "rules: [{allow: {method: POST, path: /**/git-upload-pack}}]",
                ),
            ]
            .join(", "),
            &[git.to_str().unwrap()],
        );
        let ended = run(scene, &network).sh(CLONE_AND_PUSH).end().success();
        let out = ended.out();
        assert_eq!(
            out.split_whitespace().collect::<Vec<_>>(),
            ["300000", "refused"],
            "{}",
            ended.story()
        );
        let denied: Vec<_> = requests(&ended)
            .into_iter()
            .filter(|request| request.ends_with(" deny"))
            .collect();
        assert_eq!(
            denied,
            ["POST /seed.git/git-receive-pack deny"],
            "{}",
            ended.story()
        );
        let posts = server
            .requests()
            .into_iter()
            .filter(|request| request.method() == "POST");
        assert!(
            posts
                .map(|request| request.target())
                .all(|target| target == "/seed.git/git-upload-pack")
        );
    });
}

/// L7, LR-9, TR-029: and pushes where a rule says so; the query decides which service may be asked for.
#[test]
fn git_pushes_where_a_rule_allows_it() {
    if !present(&[Client::Program("git")]) {
        return;
    }
    play(|scene| {
        let server = repository(scene);
        let rules = "rules: [\
             {allow: {method: GET, path: /**/info/refs, query: {service: git-upload-pack}}}, \
             {allow: {method: GET, path: /**/info/refs, query: {service: git-receive-pack}}}, \
             {allow: {method: POST, path: /**/git-upload-pack}}, \
             {allow: {method: POST, path: /**/git-receive-pack}}]";
        let network = entry("git", &judged("git.test", rules), ANY);
        let ended = run(scene, &network).sh(CLONE_AND_PUSH).end().success();
        assert_eq!(
            ended.out().split_whitespace().collect::<Vec<_>>(),
            ["300000", "pushed"],
            "{}",
            ended.story()
        );
        assert_all_allowed(&ended);
        let pushed = server
            .requests()
            .into_iter()
            .any(|request| request.target() == "/seed.git/git-receive-pack");
        assert!(pushed);
    });
}

/// L7, TR-029: a package mirror that may only be read.
#[test]
fn pip_installs_from_an_index_that_may_only_be_read() {
    if !present(&[Client::Python("requests")]) {
        return;
    }
    play(|scene| {
        let tls = scene.authority().server(&["pypi.test"]);
        registry::pip(&format!("{PRIVATE}:443"), Some(tls), scene.private());
        let network = entry("pip", &judged("pypi.test", "access: read-only"), ANY);
        let ended = run(scene, &network)
            .sh(&format!(
                "{PYTHON} -m pip install -q --no-input --disable-pip-version-check --no-cache-dir \
                 --index-url https://pypi.test/simple --target /mnt/work/site demo-pkg \
                 && PYTHONPATH=/mnt/work/site {PYTHON} -c 'import demo_pkg; print(demo_pkg.WORD)'"
            ))
            .end()
            .success();
        assert_eq!(ended.out().trim_end(), registry::WORD, "{}", ended.story());
        assert_all_allowed(&ended);
    });
}

/// L7, TR-029
#[test]
fn npm_installs_from_a_registry_that_may_only_be_read() {
    if !present(&[Client::Program("npm"), Client::Program("node")]) {
        return;
    }
    play(|scene| {
        let tls = scene.authority().server(&["npm.test"]);
        registry::npm(
            &format!("{PRIVATE}:443"),
            Some(tls),
            scene.private(),
            "https://npm.test",
        );
        let network = entry("npm", &judged("npm.test", "access: read-only"), ANY);
        let ended = run(scene, &network)
            // What npm was told on this machine, perhaps a bundle of its own, stays out of the test.
            .env("NPM_CONFIG_GLOBALCONFIG", "/mnt/work/npmrc")
            .sh("mkdir /mnt/work/app && cd /mnt/work/app && echo '{}' >package.json \
                 && npm install --silent --fetch-retries 0 --registry https://npm.test/ --no-audit --no-fund --no-update-notifier \
                    --cache /mnt/work/npm demo-pkg >/dev/null \
                 && node -e 'console.log(require(\"demo-pkg\"))'")
            .end()
            .success();
        assert_eq!(ended.out().trim_end(), registry::WORD, "{}", ended.story());
        assert_all_allowed(&ended);
    });
}

/// L7, TR-029: fetched, then built and run without the network.
#[test]
fn cargo_builds_with_a_crate_of_a_sparse_registry_that_may_only_be_read() {
    if !present(&[Client::Rust]) {
        return;
    }
    play_within(Duration::from_secs(300), |scene| {
        let tls = scene.authority().server(&["crates.test"]);
        registry::cargo(
            &format!("{PRIVATE}:443"),
            Some(tls),
            scene.private(),
            "https://crates.test",
        );
        let network = entry("cargo", &judged("crates.test", "access: read-only"), ANY);
        let ended = run(scene, &network)
            .env("CARGO_HOME", "/mnt/work/cargo")
            .env("PATH", "/mnt/clients/rust/bin:/usr/bin:/bin")
            .sh("mkdir -p /mnt/work/cargo /mnt/work/app/src && cd /mnt/work/app \
                 && printf '[registries.local]\\nindex = \"sparse+https://crates.test/index/\"\\n' >/mnt/work/cargo/config.toml \
                 && printf '[package]\\nname = \"app\"\\nversion = \"0.1.0\"\\nedition = \"2021\"\\n[dependencies]\\ndemo-pkg = { version = \"1\", registry = \"local\" }\\n' >Cargo.toml \
                 && echo 'fn main() { println!(\"{}\", demo_pkg::WORD); }' >src/main.rs \
                 && cargo fetch -q && cargo run -q --offline")
            .end()
            .success();
        assert_eq!(ended.out().trim_end(), registry::WORD, "{}", ended.story());
        assert_all_allowed(&ended);
    });
}
