//! Raw system calls; the only `unsafe` of this benchmark. And the few safe ones that several roles share.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::thread::CpuSet;

/// Sets the loopback interface of the current network namespace up.
pub(crate) fn loopback_up() -> io::Result<()> {
    let mut request = named("lo");
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    call(libc::SIOCSIFFLAGS, &request)
}

/// Gives loopback one more address.
pub(crate) fn loopback_address(address: Ipv4Addr) -> io::Result<()> {
    let mut request = named("lo:1");
    request.ifr_ifru.ifru_addr = inet(address);
    call(libc::SIOCSIFADDR, &request)?;
    request.ifr_ifru.ifru_netmask = inet(Ipv4Addr::BROADCAST);
    call(libc::SIOCSIFNETMASK, &request)
}

/// Keeps this process, and the threads it will start, on one core.
pub(crate) fn pin(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core.min(std::thread::available_parallelism()?.get() - 1));
    Ok(rustix::thread::sched_setaffinity(None, &cores)?)
}

/// Raises the limit on descriptors to what this process may have.
pub(crate) fn open_many() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // What does not fit then fails by itself and is counted.
    _ = setrlimit(Resource::Nofile, raised);
}

fn named(label: &str) -> libc::ifreq {
    // SAFETY: `ifreq` is a plain C struct of integers and a union of such; all zero bytes is a legal value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request
        .ifr_name
        .iter_mut()
        .zip(label.bytes().take(libc::IFNAMSIZ - 1))
    {
        *slot = byte as libc::c_char;
    }
    request
}

fn inet(address: Ipv4Addr) -> libc::sockaddr {
    // Family in host order, port zero, address in network order, eight bytes of padding: `sockaddr_in`.
    let mut data = [0 as libc::c_char; 14];
    for (slot, byte) in data[2..6].iter_mut().zip(address.octets()) {
        *slot = byte as libc::c_char;
    }
    libc::sockaddr {
        sa_family: libc::AF_INET as libc::sa_family_t,
        sa_data: data,
    }
}

fn call(number: libc::c_ulong, request: &libc::ifreq) -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: the descriptor is open for the call, and each of the requests made here reads one `ifreq`, which
    // outlives the call.
    let answer =
        unsafe { libc::ioctl(socket.as_raw_fd(), number as _, std::ptr::from_ref(request)) };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Installs the filter of a sandbox that has its calls of connect(2) told, and returns who is told.
pub(crate) fn observe_connects() -> io::Result<OwnedFd> {
    rustix::thread::set_no_new_privs(true)?;
    let statement = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = [
        statement(0x20, 0, 0, 0),
        statement(0x15, 0, 1, libc::SYS_connect as u32),
        statement(0x06, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
        statement(0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    const WAIT_KILLABLE_RECV: libc::c_ulong = 1 << 5;
    // SAFETY: the kernel copies the program, which lives over the call, and returns a new descriptor, which nothing else
    // owns.
    unsafe {
        let made = libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | WAIT_KILLABLE_RECV,
            &raw const filter,
        );
        if made < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(OwnedFd::from_raw_fd(made as i32))
        }
    }
}

/// unshare(2), by a process with one thread.
pub(crate) fn unshare(what: rustix::thread::UnshareFlags) -> io::Result<()> {
    // SAFETY: the flags used here are of namespaces only; descriptors and signal handlers stay shared as they were.
    unsafe { rustix::thread::unshare_unsafe(what) }.map_err(io::Error::from)
}
