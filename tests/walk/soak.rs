//! Two hundred clients of every kind for a while, the policy changing under them every second: nothing is lost, and the
//! memory of ringfence stays what it was.
//!
//! Twenty seconds among the other tests; `RINGFENCE_SOAK_MINUTES=10` and the release profile make it a measurement, whose
//! report is left in the target directory.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use harness::policy::{ANY, entry, private, text};
use harness::run::Running;
use harness::scene::{PRIVATE, Scene};
use harness::soak::{self, Kind, outside};
use harness::{binary, model, play_within};

/// How many clients of which kind; 200 together.
const CLIENTS: [(Kind, u64); 7] = [
    (Kind::Tunnel, 50),
    (Kind::Forward, 40),
    (Kind::InspectedPlain, 25),
    (Kind::InspectedTls, 25),
    (Kind::Inference, 40),
    (Kind::Denied, 10),
    (Kind::Turning, 10),
];

/// Set to a number, the soak takes that many minutes.
const MINUTES_VARIABLE: &str = "RINGFENCE_SOAK_MINUTES";

fn length() -> Duration {
    let minutes = std::env::var(MINUTES_VARIABLE).ok();
    let minutes = minutes.map(|text| text.parse::<u64>().expect("minutes as a number"));
    minutes.map_or(Duration::from_secs(20), |minutes| {
        Duration::from_secs(60 * minutes)
    })
}

/// Even numbers allow the turning host, odd ones do not; each has something no other has.
fn policy(number: u64) -> String {
    let rest = "protocol: rest, enforcement: enforce, allowed_ips: [10.99.0.0/24], \
                rules: [{allow: {method: GET, path: /bytes/**}}, {allow: {method: POST, path: /sum}}]";
    let mut network = [
        private("echo", soak::HOST, soak::ECHO, ANY),
        private("plain", soak::HOST, soak::FORWARD, ANY),
        entry(
            "judged",
            &format!(
                "{{host: {}, port: {}, {rest}}}",
                soak::HOST,
                soak::INSPECTED
            ),
            ANY,
        ),
        entry(
            "judged-tls",
            &format!(
                "{{host: {}, port: {}, tls: terminate, {rest}}}",
                soak::HOST,
                soak::INSPECTED_TLS
            ),
            ANY,
        ),
        private(
            &format!("number-{number}"),
            "model.test",
            1 + (number % 60_000) as u16,
            ANY,
        ),
    ]
    .concat();
    if number.is_multiple_of(2) {
        network += &private("turning", soak::TURNING_HOST, soak::TURNING, ANY);
    }
    text(&network, "")
}

/// Resident memory of a process in KiB.
fn resident_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// How many records of each kind and verdict came through the pipe.
type Counts = Arc<Mutex<std::collections::BTreeMap<String, u64>>>;

/// A pipe in place of the record file: its lines are counted and forgotten.
fn records(path: &Path) -> (Counts, thread::JoinHandle<()>) {
    let status = std::process::Command::new("mkfifo")
        .arg(path)
        .status()
        .expect("the scene stays as it is");
    assert!(status.success());
    let counts = Counts::default();
    let (into, path) = (Arc::clone(&counts), path.to_owned());
    let reading = thread::spawn(move || {
        let pipe = BufReader::new(fs::File::open(path).expect("the scene stays as it is"));
        for line in pipe.lines().map_while(Result::ok) {
            let word = |key: &str| {
                let (_, rest) = line.split_once(&format!("\"{key}\":\""))?;
                rest.split('"').next().map(str::to_owned)
            };
            let kind = [
                word("msg"),
                word("action").or(word("l7_decision")),
                word("end"),
                word("code"),
            ];
            let kind: Vec<String> = kind
                .into_iter()
                .flatten()
                .filter(|word| word != "-")
                .collect();
            *into
                .lock()
                .expect("the scene stays as it is")
                .entry(kind.join(" "))
                .or_default() += 1;
        }
    });
    (counts, reading)
}

/// How many policies were put in force.
fn loaded(counts: &Counts) -> u64 {
    let counts = counts.lock().expect("the scene stays as it is");
    let loaded = counts
        .iter()
        .filter(|(kind, _)| kind.starts_with("POLICY_LOADED"));
    loaded.map(|(_, count)| count).sum()
}

fn servers(scene: &Scene) {
    let at = |port: u16| format!("{PRIVATE}:{port}");
    outside::echo(&at(soak::ECHO));
    outside::echo(&at(soak::TURNING));
    outside::http(&at(soak::FORWARD), None);
    outside::http(&at(soak::INSPECTED), None);
    outside::http(
        &at(soak::INSPECTED_TLS),
        Some(scene.authority().server(&[soak::HOST])),
    );
    outside::http(&at(soak::MODEL), None);
}

/// Puts another policy in place every second, or when the one before is in force, and samples the memory, until the run
/// has ended.
fn steer(pid: u32, policy_file: PathBuf, counts: &Counts, end: Instant) -> (u64, Vec<u64>) {
    let (mut reloads, mut samples) = (0, Vec::new());
    while Instant::now() < end {
        thread::sleep(Duration::from_secs(1));
        let Some(resident) = resident_kib(pid) else {
            break;
        };
        samples.push(resident);
        if loaded(counts) <= reloads {
            continue;
        }
        let fresh = policy_file.with_extension("new");
        fs::write(&fresh, policy(reloads + 1)).expect("the scene stays as it is");
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600))
            .expect("the scene stays as it is");
        fs::rename(&fresh, &policy_file).expect("the scene stays as it is");
        let pid = rustix::process::Pid::from_raw(pid as i32).expect("the scene stays as it is");
        // It may have ended just now.
        if rustix::process::kill_process(pid, rustix::process::Signal::HUP).is_err() {
            break;
        }
        reloads += 1;
    }
    (reloads, samples)
}

fn mean(samples: &[u64]) -> u64 {
    samples.iter().sum::<u64>() / samples.len().max(1) as u64
}

/// TR-061, TR-069, TR-070, TR-089, TR-094, LIM-2, LIV
#[test]
fn two_hundred_clients_lose_nothing_while_the_policy_changes_every_second() {
    let length = length();
    play_within(length * 2 + Duration::from_secs(120), |scene| {
        servers(scene);
        fs::copy(binary::soak(), "/mnt/bin/soak").unwrap();
        fs::set_permissions("/mnt/bin/soak", fs::Permissions::from_mode(0o755)).unwrap();
        let pipe = scene.private().join("records");
        let (counts, reading) = records(&pipe);
        let mut words = vec!["/mnt/bin/soak".to_owned(), length.as_secs().to_string()];
        words.extend(CLIENTS.map(|(kind, count)| format!("{kind}={count}")));
        let policy_file = scene.private().join("policy.yaml");
        fs::write(&policy_file, policy(0)).unwrap();
        let running: Running = scene
            .run()
            .record_to(&pipe)
            .flag("--policy")
            .flag(&policy_file)
            .routes(&model::routes(&format!(
                "http://{PRIVATE}:{}/v1",
                soak::MODEL
            )))
            .flag("--quiet")
            .command(&words)
            .limit(length * 2 + Duration::from_secs(60))
            .start();
        let pid = running.pid();
        let since = Instant::now();
        let steered = Arc::clone(&counts);
        let steering = thread::spawn(move || steer(pid, policy_file, &steered, since + length));
        let ended = running.wait().success();
        let (reloads, samples) = steering.join().unwrap();
        // Whoever writes the records has ended.
        reading.join().unwrap();
        let loaded = loaded(&counts);
        let counts = counts.lock().unwrap().clone();
        // The first tenth is for pools and pages that are touched once.
        let settled = &samples[samples.len() / 10..];
        let third = settled.len() / 3;
        let (early, late) = (
            mean(&settled[..third]),
            mean(&settled[settled.len() - third..]),
        );
        let mut report = format!(
            "soak: {} s, {} clients, {reloads} policies; resident {early} KiB in the first third, {late} KiB in the last, {} KiB at most\n",
            since.elapsed().as_secs(),
            CLIENTS.iter().map(|(_, count)| count).sum::<u64>(),
            samples.iter().max().unwrap(),
        );
        report += "kind, operations, lost, longest in ms\n";
        report += &ended.out();
        report += "records\n";
        for (kind, count) in &counts {
            report += &format!("{count} {kind}\n");
        }
        std::io::stderr().write_all(report.as_bytes()).unwrap();
        if std::env::var_os(MINUTES_VARIABLE).is_some() {
            fs::write(binary::target_dir().join("soak.txt"), &report).unwrap();
        }
        for (kind, _) in CLIENTS {
            let line = ended
                .out()
                .lines()
                .find(|line| line.starts_with(&format!("{kind} ")))
                .unwrap()
                .to_owned();
            let numbers: Vec<u64> = line
                .split(' ')
                .skip(1)
                .map(|word| word.parse().unwrap())
                .collect();
            assert!(numbers[0] > 0, "{kind} did nothing\n{report}");
            assert_eq!(numbers[1], 0, "{kind} lost something\n{report}");
        }
        // The first, and all but the last, which may have come too late.
        assert!(
            reloads > 1 && loaded >= reloads,
            "{loaded} of {reloads} policies were loaded\n{report}"
        );
        let allowed = early / 20 + 4 * 1024;
        assert!(
            late <= early + allowed,
            "memory grows: {samples:?}\n{report}"
        );
    });
}
