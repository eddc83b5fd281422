//! Raw system calls of the harness; the only `unsafe` here.
//!
//! Bringing loopback up and giving it addresses takes two ioctls each, which no safe crate of this workspace
//! has. The `ip` command would do the same and be one more thing to install.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsRawFd;

/// Sets the loopback interface of the current network namespace up.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let mut request = named("lo");
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    call(&socket, libc::SIOCSIFFLAGS, &request)
}

/// Gives loopback a /24 of its own under `label` (`lo:1`): every address of it is then local.
pub(crate) fn loopback_block(label: &str, address: Ipv4Addr) -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let mut request = named(label);
    request.ifr_ifru.ifru_addr = inet(address);
    call(&socket, libc::SIOCSIFADDR, &request)?;
    let mut request = named(label);
    request.ifr_ifru.ifru_netmask = inet(Ipv4Addr::new(255, 255, 255, 0));
    call(&socket, libc::SIOCSIFNETMASK, &request)
}

/// Gives loopback one IPv6 address.
pub(crate) fn loopback_v6(address: Ipv6Addr) -> io::Result<()> {
    /// `struct in6_ifreq` of linux/ipv6.h, which libc does not have for every target.
    #[repr(C)]
    struct Request {
        address: [u8; 16],
        prefix_len_bits: u32,
        interface: libc::c_int,
    }
    let socket = UdpSocket::bind("[::]:0")?;
    let request = Request {
        address: address.octets(),
        prefix_len_bits: 128,
        // Loopback is the first interface of every network namespace.
        interface: 1,
    };
    // SAFETY: the descriptor is open for the call, which reads one `in6_ifreq` that outlives it.
    let answer = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFADDR as _,
            std::ptr::from_ref(&request),
        )
    };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
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

fn call(socket: &UdpSocket, number: libc::c_ulong, request: &libc::ifreq) -> io::Result<()> {
    // SAFETY: the descriptor is open for the call, and each of the four requests reads one `ifreq`, which
    // outlives the call.
    let answer =
        unsafe { libc::ioctl(socket.as_raw_fd(), number as _, std::ptr::from_ref(request)) };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
