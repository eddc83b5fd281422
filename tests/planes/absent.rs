//! A gateway that is away: nothing that runs needs it, and what changed meanwhile arrives when it is back.

use std::io::Write;
use std::time::{Duration, Instant};

use harness::play;
use harness::policy::text;

use crate::plane::{Plane, backends, chat, last, number, until};

/// Issue: the gateway killed and absent under load; back: caught up; TR-102, DPL-5, DPL-9. `RINGFENCE_ABSENT_SECONDS` for
/// more than 5.
#[test]
fn requests_go_on_while_the_gateway_is_away_and_changes_arrive_when_it_is_back() {
    play(|scene| {
        let provider = backends(scene);
        let mut plane = Plane::start(scene);
        plane.provider("one", "openai", "OPENAI_API_KEY=key-of-one");
        plane.route("one", "before");
        let inside = plane.fence("worker");
        inside.ready();
        let seconds = number("RINGFENCE_ABSENT_SECONDS", 5) as u64;
        plane.kill_gateway();
        let (began, mut asked) = (Instant::now(), 0u64);
        let mut connection = inside.inference();
        while began.elapsed() < Duration::from_secs(seconds) {
            let answer = chat(&mut connection, "hello");
            assert_eq!(answer.message.status(), 200, "{}", answer.message.text());
            assert_eq!(last(&provider).2, "before");
            asked += 1;
        }
        plane.start_gateway();
        let back = Instant::now();
        plane.done(&["cluster", "inference", "update", "--model", "after"]);
        until("the change arrives", || {
            inside.verdict() == "200" && last(&provider).2 == "after"
        });
        _ = writeln!(
            std::io::stderr(),
            "absent: {seconds} s, {asked} requests, 0 failed; caught up {:?} after it was back",
            back.elapsed()
        );
    });
}

/// DL-1, DPL-5, TR-103: first start with the gateway down.
#[test]
fn a_sandbox_that_starts_before_its_gateway_gets_inference_when_it_comes() {
    play(|scene| {
        let provider = backends(scene);
        let mut plane = Plane::start(scene);
        plane.provider("one", "openai", "OPENAI_API_KEY=key-of-one");
        plane.route("one", "m");
        plane.kill_gateway();
        let socket = format!("unix:{}", plane.socket().display());
        let inside = plane.inside(
            plane
                .run("early")
                .flag("--gateway")
                .flag(socket)
                .policy(&text("", "")),
        );
        assert_eq!(inside.verdict(), "inference_not_ready");
        plane.start_gateway();
        until("inference works", || inside.verdict() == "200");
        assert_eq!(last(&provider).2, "m");
        until("the sandbox is known", || {
            plane.cli(&["sandbox", "get", "early"]).code == 0
        });
    });
}

/// DL-3, DPL-9
#[test]
fn routes_go_stale_when_the_gateway_is_away_for_too_long_and_fresh_when_it_is_back() {
    play(|scene| {
        let _provider = backends(scene);
        let mut plane = Plane::start(scene);
        plane.provider("one", "openai", "OPENAI_API_KEY=key-of-one");
        plane.route("one", "m");
        let run = plane.run("stale").flag("--max-stale").flag("1s");
        let inside = plane.inside(run.policy(&text("", "")));
        inside.ready();
        plane.kill_gateway();
        until("the route is stale", || inside.verdict() == "route_stale");
        plane.start_gateway();
        until("it is fresh", || inside.verdict() == "200");
    });
}
