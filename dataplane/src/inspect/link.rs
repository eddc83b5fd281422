//! The upstream connection of one inspected tunnel (decision 0012).
//!
//! One connection serves the client's requests in turn. It is dialled with the CONNECT, gets its TLS with the first
//! request that is let through, and is dialled anew when it ended meanwhile. After the client's end a clean one may
//! be left for the next CONNECT of the same sandbox to the same place. Invariants: whatever carries a request leads to
//! an address that was verified under the admission of that very request; a connection that another client left
//! carries nothing unsafe first, and none is left that was authenticated as a connection.

use std::cell::Cell;
use std::net::IpAddr;

use ::link::record::Stage;
use policy::document::Tls;
use policy::{Admitted, Denial};
use wire::{Code, RequestFraming, RequestHead};

use super::Tunnel;
use crate::clock;
use crate::exchange::{Answered, Binding};
use crate::stream::Stream;
use crate::upstream::pool::{Form, Inspected};
use crate::upstream::{UpstreamError, dial, tls};

/// A tunnel's upstream, connected or not.
pub(super) struct Link<'a> {
    tunnel: &'a Tunnel<'a>,
    conn: Option<Conn>,
}

/// One connection.
pub(super) struct Conn {
    pub(super) stream: Stream,
    peer: IpAddr,
    state: State,
    past: Past,
    binding: Binding,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was said yet.
    Dialled,
    /// It speaks.
    Speaks(Form),
}

impl State {
    fn fits(self, form: Form) -> bool {
        match self {
            State::Dialled => true,
            State::Speaks(spoken) => spoken == form,
        }
    }
}

/// What a connection did before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Past {
    /// Nothing.
    New,
    /// It served this client.
    Used,
    /// It served another one.
    Left,
}

/// Whether a request may be sent a second time (RFC 9110 §9.2.2; TR-098 asks for more than idempotence).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    Safe,
    Never,
}

impl Repeat {
    pub(super) fn of(head: &RequestHead) -> Repeat {
        let bodiless = match head.framing() {
            RequestFraming::None | RequestFraming::Length(0) => true,
            RequestFraming::Length(_) | RequestFraming::Chunked => false,
        };
        match head.method() {
            b"GET" | b"HEAD" | b"OPTIONS" if bodiless => Repeat::Safe,
            _ => Repeat::Never,
        }
    }
}

impl<'a> Link<'a> {
    /// Connects for the CONNECT itself (CON-4, CON-6): resolve, verify, certificate authority, dial.
    pub(super) async fn open(
        tunnel: &'a Tunnel<'a>,
        admitted: &Admitted,
        stage: &Cell<Stage>,
    ) -> Result<Link<'a>, Denial> {
        let mut link = Link { tunnel, conn: None };
        let worker = tunnel.worker;
        let form = match admitted.tls() {
            Tls::Terminate => Form::Tls,
            Tls::Passthrough => Form::Plain,
        };
        link.conn = link.take_left(admitted, form);
        if link.conn.is_some() {
            stage.set(Stage::Dial);
            return Ok(link);
        }
        let until = dial::until(clock::now(), worker.limits.dial_time);
        let answer = dial::resolve(worker, &tunnel.target.host, until)
            .await
            .map_err(UpstreamError::into_denial)?;
        stage.set(Stage::Dial);
        let verified = policy::verify_at(&worker.site(), admitted, &answer)?;
        if form == Form::Tls {
            // TLS-1: after the addresses, before any connection.
            if tunnel.sandbox.server_config.is_none() {
                return Err(Denial::code(Code::TlsUnavailable));
            }
            worker.leaves.prepare(&tunnel.target.host);
        }
        let socket = dial::dial(worker, verified, until)
            .await
            .map_err(UpstreamError::into_denial)?;
        link.conn = Conn::new(Stream::plain(socket, &worker.buffers), Past::New);
        Ok(link)
    }

    /// A connection for one request under `admitted`.
    pub(super) async fn ready(
        &mut self,
        admitted: &Admitted,
        form: Form,
        repeat: Repeat,
    ) -> Result<(), UpstreamError> {
        if let Some(mut conn) = self.conn.take() {
            if conn.past == Past::Left && repeat == Repeat::Never {
                self.give(conn);
            } else if conn.state.fits(form)
                && conn.stream.is_idle()
                && self.may_reach(admitted, conn.peer)
            {
                self.conn = Some(conn);
            }
        }
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.dial(admitted).await?,
        };
        self.conn = Some(match (conn.state, form) {
            (State::Dialled, Form::Tls) => {
                let (worker, target) = (self.tunnel.worker, &self.tunnel.target);
                let config = self.tunnel.sandbox.client_config(worker);
                let stream = tls::secure(worker, config, conn.stream, &target.host).await?;
                Conn {
                    stream,
                    state: State::Speaks(Form::Tls),
                    ..conn
                }
            }
            (State::Dialled, Form::Plain) => Conn {
                state: State::Speaks(Form::Plain),
                ..conn
            },
            (State::Speaks(_), _) => conn,
        });
        Ok(())
    }

    /// The connection that `ready` made.
    pub(super) fn conn(&mut self) -> Option<&mut Conn> {
        self.conn.as_mut()
    }

    /// Takes note of a whole answer.
    pub(super) fn answered(&mut self, answered: &Answered, asked: Binding) {
        match answered.upstream {
            wire::Persistence::Close => self.conn = None,
            wire::Persistence::KeepAlive => {
                if let Some(conn) = &mut self.conn {
                    conn.past = Past::Used;
                    if asked == Binding::Bound || answered.binding == Binding::Bound {
                        conn.binding = Binding::Bound;
                    }
                }
            }
        }
    }

    /// Gives a broken connection up. Whether it had served before, so that its end may have been on its way already.
    pub(super) fn broke(&mut self) -> bool {
        self.conn.take().is_some_and(|conn| conn.past != Past::New)
    }

    /// The client ended: what is clean may serve the next one.
    pub(super) fn leave(mut self) {
        if let Some(conn) = self.conn.take() {
            self.give(conn);
        }
    }

    fn give(&self, mut conn: Conn) {
        let (State::Speaks(form), Binding::Free) = (conn.state, conn.binding) else {
            return;
        };
        if conn.past != Past::New && conn.stream.is_idle() {
            self.tunnel
                .worker
                .inspected
                .give(&self.key(form), conn.stream);
        }
    }

    fn take_left(&self, admitted: &Admitted, form: Form) -> Option<Conn> {
        let key = self.key(form);
        // Each one that may not be reached any more is closed by being dropped.
        while let Some(stream) = self.tunnel.worker.inspected.take(&key) {
            if let Some(mut conn) = Conn::new(stream, Past::Left)
                && self.may_reach(admitted, conn.peer)
            {
                conn.state = State::Speaks(form);
                return Some(conn);
            }
        }
        None
    }

    async fn dial(&self, admitted: &Admitted) -> Result<Conn, UpstreamError> {
        let worker = self.tunnel.worker;
        let until = dial::until(clock::now(), worker.limits.dial_time);
        let answer = dial::resolve(worker, &self.tunnel.target.host, until).await?;
        let verified =
            policy::verify_at(&worker.site(), admitted, &answer).map_err(UpstreamError::Address)?;
        let socket = dial::dial(worker, verified, until).await?;
        Conn::new(Stream::plain(socket, &worker.buffers), Past::New)
            .ok_or(UpstreamError::Unreachable)
    }

    fn may_reach(&self, admitted: &Admitted, peer: IpAddr) -> bool {
        policy::verify_at(&self.tunnel.worker.site(), admitted, &[peer]).is_ok()
    }

    fn key(&self, form: Form) -> Inspected {
        Inspected {
            sandbox: self.tunnel.sandbox.id.clone(),
            target: self.tunnel.target.clone(),
            form,
        }
    }
}

impl Conn {
    /// `None` for a socket that is not connected any more.
    fn new(stream: Stream, past: Past) -> Option<Conn> {
        let peer = stream.socket.peer().ok()?.ip();
        Some(Conn {
            stream,
            peer,
            state: State::Dialled,
            past,
            binding: Binding::Free,
        })
    }
}
