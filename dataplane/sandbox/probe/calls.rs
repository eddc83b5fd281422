//! Calls the filter refuses by number or argument. The arguments are such that an unfiltered kernel would answer
//! something else, or do nothing of consequence.

use crate::attempt::{Attempt, address, call};

pub(crate) fn attempts() -> Vec<Attempt> {
    let slash = address(b"/\0");
    let me = std::process::id() as usize;
    let mut attempts: Vec<_> = [
        (
            "io_uring_setup",
            libc::SYS_io_uring_setup,
            [1, 0, 0, 0, 0, 0],
        ),
        ("io_uring_enter", libc::SYS_io_uring_enter, [0; 6]),
        ("io_uring_register", libc::SYS_io_uring_register, [0; 6]),
        ("ptrace_traceme", libc::SYS_ptrace, [0; 6]),
        ("ptrace_attach", libc::SYS_ptrace, [16, 1, 0, 0, 0, 0]),
        (
            "process_vm_readv",
            libc::SYS_process_vm_readv,
            [me, 0, 0, 0, 0, 0],
        ),
        (
            "process_vm_writev",
            libc::SYS_process_vm_writev,
            [me, 0, 0, 0, 0, 0],
        ),
        ("process_madvise", libc::SYS_process_madvise, [0; 6]),
        ("pidfd_getfd", libc::SYS_pidfd_getfd, [0; 6]),
        ("kcmp", libc::SYS_kcmp, [me, me, 0, 0, 0, 0]),
        ("bpf", libc::SYS_bpf, [0; 6]),
        ("perf_event_open", libc::SYS_perf_event_open, [0; 6]),
        ("userfaultfd", libc::SYS_userfaultfd, [1, 0, 0, 0, 0, 0]),
        ("fanotify_init", libc::SYS_fanotify_init, [0; 6]),
        ("syslog", libc::SYS_syslog, [10, 0, 0, 0, 0, 0]),
        ("acct", libc::SYS_acct, [0; 6]),
        ("quotactl", libc::SYS_quotactl, [0; 6]),
        ("setns", libc::SYS_setns, [0; 6]),
        (
            "unshare_user",
            libc::SYS_unshare,
            [libc::CLONE_NEWUSER as usize, 0, 0, 0, 0, 0],
        ),
        (
            "unshare_net",
            libc::SYS_unshare,
            [libc::CLONE_NEWNET as usize, 0, 0, 0, 0, 0],
        ),
        (
            "unshare_mount",
            libc::SYS_unshare,
            [libc::CLONE_NEWNS as usize, 0, 0, 0, 0, 0],
        ),
        (
            "unshare_pid",
            libc::SYS_unshare,
            [libc::CLONE_NEWPID as usize, 0, 0, 0, 0, 0],
        ),
        (
            "unshare_time",
            libc::SYS_unshare,
            [libc::CLONE_NEWTIME as usize, 0, 0, 0, 0, 0],
        ),
        (
            "unshare_high_bits",
            libc::SYS_unshare,
            [libc::CLONE_NEWUSER as usize | 1 << 40, 0, 0, 0, 0, 0],
        ),
        (
            "clone_user",
            libc::SYS_clone,
            [libc::CLONE_NEWUSER as usize | 17, 0, 0, 0, 0, 0],
        ),
        (
            "clone_net",
            libc::SYS_clone,
            [libc::CLONE_NEWNET as usize | 17, 0, 0, 0, 0, 0],
        ),
        ("clone3", libc::SYS_clone3, [0; 6]),
        (
            "mount",
            libc::SYS_mount,
            [slash, slash, 0, libc::MS_BIND as usize, 0, 0],
        ),
        ("umount2", libc::SYS_umount2, [slash, 0, 0, 0, 0, 0]),
        (
            "pivot_root",
            libc::SYS_pivot_root,
            [slash, slash, 0, 0, 0, 0],
        ),
        ("chroot", libc::SYS_chroot, [slash, 0, 0, 0, 0, 0]),
        ("open_tree", libc::SYS_open_tree, [0, slash, 1, 0, 0, 0]),
        ("open_tree_attr", 467, [0, slash, 1, 0, 0, 0]),
        (
            "move_mount",
            libc::SYS_move_mount,
            [0, slash, 0, slash, 0, 0],
        ),
        (
            "fsopen",
            libc::SYS_fsopen,
            [address(b"tmpfs\0"), 0, 0, 0, 0, 0],
        ),
        ("fsconfig", libc::SYS_fsconfig, [0; 6]),
        ("fsmount", libc::SYS_fsmount, [0; 6]),
        ("fspick", libc::SYS_fspick, [0, slash, 0, 0, 0, 0]),
        ("mount_setattr", libc::SYS_mount_setattr, [0; 6]),
        ("statmount", 457, [0; 6]),
        ("listmount", 458, [0; 6]),
        ("open_by_handle_at", libc::SYS_open_by_handle_at, [0; 6]),
        ("keyctl", libc::SYS_keyctl, [0; 6]),
        ("add_key", libc::SYS_add_key, [0; 6]),
        ("request_key", libc::SYS_request_key, [0; 6]),
        ("init_module", libc::SYS_init_module, [0; 6]),
        ("finit_module", libc::SYS_finit_module, [0; 6]),
        ("delete_module", libc::SYS_delete_module, [0; 6]),
        ("kexec_load", libc::SYS_kexec_load, [0; 6]),
        ("kexec_file_load", libc::SYS_kexec_file_load, [0; 6]),
        ("reboot", libc::SYS_reboot, [0; 6]),
        ("swapon", libc::SYS_swapon, [0; 6]),
        ("swapoff", libc::SYS_swapoff, [0; 6]),
        ("settimeofday", libc::SYS_settimeofday, [0; 6]),
        ("sethostname", libc::SYS_sethostname, [slash, 0, 0, 0, 0, 0]),
        (
            "memfd_executable",
            libc::SYS_memfd_create,
            [slash, 0x10, 0, 0, 0, 0],
        ),
        (
            "terminal_input",
            libc::SYS_ioctl,
            [0, 0x5412, slash, 0, 0, 0],
        ),
        (
            "terminal_input_high_bits",
            libc::SYS_ioctl,
            [0, 0x5412 | 1 << 40, slash, 0, 0, 0],
        ),
        (
            "terminal_discipline",
            libc::SYS_ioctl,
            [0, 0x5423, slash, 0, 0, 0],
        ),
    ]
    .into_iter()
    .map(|(name, number, arguments)| Attempt::of(name, call(number, arguments)))
    .collect();
    if cfg!(target_arch = "x86_64") {
        // The x32 spelling of getpid.
        attempts.push(Attempt::of("x32", call(0x4000_0000 | 39, [0; 6])));
    }
    attempts
}
