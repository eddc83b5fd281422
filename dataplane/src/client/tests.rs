use std::net::TcpListener;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use monoio::net::TcpStream;
use monoio::{IoUringDriver, RuntimeBuilder};

use super::*;
use crate::buffers::Buffers;
use crate::deadline::Deadlines;
use crate::io::Socket;

/// LIM: a client that asks on and never reads is closed, and holds nothing for ever.
#[test]
fn a_client_that_never_reads_its_refusals_is_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut runtime = RuntimeBuilder::<IoUringDriver>::new()
            .enable_timer()
            .build()
            .unwrap();
        let rang = runtime.block_on(async {
            let deadlines = Deadlines::new();
            monoio::spawn(Rc::clone(&deadlines).run());
            let stream = TcpStream::connect_addr(address).await.unwrap();
            let socket = Socket::adopt(stream, &deadlines).unwrap();
            let mut client = Stream::plain(socket, &Rc::new(Buffers::new(1 << 20)));
            let limits = Limits {
                keep_alive_time: Duration::from_millis(200),
                ..Limits::default()
            };
            let refusal = Refusal::new(Code::RateLimited).detail("x".repeat(60_000));
            while !client.socket.alarm.rang() {
                let after = AfterRefusal::KeepOpen;
                let id = RequestId(1);
                refuse(&mut client, &limits, id, &refusal, b"GET", after).await;
            }
            true
        });
        _ = tell.send(rang);
    });
    let (_silent, _) = listener.accept().unwrap();
    assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(true));
}
