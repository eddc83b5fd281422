//! Verdicts over whole answers.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use wire::{Authority, Code, Host, Port};

use super::super::{
    AllowedIps, Block, Site, VerifiedAddr, require_private, special_name, verify, verify_at,
    verify_backend,
};
use super::ip;
use crate::decision::{Admitted, Denial};
use crate::document::Tls;
use crate::route::Routes;

fn admitted(lists: &[Option<&[&str]>]) -> Admitted {
    let target = Authority {
        host: Host::parse(b"db.test").unwrap(),
        port: Port::new(5_432).unwrap(),
    };
    let mut admitted = Admitted::new(target, "db".into());
    for list in lists {
        let blocks = |list: &[&str]| {
            list.iter()
                .map(|text| Block::parse(text).unwrap())
                .collect()
        };
        let list = list.map(|list| Arc::new(AllowedIps::new(blocks(list)).unwrap()));
        admitted.join(list.as_ref(), Tls::Passthrough);
    }
    admitted
}

fn answer(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| ip(text)).collect()
}

fn reason(verdict: Result<Vec<VerifiedAddr>, Denial>) -> Cow<'static, str> {
    let denial = verdict.unwrap_err();
    assert_eq!(denial.code, Code::DestinationDenied);
    assert_eq!(denial.policy.as_deref(), Some("db"));
    denial.reason
}

/// AL-2
#[test]
fn every_entry_of_a_list_counts() {
    let listed = admitted(&[Some(&["10.0.0.0/8", "172.16.0.0/12", "192.168.1.1"])]);
    assert_eq!(
        verify(&listed, &answer(&["10.1.1.1", "172.17.0.1", "192.168.1.1"]))
            .unwrap()
            .len(),
        3
    );
    assert_eq!(
        reason(verify(&listed, &answer(&["192.168.1.2"]))),
        "not_in_allowed_ips"
    );
}

/// AL-6: what a wide entry encloses stays blocked.
#[test]
fn a_metadata_address_stays_blocked_inside_a_listed_range() {
    let listed = admitted(&[Some(&["100.64.0.0/10", "fd00::/8"])]);
    for text in ["100.100.100.200", "fd00:ec2::254", "::ffff:100.100.100.200"] {
        assert_eq!(
            reason(verify(&listed, &answer(&[text]))),
            "always_blocked",
            "{text}"
        );
    }
}

/// AL-7, DST-4: public addresses may be listed.
#[test]
fn a_list_is_the_whole_permission() {
    let listed = admitted(&[Some(&["10.0.0.0/8"])]);
    assert_eq!(
        reason(verify(&listed, &answer(&["93.184.216.34"]))),
        "not_in_allowed_ips"
    );
    let public = admitted(&[Some(&["93.184.216.0/24"])]);
    assert!(verify(&public, &answer(&["93.184.216.34"])).is_ok());
}

/// AL-8
#[test]
fn without_a_list_only_public_addresses_pass() {
    let open = admitted(&[None]);
    assert_eq!(
        reason(verify(&open, &answer(&["10.0.0.5"]))),
        "internal_address"
    );
    assert_eq!(
        reason(verify(&open, &answer(&["127.0.0.1"]))),
        "always_blocked"
    );
    assert_eq!(
        reason(verify(&open, &answer(&["10.1.2.3"]))),
        "internal_address"
    );
}

/// AL-9, TR-035
#[test]
fn one_bad_address_rejects_the_answer_in_either_order() {
    let open = admitted(&[None]);
    for texts in [["93.184.216.34", "10.0.0.5"], ["10.0.0.5", "93.184.216.34"]] {
        assert_eq!(reason(verify(&open, &answer(&texts))), "internal_address");
    }
}

/// DST-5
#[test]
fn one_matching_endpoint_must_accept_the_whole_answer() {
    let mixed = admitted(&[None, Some(&["10.0.0.0/8"])]);
    assert!(verify(&mixed, &answer(&["8.8.8.8"])).is_ok());
    assert!(verify(&mixed, &answer(&["10.0.0.1"])).is_ok());
    assert_eq!(
        reason(verify(&mixed, &answer(&["8.8.8.8", "10.0.0.1"]))),
        "not_in_allowed_ips"
    );
}

/// AL-13, DST-12, TR-042
#[test]
fn ringfence_itself_is_not_reachable_even_when_listed() {
    let listed = admitted(&[Some(&["10.0.0.0/8"])]);
    let site = Site {
        nat64_prefix: None,
        own: vec!["10.0.0.1:5432".parse().unwrap()],
    };
    assert_eq!(
        reason(verify_at(&site, &listed, &answer(&["10.0.0.1"]))),
        "own_address"
    );
    assert_eq!(
        reason(verify_at(&site, &listed, &answer(&["::ffff:10.0.0.1"]))),
        "own_address"
    );
    assert!(verify_at(&site, &listed, &answer(&["10.0.0.2"])).is_ok());
}

/// AL-14: an empty answer is no address.
#[test]
fn an_empty_answer_is_a_dns_failure() {
    assert_eq!(
        verify(&admitted(&[None]), &[]).unwrap_err().code,
        Code::DnsFailure
    );
}

/// TR-034: what is dialled is what was judged, in the order of the answer.
#[test]
fn the_receipts_are_the_judged_addresses() {
    let verified = verify(
        &admitted(&[None]),
        &answer(&["8.8.8.8", "2606:4700:4700::1111"]),
    )
    .unwrap();
    let dialled: Vec<String> = verified
        .iter()
        .map(|addr| addr.socket_addr().to_string())
        .collect();
    assert_eq!(dialled, ["8.8.8.8:5432", "[2606:4700:4700::1111]:5432"]);
}

/// AL-12, DST-11, TR-036
#[test]
fn special_names_are_known_with_everything_below_them() {
    let special = |text: &str| special_name(&Host::parse(text.as_bytes()).unwrap());
    let names = [
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "x.onion",
        "inference.local",
        "a.b.inference.local.",
    ];
    assert!(names.into_iter().all(special));
    let ordinary = [
        "xinference.local",
        "localhost.test",
        "onion.test",
        "notlocalhost",
        "printer.local",
    ];
    assert!(!ordinary.into_iter().any(special));
}

fn backend(endpoint: &str, private: bool) -> Routes {
    let text = format!(
        "routes: [{{endpoint: '{endpoint}', model: m, protocols: [model_discovery], api_key: k, \
         allow_private_endpoint: {private}}}]"
    );
    Routes::parse(&text, "routes.yaml", &|_| None).unwrap()
}

/// RB-11, RB-12, RTE-8, TR-038
#[test]
fn a_backend_is_dialled_by_the_operators_word() {
    let verdict = |endpoint: &str, private, text: &str| {
        verify_backend(&backend(endpoint, private).as_slice()[0], &answer(&[text]))
            .map(|_| ())
            .map_err(|it| it.code)
    };
    assert_eq!(verdict("https://h.test/v1", false, "8.8.8.8"), Ok(()));
    assert_eq!(
        verdict("https://h.test/v1", false, "10.0.0.5"),
        Err(Code::RouteBroken)
    );
    assert_eq!(verdict("https://h.test/v1", true, "10.0.0.5"), Ok(()));
    assert_eq!(verdict("https://h.test/v1", true, "127.0.0.1"), Ok(()));
    assert_eq!(verdict("https://h.test/v1", true, "::1"), Ok(()));
    assert_eq!(
        verdict("http://127.0.0.1:8000/v1", false, "127.0.0.1"),
        Ok(())
    );
    assert_eq!(
        verdict("http://localhost:8000/v1", false, "127.0.0.1"),
        Ok(())
    );
    // Plain text never goes to a public address, and metadata is never dialled.
    assert_eq!(
        verdict("http://h.test/v1", true, "8.8.8.8"),
        Err(Code::RouteBroken)
    );
    for text in [
        "169.254.169.254",
        "fd00:ec2::254",
        "169.254.0.1",
        "0.0.0.0",
        "64:ff9b::7f00:1",
        "224.0.0.1",
    ] {
        assert_eq!(
            verdict("https://h.test/v1", true, text),
            Err(Code::RouteBroken),
            "{text}"
        );
    }
}

/// What FWD-4 and FWD-5 say of one address under one list.
fn forwarded(list: Option<&[&str]>, text: &str) -> Result<(), Code> {
    let admitted = admitted(&[list]);
    let verified = verify(&admitted, &answer(&[text])).map_err(|denial| denial.code)?;
    require_private(&admitted, &verified).map_err(|denial| denial.code)
}

/// MX-2, MX-3, MX-4, MX-5, MX-6, FWD-5, TR-041
#[test]
fn plain_http_goes_to_listed_private_addresses_only() {
    assert_eq!(
        forwarded(Some(&["93.184.216.34"]), "93.184.216.34"),
        Err(Code::ForwardPrivateOnly)
    );
    assert_eq!(forwarded(None, "10.0.0.1"), Err(Code::DestinationDenied));
    for (list, text) in [
        ("10.0.0.0/16", "10.0.0.1"),
        ("172.16.0.0/12", "172.31.255.255"),
        ("192.168.1.1", "192.168.1.1"),
        ("fd00:1::/32", "fd00:1::5"),
        ("10.0.0.0/16", "::ffff:10.0.0.1"),
        ("100.64.0.0/10", "100.64.1.1"),
        ("100.64.1.0/24", "100.64.1.1"),
    ] {
        assert_eq!(forwarded(Some(&[list]), text), Ok(()), "{list} {text}");
    }
    assert_eq!(
        forwarded(Some(&["198.18.0.0/16"]), "198.18.0.1"),
        Err(Code::ForwardPrivateOnly)
    );
    // Internal by its embedded address, and still not private itself.
    assert_eq!(
        forwarded(Some(&["64:ff9b::a00:0/112"]), "64:ff9b::a00:1"),
        Err(Code::ForwardPrivateOnly)
    );
}
