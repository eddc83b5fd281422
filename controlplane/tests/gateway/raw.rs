//! Requests that no client library would send.

use std::io;

use http::{Method, Request, Response};
use hyper::body::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tonic::body::Body;
use tonic::transport::Channel;
use tower::{Service, ServiceExt};

/// Calls a method by its path with an empty message, and gives the code with which the answer begins; none when the
/// method was let in and began an answer.
pub(crate) async fn call(channel: &Channel, path: &str) -> Option<tonic::Code> {
    let frame = Bytes::from_static(&[0; 5]);
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(http_body_util::Full::new(frame)))
        .unwrap();
    let response = send(channel, request).await;
    let code = response.headers().get("grpc-status")?;
    Some(tonic::Code::from_bytes(code.as_bytes()))
}

/// Sends any request over HTTP/2.
pub(crate) async fn send(channel: &Channel, request: Request<Body>) -> Response<Body> {
    let mut channel = channel.clone();
    channel.ready().await.unwrap().call(request).await.unwrap()
}

/// One HTTP/1.1 exchange over a Unix socket, as text.
pub(crate) async fn http1(socket: &std::path::Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Says something in the clear where TLS is spoken, and gives what comes back.
pub(crate) async fn plaintext(tcp: std::net::SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(tcp).await?;
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}
