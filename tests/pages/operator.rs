//! What the verbs of the control plane do where there is no gateway: codes, words, and files (CLI-1 to CLI-3, CLI-24).

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use harness::binary;
use serde_json::Value;

/// A user without a gateway, gone with its home.
struct User(PathBuf);

impl User {
    fn new(name: &str) -> User {
        let home = std::env::temp_dir().join(format!("ringfence-{}-{name}", std::process::id()));
        std::fs::create_dir_all(home.join(".config/ringfence")).unwrap();
        User(home)
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(binary::ringfence());
        command
            .env_clear()
            .env("HOME", &self.0)
            .env("XDG_STATE_HOME", self.0.join("state"))
            .args(arguments.split_whitespace());
        command
    }

    /// One that names a gateway that is not there.
    fn run(&self, arguments: &str) -> Output {
        let absent = format!("unix:{}", self.0.join("gateway.sock").display());
        let mut command = self.command(arguments);
        command.env("RINGFENCE_GATEWAY", absent).output().unwrap()
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.0.join(path), text).unwrap();
    }
}

impl Drop for User {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn said(out: &Output) -> String {
    String::from_utf8(out.stderr.clone()).unwrap()
}

/// CLI-2, CLI-3
#[test]
fn without_a_gateway_every_verb_that_needs_one_ends_with_four_and_says_how_to_start_one() {
    let user = User::new("absent");
    for arguments in [
        "provider list",
        "provider get p",
        "provider create --type generic --credential A=1",
        "provider delete p",
        "cluster inference get",
        "inference set --provider p --model m",
        "sandbox list",
        "sandbox get s",
        "sandbox logs s",
        "policy list s",
        "policy get s",
    ] {
        let out = user.run(arguments);
        assert_eq!(out.status.code(), Some(4), "{arguments}: {out:?}");
        assert!(
            said(&out).contains("start one with `ringfence gateway`"),
            "{arguments}: {out:?}"
        );
        assert!(out.stdout.is_empty(), "{arguments}");
    }
}

/// PV-2: the flags are looked at before the gateway is.
#[test]
fn a_credential_that_is_not_there_ends_with_two_and_its_name() {
    let user = User::new("blank");
    for key in ["ABSENT_KEY", "BLANK_KEY"] {
        let mut command =
            user.command(&format!("provider create --type openai --credential {key}"));
        let out = command.env("BLANK_KEY", " ").output().unwrap();
        assert_eq!(out.status.code(), Some(2), "{out:?}");
        assert!(said(&out).contains(key), "{out:?}");
    }
    let both = user.run("provider create --type openai --from-existing --credential A=canary");
    assert_eq!(both.status.code(), Some(2));
    assert!(!said(&both).contains("canary"), "{both:?}");
    let nothing = user.run("provider create --type openai --from-existing");
    assert_eq!(nothing.status.code(), Some(1), "{nothing:?}");
    assert!(said(&nothing).contains("OPENAI_API_KEY"));
}

/// CLI-1
#[test]
fn a_configuration_with_a_key_that_is_not_known_ends_with_two_and_its_place() {
    let user = User::new("config");
    let file = ".config/ringfence/config.yaml";
    user.write(file, "output: json\nverbosity: 3\n");
    let out = user.run("status");
    assert_eq!(out.status.code(), Some(2));
    assert!(
        said(&out).contains("config.yaml:2:1: unknown key `verbosity`"),
        "{out:?}"
    );
    user.write(file, "output: json\n");
    let mut command = user.command("status");
    let out = command.output().unwrap();
    let status: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(
        (out.status.code(), &status["gateway"]),
        (Some(0), &Value::Null)
    );
}

/// CLI-22
#[test]
fn status_tells_of_this_machine_also_when_the_gateway_that_was_named_is_away() {
    let user = User::new("status");
    let out = user.run("status --output json");
    assert_eq!(out.status.code(), Some(4));
    let status: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert!(
        status["gateway"].is_null() && status["sandboxes"].is_array(),
        "{status}"
    );
}

/// CLI-24
#[test]
fn every_shell_has_its_script_and_every_verb_its_page() {
    let user = User::new("man");
    for shell in ["bash", "zsh", "fish"] {
        let out = user.run(&format!("completions {shell}"));
        let script = String::from_utf8(out.stdout).unwrap();
        assert!(
            out.status.success() && script.contains("RINGFENCE_COMPLETE"),
            "{shell}: {script}"
        );
    }
    assert_eq!(user.run("completions tcsh").status.code(), Some(2));
    let pages = user.0.join("man/pages");
    let out = user.run(&format!("man {}", pages.display()));
    assert!(out.status.success(), "{out:?}");
    let page = |name: &str| std::fs::read_to_string(Path::new(&pages).join(name)).unwrap();
    assert!(page("ringfence.1").contains("cluster"));
    assert!(page("ringfence-cluster-inference-set.1").contains("provider"));
}

/// CLI-24: while somebody types there is no error, whatever is wrong.
#[test]
fn completion_without_a_gateway_is_empty_and_silent() {
    let user = User::new("complete");
    let complete = |words: &[&str]| {
        let mut command = user.command("--");
        command
            .env("RINGFENCE_COMPLETE", "bash")
            .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string())
            .env("_CLAP_IFS", "\n")
            .args(words);
        command.output().unwrap()
    };
    let names = complete(&["ringfence", "provider", "get", "x"]);
    assert!(
        names.status.success() && names.stdout.is_empty() && names.stderr.is_empty(),
        "{names:?}"
    );
    let types = complete(&["ringfence", "provider", "create", "--type", "git"]);
    assert_eq!(String::from_utf8(types.stdout).unwrap(), "gitlab\ngithub");
}
