//! Which code and which words a gateway that does not do it ends in.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use super::*;
use crate::args::Global;
use crate::print::USAGE;

fn address() -> Address {
    Address::Unix("/g.sock".into())
}

fn refused(code: Code, message: &str) -> Stop {
    Refusal::of(&Status::new(code, message), &address()).into()
}

/// A directory for one test, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path =
            std::env::temp_dir().join(format!("ringfence-client-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn connect(&self, url: &str) -> Stop {
        let global = Global {
            gateway: Some(url.replace("DIR", self.0.to_str().unwrap())),
            ..Global::default()
        };
        let settings = Settings::lift(&global).unwrap();
        Client::hurried(&settings, Duration::from_secs(30))
            .err()
            .unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// CLI-2
#[test]
fn a_refusal_is_one_a_lost_gateway_four_and_a_late_one_a_hundred_and_twenty_four() {
    for code in [
        Code::InvalidArgument,
        Code::NotFound,
        Code::AlreadyExists,
        Code::FailedPrecondition,
        Code::Aborted,
        Code::PermissionDenied,
        Code::Unauthenticated,
        Code::Internal,
    ] {
        let expected = Stop::new(FAILED, "because");
        assert_eq!(refused(code, "because"), expected, "{code:?}");
    }
    assert_eq!(refused(Code::Unavailable, "x").code, UNREACHABLE);
    assert_eq!(refused(Code::DeadlineExceeded, "x").code, TIMED_OUT);
    // As a channel's own time-out comes.
    assert_eq!(refused(Code::Cancelled, "Timeout expired").code, TIMED_OUT);
    assert!(refused(Code::Unimplemented, "").why.contains("older"));
}

/// CLI-2
#[test]
fn a_connection_that_breaks_is_not_a_refusal_of_the_gateway() {
    let broken = std::io::Error::from(ErrorKind::ConnectionReset);
    let stop = Stop::from(Refusal::of(
        &Status::from_error(Box::new(broken)),
        &address(),
    ));
    assert_eq!(stop.code, UNREACHABLE);
    assert!(stop.why.contains("unix:/g.sock"), "{}", stop.why);
}

#[test]
fn words_of_a_gateway_cannot_move_the_cursor() {
    let stop = refused(Code::FailedPrecondition, "first\nsecond\u{1b}[2J");
    assert_eq!(stop.why, "first\nsecond\u{fffd}[2J");
}

/// CLI-3
#[test]
fn a_gateway_that_is_not_there_ends_with_four_and_the_next_step() {
    let scratch = Scratch::new("absent");
    let stop = scratch.connect("unix:DIR/gateway.sock");
    assert_eq!(stop.code, UNREACHABLE);
    let next = "/gateway.sock; start one with `ringfence gateway`";
    assert!(
        stop.why.starts_with("no gateway at /") && stop.why.contains(next),
        "{}",
        stop.why
    );
}

#[test]
fn a_socket_that_a_gateway_left_behind_is_told_from_none() {
    let scratch = Scratch::new("left");
    drop(UnixListener::bind(scratch.0.join("gateway.sock")).unwrap());
    let stop = scratch.connect("unix:DIR/gateway.sock");
    assert_eq!(stop.code, UNREACHABLE);
    assert!(
        stop.why.contains("left from one that has ended"),
        "{}",
        stop.why
    );
}

#[test]
fn a_certificate_that_is_not_there_is_asked_for_by_its_path() {
    let scratch = Scratch::new("certificates");
    let certificates = scratch.0.join("mtls");
    let address = Address::Https {
        url: "https://127.0.0.1:1".to_owned(),
        certificates: certificates.clone(),
    };
    let stop = endpoint(&address).err().unwrap();
    assert_eq!(stop.code, USAGE);
    assert!(
        stop.why.contains(certificates.to_str().unwrap()),
        "{}",
        stop.why
    );
}
