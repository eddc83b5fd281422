//! Passes messages and descriptors between the launcher and the fence: both ends of the socket.
//!
//! A message is a length of four bytes and JSON; descriptors travel with the length (SCM_RIGHTS).
//! Invariants: a message is at most [`MESSAGE_BYTES_MAX`]; received descriptors are close-on-exec; small messages
//! are written by one system call, so that two threads of the launcher may write.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// 8 MiB: an environment and an argument list of the kernel's own limits fit, as JSON.
const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// The number of descriptors a message can carry.
pub(crate) const DESCRIPTORS_MAX: usize = 5;

/// Sends one message and the descriptors that belong to it.
pub(crate) fn send<M: Serialize>(
    mut socket: &UnixStream,
    message: &M,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let len = bytes.len() - 4;
    if len > MESSAGE_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "command, environment and paths exceed 8 MiB",
        ));
    }
    let prefix = u32::try_from(len).map_err(io::Error::other)?.to_be_bytes();
    for (to, from) in bytes.iter_mut().zip(prefix) {
        *to = from;
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    let sent = rustix::io::retry_on_intr(|| {
        sendmsg(
            socket,
            &[IoSlice::new(&bytes)],
            &mut control,
            SendFlags::NOSIGNAL,
        )
    })?;
    socket.write_all(bytes.get(sent..).unwrap_or_default())
}

/// Receives one message and its descriptors. `UnexpectedEof` when the other end is gone.
pub(crate) fn receive<M: DeserializeOwned>(
    mut socket: &UnixStream,
) -> io::Result<(M, Vec<OwnedFd>)> {
    let mut prefix = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = rustix::io::retry_on_intr(|| {
        recvmsg(
            socket.as_fd(),
            &mut [IoSliceMut::new(&mut prefix)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )
    })?
    .bytes;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            descriptors.extend(fds);
        }
    }
    if got == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    socket.read_exact(prefix.get_mut(got..).unwrap_or_default())?;
    let len = usize::try_from(u32::from_be_bytes(prefix)).map_err(io::Error::other)?;
    if len > MESSAGE_BYTES_MAX {
        return Err(io::Error::other("a message beyond 8 MiB"));
    }
    let mut bytes = vec![0; len];
    socket.read_exact(&mut bytes)?;
    Ok((serde_json::from_slice(&bytes)?, descriptors))
}
