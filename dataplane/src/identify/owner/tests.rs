//! The look-up in namespaces that the tests make: real sockets, real programs, the sandbox's own `/proc`.
//!
//! Programs are copies of bash, which connects with `/dev/tcp`, forks with `( )` and replaces itself with `exec`. A user
//! without rights gets them in a user namespace, where the test runs once more.

pub(in crate::identify) mod world;

use super::*;
use world::World;

/// Keeps a shell waiting without a child process that would share its descriptors.
const WAIT: &str = "read x <&9";

/// ID-3 in its plain form, IDN-1, IDN-4: path, hash, ancestors up to the entry process, arguments.
#[test]
fn a_connecting_program_is_named_with_its_ancestors() {
    let Some(mut world) = World::new() else {
        return;
    };
    let (curl, make) = (world.program("curl"), world.program("make"));
    let connection = world.run(&format!(
        "{make} -c '{curl} -c \"{}; {WAIT}\" curl-argument; :'",
        world.connect()
    ));
    let caller = world.identify(&connection).unwrap();
    assert_eq!(&*caller.exe.path, curl.as_bytes());
    assert_eq!(caller.exe.sha256, world.hash("curl"));
    let ancestors: Vec<_> = caller
        .ancestors
        .iter()
        .map(|exe| (exe.path.to_vec(), exe.sha256))
        .collect();
    let expected = ["make", "entry"].map(|name| (world.path(name).into_bytes(), world.hash(name)));
    assert_eq!(ancestors, expected, "process 1 is not among them");
    assert!(
        caller
            .cmdline
            .starts_with(format!("{curl}\0-c\0").as_bytes())
    );
    assert!(caller.cmdline.ends_with(b"curl-argument\0"));
    assert!(
        caller.pid > 1 && caller.pid < 1_000,
        "the number that the sandbox sees: {}",
        caller.pid
    );
    assert_eq!(world.identify(&connection).unwrap().exe, caller.exe);
}

/// ID-4: shared by a fork of one program: allowed.
#[test]
fn a_socket_shared_by_a_fork_of_one_program_is_that_programs() {
    let Some(mut world) = World::new() else {
        return;
    };
    let curl = world.program("curl");
    let connection = world.run(&format!(
        "{curl} -c '{}; (echo forked; {WAIT}; :) & {WAIT}'",
        world.connect()
    ));
    world.expect("forked");
    assert_eq!(
        &*world.identify(&connection).unwrap().exe.path,
        curl.as_bytes()
    );
}

/// ID-4, TR-045: shared by two different programs: refused, whichever of them the policy knows.
#[test]
fn a_socket_shared_by_two_programs_is_nobodys() {
    let Some(mut world) = World::new() else {
        return;
    };
    let (curl, git) = (world.program("curl"), world.program("git"));
    let connection = world.run(&format!(
        "{curl} -c '{}; {git} -c \"echo shared; {WAIT}\" & {WAIT}'",
        world.connect()
    ));
    world.expect("shared");
    assert_eq!(
        world.identify(&connection).err(),
        Some(IdentityError::Unavailable)
    );
}

/// ID-4, TR-045: one program twice, but with another ancestor.
#[test]
fn owners_with_different_ancestors_disagree() {
    let Some(mut world) = World::new() else {
        return;
    };
    let (curl, git) = (world.program("curl"), world.program("git"));
    let inner = format!("{curl} -c \"echo inner; {WAIT}\" & exec 3>&-; echo closed; {WAIT}");
    let script = world.script("inner", &inner);
    let connection = world.run(&format!(
        "{curl} -c '{}; {git} {script} & {WAIT}'",
        world.connect()
    ));
    world.expect("inner");
    world.expect("closed");
    assert_eq!(
        world.identify(&connection).err(),
        Some(IdentityError::Unavailable)
    );
}

/// ID-4, TR-046: another namespace's socket with the same port is never considered.
#[test]
fn the_same_port_in_another_namespace_is_never_considered() {
    let (Some(mut one), Some(mut other), Some(empty)) = (World::new(), World::new(), World::new())
    else {
        return;
    };
    let (curl, git) = (one.program("curl"), other.program("git"));
    for world in [&mut one, &mut other] {
        world.tell("echo 40000 40001 > /proc/sys/net/ipv4/ip_local_port_range; echo ranged");
        world.expect("ranged");
    }
    let here = one.run(&format!("{curl} -c '{}; {WAIT}'", one.connect()));
    let there = other.run(&format!("{git} -c '{}; {WAIT}'", other.connect()));
    assert_eq!(here.client, there.client, "the ports are the same");
    assert_eq!(&*one.identify(&here).unwrap().exe.path, curl.as_bytes());
    assert_eq!(&*other.identify(&there).unwrap().exe.path, git.as_bytes());
    assert_eq!(
        empty.identify(&here).err(),
        Some(IdentityError::Unavailable)
    );
}

/// TR-045, IDN-3: a process put into the namespaces from outside is in nobody's process tree.
#[test]
fn an_owner_outside_the_process_tree_is_refused() {
    let Some(mut world) = World::new() else {
        return;
    };
    let curl = world.program("curl");
    let connection = world.run_from_outside(&curl, &format!("{}; {WAIT}", world.connect()));
    assert_eq!(
        world.identify(&connection).err(),
        Some(IdentityError::Unavailable)
    );
}

/// IDN-4: process 1 is ours and is never an owner.
#[test]
fn process_one_is_never_an_owner() {
    let Some(mut world) = World::new() else {
        return;
    };
    let connection = world.run_in_init(&world.connect());
    assert_eq!(
        world.identify(&connection).err(),
        Some(IdentityError::Unavailable)
    );
}

/// IDN-4: a program whose parent has ended has no ancestors; ours, which adopted it, is none.
#[test]
fn an_orphan_has_no_ancestors() {
    let Some(mut world) = World::new() else {
        return;
    };
    let (curl, make) = (world.program("curl"), world.program("make"));
    let script = world.script("orphan", &format!("{}; {WAIT}", world.connect()));
    let parent = world.script("parent", &format!("{curl} {script} & exit"));
    let connection = world.run(&format!("{{ {make} {parent}; echo ended; }}"));
    world.expect("ended");
    let caller = world.identify(&connection).unwrap();
    assert_eq!(&*caller.exe.path, curl.as_bytes());
    assert!(caller.ancestors.is_empty(), "{:?}", caller.ancestors);
}

/// IDN-7, TR-048: the suffix that the kernel adds is removed, the one that a name has is not.
#[test]
fn a_deleted_program_keeps_its_name_and_so_does_one_named_deleted() {
    let Some(mut world) = World::new() else {
        return;
    };
    let gone = world.program("gone");
    let connection = world.run(&format!("{gone} -c '{}; {WAIT}'", world.connect()));
    let hash = world.hash("gone");
    std::fs::remove_file(&gone).unwrap();
    let caller = world.identify(&connection).unwrap();
    assert_eq!(
        (&*caller.exe.path, caller.exe.sha256),
        (gone.as_bytes(), hash)
    );

    let named = world.program("named (deleted)");
    let connection = world.run(&format!("\"{named}\" -c '{}; {WAIT}'", world.connect()));
    assert_eq!(
        &*world.identify(&connection).unwrap().exe.path,
        named.as_bytes()
    );

    // Both at once: the kernel adds a second suffix, and one is removed.
    std::fs::remove_file(&named).unwrap();
    assert_eq!(
        &*world.identify(&connection).unwrap().exe.path,
        named.as_bytes()
    );
}

/// IDN-7: paths are bytes.
#[test]
fn a_path_that_is_not_utf8_is_given_as_it_is() {
    let Some(mut world) = World::new() else {
        return;
    };
    let plain = world.program("plain");
    let path = [plain.as_bytes(), b"\xff\n"].concat();
    // By a process of its own, as every program.
    world.tell(&format!("cp {plain} {plain}$'\\xff\\n'; echo copied"));
    world.expect("copied");
    let connection = world.run(&format!(
        "{plain}$'\\xff\\n' -c '{}; {WAIT}'",
        world.connect()
    ));
    assert_eq!(&*world.identify(&connection).unwrap().exe.path, &*path);
}

/// ID-2, TR-047: the file at a known path is replaced; its own old process stays what it was.
#[test]
fn a_replaced_program_is_an_integrity_violation() {
    let Some(mut world) = World::new() else {
        return;
    };
    let curl = world.program("curl");
    let first = world.run(&format!("{curl} -c '{}; {WAIT}'", world.connect()));
    assert!(world.identify(&first).is_ok());
    let evil = world.program("evil");
    std::fs::rename(evil, &curl).unwrap();
    let second = world.run(&format!("{curl} -c '{}; {WAIT}'", world.connect()));
    assert_eq!(world.identify(&second).err(), Some(IdentityError::Changed));
    assert!(world.identify(&first).is_ok());
}

/// ID-2: other bytes of the same length, and the time of change put back.
#[test]
fn changed_bytes_with_a_restored_time_are_an_integrity_violation() {
    let Some(mut world) = World::new() else {
        return;
    };
    let curl = world.program("curl");
    let connection = world.run(&format!("{curl} -c '{}; {WAIT}'", world.connect()));
    assert!(world.identify(&connection).is_ok());
    world.tell(&format!(
        "cp {curl} {curl}.new; printf x | dd of={curl}.new bs=1 seek=$(($(stat -c %s {curl}) - 1)) conv=notrunc \
         status=none; touch -r {curl} {curl}.new; mv {curl}.new {curl}; echo replaced"
    ));
    world.expect("replaced");
    let second = world.run(&format!("{curl} -c '{}; {WAIT}'", world.connect()));
    assert_eq!(world.identify(&second).err(), Some(IdentityError::Changed));
}

/// IDN-5: an ancestor's change counts like the caller's.
#[test]
fn a_replaced_ancestor_is_an_integrity_violation() {
    let Some(mut world) = World::new() else {
        return;
    };
    let (curl, make) = (world.program("curl"), world.program("make"));
    let script = world.script(
        "call",
        &format!("{curl} -c '{}; {WAIT}'; :", world.connect()),
    );
    let first = world.run(&format!("{make} {script}"));
    assert!(world.identify(&first).is_ok());
    std::fs::rename(world.program("evil"), &make).unwrap();
    let second = world.run(&format!("{make} {script}"));
    assert_eq!(world.identify(&second).err(), Some(IdentityError::Changed));
}

/// IDN-6: the process ended before it was looked for.
#[test]
fn a_caller_that_is_gone_is_unavailable() {
    let Some(mut world) = World::new() else {
        return;
    };
    let curl = world.program("curl");
    let connection = world.run(&format!(
        "{{ {curl} -c '{}'; echo gone; }}",
        world.connect()
    ));
    world.expect("gone");
    assert_eq!(
        world.identify(&connection).err(),
        Some(IdentityError::Unavailable)
    );
}

/// TR-045, IDN-2: in the fallback, what is executed after the connect is seen in the connector's place.
// Why so: it is what `watch.rs` exists for, and what `run` warns of where this is all there is.
#[test]
fn a_program_executed_after_the_connect_is_taken_for_the_connector() {
    let Some(mut world) = World::new() else {
        return;
    };
    let (curl, git) = (world.program("curl"), world.program("git"));
    let connection = world.run(&format!(
        "{curl} -c '{}; exec {git} -c \"echo executed; {WAIT}\"'",
        world.connect()
    ));
    world.expect("executed");
    assert_eq!(
        &*world.identify(&connection).unwrap().exe.path,
        git.as_bytes()
    );
}

/// ID-4, IDN-6: a program executed while the check runs is noticed when what was read is read again.
#[test]
fn a_process_that_executes_or_ends_is_no_longer_what_was_read() {
    let Some(mut world) = World::new() else {
        return;
    };
    let (curl, git) = (world.program("curl"), world.program("git"));
    let connection = world.run(&format!(
        "{curl} -c '{}; read y <&4; exec {git} -c \"echo executed; read z <&4\"'",
        world.connect()
    ));
    let pid = world.identify(&connection).unwrap().pid;
    let process = Process::read(world.proc(), pid).unwrap();
    assert!(process.is_unchanged());
    world.signal();
    world.expect("executed");
    assert!(!process.is_unchanged());
    let process = Process::read(world.proc(), pid).unwrap();
    assert_eq!(&*process.program().unwrap().path, git.as_bytes());
    world.signal();
    while process.is_unchanged() {
        std::thread::yield_now();
    }
}

/// TR-047, IDN-8: a program on a mount that only the sandbox has is named as the sandbox names it.
#[test]
fn a_program_on_a_private_mount_has_the_path_that_the_sandbox_sees() {
    let Some(mut world) = World::new() else {
        return;
    };
    let tool = world.program("tool");
    let private = world.path("private");
    world.tell(&format!("mkdir {private} && mount -t tmpfs none {private} && cp {tool} {private}/tool && echo mounted"));
    world.expect("mounted");
    assert!(
        !std::path::Path::new(&format!("{private}/tool")).exists(),
        "the host does not have it"
    );
    let connection = world.run(&format!("{private}/tool -c '{}; {WAIT}'", world.connect()));
    let caller = world.identify(&connection).unwrap();
    assert_eq!(&*caller.exe.path, format!("{private}/tool").as_bytes());
    assert_eq!(caller.exe.sha256, world.hash("tool"));
}

/// IDN-3: a dual-stack client is found by the same tuple.
#[test]
fn a_client_with_an_ipv6_socket_is_found() {
    let Some(mut world) = World::new() else {
        return;
    };
    let curl = world.program("curl");
    let connection = world.run(&format!(
        "{curl} -c 'exec 3<>/dev/tcp/::ffff:127.0.0.1/3128; {WAIT}'"
    ));
    assert_eq!(
        &*world.identify(&connection).unwrap().exe.path,
        curl.as_bytes()
    );
}

/// TR-050: processes of the caller's own kind are not searched, whatever they have open.
#[test]
fn the_cost_does_not_grow_with_the_descriptors_of_the_callers_kind() {
    let Some(mut world) = World::new() else {
        return;
    };
    let curl = world.program("curl");
    let open = "for n in {100..299}; do eval \"exec $n</dev/null\"; done";
    let script = world.script(
        "workers",
        &format!(
            "{open}; for n in {{1..20}}; do ({WAIT}; :) & done; {}; {WAIT}",
            world.connect()
        ),
    );
    let connection = world.run(&format!("{curl} {script}"));
    let caller = world.identify(&connection).unwrap();
    let inode = world
        .lookup
        .inode(connection.client, connection.proxy)
        .unwrap();
    let hint = Hint {
        pid: caller.pid,
        number: u32::MAX,
    };
    let mut scan = Scan::new(world.proc(), hint);
    assert_eq!(scan.owners(inode).unwrap().len(), 1);
    let looked_at = DESCRIPTORS_MAX - scan.look.left();
    assert!(
        looked_at < 400,
        "{looked_at} descriptors for one owner with 200 and 20 siblings with 200 each"
    );
}

/// IDN-3: a hint saves the search, and a wrong one changes nothing.
#[test]
fn a_hint_is_looked_at_and_never_believed() {
    let Some(mut world) = World::new() else {
        return;
    };
    let curl = world.program("curl");
    let script = world.script("one", &format!("{}; {WAIT}", world.connect()));
    let connection = world.run(&format!("{curl} {script}"));
    let caller = world.identify(&connection).unwrap();
    let inode = world
        .lookup
        .inode(connection.client, connection.proxy)
        .unwrap();
    let looked_at = |hint: Hint| {
        let mut scan = Scan::new(world.proc(), hint);
        assert_eq!(scan.owners(inode).unwrap().len(), 1);
        DESCRIPTORS_MAX - scan.look.left()
    };
    let unhinted = looked_at(Hint { pid: 0, number: 0 });
    assert!(looked_at(world.lookup.hints.of(inode)) < unhinted);
    for number in [0, 9_999, u32::MAX] {
        let met = vec![Met { inode, number }];
        world.lookup.hints.learn(caller.pid, inode, None, met);
        assert_eq!(world.identify(&connection).unwrap().exe, caller.exe);
    }
    world
        .lookup
        .hints
        .learn(INIT_PID, inode, Some(0), Vec::new());
    assert_eq!(world.identify(&connection).unwrap().exe, caller.exe);
}

/// IDN-9: many threads ask at once, and each gets the answer to its own question.
#[test]
fn concurrent_questions_do_not_mix() {
    let Some(mut world) = World::new() else {
        return;
    };
    let names = ["a", "b", "c", "d"].map(|name| world.program(name));
    let connections: Vec<_> = names
        .iter()
        .map(|path| world.run(&format!("{path} -c '{}; {WAIT}'", world.connect())))
        .collect();
    std::thread::scope(|scope| {
        for (path, connection) in names.iter().zip(&connections).cycle().take(8) {
            let lookup = &world.lookup;
            scope.spawn(move || {
                for _ in 0..20 {
                    let caller = lookup
                        .identify(connection.client, connection.proxy)
                        .unwrap();
                    assert_eq!(&*caller.exe.path, path.as_bytes());
                }
            });
        }
    });
}
