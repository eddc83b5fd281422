//! What a hostile command tries, and the answer it gets.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use crate::scene::{self, Scene, starters};

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
