//! A key that must be found nowhere: not in what the gateway says, keeps or answers, and not in a sandbox.

use std::io::Write;
use std::path::Path;

use harness::play;

use crate::plane::{Plane, backends, until};

/// Issue: the canary, core and memory included; SECURITY 37, STO-6, PRV-6, TR-080, TR-086, TR-087
#[test]
fn a_providers_key_is_in_no_log_file_answer_or_process_but_the_ones_that_need_it() {
    play(|scene| {
        let provider = backends(scene);
        let mut plane = Plane::start(scene);
        let key = harness::model::key();
        let mut said = Vec::new();
        let mut ask = |words: &[&str], env: &[(&str, &str)]| {
            let ended = plane.cli_with(words, env);
            said.push(format!("{}{}", ended.stdout, ended.stderr));
        };
        let existing = [("OPENAI_API_KEY", key)];
        ask(
            &[
                "provider",
                "create",
                "--name",
                "one",
                "--type",
                "openai",
                "--from-existing",
            ],
            &existing,
        );
        // Every way of being refused with the key in hand.
        ask(
            &[
                "provider",
                "create",
                "--name",
                "one",
                "--type",
                "openai",
                "--from-existing",
            ],
            &existing,
        );
        ask(
            &[
                "provider",
                "create",
                "--name",
                "two",
                "--type",
                "nobody",
                "--credential",
                "OPENAI_API_KEY",
            ],
            &existing,
        );
        let pairs = format!("BAD-KEY={key}");
        ask(
            &[
                "provider",
                "create",
                "--name",
                "two",
                "--type",
                "openai",
                "--credential",
                &pairs,
            ],
            &[],
        );
        let line = format!("A={key}\r\nx: y");
        ask(&["provider", "update", "one", "--credential", &line], &[]);
        ask(
            &[
                "provider",
                "update",
                "one",
                "--credential",
                "OPENAI_API_KEY",
            ],
            &existing,
        );
        ask(
            &[
                "cluster",
                "inference",
                "set",
                "--provider",
                "one",
                "--model",
                "m",
            ],
            &[],
        );
        ask(&["provider", "test", "one"], &[]);
        for format in ["table", "json", "yaml"] {
            for words in [
                &["provider", "get", "one"][..],
                &["provider", "list"],
                &["cluster", "inference", "get"],
                &["status"],
                &["sandbox", "list"],
            ] {
                let words: Vec<&str> = words.iter().copied().chain(["--output", format]).collect();
                ask(&words, &[]);
            }
        }
        let inside = plane.fence("worker");
        inside.ready();
        inside.chat("do:status=401");
        provider.take();
        ask(&["sandbox", "logs", "worker"], &[]);
        ask(&["sandbox", "get", "worker", "--output", "json"], &[]);
        for text in &said {
            hidden(key, text.as_bytes(), text);
        }
        hidden(key, plane.said().as_bytes(), "what the gateway said");
        let mut files = 0;
        look_through(&plane.state(), &mut |path, bytes| {
            files += 1;
            hidden(key, bytes, &path.display().to_string());
        });
        assert!(files > 3, "the state directory was looked through");
        // What the sandbox can read of itself and of others.
        let environ = inside.fence.file("/proc/self/environ");
        hidden(key, &environ, "the sandbox's environment");
        until("records are there", || {
            !inside.fence.running().recorded().is_empty()
        });
        hidden(
            key,
            inside.fence.running().recorded().as_bytes(),
            "the record",
        );
        hidden(
            key,
            inside.fence.running().said().as_bytes(),
            "what run said",
        );
        let memories = below(inside.fence.running().pid());
        let read: Vec<u32> = memories
            .into_iter()
            .filter(|pid| memory(*pid, &mut |bytes| hidden(key, bytes, "a sandbox's memory")))
            .collect();
        // Root may look into every process; a plain user not into one of other ids.
        assert!(!read.is_empty() || !rustix::process::geteuid().is_root());
        plane.abort_gateway();
        let mut private = 0;
        look_through(scene.private(), &mut |path, bytes| {
            private += 1;
            hidden(key, bytes, &path.display().to_string());
        });
        _ = writeln!(
            std::io::stderr(),
            "canary: {} answers, {files} files of the gateway, {private} of the operator, {} memories, 0 hits",
            said.len(),
            read.len()
        );
    });
}

/// Every process below one.
fn below(top: u32) -> Vec<u32> {
    let parent = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Behind the name, which may hold anything, come the state and the parent.
        let (_, behind) = stat.rsplit_once(')')?;
        behind.split_whitespace().nth(1)?.parse().ok()
    };
    let entries = std::fs::read_dir("/proc").expect("a procfs").flatten();
    let all = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_below = |pid: &u32| {
        let mut at = *pid;
        while let Some(next) = parent(at) {
            if next == top {
                return true;
            }
            at = next;
        }
        false
    };
    all.filter(is_below).collect()
}

/// Shows what a process has in memory, mapping by mapping; false when it may not be looked at.
fn memory(pid: u32, see: &mut impl FnMut(&[u8])) -> bool {
    use std::os::unix::fs::FileExt;
    let Ok(maps) = std::fs::read_to_string(format!("/proc/{pid}/maps")) else {
        return false;
    };
    let Ok(memory) = std::fs::File::open(format!("/proc/{pid}/mem")) else {
        return false;
    };
    let mut seen = false;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let range = line
            .split(' ')
            .next()
            .and_then(|range| range.split_once('-'));
        let number = |text: &str| u64::from_str_radix(text, 16).ok();
        let Some((from, to)) = range.and_then(|(from, to)| number(from).zip(number(to))) else {
            continue;
        };
        let size = usize::try_from((to - from).min(64 << 20)).expect("64 MiB at most");
        let mut bytes = vec![0; size];
        if let Ok(read) = memory.read_at(&mut bytes, from) {
            seen = true;
            see(&bytes[..read]);
        }
    }
    seen
}

/// Nowhere plain, in base64 at any of three offsets, or in hex.
fn hidden(key: &str, bytes: &[u8], place: &str) {
    let mut forms = vec![key.as_bytes().to_vec()];
    let hex = |upper: bool| -> String {
        let byte = |byte: u8| {
            if upper {
                format!("{byte:02X}")
            } else {
                format!("{byte:02x}")
            }
        };
        key.bytes().map(byte).collect()
    };
    forms.extend([hex(false).into_bytes(), hex(true).into_bytes()]);
    for skip in 0..3 {
        // Whole groups of three bytes look the same wherever they stand.
        let body = &key.as_bytes()[skip..];
        forms.push(base64(&body[..body.len() / 3 * 3]));
    }
    for form in forms {
        let found = bytes.windows(form.len()).any(|window| window == form);
        assert!(!found, "the key is in {place}");
    }
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks_exact(3)
        .flat_map(|group| {
            let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
            [18, 12, 6, 0].map(|shift| LETTERS[(bits >> shift & 63) as usize])
        })
        .collect()
}

fn look_through(directory: &Path, see: &mut impl FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
        let (path, kind) = (entry.path(), entry.file_type().expect("its type"));
        if kind.is_dir() {
            look_through(&path, see);
        } else if kind.is_file() {
            see(&path, &std::fs::read(&path).expect("a file's bytes"));
        }
    }
}
