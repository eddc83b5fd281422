//! System calls refused to everything in a sandbox, as tables.
//!
//! The default is to allow; what is here bypasses the network namespace, Landlock or the identity of a caller, or is
//! attack surface that nothing in a sandbox needs (SBX-6). Three programs are installed, because one of them has one
//! answer: EPERM, ENOSYS for what C libraries then do in the old way, and the x32 numbers.
//! Arguments are compared as the 32 bits the kernel looks at. A foreign architecture ends the process.

use std::collections::BTreeMap;
use std::ffi::c_long;

use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::SeccompCmpOp::{Eq, MaskedEq, Ne};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter, sock_filter,
};

use crate::report::{Failure, Step};

/// How a program in memory (memfd_create, then exec) is prevented.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Memfd {
    /// Files in memory are made without the execute bit unless it is asked for, and asking is refused.
    NeverExecutable,
    /// `vm.memfd_noexec` could not be set (before Linux 6.3, or without privileges): only those that ask for
    /// MFD_NOEXEC_SEAL are made, and programs fall back as on a kernel without the call.
    OnlySealed,
}

/// Sets `vm.memfd_noexec` of this pid namespace. Call as its pid 1, before the privileges are dropped.
pub(crate) fn forbid_executable_memfd() -> Memfd {
    match std::fs::write("/proc/sys/vm/memfd_noexec", "1") {
        Ok(()) => Memfd::NeverExecutable,
        Err(_) => Memfd::OnlySealed,
    }
}

/// Installs the filters on this process and its descendants. `no_new_privs` is set with them.
pub(crate) fn enforce(memfd: Memfd) -> Result<(), Failure> {
    for program in programs(memfd)? {
        apply_filter(&program).map_err(Step::Seccomp.because("filter"))?;
    }
    Ok(())
}

fn programs(memfd: Memfd) -> Result<Vec<BpfProgram>, Failure> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)
        .map_err(Step::Seccomp.because("architecture"))?;
    let build = |rules, errno: i32| -> Result<BpfProgram, seccompiler::BackendError> {
        let errno = SeccompAction::Errno(errno.unsigned_abs());
        SeccompFilter::new(rules, SeccompAction::Allow, errno, arch)?.try_into()
    };
    let because = || Step::Seccomp.because("filter");
    let mut unknown = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    if memfd == Memfd::OnlySealed {
        let unsealed = when(&[(1, MaskedEq(MFD_NOEXEC_SEAL), 0)]).map_err(because())?;
        unknown.insert(libc::SYS_memfd_create, vec![unsealed]);
    }
    Ok(vec![
        build(forbidden().map_err(because())?, libc::EPERM).map_err(because())?,
        build(unknown, libc::ENOSYS).map_err(because())?,
        x32(),
    ])
}

/// What is answered with EPERM.
fn forbidden() -> Result<BTreeMap<c_long, Vec<SeccompRule>>, seccompiler::BackendError> {
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> = ALWAYS
        .iter()
        .chain(ALWAYS_HERE)
        .map(|call| (*call, Vec::new()))
        .collect();
    let flags = |flags: &[i32]| -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
        flags
            .iter()
            .map(|flag| {
                when(&[(
                    0,
                    MaskedEq(u64::from(flag.unsigned_abs())),
                    u64::from(flag.unsigned_abs()),
                )])
            })
            .collect()
    };
    rules.insert(libc::SYS_clone, flags(&NAMESPACES)?);
    // Why only here: in clone this bit belongs to the signal sent at the end.
    let mut unshare = flags(&NAMESPACES)?;
    unshare.extend(flags(&[libc::CLONE_NEWTIME])?);
    rules.insert(libc::SYS_unshare, unshare);
    rules.insert(
        libc::SYS_socket,
        vec![
            // Every family but the three that end in this network namespace or in a file.
            when(&[
                (0, Ne, number(libc::AF_UNIX)),
                (0, Ne, number(libc::AF_INET)),
                (0, Ne, number(libc::AF_INET6)),
            ])?,
            when(&[
                (0, Ne, number(libc::AF_UNIX)),
                (1, MaskedEq(SOCKET_TYPE), number(libc::SOCK_RAW)),
            ])?,
            when(&[
                (0, Ne, number(libc::AF_UNIX)),
                (1, MaskedEq(SOCKET_TYPE), SOCK_PACKET),
            ])?,
        ],
    );
    // Why: the kernel makes two sockets of any family, and loads its module, before it finds that they make no pair.
    rules.insert(
        libc::SYS_socketpair,
        vec![when(&[(0, Ne, number(libc::AF_UNIX))])?],
    );
    rules.insert(
        libc::SYS_memfd_create,
        vec![when(&[(1, MaskedEq(MFD_EXEC), MFD_EXEC)])?],
    );
    rules.insert(
        libc::SYS_ioctl,
        TERMINAL
            .iter()
            .map(|request| when(&[(1, Eq, *request)]))
            .collect::<Result<_, _>>()?,
    );
    Ok(rules)
}

/// A rule that holds when all conditions on (argument, comparison, value) do.
fn when(conditions: &[(u8, SeccompCmpOp, u64)]) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(
        conditions
            .iter()
            .map(|(arg, op, value)| SeccompCondition::new(*arg, Dword, op.clone(), *value))
            .collect::<Result<_, _>>()?,
    )
}

fn number(constant: i32) -> u64 {
    u64::from(constant.unsigned_abs())
}

/// Refuses the x32 numbers of x86-64, which name the same calls a second time. No call of another architecture has
/// the bit.
fn x32() -> BpfProgram {
    const LOAD_NUMBER: u16 = 0x20;
    const JUMP_IF_GREATER_OR_EQUAL: u16 = 0x35;
    const RETURN: u16 = 0x06;
    let statement = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    vec![
        statement(LOAD_NUMBER, 0, 0, 0),
        statement(JUMP_IF_GREATER_OR_EQUAL, 0, 1, X32_BIT),
        statement(
            RETURN,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs(),
        ),
        statement(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

// Not yet in libc; one number on all architectures.
const STATMOUNT: c_long = 457;
const LISTMOUNT: c_long = 458;
const OPEN_TREE_ATTR: c_long = 467;

const SOCK_PACKET: u64 = 10;
const X32_BIT: u32 = 0x4000_0000;
const SOCKET_TYPE: u64 = 0xf;
const MFD_NOEXEC_SEAL: u64 = 0x8;
const MFD_EXEC: u64 = 0x10;

/// Requests that put input into a terminal or change its discipline.
const TERMINAL: [u64; 3] = [
    0x5412, /* TIOCSTI */
    0x541c, /* TIOCLINUX */
    0x5423, /* TIOCSETD */
];

const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// Refused whatever the arguments.
const ALWAYS: &[c_long] = &[
    // I/O that no filter and no Landlock rule of the submitting process sees.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Other processes' memory, descriptors and registers.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // The kernel's own machinery.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_fanotify_init,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    libc::SYS_vhangup,
    // Namespaces.
    libc::SYS_setns,
    // Mounts, old and new.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    OPEN_TREE_ATTR,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    STATMOUNT,
    LISTMOUNT,
    // Files by handle reach past every path.
    libc::SYS_open_by_handle_at,
    // Keyrings.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // Modules, kernels, power, swap, clocks, names.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
];

/// Refused calls that only x86-64 has.
#[cfg(target_arch = "x86_64")]
const ALWAYS_HERE: &[c_long] = &[libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_uselib];

/// Refused calls that only this architecture has.
#[cfg(not(target_arch = "x86_64"))]
const ALWAYS_HERE: &[c_long] = &[];
