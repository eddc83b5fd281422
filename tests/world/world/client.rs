//! The sandbox's end of a connection: bytes in, bytes out, and how it ended.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use harness::authority::client_trusting_pem;
use harness::http::{Message, Reader};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::{STEP, World};

/// A client inside `inference.local`.
pub(crate) type Inside = Reader<StreamOwned<ClientConnection, TcpStream>>;

/// How a connection ended for its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// FIN, after close_notify where there is TLS.
    Clean,
    /// FIN without close_notify.
    Cut,
    /// A reset.
    Reset,
    /// It did not end within the limit.
    Open,
}

/// Connects and sets the step limit.
pub(crate) fn connect(address: &str) -> TcpStream {
    prepared(TcpStream::connect(address).unwrap())
}

/// Sets the step limit of a socket.
pub(crate) fn prepared(stream: TcpStream) -> TcpStream {
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(STEP)).unwrap();
    stream.set_write_timeout(Some(STEP)).unwrap();
    stream
}

/// A CONNECT head for `authority`.
pub(crate) fn connect_head(authority: &str) -> Vec<u8> {
    format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").into_bytes()
}

/// A request with a body, as a model client sends it.
pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    post_with(path, "", body)
}

/// As [`post`], with further field lines, each ended by CRLF.
pub(crate) fn post_with(path: &str, fields: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: inference.local\r\nContent-Type: application/json\r\n{fields}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A request without a body.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: inference.local\r\n\r\n").into_bytes()
}

/// Reads exactly these bytes.
pub(crate) fn expect(stream: &mut impl Read, bytes: &[u8]) {
    let mut found = vec![0; bytes.len()];
    stream.read_exact(&mut found).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&found),
        String::from_utf8_lossy(bytes)
    );
}

/// Nothing comes for `time`.
pub(crate) fn expect_silence(stream: &TcpStream, time: Duration) {
    stream.set_read_timeout(Some(time)).unwrap();
    let mut byte = [0];
    match stream.peek(&mut byte) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
        other => panic!("expected silence, found {other:?}"),
    }
    stream.set_read_timeout(Some(STEP)).unwrap();
}

/// Reads to the end: what was left, and how it ended.
pub(crate) fn drain(stream: &mut impl Read) -> (Vec<u8>, Ending) {
    let mut bytes = Vec::new();
    let mut buf = vec![0; 65_536];
    loop {
        match stream.read(&mut buf) {
            Ok(0) => return (bytes, Ending::Clean),
            Ok(read) => bytes.extend_from_slice(&buf[..read]),
            Err(error) => return (bytes, ending(&error)),
        }
    }
}

fn ending(error: &io::Error) -> Ending {
    let is = |kinds: &[ErrorKind]| kinds.contains(&error.kind());
    if is(&[ErrorKind::WouldBlock, ErrorKind::TimedOut]) {
        Ending::Open
    } else if is(&[ErrorKind::UnexpectedEof]) {
        Ending::Cut
    } else {
        Ending::Reset
    }
}

/// Sends a CONNECT and reads the answer's head; anything but 200 comes back as the whole refusal.
pub(crate) fn tunnel(world: &World, authority: &str) -> Result<TcpStream, Message> {
    let mut stream = world.proxy();
    stream.write_all(&connect_head(authority)).unwrap();
    established(stream)
}

/// Reads the answer to a CONNECT byte by byte, so that no byte of the tunnel is taken.
pub(crate) fn established(mut stream: TcpStream) -> Result<TcpStream, Message> {
    const OK: &[u8] = b"HTTP/1.1 200 Connection Established\r\n\r\n";
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&head)),
        }
    }
    if head == OK {
        return Ok(stream);
    }
    let mut message = Message {
        head,
        ..Message::default()
    };
    let (body, ending) = drain(&mut stream);
    assert_eq!(ending, Ending::Clean, "a refusal ends its connection");
    assert_eq!(
        message.field("content-length"),
        Some(body.len().to_string()),
        "the length is exact"
    );
    message.body = body;
    Err(message)
}

/// Sends a CONNECT that is refused.
pub(crate) fn refused(_: &World, authority: &str) -> Message {
    refused_at("127.0.0.1:3128", authority)
}

/// The same at another sandbox's door.
pub(crate) fn refused_at(door: &str, authority: &str) -> Message {
    let mut stream = connect(door);
    stream.write_all(&connect_head(authority)).unwrap();
    match established(stream) {
        Ok(_) => panic!("{authority} was let through"),
        Err(refusal) => refusal,
    }
}

/// Status, code and reason of a refusal.
pub(crate) fn verdict(refusal: &Message) -> String {
    let body = refusal.json();
    let mut text = format!(
        "{} {}",
        refusal.status(),
        body["error"].as_str().unwrap_or("-")
    );
    if let Some(reason) = body["reason"].as_str() {
        text += &format!(" {reason}");
    }
    text
}

impl World {
    /// A TLS configuration that trusts this world's authority.
    pub(crate) fn trust(&self) -> Arc<ClientConfig> {
        client_trusting_pem(self.ca_pem().as_bytes())
    }

    /// A client inside `inference.local`, by CONNECT.
    pub(crate) fn inside(&self) -> Inside {
        let stream = tunnel(self, "inference.local:443")
            .unwrap_or_else(|refusal| panic!("{}", refusal.text()));
        inside(stream, self.trust())
    }
}

/// TLS for `inference.local` over `stream`, handshake done.
pub(crate) fn inside(stream: TcpStream, config: Arc<ClientConfig>) -> Inside {
    let mut tls = session(stream, config, "inference.local");
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock).unwrap();
    }
    Reader::new(tls)
}

/// A TLS client session that has not spoken yet.
pub(crate) fn session(
    stream: TcpStream,
    config: Arc<ClientConfig>,
    name: &'static str,
) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from(name).unwrap();
    StreamOwned::new(ClientConnection::new(config, name).unwrap(), stream)
}

/// Sends a request and reads the final answer to its end.
pub(crate) fn ask(client: &mut Inside, request: &[u8]) -> Message {
    client.stream.write_all(request).unwrap();
    answer(client)
}

/// Reads a final answer to its end.
pub(crate) fn answer(client: &mut Inside) -> Message {
    let answer = client.final_answer("POST").expect("an answer");
    assert_eq!(answer.end, harness::http::End::Complete);
    answer.message
}
