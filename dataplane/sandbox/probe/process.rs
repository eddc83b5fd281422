//! Other processes, pid 1 above all, and privileges that must not come back.

use std::fs;
use std::io;

use crate::attempt::{Attempt, call};

pub(crate) fn attempts() -> Vec<Attempt> {
    let mut attempts: Vec<_> = ["mem", "environ", "maps", "auxv", "stack"]
        .into_iter()
        .map(|file| Attempt::of(&format!("pid1_{file}"), fs::read(format!("/proc/1/{file}"))))
        .collect();
    attempts.extend(["exe", "cwd", "root"].into_iter().map(|link| {
        Attempt::of(
            &format!("pid1_{link}"),
            fs::read_link(format!("/proc/1/{link}")),
        )
    }));
    attempts.extend([
        Attempt::of("pid1_fd", fs::read_dir("/proc/1/fd").map(Iterator::count)),
        Attempt::of("pid1_namespace", fs::File::open("/proc/1/ns/net")),
        Attempt::of("pid1_signal", call(libc::SYS_kill, [1, 9, 0, 0, 0, 0])),
        Attempt::of("become_root", call(libc::SYS_setuid, [0; 6])),
        Attempt::of("become_root_group", call(libc::SYS_setgid, [0; 6])),
        Attempt::of("set_groups", call(libc::SYS_setgroups, [0; 6])),
        Attempt::of("raise_core_limit", raise_core_limit()),
        Attempt::of(
            "no_new_privileges_off",
            call(
                libc::SYS_prctl,
                [libc::PR_SET_NO_NEW_PRIVS as usize, 0, 0, 0, 0, 0],
            ),
        ),
        Attempt::of("sibling_memory_write", sibling_memory()),
        Attempt::of("works_status", status()),
        Attempt::of("works_only_three_descriptors", descriptors()),
        Attempt::of("works_only_own_processes", own_processes()),
    ]);
    attempts
}

/// A program that is allowed more could be made to run other code.
fn sibling_memory() -> io::Result<()> {
    let mut sibling = std::process::Command::new("sleep").arg("5").spawn()?;
    let memory = format!("/proc/{}/mem", sibling.id());
    let opened = fs::OpenOptions::new().write(true).open(memory).map(drop);
    sibling.kill()?;
    sibling.wait()?;
    opened
}

fn raise_core_limit() -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: 2,
        rlim_max: 2,
    };
    // SAFETY: the limit lives over the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// No capability in any set, no_new_privs, a filter, and no core dumps.
fn status() -> io::Result<()> {
    let text = fs::read_to_string("/proc/self/status")?;
    let has = |line: &str| text.lines().any(|have| have.replace('\t', " ") == line);
    let none = "0000000000000000";
    let all = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]
        .iter()
        .all(|set| has(&format!("{set}: {none}")));
    let limits = fs::read_to_string("/proc/self/limits")?;
    let no_core = limits.lines().any(|line| {
        line.split_whitespace().collect::<Vec<_>>()
            == ["Max", "core", "file", "size", "1", "1", "bytes"]
    });
    if all && has("NoNewPrivs: 1") && has("Seccomp: 2") && no_core {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::EPERM))
    }
}

/// 0, 1, 2 and the one that lists them.
fn descriptors() -> io::Result<()> {
    let open: Vec<_> = fs::read_dir("/proc/self/fd")?
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    if open.len() == 4 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::EMFILE))
    }
}

/// Pid 1 and this one.
fn own_processes() -> io::Result<()> {
    let mut numbers: Vec<u32> = fs::read_dir("/proc")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    if numbers == [1, std::process::id()] {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::EEXIST))
    }
}
