//! The frames between a test and the program inside its fence: many connections over one pair of pipes.
//!
//! Pipes are the one thing a sandbox surely shares with who started it, so nothing here leans on what the fence
//! does to sockets or files. A frame is a kind, a connection number, a length and that many bytes.

use std::io::{self, Read, Write};

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To inside: connect; the payload is `host:port read_bytes`.
    Open,
    /// From inside: connected.
    Opened,
    /// From inside: not connected, or broken; the payload says why.
    Failed,
    /// Both ways: bytes. One frame to inside is one write to the socket.
    Data,
    /// To inside: no more bytes will be sent (FIN). From inside: the peer sent FIN.
    End,
    /// To inside: close in order.
    Close,
    /// To inside: close with RST.
    Reset,
    /// To inside: stop reading the socket.
    Pause,
    /// To inside: read the socket again.
    Resume,
    /// To inside: send a file; `$NAME/` at the front stands for the variable's value. From inside: its bytes.
    File,
    /// To inside: send a variable's value. From inside: the value.
    Variable,
}

const KINDS: [Kind; 11] = [
    Kind::Open,
    Kind::Opened,
    Kind::Failed,
    Kind::Data,
    Kind::End,
    Kind::Close,
    Kind::Reset,
    Kind::Pause,
    Kind::Resume,
    Kind::File,
    Kind::Variable,
];

/// One frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// What it says.
    pub kind: Kind,
    /// Of which connection.
    pub connection: u32,
    /// With which bytes.
    pub payload: Vec<u8>,
}

/// Writes one frame with one write.
///
/// # Errors
/// Those of the stream.
pub fn write(out: &mut impl Write, kind: Kind, connection: u32, payload: &[u8]) -> io::Result<()> {
    let mut frame = Vec::with_capacity(9 + payload.len());
    frame.push(kind as u8);
    frame.extend_from_slice(&connection.to_be_bytes());
    frame.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    frame.extend_from_slice(payload);
    out.write_all(&frame)?;
    out.flush()
}

/// Reads one frame; `None` at the end of the stream.
pub fn read(from: &mut impl Read) -> Option<Frame> {
    let mut head = [0; 9];
    from.read_exact(&mut head).ok()?;
    let kind = *KINDS.get(usize::from(head[0]))?;
    let connection = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    let mut payload = vec![0; u32::from_be_bytes([head[5], head[6], head[7], head[8]]) as usize];
    from.read_exact(&mut payload).ok()?;
    Some(Frame {
        kind,
        connection,
        payload,
    })
}
