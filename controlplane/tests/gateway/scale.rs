//! A thousand hosts on one gateway: one change reaches all. Prints what it took; `benches/results` keeps some of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::world::{Operator, Stream, World};

const HOSTS: usize = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_change_reaches_a_thousand_hosts() {
    let world = World::start_with(|config| config.limits.heartbeat = Duration::from_secs(5)).await;
    let mut operator = Operator::new(&world.local().await);
    operator.provider("p", "sk-1").await;
    operator.route("p", "m-1").await;
    let mut sandboxes = Vec::new();
    for number in 0..HOSTS {
        sandboxes.push(operator.sandbox(&format!("s{number}")).await);
    }
    let received = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut streams = Vec::new();
    for (host, id) in sandboxes.iter().enumerate() {
        let channel = world.local_counted(Arc::clone(&received)).await;
        let mut stream = Stream::open(&channel, &format!("host-{host}"), &[id]).await;
        assert_eq!(stream.next().await.routes[0].model_id, "m-1");
        // The channel lives as long as the stream needs it.
        streams.push((stream, channel));
    }
    let connected = started.elapsed();

    let (before, cpu, started) = (received.load(Ordering::Relaxed), cpu(), Instant::now());
    let mut readers = JoinSet::new();
    for (mut stream, channel) in streams {
        readers.spawn(async move {
            let next = stream.next().await;
            assert_eq!(next.routes[0].model_id, "m-2");
            (stream, channel)
        });
    }
    operator.route("p", "m-2").await;
    let streams = readers.join_all().await;
    let (seconds, bytes) = (started.elapsed(), received.load(Ordering::Relaxed) - before);
    eprintln!(
        "{HOSTS} hosts: connected in {:.2} s; one change: {:.3} s, {bytes} bytes, {:.2} s of CPU (both ends), {} KiB resident",
        connected.as_secs_f64(),
        seconds.as_secs_f64(),
        (self::cpu() - cpu).as_secs_f64(),
        resident_kib(),
    );
    assert_eq!(streams.len(), HOSTS);
    assert!(seconds < Duration::from_secs(30), "{seconds:?}");

    let (idle_before, idle_cpu) = (received.load(Ordering::Relaxed), self::cpu());
    let idle = Duration::from_secs(6);
    tokio::time::sleep(idle).await;
    let idle_bytes = received.load(Ordering::Relaxed) - idle_before;
    eprintln!(
        "{HOSTS} hosts idle: {:.1} bytes a second and host, {:.1} % of a core (both ends)",
        idle_bytes as f64 / idle.as_secs_f64() / HOSTS as f64,
        (self::cpu() - idle_cpu).as_secs_f64() / idle.as_secs_f64() * 100.0,
    );
}

/// The processor time of this process, which holds the gateway and the hosts.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    // utime and stime are the 14th and 15th; the name in parentheses is the second.
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
