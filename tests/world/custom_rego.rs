//! An operator's own rules: what they decide, what they may cost, and who pays for it.

mod requests;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use dataplane::{Evaluators, Limits};
use harness::http::Message;
use harness::play;
use policy::Caller;
use policy::custom::{Rules, question};
use rustix::process::{Pid, Signal, kill_process};

use crate::world::client::{self, connect_head, established, refused, verdict};
use crate::world::upstream::Upstream;
use crate::world::{AT_ONCE, STEP, Setup, World};

const PEER: &str = "10.99.0.7:7000";

/// Allows [`PEER`], denies the rest with words of its own, and has a bomb for names that start with `bomb`.
const RULES: &str = r#"
default network_action := "deny"

network_action := "allow" if input.network.host == "10.99.0.7"

matched_network_policy := "peer" if network_action == "allow"

matched_endpoint_config := {"allowed_ips": ["10.99.0.0/24"]}

deny_reason := sprintf("%s is not ours", [input.network.host]) if not startswith(input.network.host, "bomb")

deny_reason := "never said" if {
	startswith(input.network.host, "bomb")
	count(numbers.range(1, 2000000000)) > 0
}
"#;

/// RGO-3, RGO-6
#[test]
fn rules_decide_in_place_of_the_policy_and_give_their_own_reasons() {
    play(|_| {
        // The policy would allow the one and deny the other.
        let world = open(
            Setup::new()
                .allow("web", "{host: web.test, port: 443}")
                .rules(RULES),
        );
        let upstream = Upstream::bind(PEER);
        let mut tunnel = tunnelled(&world);
        tunnel.write_all(b"ping").unwrap();
        let mut seen = [0; 4];
        upstream.accept().read_exact(&mut seen).unwrap();
        assert_eq!(&seen, b"ping");
        let refusal = refused(&world, "web.test:443");
        assert_eq!(verdict(&refusal), "403 policy_denied web.test is not ours");
        drop(tunnel);
        let ended = world.end();
        let records = ended.of("CONNECT");
        assert_eq!(records[0]["policy"], "peer");
        assert_eq!(records[1]["reason"], "web.test is not ours");
    });
}

/// TR-079, RGO-4, GEN-8
#[test]
fn no_rule_opens_what_no_policy_can_open() {
    play(|_| {
        let world = open(
            Setup::new()
                .rules("network_action := \"allow\"\nmatched_network_policy := \"all\"")
                .host("169.254.169.254 metadata.test")
                .host("10.99.0.7 inside.test"),
        );
        let upstream = Upstream::bind("10.99.0.7:443");
        for (authority, expected) in [
            ("metadata.test:443", "403 destination_denied always_blocked"),
            (
                "169.254.169.254:443",
                "403 destination_denied always_blocked",
            ),
            ("127.0.0.1:3128", "403 destination_denied always_blocked"),
            ("inside.test:443", "403 destination_denied internal_address"),
            ("localhost:443", "403 destination_denied special_name"),
            (
                "inference.local:80",
                "403 policy_denied endpoint_not_allowed",
            ),
        ] {
            assert_eq!(
                verdict(&refused(&world, authority)),
                expected,
                "{authority}"
            );
        }
        assert!(upstream.is_untouched());
        drop(world.end());
    });
}

/// SECURITY 57, TR-079
#[test]
fn twenty_bombs_are_denied_in_time_and_the_rules_live_on() {
    play(|_| {
        let mut rules = RULES.to_owned();
        for (index, bomb) in BOMBS.iter().enumerate() {
            rules += &format!(
                "\ndeny_reason := \"never said\" if {{\n\tinput.network.host == \"b{index}.test\"\n\t{bomb}\n}}\n"
            );
        }
        rules = rules.replace(
            "if not startswith(input.network.host, \"bomb\")",
            "if endswith(input.network.host, \".other\")",
        );
        rules += BOMB_FUNCTIONS;
        let world = open_within(Duration::from_millis(20), Setup::new().rules(&rules));
        let upstream = Upstream::bind(PEER);
        assert_eq!(BOMBS.len(), 20);
        for (index, bomb) in BOMBS.iter().enumerate() {
            let host = format!("b{index}.test:443");
            let began = Instant::now();
            let refusal = refused(&world, &host);
            let took = began.elapsed();
            println!("{took:?} {bomb}");
            assert_eq!(
                verdict(&refusal),
                "403 policy_denied policy_evaluation_failed",
                "{bomb}"
            );
            // Bounded by processor time; by the clock it depends on who else wants the processors.
            assert!(took < AT_ONCE, "{took:?} {bomb}");
            drop(tunnelled(&world));
            drop(upstream.accept());
        }
        drop(world.end());
    });
}

/// TR-079, SECURITY 57: with time to spare it is the memory that ends them.
#[test]
fn an_evaluation_has_no_more_memory_than_its_bound() {
    let limits = Limits {
        rules_cpu_time: Duration::from_secs(30),
        rules_wall_time: Duration::from_secs(60),
        ..Limits::default()
    };
    let evaluators = Evaluators::new(harness::binary::ringfence(), &limits);
    for growing in [
        // One allocation, many small ones, and texts that double.
        "count(numbers.range(1, 2000000000)) > 0",
        "count({[i, j] | some i in numbers.range(1, 3000); some j in numbers.range(1, 3000)}) > 0",
        "count(doubled(doubled(doubled(doubled(doubled(doubled(\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"))))))) > 0",
    ] {
        let text = format!(
            "package ringfence.sandbox\n\nimport rego.v1\n\nnetwork_action := \"allow\" if {growing}\n{BOMB_FUNCTIONS}"
        );
        let rules = Rules::new(&text, "own.rego", &serde_json::json!({})).unwrap();
        let mut prepared = evaluators.open(&rules).unwrap();
        let mut asked = Vec::new();
        question::connect(
            &mut asked,
            &Caller::from_paths("/usr/bin/curl", &[]),
            &wire::target::connect(b"any.test:443").unwrap(),
        );
        let began = Instant::now();
        let ruling = prepared.ask(&asked);
        println!("{:?} {growing}", began.elapsed());
        assert!(ruling.is_failed(), "{growing}");
        assert!(began.elapsed() < Duration::from_secs(20), "{growing}");
    }
}

/// GEN-10, TR-079
#[test]
fn a_sandbox_whose_rules_burn_time_leaves_its_neighbour_as_it_was() {
    play(|_| {
        let limits = |limits: &mut Limits| limits.rules_wall_time = Duration::from_secs(60);
        let world = open(Setup::new().allow_port(7000).limit(limits).rules(RULES));
        world.attach("other", "127.0.0.2", "/proc");
        let neighbour = |count: u32| {
            let mut times: Vec<Duration> = (0..count)
                .map(|_| {
                    let began = Instant::now();
                    let mut client = client::connect("127.0.0.2:3128");
                    client.write_all(&connect_head("no.test:443")).unwrap();
                    let refusal = established(client).unwrap_err();
                    assert_eq!(verdict(&refusal), "403 policy_denied endpoint_not_allowed");
                    began.elapsed()
                })
                .collect();
            times.sort_unstable();
            (times[times.len() / 2], times[times.len() * 99 / 100])
        };
        let before = neighbour(400);
        let stop = std::sync::atomic::AtomicBool::new(false);
        let (during, bombs) = std::thread::scope(|scope| {
            let burning = scope.spawn(|| {
                let mut bombs = 0_u32;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let refusal = refused(&world, &format!("bomb{bombs}.test:443"));
                    assert_eq!(
                        verdict(&refusal),
                        "403 policy_denied policy_evaluation_failed"
                    );
                    bombs += 1;
                }
                bombs
            });
            let during = neighbour(400);
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            (during, burning.join().unwrap())
        });
        println!("neighbour (p50, p99): {before:?} alone, {during:?} beside {bombs} bombs");
        assert!(bombs > 0);
        // The tail is the machine's where others use it; behind bombs it would wait for, the middle would grow as well.
        assert!(
            during.0 < before.0 + Duration::from_millis(100),
            "{before:?} {during:?}"
        );
        // With the rules asleep, their own sandbox waits and the neighbour does not.
        let keeper = keeper();
        kill_process(keeper, Signal::STOP).unwrap();
        let mut waiting = world.proxy();
        waiting.write_all(&connect_head("asleep.test:443")).unwrap();
        neighbour(50);
        waiting
            .set_read_timeout(Some(Duration::from_millis(1)))
            .unwrap();
        assert!(
            waiting.peek(&mut [0]).is_err(),
            "nobody answered for the rules"
        );
        kill_process(keeper, Signal::CONT).unwrap();
        waiting.set_read_timeout(Some(STEP)).unwrap();
        let refusal = established(waiting).unwrap_err();
        assert_eq!(words(&refusal), "asleep.test is not ours");
        drop(world.end());
    });
}

/// RGO-6: while the process that would evaluate is asleep, what was answered before is answered again.
#[test]
fn an_answer_is_kept_and_a_question_without_one_is_denied() {
    play(|_| {
        let world = open(Setup::new().rules(RULES));
        let upstream = Upstream::bind(PEER);
        drop(tunnelled(&world));
        drop(upstream.accept());
        assert_eq!(words(&refused(&world, "a.test:443")), "a.test is not ours");
        let keeper = keeper();
        kill_process(keeper, Signal::STOP).unwrap();
        for _ in 0..3 {
            drop(tunnelled(&world));
            drop(upstream.accept());
            assert_eq!(words(&refused(&world, "a.test:443")), "a.test is not ours");
        }
        // The keeper that says nothing is replaced; this question is denied, the next one is answered.
        assert_eq!(
            words(&refused(&world, "b.test:443")),
            "policy_evaluation_failed"
        );
        assert_eq!(words(&refused(&world, "b.test:443")), "b.test is not ours");
        let deadline = Instant::now() + STEP;
        while self::keeper() == keeper {
            assert!(
                Instant::now() < deadline,
                "the silent keeper is still there"
            );
        }
        drop(world.end());
    });
}

/// TR-079
#[test]
fn a_process_that_is_gone_is_replaced() {
    play(|_| {
        let world = open(Setup::new().rules(RULES));
        assert_eq!(words(&refused(&world, "a.test:443")), "a.test is not ours");
        kill_process(keeper(), Signal::KILL).unwrap();
        assert_eq!(words(&refused(&world, "b.test:443")), "b.test is not ours");
        drop(world.end());
    });
}

/// RGO-5, TR-069
#[test]
fn an_answer_of_older_rules_is_not_given_for_newer_ones() {
    play(|_| {
        let world = open(Setup::new().rules(RULES));
        assert_eq!(words(&refused(&world, "a.test:443")), "a.test is not ours");
        let closed = "network_action := \"deny\"\ndeny_reason := \"closed today\"";
        world.put_rules(&Setup::new().rules(closed));
        assert_eq!(words(&refused(&world, "a.test:443")), "closed today");
        assert_eq!(words(&refused(&world, "10.99.0.7:7000")), "closed today");
        drop(world.end());
    });
}

/// TR-095: many ask at once, one evaluation answers them all.
#[test]
fn those_who_ask_the_same_wait_for_one_answer() {
    play(|_| {
        let world = open(
            Setup::new()
                .limit(|limits| limits.rules_queue_max = 1)
                .rules(RULES),
        );
        // The queue holds one question; all of these are one.
        let mut clients: Vec<_> = (0..50).map(|_| world.proxy()).collect();
        for client in &mut clients {
            client.write_all(&connect_head("same.test:443")).unwrap();
        }
        for client in clients {
            let refusal = established(client).unwrap_err();
            assert_eq!(words(&refusal), "same.test is not ours");
        }
        drop(world.end());
    });
}

/// A world whose rules are ready. Until they are, this process is forked to become theirs, and the sandbox's clients are
/// in this process as well: their sockets would have two owners for a moment.
pub(crate) fn open(setup: Setup) -> World {
    // What is around the engine is not optimised here, and takes ten times as long; and what a hypervisor takes away
    // counts as spent.
    open_within(Duration::from_millis(200), setup)
}

/// With so much processor time for an evaluation.
fn open_within(cpu: Duration, setup: Setup) -> World {
    let world = setup.limit(|limits| limits.rules_cpu_time = cpu).open();
    keeper();
    world
}

/// GEN-10, LIM: what waits is bounded, and beyond the bound is a denial at once.
#[test]
fn a_question_that_finds_the_queue_full_is_denied_at_once() {
    play(|_| {
        let world = open(
            Setup::new()
                .limit(|limits| {
                    limits.rules_queue_max = 1;
                    limits.rules_wall_time = Duration::from_secs(60);
                })
                .rules(RULES),
        );
        let keeper = keeper();
        kill_process(keeper, Signal::STOP).unwrap();
        // One is asked about and one waits; the rest is too much, unless it comes so late that there is room again.
        let mut waiting: Vec<_> = (0..5)
            .map(|index| {
                let mut client = world.proxy();
                client
                    .write_all(&connect_head(&format!("h{index}.test:443")))
                    .unwrap();
                client
            })
            .collect();
        let deadline = Instant::now() + STEP;
        let refused = loop {
            let told = waiting.iter().position(|client| {
                let soon = Some(Duration::from_millis(1));
                client.set_read_timeout(soon).unwrap();
                client.peek(&mut [0]).is_ok()
            });
            if let Some(index) = told {
                break waiting.swap_remove(index);
            }
            assert!(Instant::now() < deadline, "nobody was refused");
        };
        refused.set_read_timeout(Some(STEP)).unwrap();
        let full = "policy_evaluation_failed";
        assert_eq!(words(&established(refused).unwrap_err()), full);
        kill_process(keeper, Signal::CONT).unwrap();
        let answers: Vec<String> = waiting
            .into_iter()
            .map(|client| {
                client.set_read_timeout(Some(STEP)).unwrap();
                words(&established(client).unwrap_err())
            })
            .collect();
        assert!(
            answers.iter().any(|words| words.ends_with("is not ours")),
            "{answers:?}"
        );
        drop(world.end());
    });
}

/// LIV-10, TR-070: an open tunnel is asked about again, and the newer rules answer.
#[test]
fn a_tunnel_that_newer_rules_deny_is_closed() {
    play(|_| {
        let world = open(Setup::new().rules(RULES));
        let upstream = Upstream::bind(PEER);
        let mut tunnel = tunnelled(&world);
        let _peer = upstream.accept();
        world.put_rules(&Setup::new().rules("network_action := \"deny\""));
        let began = Instant::now();
        assert!(matches!(tunnel.read(&mut [0; 1]), Ok(0) | Err(_)));
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
        assert_eq!(world.end().one("TUNNEL_CLOSED")["end"], "tunnel_revoked");
    });
}

fn tunnelled(world: &World) -> std::net::TcpStream {
    let mut client = world.proxy();
    client.write_all(&connect_head(PEER)).unwrap();
    established(client).unwrap_or_else(|refusal| panic!("{}", verdict(&refusal)))
}

fn words(refusal: &Message) -> String {
    refusal.json()["reason"].as_str().unwrap_or("-").to_owned()
}

/// The process that this data plane's rules live in, when they are ready.
fn keeper() -> Pid {
    let deadline = Instant::now() + STEP;
    loop {
        if let Some(keeper) = keeper_with_evaluator() {
            return keeper;
        }
        assert!(Instant::now() < deadline, "the rules did not get ready");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The same, once it has a process of its own: then the rules are ready.
fn keeper_with_evaluator() -> Option<Pid> {
    let keeper = rules_process_of(i32::try_from(std::process::id()).unwrap())?;
    rules_process_of(keeper)?;
    Pid::from_raw(keeper)
}

/// A living child of `parent` that evaluates rules.
fn rules_process_of(parent: i32) -> Option<i32> {
    std::fs::read_dir("/proc").unwrap().find_map(|entry| {
        let number: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{number}/{name}")).ok();
        let status = read("status")?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::trim)
        };
        let lives = field("PPid:")?.parse() == Ok(parent) && !field("State:")?.starts_with('Z');
        (lives && read("cmdline")?.contains("__rules")).then_some(number)
    })
}

/// Conditions that take more than they may: time, memory, stack.
const BOMBS: [&str; 20] = [
    "count([1 | some i in numbers.range(1, 3000); some j in numbers.range(1, 3000); i == j]) > 0",
    "count({[i, j] | some i in numbers.range(1, 2000); some j in numbers.range(1, 2000)}) > 0",
    "count({i: j | some i in numbers.range(1, 100000); j := i * i}) > 0",
    "count(numbers.range(1, 2000000000)) > 0",
    "sum(numbers.range(1, 5000000)) > 0",
    "count(numbers.range_step(1, 1000000000, 1)) > 0",
    "count(concat(\"\", [\"aaaaaaaaaaaaaaaa\" | some _ in numbers.range(1, 1000000)])) > 0",
    "count(sprintf(\"%v\", [numbers.range(1, 1000000)])) > 0",
    "count(json.marshal(numbers.range(1, 2000000))) > 0",
    "count(doubled(doubled(doubled(doubled(doubled(doubled(\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"))))))) > 0",
    "count(split(replace(json.marshal(numbers.range(1, 300000)), \",\", \",,,,,,,,\"), \",\")) > 0",
    "count(sort([x | some i in numbers.range(1, 200000); x := 200000 - i])) > 0",
    "endless(1) > 0",
    "product([i | some i in numbers.range(1, 30000)]) > 0",
    "count(bits.lsh(1, 1000000000)) > 0",
    "count(walked(numbers.range(1, 300000))) > 0",
    "every i in numbers.range(1, 3000000) { i > 0 }",
    "count(array.concat(numbers.range(1, 3000000), numbers.range(1, 3000000))) > 0",
    "count(union({s | some i in numbers.range(1, 500); s := {j | some j in numbers.range(1, i)}})) > 0",
    "count(strings.reverse(json.marshal(numbers.range(1, 3000000)))) > 0",
];

const BOMB_FUNCTIONS: &str = r#"
doubled(text) := concat("", [text | some _ in numbers.range(1, 64)])

endless(n) := endless(n + 1)

walked(list) := [x | walk(list, x)]
"#;
