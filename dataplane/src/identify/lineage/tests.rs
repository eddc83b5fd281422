//! Processes of a sandbox that the tests make, as `owner`'s do: programs are copies of bash.

use super::*;
use crate::identify::owner::tests::world::World;

fn paths(seen: &Seen) -> Vec<String> {
    seen.lineage()
        .map(|seen| String::from_utf8_lossy(&seen.program.path).into_owned())
        .collect()
}

/// IDN-4, TR-051: what is kept of ancestors ends with them, and with the programs they ran.
#[test]
fn an_ancestor_that_executes_or_ends_is_noticed() {
    let Some(mut world) = World::new() else {
        return;
    };
    let (curl, make, git) = (
        world.program("curl"),
        world.program("make"),
        world.program("git"),
    );
    let connection = world.run(&format!(
        "{make} -c '{curl} -c \"{}; read x <&9\" & read y <&4; exec {git} -c \"echo executed; read z <&4\"'",
        world.connect()
    ));
    let pid = world.identify(&connection).unwrap().pid;
    let read = |world: &World| Seen::read(world.proc(), pid, &|_| None);
    let (seen, extent) = read(&world).unwrap();
    assert_eq!(extent, Extent::Whole);
    assert_eq!(paths(&seen), [&curl[..], &make, &world.path("entry")]);
    assert!(seen.is_same_caller() && seen.is_unchanged());
    // What is known of those above is used as it is.
    let above = seen.above.clone();
    let known = |_| above.clone();
    let (again, _) = Seen::read(world.proc(), pid, &known).unwrap();
    assert!(Arc::ptr_eq(
        again.above.as_ref().unwrap(),
        above.as_ref().unwrap()
    ));
    world.signal();
    world.expect("executed");
    assert!(!seen.is_same_caller(), "the parent runs another program");
    assert!(seen.is_unchanged(), "the caller itself does not");
    let (executed, _) = read(&world).unwrap();
    assert_eq!(paths(&executed), [&curl[..], &git, &world.path("entry")]);
    world.signal();
    while executed.is_same_caller() {
        std::thread::yield_now();
    }
    loop {
        // It may be ending still, and is a parent until it has; whoever reads at that moment has to read again.
        let Ok((orphan, extent)) = read(&world) else {
            continue;
        };
        assert!(orphan.depth <= 1);
        if extent == Extent::Whole {
            assert_eq!(paths(&orphan), [curl]);
            return;
        }
    }
}

/// IDN-6: a process that is gone cannot be read, and what was read of it is no longer so.
#[test]
fn a_process_that_ended_is_not_what_was_read() {
    let Some(mut world) = World::new() else {
        return;
    };
    let curl = world.program("curl");
    let connection = world.run(&format!("{curl} -c '{}; read y <&4'", world.connect()));
    let pid = world.identify(&connection).unwrap().pid;
    let (seen, _) = Seen::read(world.proc(), pid, &|_| None).unwrap();
    world.signal();
    while seen.is_unchanged() {
        std::thread::yield_now();
    }
    assert!(!seen.is_same_caller());
    // The file can still be hashed: it was open.
    let file = seen.open_executable().unwrap();
    let stat = fstat(&file).unwrap();
    assert_eq!(Fingerprint::of(&stat), Some(seen.program.fingerprint));
}

/// IDN-4, IDN-6: whoever has the number of an ancestor that ended is not taken for it, though its memory lives on in a child
/// that shares it: posix_spawn(3) waits for a pipe before it executes anything.
#[test]
fn a_process_that_ended_is_gone_while_a_child_still_has_its_memory() {
    if std::process::Command::new("python3")
        .arg("--version")
        .output()
        .is_err()
    {
        println!("SKIPPED: python3 is missing");
        return;
    }
    let Some(mut world) = World::new() else {
        return;
    };
    let pipe = world.path("stuck");
    let script = world.script(
        "spawn",
        &format!(
            "import os, socket\nkept = socket.create_connection((\"127.0.0.1\", 3128))\n\
             os.read(4, 3)\nos.mkfifo(\"{pipe}\")\n\
             wait = [(os.POSIX_SPAWN_OPEN, 5, \"{pipe}\", os.O_RDONLY, 0)]\n\
             os.posix_spawn(\"/bin/true\", [\"true\"], {{}}, file_actions=wait)\n"
        ),
    );
    let connection = world.run(&format!("python3 {script}"));
    let pid = world.identify(&connection).unwrap().pid;
    let (seen, _) = Seen::read(world.proc(), pid, &|_| None).unwrap();
    world.signal();
    let parent = |pid: u32| {
        let directory = openat(world.proc(), pid.to_string(), OFlags::PATH, Mode::empty()).ok()?;
        Some(process::read_state(directory.as_fd()).ok()?.parent)
    };
    let child = || {
        let all = process::pids(world.proc()).unwrap();
        all.into_iter().any(|other| parent(other) == Some(pid))
    };
    while !child() {
        std::thread::yield_now();
    }
    assert!(seen.is_unchanged());
    rustix::process::pidfd_send_signal(&seen.directory, rustix::process::Signal::KILL).unwrap();
    // Its parent reaps it at once.
    while openat(world.proc(), pid.to_string(), OFlags::PATH, Mode::empty()).is_ok() {
        std::thread::yield_now();
    }
    let alive = pread(&seen.memory, &mut [0_u8; 1][..], 0);
    assert_eq!(alive, Err(Errno::IO), "the child has the memory");
    assert!(!seen.is_unchanged());
}
