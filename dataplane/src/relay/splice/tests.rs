use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream as Peer};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use monoio::net::TcpStream;
use monoio::{IoUringDriver, RuntimeBuilder};

use super::*;
use crate::deadline::{Deadlines, within};
use crate::io::Socket;

/// A peer of ours that `behave` plays on a thread, and the address it listens on.
fn peer(behave: impl FnOnce(Peer) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || behave(listener.accept().unwrap().0));
    address
}

async fn connect(address: SocketAddr) -> Socket {
    let stream = TcpStream::connect_addr(address).await.unwrap();
    Socket::adopt(stream, &Deadlines::new()).unwrap()
}

/// Splices from one peer to the other for at most three seconds. Whether it stopped by itself, and the bytes that a read
/// found then; `None` when the worker never came back.
fn spliced(from: SocketAddr, to: SocketAddr) -> Option<(bool, Vec<u8>)> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut runtime = RuntimeBuilder::<IoUringDriver>::new()
            .enable_timer()
            .build()
            .unwrap();
        let seen = runtime.block_on(async {
            let (mut from, mut to) = (connect(from).await, connect(to).await);
            let touch = Touch {
                alarms: [&from.alarm, &to.alarm],
                idle: Duration::from_secs(3600),
            };
            let pipe = Pipe::open().unwrap();
            let mut bytes = 0;
            let work = pump(&pipe, &mut from.read, &mut to.write, &touch, &mut bytes);
            let ended = within(Duration::from_secs(3), std::pin::pin!(work)).await;
            match ended {
                Some(ended) => {
                    ended.unwrap();
                    (true, from.read.recv(Vec::with_capacity(16)).await.1)
                }
                None => (false, Vec::new()),
            }
        });
        drop(tell.send(seen));
    });
    told.recv_timeout(Duration::from_secs(30)).ok()
}

/// SECURITY 44, 45: the worker is everybody's, and its clock must go on.
#[test]
fn a_reader_that_stops_does_not_hold_the_worker() {
    let endless = peer(|mut peer| while peer.write_all(&[b'x'; 65_536]).is_ok() {});
    let (done, wait) = mpsc::channel::<()>();
    let stopped = peer(move |_peer| _ = wait.recv());
    assert_eq!(spliced(endless, stopped), Some((false, Vec::new())));
    drop(done);
}

/// TR-100: an urgent byte is no end, and what follows it is not lost.
#[test]
fn an_urgent_byte_does_not_end_a_flow() {
    let (done, wait) = mpsc::channel::<()>();
    let urgent = peer(move |mut peer| {
        peer.write_all(b"before").unwrap();
        _ = wait.recv_timeout(Duration::from_millis(100));
        rustix::net::send(&peer, b"!", rustix::net::SendFlags::OOB).unwrap();
        peer.write_all(b"after").unwrap();
        _ = wait.recv();
    });
    let sink = peer(|mut peer| {
        // The end is a reset when the test is over.
        _ = peer.read_to_end(&mut Vec::new());
    });
    assert_eq!(spliced(urgent, sink), Some((true, b"after".to_vec())));
    drop(done);
}
