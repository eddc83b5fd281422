//! Addresses of gateways, and what is wrong with certificate files.

use super::*;

/// CLI-1a
#[test]
fn an_address_is_a_socket_or_a_host_with_a_port() {
    for (text, shown) in [
        ("unix:/run/gateway.sock", "unix:/run/gateway.sock"),
        ("https://gw.test:8443", "https://gw.test:8443"),
        ("https://GW.test:8443/", "https://gw.test:8443"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("https://127.0.0.1:1", "https://127.0.0.1:1"),
    ] {
        assert_eq!(Address::parse(text).unwrap().to_string(), shown);
    }
    for text in [
        "",
        "gw.test:8443",
        "http://gw.test:8443",
        "https://gw.test",
        "https://u@gw.test:1",
        "https://gw.test:1/x",
        "unix:relative.sock",
        "unix:",
    ] {
        assert_eq!(Address::parse(text), Err(AddressError), "{text}");
    }
}

/// RPC-1: there is no TCP without certificates on both sides.
#[tokio::test]
async fn https_without_certificates_is_refused_before_anything_is_dialled() {
    let peer = Peer {
        address: Address::parse("https://127.0.0.1:1").unwrap(),
        certificates: None,
    };
    assert!(matches!(
        open(&peer).await,
        Err(ChannelError::NoCertificates)
    ));
    let missing = Certificates::of_directory(Path::new("/nonexistent"));
    let peer = Peer {
        certificates: Some(missing),
        ..peer
    };
    let error = open(&peer).await.unwrap_err().to_string();
    assert!(error.starts_with("/nonexistent/ca.crt: "), "{error}");
}

/// E7: what is told of a socket that is not there is what the kernel says.
#[tokio::test]
async fn a_missing_socket_is_named_by_the_kernels_words() {
    let peer = Peer {
        address: Address::Unix("/nonexistent/gateway.sock".into()),
        certificates: None,
    };
    let error = open(&peer).await.unwrap_err();
    assert!(matches!(error, ChannelError::NobodyListens(_)), "{error:?}");
    let error = error.to_string();
    assert!(error.contains("No such file or directory"), "{error}");
}

/// DPL-5: a port where nobody listens is told from one where somebody does not answer as a gateway.
#[tokio::test]
async fn a_refused_connection_is_told_from_one_that_breaks() {
    let directory = std::env::temp_dir().join(format!("ringfence-refused-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let own = rcgen::generate_simple_self_signed(["gw.test".to_owned()]).unwrap();
    for (file, text) in [
        ("ca.crt", own.cert.pem()),
        ("tls.crt", own.cert.pem()),
        ("tls.key", own.signing_key.serialize_pem()),
    ] {
        std::fs::write(directory.join(file), text).unwrap();
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = Peer {
        address: Address::parse(&format!("https://127.0.0.1:{port}")).unwrap(),
        certificates: Some(Certificates::of_directory(&directory)),
    };
    let breaking = std::thread::spawn(move || {
        drop(listener.accept());
        listener
    });
    let broken = open(&peer).await.unwrap_err();
    assert!(matches!(broken, ChannelError::Unreachable(_)), "{broken:?}");
    drop(breaking.join());
    let refused = open(&peer).await.unwrap_err();
    assert!(
        matches!(refused, ChannelError::NobodyListens(_)),
        "{refused:?}"
    );
    std::fs::remove_dir_all(&directory).unwrap();
}
