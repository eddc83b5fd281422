use rcgen::{CertificateParams, KeyPair, SanType};

use super::*;

/// RPC-2: hostile certificates.
#[test]
fn a_role_comes_from_exactly_one_uri() {
    let host = HostId::parse("node-1").unwrap();
    let table: [(&[&str], Caller); 14] = [
        (&["ringfence://role/admin"], Caller::Admin),
        (&["ringfence://role/viewer"], Caller::Viewer),
        (&["ringfence://host/node-1"], Caller::Host(host)),
        (&[], Caller::Stranger),
        (&["ringfence://role/host"], Caller::Stranger),
        (&["ringfence://role/admin/"], Caller::Stranger),
        (&["ringfence://role/Admin"], Caller::Stranger),
        (&["RINGFENCE://role/admin"], Caller::Stranger),
        (&["https://role/admin"], Caller::Stranger),
        (&["ringfence://host/"], Caller::Stranger),
        (&["ringfence://host/a/b"], Caller::Stranger),
        (&["ringfence://host/a?role=admin"], Caller::Stranger),
        (
            &["ringfence://role/viewer", "ringfence://role/admin"],
            Caller::Stranger,
        ),
        (
            &["ringfence://role/viewer", "https://example.com/"],
            Caller::Stranger,
        ),
    ];
    for (uris, caller) in table {
        assert_eq!(caller_of(&certificate(uris)), caller, "{uris:?}");
    }
}

#[test]
fn what_is_no_certificate_is_a_stranger() {
    for bytes in [&b""[..], b"\x30", b"\x30\x82\xff\xff", &[0; 600]] {
        assert_eq!(caller_of(&CertificateDer::from(bytes)), Caller::Stranger);
    }
    let whole = certificate(&["ringfence://role/admin"]);
    for length in 0..whole.len() {
        let cut = CertificateDer::from(&whole[..length]);
        assert_eq!(caller_of(&cut), Caller::Stranger, "cut at {length}");
    }
}

/// A name of another kind gives no role, whatever it spells.
#[test]
fn a_dns_name_is_no_role() {
    let mut params = CertificateParams::default();
    let name = "ringfence://role/admin".try_into().unwrap();
    params.subject_alt_names = vec![SanType::DnsName(name)];
    assert_eq!(caller_of(&signed(&params)), Caller::Stranger);
}

fn certificate(uris: &[&str]) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    let uris = uris
        .iter()
        .map(|uri| SanType::URI((*uri).try_into().unwrap()));
    params.subject_alt_names = uris.collect();
    signed(&params)
}

fn signed(params: &CertificateParams) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().clone()
}
