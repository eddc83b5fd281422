//! What is read from resolv.conf.

use super::*;

/// resolv.conf(5): only name servers matter, at most three, in order; none means this host.
#[test]
fn only_the_name_servers_of_resolv_conf_matter() {
    let listed = |text: &str| {
        name_servers(text.as_bytes())
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(listed(""), "127.0.0.1");
    assert_eq!(
        listed("search a b\nnameserver bad\n# nameserver 1.1.1.1\n"),
        "127.0.0.1"
    );
    assert_eq!(
        listed("nameserver 192.0.2.1\nnameserver\t2001:db8::1 \nnameserver 192.0.2.1"),
        "192.0.2.1 2001:db8::1"
    );
    assert_eq!(
        listed(
            "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n"
        ),
        "192.0.2.1 192.0.2.2 192.0.2.3"
    );
    assert_eq!(
        listed("domain x\noptions edns0\nnameserverx 1.2.3.4\nnameserver fe80::1%eth0\n"),
        "127.0.0.1"
    );
}
