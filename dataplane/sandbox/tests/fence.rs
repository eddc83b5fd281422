//! The fence from outside and from inside: what a hostile command tries, and how starts and ends go.

mod scene;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use ringfence_sandbox::{Compatibility, Connects, Listed, Observe, Outcome, Terminal, launch_with};
use scene::{PERSON, Scene, Starter, is_root, options, processes_with, starters};

const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const EIO: i32 = 5;
const EACCES: i32 = 13;
const EBUSY: i32 = 16;
const EXDEV: i32 = 18;
const EINVAL: i32 = 22;
const EROFS: i32 = 30;
const ENOSYS: i32 = 38;
const ENETUNREACH: i32 = 101;
const ECONNREFUSED: i32 = 111;

/// What is not EPERM. Names that begin with `works_` and `only_` must succeed.
const ANSWERS: &[(&str, &[i32])] = &[
    ("clone3", &[ENOSYS]),
    ("socket_ping", &[EACCES, EPERM]),
    ("tcp_out", &[ENETUNREACH]),
    ("tcp6_out", &[ENETUNREACH]),
    ("tcp_metadata", &[ENETUNREACH]),
    ("udp_dns", &[ENETUNREACH]),
    ("udp6_dns", &[ENETUNREACH]),
    ("tcp_host_loopback", &[ECONNREFUSED]),
    ("unix_abstract", &[ECONNREFUSED]),
    ("unix_path_0", &[EACCES]),
    ("unix_path_1", &[EACCES, ECONNREFUSED]),
    ("create_in_etc", &[EACCES]),
    ("append_to_passwd", &[EACCES]),
    ("read_shadow", &[EACCES]),
    ("read_root_home", &[EACCES]),
    ("read_var_lib", &[EACCES]),
    ("read_kernel_messages", &[EACCES, EPERM]),
    ("open_memory", &[EACCES, EPERM, ENOENT]),
    ("open_ptmx", &[EACCES]),
    ("write_dev_shm", &[EACCES]),
    ("write_dev_zero", &[EACCES]),
    ("write_sysctl", &[EACCES]),
    ("write_sysrq", &[EACCES, EIO, ENOENT]),
    ("write_runtime", &[EACCES, EROFS]),
    ("create_in_runtime", &[EACCES, EROFS]),
    ("remove_in_runtime", &[EACCES, EROFS]),
    ("move_runtime", &[EACCES, EBUSY, EROFS]),
    ("write_hosts", &[EACCES, EROFS]),
    ("memfd_executable", &[EPERM, ENOSYS]),
    ("memfd_execute", &[EACCES, ENOSYS]),
    ("read_unlisted", &[EACCES]),
    ("write_unlisted", &[EACCES]),
    ("truncate_unlisted", &[EACCES, EROFS]),
    ("change_mode_unlisted", &[EPERM, EROFS]),
    ("remove_unlisted", &[EACCES]),
    ("link_unlisted", &[EACCES, EXDEV, EPERM]),
    ("move_base_of_runtime", &[EACCES, EBUSY]),
    ("write_read_only", &[EACCES]),
    ("truncate_read_only", &[EACCES]),
    ("remove_read_only", &[EACCES]),
    ("move_read_only", &[EACCES, EXDEV]),
    ("make_device", &[EPERM]),
    ("pid1_mem", &[EACCES, EPERM]),
    ("pid1_environ", &[EACCES, EPERM]),
    ("pid1_maps", &[EACCES, EPERM]),
    ("pid1_auxv", &[EACCES, EPERM]),
    ("pid1_stack", &[EACCES, EPERM]),
    ("pid1_exe", &[EACCES, EPERM]),
    ("pid1_cwd", &[EACCES, EPERM]),
    ("pid1_root", &[EACCES, EPERM]),
    ("pid1_fd", &[EACCES, EPERM]),
    ("pid1_namespace", &[EACCES, EPERM]),
    ("sibling_memory_write", &[EACCES]),
    ("become_root", &[EPERM, EINVAL]),
    ("become_root_group", &[EPERM, EINVAL]),
    ("no_new_privileges_off", &[EINVAL]),
    ("only_loopback", &[0]),
];

/// SECURITY 58, TR-112, TR-114, TR-115, SBX-2, SBX-3, SBX-4, SBX-6, LLK-1, LLK-5, BAS-5, LK-3, SB-1
#[test]
fn every_attempt_to_leave_is_refused_as_listed() {
    for starter in starters() {
        let scene = Scene::new(starter);
        let host = TcpListener::bind("127.0.0.1:0").unwrap();
        let abstract_name = format!("ringfence-{}", scene.root.display());
        let _abstract =
            UnixListener::bind_addr(&SocketAddr::from_abstract_name(&abstract_name).unwrap())
                .unwrap();
        let sockets = [scene.path("secret/socket"), scene.path("listed/socket")];
        let _bound = sockets.each_ref().map(|path| {
            let listener = UnixListener::bind(path).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
            listener
        });
        let mut arguments = vec![scene::PROBE.to_owned(), "probe".to_owned()];
        arguments.extend([host.local_addr().unwrap().port().to_string(), abstract_name]);
        arguments.extend(sockets.iter().map(|path| path.display().to_string()));
        arguments.extend(
            ["secret-file", "listed/file", "work"]
                .map(|name| scene.path(name).display().to_string()),
        );
        let run = scene.run(&scene.spec(&arguments.iter().map(String::as_str).collect::<Vec<_>>()));
        let answers: Vec<(String, i32)> = run
            .stdout()
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, errno)| (name.to_owned(), errno.parse().unwrap()))
            .collect();
        assert!(
            answers.len() > 130,
            "{starter:?}: {} answers; {} {:?}",
            answers.len(),
            run.told,
            run.output
        );
        let wrong: Vec<_> = answers
            .iter()
            .filter(|(name, errno)| !expected(name).contains(errno))
            .collect();
        assert!(wrong.is_empty(), "{starter:?}: {wrong:?}");
        assert!(!std::path::Path::new("/etc/ringfence-probe").exists());
    }
}

fn expected(name: &str) -> &'static [i32] {
    match ANSWERS.iter().find(|(listed, _)| *listed == name) {
        Some((_, answers)) => answers,
        None if name.starts_with("works_") => &[0],
        None => &[EPERM],
    }
}

/// CLI-6
#[test]
fn the_exit_code_is_the_commands_or_says_why_there_was_none() {
    for starter in starters() {
        let scene = Scene::new(starter);
        std::fs::write(scene.path("work/script"), "#!/no/such/interpreter\n").unwrap();
        std::fs::set_permissions(
            scene.path("work/script"),
            std::fs::Permissions::from_mode(0o755),
        )
        .unwrap();
        for (command, code) in [
            (&["sh", "-c", "exit 7"][..], 7),
            (&["true"], 0),
            (&["sh", "-c", "kill -9 $$"], 137),
            (&["sh", "-c", "kill -TERM $$"], 143),
            (&["/etc/passwd"], 126),
            (&["/usr"], 126),
            (&["./script"], 126),
            (&["nosuchcommand"], 127),
            (&["/no/such/command"], 127),
            (&[""], 127),
        ] {
            assert_eq!(
                scene.run(&scene.spec(command)).code(),
                code,
                "{starter:?} {command:?}"
            );
        }
        let mut spec = scene.spec(&["true"]);
        spec.run_as_user = Some("nosuchuser".to_owned());
        let run = scene.run(&spec);
        assert!(
            run.code() == 125 && run.error().contains("not found"),
            "{}",
            run.told
        );
        spec.run_as_user = Some("root".to_owned());
        assert_eq!(scene.run(&spec).code(), 125);
        let mut spec = scene.spec(&["true"]);
        spec.workdir = scene.path("no-such-directory");
        let run = scene.run(&spec);
        assert!(
            run.code() == 125 && run.error().contains("no-such-directory"),
            "{}",
            run.told
        );
    }
}

/// SBX-5, TR-116
#[test]
fn the_command_is_the_named_user_with_no_other_group() {
    for starter in starters() {
        let scene = Scene::new(starter);
        let mut spec = scene.spec(&["sh", "-c", "id -u; id -g; id -G"]);
        spec.run_as_user = Some("daemon".to_owned());
        assert_eq!(scene.run(&spec).stdout(), "1\n1\n1", "{starter:?}");
        spec.run_as_group = Some("4321".to_owned());
        assert_eq!(scene.run(&spec).stdout(), "1\n4321\n4321", "{starter:?}");
    }
    if is_root() {
        let scene = Scene::new(Starter::Root);
        let mut spec = scene.spec(&["true"]);
        spec.run_as_user = None;
        let run = scene.run(&spec);
        assert!(
            run.code() == 125 && run.error().contains("--user"),
            "{}",
            run.told
        );
    }
}

/// LK-1, LK-2, LLK-2, LLK-3, LLK-4, BAS-4, TR-113
#[test]
fn a_missing_path_is_skipped_and_reported_or_ends_the_start() {
    for starter in starters() {
        let scene = Scene::new(starter);
        let mut spec = scene.spec(&["sh", "-c", "cat ../secret-file || cat ../listed/file"]);
        spec.filesystem
            .read_only
            .push(Listed::baseline("/no/such/baseline"));
        let run = scene.run(&spec);
        assert_eq!(
            (
                run.told["started"]["landlock"].as_str(),
                run.stdout().as_str()
            ),
            (Some("Full"), "secret"),
            "{starter:?}"
        );
        assert_eq!(run.told["started"]["skipped"][0]["degrades"], false);
        spec.compatibility = Compatibility::HardRequirement;
        assert_eq!(scene.run(&spec).code(), 0);
        spec.filesystem
            .read_only
            .push(Listed::author("/no/such/listed"));
        let run = scene.run(&spec);
        assert!(
            run.code() == 125 && run.error().contains("/no/such/listed"),
            "{}",
            run.told
        );
        spec.compatibility = Compatibility::BestEffort;
        let run = scene.run(&spec);
        assert_eq!(
            (
                run.told["started"]["landlock"].as_str(),
                run.stdout().as_str()
            ),
            (Some("Partial"), "secret"),
            "{starter:?}"
        );
        assert_eq!(run.told["started"]["skipped"][1]["path"], "/no/such/listed");
    }
}

/// SBX-1, SBX-7, TR-118
#[test]
fn a_missing_read_write_directory_is_made_and_a_link_is_not_followed() {
    for starter in starters() {
        let scene = Scene::new(starter);
        std::os::unix::fs::symlink("/var/tmp", scene.path("link")).unwrap();
        let mut spec = scene.spec(&["sh", "-c", "echo x > ../made/deep/file"]);
        spec.filesystem.read_write = vec![
            Listed::author(scene.path("made/deep")),
            Listed::author(scene.path("link/ringfence-made")),
        ];
        let run = scene.run(&spec);
        assert_eq!(run.code(), 0, "{starter:?} {}", run.told);
        assert_eq!(
            std::fs::metadata(scene.path("made/deep/file"))
                .unwrap()
                .uid(),
            if is_root() {
                PERSON
            } else {
                rustix::process::getuid().as_raw()
            }
        );
        assert!(!std::path::Path::new("/var/tmp/ringfence-made").exists());
        assert_eq!(run.told["started"]["landlock"], "Partial");
    }
}

/// ENV-1, TR-117
#[test]
fn the_environment_is_what_was_ordered_and_nothing_else() {
    for starter in starters() {
        let scene = Scene::new(starter);
        let mut spec = scene.spec(&["env"]);
        spec.env = vec![
            ("PATH".into(), "/usr/bin".into()),
            ("A".into(), "b=c\n".into()),
        ];
        assert_eq!(
            scene.run(&spec).stdout(),
            "A=b=c\n\nPATH=/usr/bin",
            "{starter:?}"
        );
        let run = scene.run(&scene.spec(&[
            "sh",
            "-c",
            "cat /proc/*/environ /proc/*/cmdline 2>/dev/null",
        ]));
        assert!(!run.stdout().contains("sk-launcher"));
    }
}

/// SBX-8, CLI-6
#[test]
fn a_time_out_ends_the_whole_tree_politely_or_not() {
    for starter in starters() {
        let scene = Scene::new(starter);
        let mark = format!("{}.25", 70_000 + std::process::id());
        let polite = format!("sleep {mark} & sleep {mark}");
        let began = Instant::now();
        let output = scene
            .driver(&scene.spec(&["sh", "-c", &polite]), &["300"])
            .output()
            .unwrap();
        assert_eq!(scene.told(output).code(), 124, "{starter:?}");
        // The impolite end comes five seconds after the polite one.
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
        let rude = format!(
            "trap '' TERM; setsid sh -c \"trap '' TERM; sleep {mark}; sleep {mark}\" & sleep {mark}; sleep {mark}"
        );
        let began = Instant::now();
        // Long enough for both to have said that they are deaf.
        let output = scene
            .driver(&scene.spec(&["sh", "-c", &rude]), &["2000"])
            .output()
            .unwrap();
        assert_eq!(scene.told(output).code(), 124, "{starter:?}");
        let took = began.elapsed();
        assert!(
            took > Duration::from_secs(7) && took < Duration::from_secs(60),
            "{took:?}"
        );
        assert_eq!(processes_with(&mark), 0);
    }
}

/// SBX-8, TR-120
#[test]
fn no_process_outlives_the_command_or_the_launcher() {
    for starter in starters() {
        let scene = Scene::new(starter);
        let mark = format!("{}.5", 80_000 + std::process::id());
        let run = scene.run(&scene.spec(&["sh", "-c", &format!("setsid sleep {mark} & exit 3")]));
        assert_eq!((run.code(), processes_with(&mark)), (3, 0), "{starter:?}");

        let command = format!("setsid sleep {mark} & echo up; exec sleep {mark}");
        let mut launcher = scene
            .driver(&scene.spec(&["sh", "-c", &command]), &[])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(launcher.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "up\n");
        assert!(processes_with(&mark) >= 1);
        launcher.kill().unwrap();
        launcher.wait().unwrap();
        let began = Instant::now();
        while processes_with(&mark) > 0 {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{starter:?}: left over"
            );
            std::thread::yield_now();
        }
    }
}

/// SBX-8, TR-120
#[test]
fn no_process_outlives_a_killed_fence() {
    for starter in starters() {
        let scene = Scene::new(starter);
        let mark = format!("{}.75", 90_000 + std::process::id());
        let command = format!("setsid sleep {mark} & echo up; exec sleep {mark}");
        let mut launcher = scene
            .driver(&scene.spec(&["sh", "-c", &command]), &[])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(launcher.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        wait_for(&scene.path("told.json"));
        let children = format!("/proc/{0}/task", launcher.id());
        let fence = std::fs::read_dir(children)
            .unwrap()
            .flatten()
            .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
            .find_map(|children| {
                children
                    .split_whitespace()
                    .next()
                    .and_then(|pid| pid.parse().ok())
            })
            .unwrap();
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(fence).unwrap(),
            rustix::process::Signal::KILL,
        )
        .unwrap();
        assert_eq!(launcher.wait().unwrap().code(), Some(137), "{starter:?}");
        let began = Instant::now();
        while processes_with(&mark) > 0 {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{starter:?}: left over"
            );
        }
    }
}

/// SBX-4: what the launcher's own parent left open does not get in.
#[test]
fn a_descriptor_the_launcher_inherited_stays_outside() {
    let scene = Scene::new(starters()[0]);
    drop(scene.driver(&scene.spec(&["sh", "-c", "ls /proc/self/fd | wc -l"]), &[]));
    let script = format!(
        "exec 9< /etc/passwd 23< /dev/null; exec {} drive {} {}",
        scene::PROBE,
        scene.path("order.json").display(),
        scene.path("told.json").display()
    );
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .output()
        .unwrap();
    // Three, and the one of `ls`.
    assert_eq!(scene.told(output).stdout(), "4");
}

/// SBX-3: of `/run` only what is listed is there.
#[test]
fn a_listed_directory_in_run_is_the_hosts_and_the_rest_is_not_there() {
    if !is_root() {
        return;
    }
    let scene = Scene::new(Starter::Root);
    let listed = std::path::PathBuf::from(format!("/run/ringfence-listed-{}", std::process::id()));
    std::fs::create_dir_all(listed.join("deep")).unwrap();
    std::fs::set_permissions(listed.join("deep"), std::fs::Permissions::from_mode(0o777)).unwrap();
    let mut spec = scene.spec(&[
        "sh",
        "-c",
        &format!(
            "echo x > {0}/deep/file; cd /run; echo *; echo {0}/*",
            listed.display()
        ),
    ]);
    spec.filesystem
        .read_write
        .push(Listed::author(listed.join("deep")));
    spec.filesystem.read_only.push(Listed::author("/run"));
    let all = scene.run(&spec);
    assert!(
        all.stdout().lines().next().unwrap().split(' ').count() > 1,
        "{}",
        all.stdout()
    );
    spec.filesystem.read_only.pop();
    let run = scene.run(&spec);
    // Unlisted directories on the way cannot be read.
    assert_eq!(
        run.stdout(),
        format!("*\n{}/*", listed.display()),
        "{}",
        run.told
    );
    assert_eq!(
        std::fs::read_to_string(listed.join("deep/file")).unwrap(),
        "x\n"
    );
    std::fs::remove_dir_all(listed).unwrap();
}

/// GEN-5, SBX-1
#[test]
fn nothing_is_executed_without_the_word() {
    let scene = Scene::new(starters()[0]);
    let fence = launch_with(&scene.spec(&["sh", "-c", "echo ran > ran"]), options()).unwrap();
    drop(fence);
    assert!(!scene.path("work/ran").exists());
    let mut fence = launch_with(&scene.spec(&["sh", "-c", "echo ran > ran"]), options()).unwrap();
    assert_eq!(fence.go().unwrap().entry_pid_inside, 2);
    assert_eq!(fence.wait(), Outcome::Exited(0));
    assert!(scene.path("work/ran").exists());
}

/// IDN-2: a call waits for whoever holds the descriptor, and fails when nobody does.
#[test]
fn a_connect_that_nobody_sees_fails() {
    for starter in starters() {
        // A launcher of another user is a process of its own, which has no data plane.
        if is_root() && starter == Starter::Person {
            continue;
        }
        let scene = Scene::new(starter);
        let script = "exec 3<>/dev/tcp/127.0.0.1/3128 || echo refused > answer";
        let mut spec = scene.spec(&["bash", "-c", script]);
        spec.observe = Observe::Connects;
        let mut fence = launch_with(&spec, options()).unwrap();
        let handed = fence.listeners.hand_over().unwrap();
        assert!(handed.calls.is_some() && fence.listeners.calls.is_none());
        drop(handed);
        assert_eq!(fence.go().unwrap().connects, Connects::Observed);
        assert_eq!(fence.wait(), Outcome::Exited(0));
        assert_eq!(
            std::fs::read(scene.path("work/answer")).unwrap(),
            b"refused\n"
        );
    }
}

/// GEN-3, GEN-4, INF-29
#[test]
fn what_the_command_connects_to_arrives_at_the_listeners_that_were_handed_over() {
    let scene = Scene::new(starters()[0]);
    let script =
        "curl -s --noproxy '*' http://inference.local:443/direct http://127.0.0.1:3128/proxy";
    let mut fence = launch_with(&scene.spec(&["sh", "-c", script]), options()).unwrap();
    fence.go().unwrap();
    let copies = fence.listeners.hand_over().unwrap();
    // Before the command is answered, with which it ends.
    let proc = format!("/proc/self/fd/{}", fence.listeners.proc.as_raw_fd());
    assert_eq!(
        std::fs::read_to_string(format!("{proc}/1/comm"))
            .unwrap()
            .trim(),
        "fence-probe"
    );
    for (listener, path) in [(copies.direct, "/direct"), (copies.proxy, "/proxy")] {
        let listener = TcpListener::from(listener);
        let (mut stream, peer) = listener.accept().unwrap();
        assert!(peer.ip().is_loopback());
        let mut head = [0; 1024];
        let got = stream.read(&mut head).unwrap();
        assert!(head[..got].starts_with(format!("GET {path} ").as_bytes()));
        stream
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .unwrap();
    }
    // The sandbox's listeners are not the host's.
    assert!(TcpStream::connect("127.0.0.1:3128").is_err());
    assert_eq!(fence.wait(), Outcome::Exited(0));
}

/// IDN-1, IDN-4: the handed-over `/proc` shows who the entry process is, by the sandbox's own numbers.
#[test]
fn the_data_plane_reads_the_executable_of_a_process_inside() {
    let scene = Scene::new(starters()[0]);
    let mut fence = launch_with(&scene.spec(&["sleep", "60"]), options()).unwrap();
    let entry = fence.go().unwrap().entry_pid_inside;
    let exe = std::fs::read_link(format!(
        "/proc/self/fd/{}/{entry}/exe",
        fence.listeners.proc.as_raw_fd()
    ))
    .unwrap();
    assert_eq!(exe.file_name().unwrap(), "sleep");
    fence.remote().stop();
    assert_eq!(fence.wait(), Outcome::Signalled(15));
}

/// SBX-8: the launcher passes signals on, and a group gets them.
#[test]
fn a_signal_reaches_the_commands_group() {
    let scene = Scene::new(starters()[0]);
    let script = "trap 'exit 5' USR1; touch up; while :; do sleep 0.05; done";
    let mut fence = launch_with(&scene.spec(&["sh", "-c", script]), options()).unwrap();
    fence.go().unwrap();
    wait_for(&scene.path("work/up"));
    let remote = fence.remote();
    std::thread::spawn(move || remote.signal(rustix::process::Signal::USR1.as_raw()))
        .join()
        .unwrap();
    // `sleep` dies of it and the shell's trap runs.
    assert_eq!(fence.wait(), Outcome::Exited(5));
}

/// SBX-1: a script by a relative path, in a directory whose parents the command's user may not pass.
#[test]
fn a_relative_path_works_below_closed_parents() {
    if !is_root() {
        return;
    }
    let scene = Scene::new(Starter::Root);
    std::fs::create_dir_all(scene.path("closed/project")).unwrap();
    std::fs::write(
        scene.path("closed/project/run.sh"),
        "cat here; echo made > made\n",
    )
    .unwrap();
    std::fs::write(scene.path("closed/project/here"), "here\n").unwrap();
    std::fs::set_permissions(
        scene.path("closed/project"),
        std::fs::Permissions::from_mode(0o777),
    )
    .unwrap();
    std::fs::set_permissions(scene.path("closed"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut spec = scene.spec(&["sh", "./run.sh"]);
    spec.workdir = scene.path("closed/project");
    let run = scene.run(&spec);
    assert_eq!(
        (run.code(), run.stdout().as_str()),
        (0, "here"),
        "{}",
        run.told
    );
    assert!(scene.path("closed/project/made").exists());
}

/// SBX-1: in the foreground the terminal's Ctrl-C reaches the command, although the launcher passes signals on too.
#[test]
fn control_c_reaches_a_command_in_the_foreground_once() {
    for starter in starters() {
        let scene = Scene::new(starter);
        let mut spec = scene.spec(&[
            "sh",
            "-c",
            "trap 'echo got >> got; hit=1' INT; test -t 0 && echo on $(tty) > /dev/tty; echo ready >&2; \
             while [ -z \"$hit\" ]; do sleep 0.05; done; sleep 0.3; trap - INT; touch armed; exec sleep 60",
        ]);
        spec.terminal = Terminal::Foreground;
        let order = scene.path("order.json");
        drop(scene.driver(&spec, &[]));
        let inner = format!(
            "{} drive {} {} 20000",
            scene::PROBE,
            order.display(),
            scene.path("told.json").display()
        );
        let mut script = std::process::Command::new("script");
        script
            .args(["-qec", &inner, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if is_root() && starter == Starter::Person {
            script.uid(PERSON).gid(PERSON);
        }
        let mut terminal = script.spawn().unwrap();
        let mut output = BufReader::new(terminal.stdout.take().unwrap());
        let mut seen = String::new();
        while !seen.contains("ready") && output.read_line(&mut seen).unwrap() > 0 {}
        assert!(seen.contains("on /dev/pts/"), "{starter:?}: {seen}");
        let keys = terminal.stdin.as_mut().unwrap();
        keys.write_all(b"\x03").unwrap();
        wait_for(&scene.path("work/armed"));
        let got = std::fs::read_to_string(scene.path("work/got")).unwrap();
        assert_eq!(got, "got\n", "{starter:?}");
        keys.write_all(b"\x03").unwrap();
        assert_eq!(terminal.wait().unwrap().code(), Some(130), "{starter:?}");
        let told: serde_json::Value =
            serde_json::from_slice(&std::fs::read(scene.path("told.json")).unwrap()).unwrap();
        assert_eq!(told["outcome"], "Signalled(2)");
    }
}

/// SBX-6: what the filter refuses does not break ordinary programs.
#[test]
fn ordinary_programs_run() {
    for starter in starters() {
        let scene = Scene::new(starter);
        for (command, answer) in [
            (
                &[
                    "bash",
                    "-c",
                    "cat <(echo one) | tee /dev/fd/1 > /dev/null; echo $((1+1))",
                ][..],
                "2",
            ),
            (
                &[
                    "python3",
                    "-c",
                    "import subprocess,threading,tempfile,os; t=threading.Thread(target=lambda: print(subprocess.check_output(['echo','hi']).decode().strip())); t.start(); t.join()",
                ],
                "hi",
            ),
            (
                &[
                    "sh",
                    "-c",
                    "command -v node > /dev/null || { echo 42; exit; }; node -e 'const{Worker}=require(\"worker_threads\"); new Worker(\"console.log(42)\",{eval:true})'",
                ],
                "42",
            ),
            (
                &["sh", "-c", "getent hosts inference.local"],
                "127.0.0.1       inference.local",
            ),
        ] {
            let mut spec = scene.spec(command);
            let home = Listed::author("/root/.pyenv");
            spec.filesystem.read_only.push(Listed {
                path: home.path,
                origin: ringfence_sandbox::Origin::Baseline,
            });
            let run = scene.run(&spec);
            assert_eq!(
                run.stdout(),
                answer,
                "{starter:?} {command:?} {} {:?}",
                run.told,
                run.output
            );
        }
    }
}

/// GEN-8: in a container whose `/proc` is masked there is no procfs for a user namespace, and the message says so.
#[test]
fn a_masked_proc_ends_the_start_with_its_cause() {
    if !is_root() {
        return;
    }
    let scene = Scene::new(Starter::Person);
    drop(scene.driver(&scene.spec(&["true"]), &[]));
    let script = format!(
        "mount --bind /dev/null /proc/interrupts && exec setpriv --reuid {PERSON} --regid {PERSON} --clear-groups {} drive {} {}",
        scene::PROBE,
        scene.path("order.json").display(),
        scene.path("told.json").display()
    );
    let output = std::process::Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .output()
        .unwrap();
    let run = scene.told(output);
    assert_eq!(run.code(), 125, "{:?}", run.output);
    assert!(run.error().contains("masked"), "{}", run.told);
}

/// INF-29: a container runtime's own bind mount on `/etc/hosts` does not hide the sandbox's table.
#[test]
fn a_host_table_that_is_a_mount_already_is_replaced_too() {
    if !is_root() {
        return;
    }
    for starter in starters() {
        let scene = Scene::new(starter);
        drop(scene.driver(&scene.spec(&["cat", "/etc/hosts"]), &[]));
        let drop_to = match starter {
            Starter::Root => String::new(),
            Starter::Person => format!("setpriv --reuid {PERSON} --regid {PERSON} --clear-groups"),
        };
        let script = format!(
            "mount --bind {} /etc/hosts && exec {drop_to} {} drive {} {}",
            scene.path("listed/file").display(),
            scene::PROBE,
            scene.path("order.json").display(),
            scene.path("told.json").display()
        );
        let output = std::process::Command::new("unshare")
            .args(["-m", "sh", "-c", &script])
            .output()
            .unwrap();
        let run = scene.told(output);
        assert_eq!(
            run.stdout(),
            "127.0.0.1 localhost\n127.0.0.1 inference.local",
            "{starter:?} {}",
            run.told
        );
    }
}

/// A3: a neighbour's runtime directory is not there.
#[test]
fn the_runtime_directories_of_others_are_not_visible() {
    for starter in starters() {
        let scene = Scene::new(starter);
        assert_eq!(
            scene
                .run(&scene.spec(&["ls", &scene.path("base").display().to_string()]))
                .stdout(),
            "",
            "{starter:?}"
        );
        let run = scene.run(&scene.spec(&[
            "sh",
            "-c",
            "cat ../base/one/ca.pem ../base/neighbour/ca.pem",
        ]));
        assert_eq!(run.stdout(), "x", "{starter:?}");
    }
}

/// SBX-3: who starts in `/`, as services do, does not give everything away.
#[test]
fn the_root_is_not_granted_as_a_working_directory() {
    for starter in starters() {
        let scene = Scene::new(starter);
        for spelling in ["/", "/usr/..", "//."] {
            let secret = scene.path("secret/file").display().to_string();
            let mut spec = scene.spec(&["sh", "-c", &format!("pwd -P; cat {secret}")]);
            spec.workdir = spelling.into();
            let run = scene.run(&spec);
            assert_eq!(run.stdout(), "/", "{starter:?} {spelling}");
            assert!(
                run.told.to_string().contains("working directory"),
                "{}",
                run.told
            );
            spec.compatibility = Compatibility::HardRequirement;
            assert_eq!(scene.run(&spec).code(), 125, "{starter:?} {spelling}");
        }
    }
}

/// SBX-3: `/tmp` is in every sandbox, and what the caller's other programs listen on there is not.
#[test]
fn a_host_socket_in_the_baseline_is_not_connected() {
    for starter in starters() {
        let scene = Scene::new(starter);
        let path = scene.path("socket");
        let _bound = UnixListener::bind(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
        let text = path.display().to_string();
        let attempt = |listed| {
            let mut spec =
                scene.spec(&[scene::PROBE, "probe", "1", "none", &text, &text, "", "", ""]);
            spec.filesystem.read_write.push(listed);
            let out = scene.run(&spec).stdout();
            let answer = out
                .lines()
                .find_map(|line| line.strip_prefix("unix_path_0 "));
            answer.map(str::to_owned)
        };
        assert_eq!(
            attempt(Listed::baseline("/tmp")).as_deref(),
            Some("13"),
            "{starter:?}"
        );
        assert_eq!(
            attempt(Listed::author("/tmp")).as_deref(),
            Some("0"),
            "{starter:?}"
        );
    }
}

/// A3: nor can the place be taken where the same user's next sandbox may have its own.
#[test]
fn the_other_place_for_runtime_directories_is_closed() {
    for starter in starters() {
        let scene = Scene::new(starter);
        let mut spec = scene.spec(&[
            "sh",
            "-c",
            "place=/tmp/ringfence-$(id -u); mkdir -p $place/x; touch $place/y; mv $place $place-moved; rmdir $place; \
             ls -A $place; touch /tmp/ringfence-works && rm /tmp/ringfence-works && echo open",
        ]);
        spec.filesystem.read_write.push(Listed::baseline("/tmp"));
        assert_eq!(scene.run(&spec).stdout(), "open", "{starter:?}");
    }
}

/// Until a file exists, for at most half a minute.
fn wait_for(path: &std::path::Path) {
    let began = Instant::now();
    while !path.exists() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "{}",
            path.display()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
