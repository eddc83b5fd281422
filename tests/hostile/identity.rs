//! Programs that want to be taken for another one, from inside a real fence (SECURITY 28, TR-043..051, IDN).
//!
//! One program under several names (`ringfence-impostor`); the policy lists `/mnt/bin/listed` for one host. A round is
//! one connection and its verdict; every race is run 1,000 times.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use harness::play_within;
use harness::policy::{private, text};
use harness::run::Ended;
use harness::scene::Scene;

const ROUNDS: usize = 1_000;
const LIMIT: Duration = Duration::from_secs(600);

const LISTED: &str = "/mnt/bin/listed";
const EVIL: &str = "/mnt/bin/evil";

/// Puts the program where the sandbox may execute it.
fn place(path: &str) {
    fs::copy(harness::binary::impostor(), path).expect("a copy of the program");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its mode");
}

fn policy() -> String {
    let listed = private("listed", "api.test", 9, &[LISTED]);
    text(&listed, "")
}

/// Plays each kind with `program` as the command of the sandbox, and gives the verdicts by kind.
fn played(
    scene: &Scene,
    program: &str,
    kinds: &[&str],
    rounds: usize,
) -> (BTreeMap<String, String>, Ended) {
    place(LISTED);
    place(EVIL);
    let lines: Vec<String> = kinds
        .iter()
        .map(|kind| format!("{program} rounds {kind} {rounds} || echo {kind} failed $?"))
        .collect();
    let ended = scene
        .run()
        .policy(&policy())
        .sh(&lines.join("\n"))
        .limit(LIMIT)
        .end()
        .success();
    assert!(
        !ended.err().contains("cannot be observed"),
        "this kernel observes connect(2): {}",
        ended.err()
    );
    let told = ended
        .out()
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(kind, verdicts)| (kind.to_owned(), verdicts.to_owned()))
        .collect();
    (told, ended)
}

/// Each kind has this one verdict in every round.
fn always(scene: &Scene, program: &str, kinds: &[&str], rounds: usize, verdict: &str) {
    let (told, ended) = played(scene, program, kinds, rounds);
    for kind in kinds {
        let expected = format!("{verdict}={rounds}");
        assert_eq!(
            told.get(*kind),
            Some(&expected),
            "{program} {kind}; {}",
            &ended.err()
        );
    }
}

/// Each kind is never allowed, and has one of these verdicts in every round.
fn never_allowed(scene: &Scene, program: &str, kinds: &[&str], rounds: usize) {
    let (told, ended) = played(scene, program, kinds, rounds);
    for kind in kinds {
        let verdicts = told.get(*kind).cloned().unwrap_or_default();
        assert!(
            !verdicts.is_empty() && !verdicts.contains("Allowed") && !verdicts.contains("failed"),
            "{program} {kind}: {verdicts}; {}",
            ended.err()
        );
    }
}

/// ID-3, IDN-2, TR-045: the connector is judged, whatever it becomes and whoever holds its socket afterwards.
#[test]
fn a_socket_connected_by_an_unlisted_program_is_never_the_listed_ones() {
    play_within(LIMIT, |scene| {
        let kinds = ["execute-after", "parked", "parked-asked"];
        always(scene, EVIL, &kinds, ROUNDS, "Denied");
    });
}

/// ID-3: descriptor passing and inheritance, in both directions.
#[test]
fn a_passed_socket_keeps_the_identity_of_its_connector() {
    play_within(LIMIT, |scene| {
        let kinds = ["passed-to-listed", "inherited-by-listed"];
        always(scene, EVIL, &kinds, ROUNDS, "Denied");
        always(scene, EVIL, &["passed-by-listed"], ROUNDS, "Allowed");
    });
}

/// IDN-6, SECURITY 28: another thread executes the listed program while the call waits.
#[test]
fn an_exec_beside_the_call_gives_no_other_identity() {
    play_within(LIMIT, |scene| {
        never_allowed(scene, EVIL, &["execute-beside"], ROUNDS);
    });
}

/// TR-045: one socket, two programs.
#[test]
fn a_socket_that_two_programs_connect_is_not_the_listed_ones_by_chance() {
    play_within(LIMIT, |scene| {
        never_allowed(scene, EVIL, &["shared"], ROUNDS)
    });
}

/// TR-046: a port belongs to several sockets, and is used again.
#[test]
fn a_port_of_the_listed_program_gives_nothing() {
    play_within(LIMIT, |scene| {
        never_allowed(scene, EVIL, &["same-port", "left-entry"], ROUNDS);
    });
}

/// TR-046: a connection that is dead, and whose port the listed program has by now, is nobody's.
#[test]
fn nothing_is_done_for_a_connection_that_was_reset() {
    play_within(LIMIT, |scene| {
        let (told, ended) = played(scene, EVIL, &["reset-port"], ROUNDS);
        assert!(told.contains_key("reset-port"), "{}", ended.story());
        for record in ended.records_of("CONNECT") {
            assert!(
                record["dst_host"] != "git.test" || record["binary"] != LISTED,
                "{record}"
            );
        }
    });
}

/// SECURITY 28, TR-051: what is kept of one process never serves another.
#[test]
fn short_lived_processes_of_both_programs_are_told_apart() {
    play_within(LIMIT, |scene| {
        always(scene, EVIL, &["alternating"], ROUNDS, "Denied");
        always(scene, EVIL, &["new-process", "orphaned"], ROUNDS, "Allowed");
    });
}

/// What one process can do alone, under either name: the verdict is that of its name.
#[test]
fn every_way_to_call_connect_has_the_callers_own_identity() {
    play_within(LIMIT, |scene| {
        let kinds = [
            "plain",
            "undumpable",
            "signals",
            "nonblocking",
            "dual-stack",
            "unspecified",
            "second-call",
            "own-table",
            "own-filter",
        ];
        always(scene, EVIL, &kinds, ROUNDS, "Denied");
        always(scene, LISTED, &kinds, ROUNDS, "Allowed");
    });
}

/// IDN-2: the kernel reads descriptor and address again when the call goes on.
#[test]
fn arguments_that_change_under_the_call_give_nothing() {
    play_within(LIMIT, |scene| {
        let kinds = ["swapped-descriptor", "swapped-address"];
        never_allowed(scene, EVIL, &kinds, ROUNDS);
    });
}

/// IDN-2: connect(2) is the only way to a connection, and a listener of its own is refused.
#[test]
fn there_is_no_other_way_to_connect() {
    play_within(LIMIT, |scene| {
        always(scene, EVIL, &["other-doors"], 1, "Denied");
        always(scene, LISTED, &["own-notification"], 10, "Nothing");
        never_allowed(scene, EVIL, &["multipath", "unspecified6"], 10);
    });
}

/// SBX-6: the numbers of a foreign architecture end the process.
#[test]
fn a_call_of_another_architecture_ends_the_process() {
    play_within(LIMIT, |scene| {
        place(EVIL);
        let ended = scene
            .run()
            .policy(&policy())
            .sh(&format!("{EVIL} i386; echo ended $?"))
            .end();
        assert_eq!(ended.out().trim(), "ended 159", "{}", ended.story());
    });
}

/// B1, IDN-9, TR-050: many calls at once of a program that was written a moment ago, so that each wants a hash of its own;
/// and programs that talk among themselves.
#[test]
fn many_calls_at_once_are_all_answered_and_local_servers_are_left_alone() {
    play_within(LIMIT, |scene| {
        always(scene, LISTED, &["many-at-once"], 20, "Allowed");
        always(scene, EVIL, &["many-at-once"], 20, "Denied");
        always(scene, EVIL, &["local-server"], ROUNDS, "Allowed");
    });
}

/// IDN-9, TR-050: the first use of a file of one GiB is hashed while others go on.
#[test]
fn nobody_waits_for_the_hash_of_another_program() {
    play_within(LIMIT, |scene| {
        place(LISTED);
        place("/mnt/bin/big");
        let big = fs::OpenOptions::new().write(true).open("/mnt/bin/big");
        big.and_then(|file| file.set_len(1 << 30))
            .expect("a file with a hole");
        let listed = private("listed", "api.test", 9, &[LISTED, "/mnt/bin/big"]);
        let ended = scene
            .run()
            .policy(&text(&listed, ""))
            // The others begin when the large one waits: its call is all that it ever waits for.
            .sh(&format!(
                "{LISTED} call; /mnt/bin/big call & big=$!; \
                 until read -r pid name state rest </proc/$big/stat; \
                 case $name$state in '(big)'[SDZ]) true ;; *) false ;; esac; do :; done; \
                 for n in 1 2 3 4; do {LISTED} rounds plain 20 & done; wait $big; echo big $?; wait"
            ))
            .end();
        let out = ended.out();
        assert!(
            out.matches("plain Allowed=20\n").count() == 4 && out.contains("big 10\n"),
            "{}",
            ended.story()
        );
        // How many come first is the machine's to say; none would, if they waited. The first of all came before.
        let records = ended.records_of("CONNECT");
        let big = records
            .iter()
            .position(|record| record["binary"] == "/mnt/bin/big");
        assert!(big.is_some_and(|at| at > 1), "{}", ended.story());
    });
}

/// IDN-3: where a runtime listens to system calls itself, callers are looked for afterwards, and the user is told.
#[test]
fn beneath_another_listener_the_fallback_is_used_and_said() {
    play_within(LIMIT, |scene| {
        place(LISTED);
        place(EVIL);
        place("/mnt/bin/beneath");
        let ended = scene
            .run()
            .policy(&policy())
            .beneath("/mnt/bin/beneath")
            .sh(&format!("{LISTED} rounds plain 20; {EVIL} rounds plain 20"))
            .end()
            .success();
        assert!(
            ended.err().contains("connect(2) cannot be observed"),
            "{}",
            ended.story()
        );
        assert_eq!(ended.out(), "plain Allowed=20\nplain Denied=20\n");
    });
}

/// IDN-1, IDN-8: a script is its interpreter; a symbolic link stands for its target.
#[test]
fn a_script_is_its_interpreter_and_a_link_its_target() {
    play_within(LIMIT, |scene| {
        place(EVIL);
        place("/mnt/bin/target");
        std::os::unix::fs::symlink("/mnt/bin/target", "/mnt/bin/link").expect("a link");
        let script = "/mnt/bin/script";
        fs::write(script, format!("#!{EVIL} call\n")).expect("a script");
        fs::set_permissions(script, fs::Permissions::from_mode(0o755)).expect("its mode");
        let verdicts = |binaries: &[&str]| {
            let policy = text(&private("some", "api.test", 9, binaries), "");
            let ended = scene
                .run()
                .policy(&policy)
                .sh(&format!(
                    "{script}; echo $?; /mnt/bin/link call; echo $?; /mnt/bin/target call; echo $?"
                ))
                .end();
            ended
                .out()
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let (allowed, denied) = ("10", "11");
        assert_eq!(verdicts(&["/mnt/bin/link"]), [denied, allowed, allowed]);
        assert_eq!(verdicts(&["/mnt/bin/target"]), [denied, allowed, allowed]);
        assert_eq!(verdicts(&[script]), [denied, denied, denied]);
        assert_eq!(verdicts(&[EVIL]), [allowed, denied, denied]);
    });
}

/// ID-1, ID-2, IDN-5, IDN-7, TR-047: the first content of a path is trusted, and no other.
#[test]
fn a_replaced_program_is_an_integrity_violation_and_a_deleted_one_is_itself() {
    play_within(LIMIT, |scene| {
        let tool = "/mnt/work/tool";
        let script = format!(
            "cp {EVIL} {tool}; {tool} call; echo $?; touch {tool}; {tool} call; echo $?; \
             cp {tool} {tool}2; mkfifo {tool}.in; {tool} call-later < {tool}.in & exec 9> {tool}.in; \
             until [ \"$(cat /proc/$!/comm)\" = tool ]; do sleep 0.01; done; \
             rm {tool}; exec 9>&-; wait $!; echo $?; \
             mv {tool}2 {tool}; {tool} call; echo $?; \
             cp {EVIL} {tool}3; printf x >> {tool}3; touch -r {tool} {tool}3; mv {tool}3 {tool}; \
             {tool} call; echo $?"
        );
        place(EVIL);
        let policy = text(&private("tool", "api.test", 9, &[tool]), "");
        let ended = scene.run().policy(&policy).sh(&script).end();
        let verdicts = ended.out();
        assert_eq!(
            verdicts.split_whitespace().collect::<Vec<_>>(),
            ["10", "10", "10", "10", "13"],
            "{}",
            ended.story()
        );
        assert!(Path::new(tool).exists());
    });
}
