//! TLS over a tokio socket, either side, without buffers beyond rustls' own.

use std::io::{self, Read, Write};

use rustls::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A plain or a TLS connection.
pub(crate) struct Wire {
    socket: TcpStream,
    session: Option<Box<Connection>>,
    /// Records, in and out.
    records: Vec<u8>,
}

impl Wire {
    pub(crate) fn plain(socket: TcpStream) -> io::Result<Wire> {
        socket.set_nodelay(true)?;
        Ok(Wire {
            socket,
            session: None,
            records: Vec::new(),
        })
    }

    /// Completes the handshake on this connection.
    pub(crate) async fn into_tls(mut self, session: Connection) -> io::Result<Wire> {
        self.session = Some(Box::new(session));
        self.records = vec![0; 18 * 1024];
        loop {
            self.send_records().await?;
            if !self
                .session
                .as_ref()
                .is_some_and(|tls| tls.is_handshaking())
            {
                return Ok(self);
            }
            self.receive_records().await?;
        }
    }

    /// `Ok(0)` is the end.
    pub(crate) async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match &mut self.session {
                None => return self.socket.read(into).await,
                Some(tls) => match tls.reader().read(into) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    other => return other,
                },
            }
            self.receive_records().await?;
            self.send_records().await?;
        }
    }

    /// Sends all of `bytes`.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.session {
            None => self.socket.write_all(bytes).await,
            Some(tls) => {
                tls.writer().write_all(bytes)?;
                self.send_records().await
            }
        }
    }

    /// Says close_notify where there is TLS; the socket closes when this is dropped.
    pub(crate) async fn close(mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.session {
            tls.send_close_notify();
        }
        self.send_records().await
    }

    async fn receive_records(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.session else {
            return Ok(());
        };
        let received = self.socket.read(&mut self.records).await?;
        let mut rest = &self.records[..received];
        loop {
            // At the end this tells the session that there is no more.
            tls.read_tls(&mut rest)?;
            let progress = tls.process_new_packets();
            if progress.is_err() {
                self.send_records().await?;
                return Err(io::Error::other("unacceptable TLS"));
            }
            if rest.is_empty() {
                break;
            }
        }
        if received == 0 && tls.is_handshaking() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    async fn send_records(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.session else {
            return Ok(());
        };
        if !tls.wants_write() {
            return Ok(());
        }
        let mut out = Vec::with_capacity(1024);
        while tls.wants_write() {
            tls.write_tls(&mut out)?;
        }
        self.socket.write_all(&out).await
    }
}
