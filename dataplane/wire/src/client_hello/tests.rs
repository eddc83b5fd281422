//! Hellos built by hand, whole, cut everywhere and spread over records.

use super::*;

fn block16(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [kind.to_be_bytes().to_vec(), block16(data)].concat()
}

fn server_name(name: &[u8]) -> Vec<u8> {
    extension(0, &block16(&[b"\0".as_slice(), &block16(name)].concat()))
}

fn alpn(protocols: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = protocols
        .iter()
        .flat_map(|name| [&[u8::try_from(name.len()).unwrap()], *name].concat())
        .collect();
    extension(16, &block16(&list))
}

fn message(extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    body.extend_from_slice(&[0]);
    body.extend_from_slice(&block16(&[0x13, 0x01]));
    body.extend_from_slice(&[1, 0]);
    body.extend_from_slice(&block16(extensions));
    let len = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[1], &len[1..], &body].concat()
}

fn in_records(message: &[u8], fragment: usize) -> Vec<u8> {
    message
        .chunks(fragment)
        .flat_map(|piece| [&[22, 3, 1], block16(piece).as_slice()].concat())
        .collect()
}

fn read(bytes: &[u8]) -> Result<Option<ClientHello>, HelloError> {
    match client_hello(bytes) {
        Parse::Done(hello, used) => {
            assert!(used <= bytes.len());
            Ok(Some(hello))
        }
        Parse::More => Ok(None),
        Parse::Bad(error) => Err(error),
    }
}

/// TLS-4, TLS-5
#[test]
fn name_and_protocols_are_read_from_one_record_or_many() {
    let message = message(
        &[
            server_name(b"inference.local"),
            extension(10, b"xx"),
            alpn(&[b"h2", b"http/1.1"]),
        ]
        .concat(),
    );
    for fragment in [message.len(), 40, 7, 5] {
        let bytes = in_records(&message, fragment);
        let hello = read(&bytes).unwrap().unwrap();
        assert_eq!(
            hello.server_name.as_deref(),
            Some(b"inference.local".as_slice())
        );
        assert_eq!(hello.alpn, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert!(
            matches!(client_hello(&[bytes.as_slice(), b"more"].concat()), Parse::Done(_, used) if used == bytes.len())
        );
        for cut in 0..bytes.len() {
            assert_eq!(
                read(bytes.get(..cut).unwrap()),
                Ok(None),
                "the first {cut} bytes"
            );
        }
    }
}

/// TLS-5
#[test]
fn a_hello_may_leave_out_both() {
    assert_eq!(
        read(&in_records(&message(&[]), 100)),
        Ok(Some(ClientHello::default()))
    );
}

/// L7-2
#[test]
fn other_protocols_are_told_at_their_first_byte() {
    for bytes in [
        b"G".as_slice(),
        b"SSH-2.0-x",
        b"\x80\x2e\x01",
        b"\x15\x03\x01",
        b"\x16\x02",
        b"\x16\x03\x01\0\0",
        b"\x16\x03\x01\xFF\xFF",
    ] {
        assert_eq!(
            read(bytes),
            Err(HelloError::NotTls),
            "{}",
            bytes.escape_ascii()
        );
    }
    assert_eq!(
        read(b"\x16\x03\x01\0\x05\x02"),
        Err(HelloError::NotClientHello)
    );
}

/// TR-025
#[test]
fn lengths_that_contradict_each_other_are_refused() {
    let two_names = extension(
        0,
        &block16(&[b"\0".as_slice(), &block16(b"a"), b"\0", &block16(b"b")].concat()),
    );
    for extensions in [
        [server_name(b"a"), server_name(b"a")].concat(),
        [alpn(&[b"a"]), alpn(&[b"a"])].concat(),
        two_names,
        server_name(b""),
        extension(0, b""),
        extension(0, &block16(&[b"\x01".as_slice(), &block16(b"a")].concat())),
        extension(16, &block16(b"")),
        extension(16, &block16(b"\x05a")),
        extension(16, &block16(b"\0")),
        b"\0".to_vec(),
        b"\0\0\0\x09a".to_vec(),
    ] {
        assert_eq!(
            read(&in_records(&message(&extensions), 500)),
            Err(HelloError::Malformed),
            "{}",
            extensions.escape_ascii()
        );
    }
    let mut long = message(&[]);
    long.push(0);
    assert_eq!(read(&in_records(&long, 500)), Err(HelloError::Malformed));
    let mut unfinished = in_records(&message(&[]), 500);
    unfinished[4] += 1;
    assert_eq!(
        read(&unfinished),
        Err(HelloError::Malformed),
        "a record that goes on after the hello"
    );
}

/// TR-009
#[test]
fn an_endless_hello_is_refused() {
    assert_eq!(
        read(b"\x16\x03\x01\x40\0\x01\xFF\xFF\xFF"),
        Err(HelloError::TooLong)
    );
    let big = message(&extension(21, &[0; 30_000]));
    assert!(read(&in_records(&big, 16_384)).unwrap().is_some());
    assert_eq!(read(&in_records(&big, 16)), Err(HelloError::TooLong));
}
