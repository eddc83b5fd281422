//! A link that follows a gateway: a real stream over a real socket, driven message by message.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says where it stopped"
)]

mod play;

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use policy::Protocol;
use policy::route::{Fault, NoRoute};
use proto::v1::{PolicyStatus, SandboxPhase, SandboxReport, Snapshot};
use ringfence_link as link;
use ringfence_link::{Freshness, Standing, Stream};

use play::{Place, Play, Reporting, STEP, complete, delta, gateway, route, sandbox, with_gate};

const CHAT: Protocol = Protocol::OpenAiChatCompletions;

fn start() -> link::Link {
    link::start(link::Config::default()).unwrap()
}

fn more(message: Snapshot) -> Snapshot {
    Snapshot {
        more: true,
        ..message
    }
}

/// Waits until the standing is as meant.
fn until(subscription: &link::Subscription, is_meant: impl Fn(&Standing) -> bool) -> Standing {
    let deadline = std::time::Instant::now() + STEP;
    loop {
        let standing = subscription.standing();
        if is_meant(&standing) {
            return standing;
        }
        assert!(std::time::Instant::now() < deadline, "{standing:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// DL-1, DPL-5
#[test]
fn a_gateway_that_comes_late_is_found_without_a_restart() {
    let place = Place::new("late");
    let link = start();
    let (gateway, memory) = gateway(&place);
    let subscription = link.subscriber.follow(gateway).unwrap();
    assert_eq!(subscription.wait_ready(Duration::from_millis(300)), None);
    let play = Play::begin(&place);
    let stream = play.stream();
    assert_eq!(stream.asked.host_id, "host-1/demo");
    assert_eq!(stream.asked.sandbox_ids, ["a"]);
    assert_eq!(stream.asked.applied_generation, 0);
    stream.say(complete(7));
    assert_eq!(subscription.wait_ready(STEP), Some(7));
    let served = memory.next();
    assert!(served.routes.select(CHAT).is_ok());
    assert!(served.sandboxes["a"].policy.is_some());
    assert_eq!(
        until(&subscription, |standing| standing.stream == Stream::Up).generation,
        Some(7)
    );
    link.close();
}

/// DL-2, DPL-3
#[test]
fn a_change_of_a_generation_that_is_not_in_force_leads_to_a_new_stream() {
    let place = Place::new("base");
    let link = start();
    let (gateway, memory) = gateway(&place);
    let subscription = link.subscriber.follow(gateway).unwrap();
    let play = Play::begin(&place);
    let stream = play.stream();
    stream.say(complete(7));
    memory.next();
    stream.say(Snapshot {
        routes: vec![route(9)],
        routes_changed: true,
        ..delta(9, 8)
    });
    let again = play.stream();
    assert_eq!(again.asked.applied_generation, 7);
    again.say(complete(10));
    let served = memory.next();
    assert_eq!(served.generation, 10, "nothing came in between");
    assert_eq!(served.routes.select(CHAT).unwrap().version, 1);
    assert_eq!(subscription.standing().freshness, Freshness::Fresh);
    link.close();
}

/// DPL-2, DPL-6, TR-082
#[test]
fn parts_are_put_in_force_together_and_what_did_not_change_stays() {
    let place = Place::new("parts");
    let link = start();
    let (gateway, memory) = gateway(&place);
    link.subscriber.follow(gateway).unwrap();
    let play = Play::begin(&place);
    let stream = play.stream();
    stream.say(complete(1));
    let first = memory.next();
    stream.say(more(Snapshot {
        sandboxes: vec![sandbox("b", 1, "")],
        ..delta(2, 1)
    }));
    stream.say(more(Snapshot {
        sandboxes: vec![sandbox("c", 1, "nobody")],
        ..delta(2, 1)
    }));
    stream.say(delta(2, 1));
    let second = memory.next();
    assert_eq!(second.generation, 2);
    assert!(second.sandboxes["b"].policy.is_some());
    assert!(second.sandboxes["c"].policy.is_none(), "broken on its own");
    assert!(Arc::ptr_eq(&first.routes, &second.routes));
    let policy = |served: &link::Served| served.sandboxes["a"].policy.clone().unwrap();
    assert!(Arc::ptr_eq(&policy(&first), &policy(&second)));
    link.close();
}

/// DPL-4: a gateway whose machine hangs closes nothing.
#[test]
fn a_silent_stream_is_given_up() {
    let place = Place::new("silent");
    let link = start();
    let (mut gateway, memory) = gateway(&place);
    gateway.timing.silence = Duration::from_millis(400);
    link.subscriber.follow(gateway).unwrap();
    let play = Play::begin(&place);
    let silent = play.stream();
    silent.say(complete(1));
    memory.next();
    let again = play.stream();
    assert_eq!(again.asked.applied_generation, 1);
    drop(silent);
    link.close();
}

/// DL-3, DPL-9
#[test]
fn routes_go_stale_without_a_gateway_and_policies_do_not() {
    let place = Place::new("stale");
    let link = start();
    let (mut gateway, memory) = gateway(&place);
    gateway.max_stale = Some(Duration::from_millis(300));
    let subscription = link.subscriber.follow(gateway).unwrap();
    let play = Play::begin(&place);
    play.stream().say(complete(4));
    let fresh = memory.next();
    drop(play);
    let stale = memory.next();
    assert_eq!(
        stale.routes.select(CHAT).unwrap_err(),
        NoRoute::Broken(Fault::Stale)
    );
    assert!(stale.sandboxes["a"].policy.is_some());
    let standing = until(&subscription, |standing| {
        standing.freshness == Freshness::Stale
    });
    assert_eq!(
        (standing.stream, standing.generation),
        (Stream::Down, Some(4))
    );

    let play = Play::begin(&place);
    let stream = play.stream();
    stream.say(complete(4));
    let back = memory.next();
    assert!(Arc::ptr_eq(
        fresh.routes.select(CHAT).unwrap(),
        back.routes.select(CHAT).unwrap()
    ));
    until(&subscription, |standing| {
        standing.freshness == Freshness::Fresh && standing.stream == Stream::Up
    });
    drop(stream);
    link.close();
}

/// LOG-1, DPL-5: a loss is told once, however often an attempt fails afterwards.
#[test]
fn a_lost_stream_is_told_once_with_its_reason_until_there_is_one_again() {
    let place = Place::new("lost");
    let link = start();
    let (gateway, memory) = gateway(&place);
    let subscription = link.subscriber.follow(gateway).unwrap();
    let (why, _) = memory.lost.recv_timeout(STEP).unwrap();
    assert!(why.contains("No such file"), "{why}");
    let play = Play::begin(&place);
    play.stream().say(complete(1));
    memory.next();
    until(&subscription, |standing| standing.stream == Stream::Down);
    let (why, retry) = memory.lost.recv_timeout(STEP).unwrap();
    assert_eq!(why, "the gateway closed the stream");
    assert!(retry <= Duration::from_millis(20), "{retry:?}");
    drop(play);
    // Many attempts fit into this, and each fails.
    let again = memory.lost.recv_timeout(Duration::from_millis(500));
    assert!(again.is_err(), "{again:?}");
    link.close();
}

/// PRV-8, LOG-1
#[test]
fn a_provider_that_is_gone_is_told_once_with_its_type() {
    let place = Place::new("revoked");
    let link = start();
    let (gateway, memory) = gateway(&place);
    link.subscriber.follow(gateway).unwrap();
    let play = Play::begin(&place);
    let stream = play.stream();
    let of = |generation, route| Snapshot {
        routes: vec![route],
        routes_changed: true,
        ..delta(generation, generation - 1)
    };
    let ready = proto::inference::ResolvedRoute {
        provider_type: "openai".to_owned(),
        ..route(1)
    };
    let missing = |version| proto::inference::ResolvedRoute {
        name: "inference.local".to_owned(),
        status: proto::inference::RouteStatus::Broken.into(),
        error_code: "provider_missing".to_owned(),
        version,
        ..proto::inference::ResolvedRoute::default()
    };
    stream.say(complete(1));
    stream.say(of(2, ready));
    stream.say(of(3, missing(1)));
    stream.say(of(4, missing(2)));
    let revoked: Vec<_> = (0..4).map(|_| memory.next().revoked).collect();
    let none = Vec::new;
    let openai = vec![Some("openai".to_owned())];
    assert_eq!(revoked, [none(), none(), openai, none()]);
    link.close();
}

/// DPL-8: a host that is about to end says so, and waits no longer than it is told to.
#[test]
fn a_last_word_is_heard_before_the_stream_goes_and_waited_for_no_longer_than_said() {
    let place = Place::new("last");
    let link = start();
    let (gateway, memory) = gateway(&place);
    let subscription = link.subscriber.follow(gateway).unwrap();
    let play = Play::begin(&place);
    let stream = play.stream();
    stream.say(complete(1));
    memory.next();
    until(&subscription, |standing| standing.stream == Stream::Up);
    let word = |phase: SandboxPhase| SandboxReport {
        sandbox_id: "a".to_owned(),
        phase: phase.into(),
        ..SandboxReport::default()
    };
    subscription.say(word(SandboxPhase::Ready));
    subscription.say_last(word(SandboxPhase::Unknown), STEP);
    let heard = play.reports.try_iter().flat_map(|report| report.sandboxes);
    assert_eq!(
        heard.last().map(|report| report.phase()),
        Some(SandboxPhase::Unknown)
    );
    play.reporting(Reporting::Refused);
    subscription.say_last(word(SandboxPhase::Error), Duration::from_millis(200));
    drop(stream);
    link.close();
}

/// DPL-8, LIV-7
#[test]
fn what_became_of_a_change_is_reported_until_it_was_heard() {
    let place = Place::new("report");
    let link = start();
    let (gateway, memory) = gateway(&place);
    let subscription = link.subscriber.follow(gateway).unwrap();
    let play = Play::begin(&place);
    play.reporting(Reporting::Refused);
    let stream = play.stream();
    stream.say(Snapshot {
        sandboxes: vec![sandbox("a", 3, ""), sandbox("b", 5, "nobody")],
        ..complete(2)
    });
    memory.next();
    let is_whole = |generation| {
        move |report: &proto::v1::ReportRequest| {
            report.applied_generation == generation && report.policies.len() == 2
        }
    };
    play.report(is_whole(2));
    // It was refused, so it comes again.
    play.reporting(Reporting::Taken);
    let report = play.report(is_whole(2));
    assert_eq!(report.host_id, "host-1/demo");
    let [loaded, failed] = &report.policies[..] else {
        panic!("{report:?}");
    };
    assert_eq!((loaded.version, loaded.status()), (3, PolicyStatus::Loaded));
    assert_eq!((failed.version, failed.status()), (5, PolicyStatus::Failed));
    assert!(failed.load_error.starts_with("process.run_as_user"));
    assert_eq!(report.routes.len(), 1);

    subscription.say(SandboxReport {
        sandbox_id: "a".to_owned(),
        phase: SandboxPhase::Ready.into(),
        ..SandboxReport::default()
    });
    let fares = play.report(|report| !report.sandboxes.is_empty());
    assert_eq!(fares.sandboxes[0].phase(), SandboxPhase::Ready);

    // A gateway that was just found may have heard nothing.
    drop(stream);
    play.stream().say(Snapshot {
        sandboxes: vec![sandbox("a", 3, ""), sandbox("b", 5, "nobody")],
        ..complete(2)
    });
    play.report(|report| report.policies.len() == 2 && report.sandboxes.len() == 1);
    link.close();
}

/// B5: compiling takes as long as it takes, and names are looked up meanwhile.
#[test]
fn names_are_found_while_a_change_is_put_in_force() {
    let place = Place::new("busy");
    let hosts = place.socket().with_file_name("hosts");
    std::fs::write(&hosts, "10.1.2.3 near.test\n").unwrap();
    let mut config = link::Config::default();
    config.resolve.hosts_file = hosts;
    let link = link::start(config).unwrap();
    let (go, gate) = channel();
    let (gateway, memory) = with_gate(&place, Some(gate));
    let subscription = link.subscriber.follow(gateway).unwrap();
    let play = Play::begin(&place);
    play.stream().say(complete(1));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let host = wire::HostField::parse(b"near.test").unwrap().host;
    let found = runtime.block_on(link.resolver.resolve(&host)).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(subscription.standing().generation, None, "not in force yet");
    go.send(()).unwrap();
    memory.next();
    assert_eq!(subscription.wait_ready(STEP), Some(1));
    link.close();
}

/// A data plane has one gateway: a second one would put its own half in force.
#[test]
fn a_second_gateway_is_refused() {
    let place = Place::new("second");
    let link = start();
    let (first, memory) = gateway(&place);
    let play = Play::begin(&place);
    link.subscriber.follow(first).unwrap();
    assert!(link.subscriber.follow(gateway(&place).0).is_err());
    play.stream().say(complete(1));
    memory.next();
    assert!(link.subscriber.follow(gateway(&place).0).is_err());
    link.close();
}
