//! A TLS session without I/O: records in, plaintext out, and back.
//!
//! rustls' unbuffered connections are driven by hand: bytes go from the socket's buffer through the
//! session into the connection's plaintext, with no buffer of their own, so an idle session holds its
//! keys and nothing else. The caller moves the bytes; nothing here waits.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, ServerConfig};

/// One end of one TLS connection.
pub(crate) struct Session(Side);

enum Side {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

/// Where a session stands after its input was processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The handshake needs more from the peer.
    Handshaking,
    /// Application data may be sent and received.
    Open,
    /// The peer said close_notify: nothing more will come.
    PeerClosed,
}

/// What one step of the state machine asks for.
enum Step {
    Again,
    Stop(Progress),
}

impl Session {
    /// The server's end.
    ///
    /// # Errors
    /// A configuration rustls refuses.
    pub(crate) fn server(config: Arc<ServerConfig>) -> Result<Session, rustls::Error> {
        Ok(Session(Side::Server(Box::new(
            UnbufferedServerConnection::new(config)?,
        ))))
    }

    /// The client's end, for the certificate of `name`.
    ///
    /// # Errors
    /// A configuration rustls refuses.
    pub(crate) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Session, rustls::Error> {
        Ok(Session(Side::Client(Box::new(
            UnbufferedClientConnection::new(config, name)?,
        ))))
    }

    /// Takes every whole record off the front of `records`: decrypted bytes go behind `plain`, bytes the
    /// peer must be sent (handshake, key update, alert) behind `out`.
    ///
    /// # Errors
    /// What rustls says of the peer's bytes; `out` then holds the alert that should still be sent.
    pub(crate) fn process(
        &mut self,
        records: &mut Vec<u8>,
        plain: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<Progress, rustls::Error> {
        let mut done = 0;
        let result = self.process_from(records, &mut done, plain, out);
        if result.is_err() {
            self.encode_alert(&mut records[done..], out);
        }
        records.drain(..done);
        result
    }

    /// After an error: puts what rustls queued, the alert last, behind `out`. Not a step more, because a
    /// further one would judge the faulty record again.
    fn encode_alert(&mut self, records: &mut [u8], out: &mut Vec<u8>) {
        while self.wants_write() {
            let encoded = match &mut self.0 {
                Side::Client(conn) => alert_step(conn.process_tls_records(records).state, out),
                Side::Server(conn) => alert_step(conn.process_tls_records(records).state, out),
            };
            if encoded.is_err() {
                return;
            }
        }
    }

    fn wants_write(&self) -> bool {
        match &self.0 {
            Side::Client(conn) => conn.wants_write(),
            Side::Server(conn) => conn.wants_write(),
        }
    }

    fn process_from(
        &mut self,
        records: &mut [u8],
        done: &mut usize,
        plain: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<Progress, rustls::Error> {
        loop {
            let rest = &mut records[*done..];
            let (discard, step) = match &mut self.0 {
                Side::Client(conn) => read_step(conn.process_tls_records(rest), plain, out),
                Side::Server(conn) => read_step(conn.process_tls_records(rest), plain, out),
            };
            *done += discard;
            match step? {
                Step::Again => {}
                Step::Stop(progress) => return Ok(progress),
            }
        }
    }

    /// Encrypts `plain` behind `out`. `records` is what `process` left: the session remembers where the
    /// parts of an unfinished handshake message lie in it, and panics when they are not there.
    ///
    /// # Errors
    /// When the session may not send application data (handshake not done, or closed).
    pub(crate) fn encrypt(
        &mut self,
        records: &mut [u8],
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), rustls::Error> {
        self.write(
            records,
            out,
            plain.len() + (plain.len() / RECORD_PLAIN_MAX + 1) * RECORD_OVERHEAD,
            |writer, room| writer.encrypt(plain, room),
        )
    }

    /// Says close_notify behind `out`; `records` as for `encrypt`.
    pub(crate) fn close_notify(&mut self, records: &mut [u8], out: &mut Vec<u8>) {
        // A session that cannot send it any more has nothing to close.
        _ = self.write(records, out, RECORD_OVERHEAD + 2, |writer, room| {
            writer.queue_close_notify(room)
        });
    }

    fn write(
        &mut self,
        records: &mut [u8],
        out: &mut Vec<u8>,
        room_len: usize,
        put: impl Fn(&mut dyn Writer, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<(), rustls::Error> {
        loop {
            let state = match &mut self.0 {
                Side::Client(conn) => write_step(
                    conn.process_tls_records(records).state?,
                    out,
                    room_len,
                    &put,
                ),
                Side::Server(conn) => write_step(
                    conn.process_tls_records(records).state?,
                    out,
                    room_len,
                    &put,
                ),
            };
            match state? {
                Step::Again => {}
                Step::Stop(_) => return Ok(()),
            }
        }
    }
}

/// `WriteTraffic` of either side.
trait Writer {
    fn encrypt(&mut self, plain: &[u8], room: &mut [u8]) -> Result<usize, EncryptError>;
    fn queue_close_notify(&mut self, room: &mut [u8]) -> Result<usize, EncryptError>;
}

impl<Data> Writer for rustls::unbuffered::WriteTraffic<'_, Data> {
    fn encrypt(&mut self, plain: &[u8], room: &mut [u8]) -> Result<usize, EncryptError> {
        rustls::unbuffered::WriteTraffic::encrypt(self, plain, room)
    }

    fn queue_close_notify(&mut self, room: &mut [u8]) -> Result<usize, EncryptError> {
        rustls::unbuffered::WriteTraffic::queue_close_notify(self, room)
    }
}

fn read_step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    plain: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> (usize, Result<Step, rustls::Error>) {
    let mut discard = status.discard;
    let state = match status.state {
        Ok(state) => state,
        Err(error) => return (discard, Err(error)),
    };
    let step = match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                match record {
                    Ok(record) => {
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                    Err(error) => return (discard, Err(error)),
                }
            }
            Step::Again
        }
        ConnectionState::EncodeTlsData(mut data) => match encode(&mut data, out) {
            Ok(()) => Step::Again,
            Err(error) => return (discard, Err(error)),
        },
        ConnectionState::TransmitTlsData(data) => {
            // Our `out` is always sent before anything else waits for the peer.
            data.done();
            Step::Again
        }
        ConnectionState::BlockedHandshake => Step::Stop(Progress::Handshaking),
        ConnectionState::WriteTraffic(_) => Step::Stop(Progress::Open),
        ConnectionState::PeerClosed | ConnectionState::Closed => Step::Stop(Progress::PeerClosed),
        // Early data is off in every configuration made here; later states are not known to us.
        ConnectionState::ReadEarlyData(_) | _ => {
            return (
                discard,
                Err(rustls::Error::General("unexpected TLS state".into())),
            );
        }
    };
    (discard, Ok(step))
}

fn alert_step<Data>(
    state: Result<ConnectionState<'_, '_, Data>, rustls::Error>,
    out: &mut Vec<u8>,
) -> Result<(), rustls::Error> {
    if let ConnectionState::EncodeTlsData(mut data) = state? {
        encode(&mut data, out)?;
    }
    Ok(())
}

fn write_step<Data>(
    state: ConnectionState<'_, '_, Data>,
    out: &mut Vec<u8>,
    room_len: usize,
    put: &impl Fn(&mut dyn Writer, &mut [u8]) -> Result<usize, EncryptError>,
) -> Result<Step, rustls::Error> {
    match state {
        ConnectionState::EncodeTlsData(mut data) => encode(&mut data, out).map(|()| Step::Again),
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Ok(Step::Again)
        }
        ConnectionState::WriteTraffic(mut traffic) => {
            let start = out.len();
            out.resize(start + room_len, 0);
            match put(&mut traffic, &mut out[start..]) {
                Ok(written) => {
                    out.truncate(start + written);
                    Ok(Step::Stop(Progress::Open))
                }
                Err(error) => {
                    out.truncate(start);
                    Err(rustls::Error::General(error.to_string()))
                }
            }
        }
        // After the peer's close_notify the first pass reports it; sending may go on.
        ConnectionState::PeerClosed => Ok(Step::Again),
        ConnectionState::ReadTraffic(_)
        | ConnectionState::Closed
        | ConnectionState::ReadEarlyData(_)
        | ConnectionState::BlockedHandshake
        | _ => Err(rustls::Error::HandshakeNotComplete),
    }
}

fn encode<Data>(
    data: &mut rustls::unbuffered::EncodeTlsData<'_, Data>,
    out: &mut Vec<u8>,
) -> Result<(), rustls::Error> {
    let start = out.len();
    let needed = match data.encode(&mut []) {
        Err(EncodeError::InsufficientSize(size)) => size.required_size,
        Err(EncodeError::AlreadyEncoded) | Ok(_) => return Ok(()),
    };
    out.resize(start + needed, 0);
    data.encode(&mut out[start..])
        .map(|written| out.truncate(start + written))
        .map_err(|error| rustls::Error::General(error.to_string()))
}

/// RFC 8446 §5.1.
const RECORD_PLAIN_MAX: usize = 16 * 1024;

/// Header, content type and authentication tag of one record, with the explicit nonce of TLS 1.2.
const RECORD_OVERHEAD: usize = 5 + 8 + 1 + 16 + 34;
