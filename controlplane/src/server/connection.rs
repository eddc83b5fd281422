//! One connection: who it is, and its requests to the health pages or, when the table admits them, to the services.
//!
//! Apart from `api` because nothing here knows a message. Every call is a task of its own: a client that goes away does not
//! stop it half-way, and it holds one of the connection's places until it has really ended.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::Service;

use super::Draining;
use crate::api::auth::{self, Caller};
use crate::config::Limits;

/// What a connection needs of the gateway.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) routes: Routes,
    pub(super) limits: Limits,
    pub(super) draining: watch::Receiver<Draining>,
}

impl Door {
    /// Serves a connection to its end, or until the gateway drains and its calls have finished.
    pub(super) async fn serve<S>(mut self, stream: S, caller: Caller)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let places = Arc::new(Semaphore::new(self.limits.calls_per_connection_max));
        let caller = Arc::new(caller);
        let service = {
            let (routes, limits) = (self.routes.clone(), self.limits.clone());
            service_fn(move |request| {
                let call = Call {
                    caller: Arc::clone(&caller),
                    routes: routes.clone(),
                    places: Arc::clone(&places),
                    deadline: limits.call,
                };
                async move { Ok::<_, Infallible>(call.answer(request).await) }
            })
        };
        let builder = self.protocol();
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let drains = self
            .draining
            .wait_for(|draining| *draining == Draining::Yes);
        tokio::select! {
            // How a peer ends its connection is its own affair.
            _ = connection.as_mut() => return,
            _ = drains => connection.as_mut().graceful_shutdown(),
        }
        _ = tokio::time::timeout(self.limits.drain, connection).await;
    }

    fn protocol(&self) -> auto::Builder<TokioExecutor> {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.handshake);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.limits.streams_per_connection_max)
            .keep_alive_interval(self.limits.keep_alive)
            .keep_alive_timeout(self.limits.keep_alive_timeout);
        builder
    }
}

/// One request, and what it may use.
struct Call {
    caller: Arc<Caller>,
    routes: Routes,
    places: Arc<Semaphore>,
    deadline: std::time::Duration,
}

impl Call {
    async fn answer(self, request: Request<Incoming>) -> Response<Body> {
        match request.uri().path() {
            "/health" | "/healthz" => return page(&self.caller, &request, ""),
            "/readyz" => return page(&self.caller, &request, READY),
            _ if request.version() != Version::HTTP_2 => return plain(StatusCode::NOT_FOUND),
            path => {
                if let Err(refused) = auth::admit(&self.caller, path) {
                    return refused.into_http();
                }
            }
        }
        self.run(request).await.unwrap_or_else(Status::into_http)
    }

    async fn run(self, mut request: Request<Incoming>) -> Result<Response<Body>, Status> {
        request.extensions_mut().insert((*self.caller).clone());
        let ended = |_| Status::unavailable("the gateway is going away");
        let place = self.places.acquire_owned().await.map_err(ended)?;
        let mut routes = self.routes;
        let call = tokio::spawn(async move {
            let _place = place;
            tokio::time::timeout(self.deadline, routes.call(request)).await
        });
        match call.await {
            Ok(Ok(Ok(response))) => Ok(response),
            Ok(Ok(Err(never))) => match never {},
            Ok(Err(_)) => Err(Status::deadline_exceeded(
                "the gateway gave this call up; try again",
            )),
            Err(_) => Err(Status::internal("the gateway failed in this call")),
        }
    }
}

/// RPC-1: for load balancers and for curl.
fn page(caller: &Caller, request: &Request<Incoming>, text: &'static str) -> Response<Body> {
    if *caller == Caller::Stranger {
        return plain(StatusCode::FORBIDDEN);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return plain(StatusCode::METHOD_NOT_ALLOWED);
    }
    let mut response = Response::new(Body::new(text.to_owned()));
    if !text.is_empty() {
        let json = header::HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
    }
    response
}

fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

const READY: &str = concat!(
    r#"{"status":"ready","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#""}"#
);
