//! Which addresses both ways in may lead to.

use harness::origin::Origin;
use harness::play;

use super::{alike, both, everywhere, forward};
use crate::world::Setup;
use crate::world::names::Names;

/// AL-7, AL-8, AL-9, AL-10, DST-4, DST-5, DST-8
#[test]
fn both_entries_judge_every_address_of_an_answer() {
    play(|scene| {
        let _origin = everywhere(scene);
        let listed = "allowed_ips: [10.99.0.0/24]";
        let world = Setup::new()
            .host("45.45.45.9 public.test mixed.test")
            .host("10.99.0.9 mixed.test dexim.test")
            .host("45.45.45.9 dexim.test")
            .host("127.0.0.1 loop.test")
            .host("10.99.0.7 any.test")
            .allow(
                "public",
                &format!("{{host: public.test, port: 7000, {listed}}}"),
            )
            .allow(
                "mixed",
                &format!("{{host: mixed.test, port: 7000, {listed}}}"),
            )
            .allow(
                "dexim",
                &format!("{{host: dexim.test, port: 7000, {listed}}}"),
            )
            .allow(
                "loop",
                &format!("{{host: loop.test, port: 7000, {listed}}}"),
            )
            .allow("hostless", &format!("{{port: 7000, {listed}}}"))
            .open();
        let outside = alike("403 destination_denied not_in_allowed_ips");
        for (authority, wanted) in [
            ("public.test:7000", &outside),
            ("mixed.test:7000", &outside),
            ("dexim.test:7000", &outside),
            (
                "loop.test:7000",
                &alike("403 destination_denied always_blocked"),
            ),
            ("any.test:7000", &alike("200")),
            ("10.99.0.7:7000", &alike("200")),
            (
                "any.test:12345",
                &alike("403 policy_denied endpoint_not_allowed"),
            ),
        ] {
            assert_eq!(&both(&world, authority), wanted, "{authority}");
        }
    });
}

/// AD-1 to AD-3, AD-6 to AD-8, AD-10, AD-11, AL-6, DST-1, DST-7, TR-032, TR-033: as a literal and as the answer for a
/// name, metadata services in every spelling, under the widest lists that load.
#[test]
fn neither_entry_reaches_a_blocked_address_however_it_is_written() {
    play(|_| {
        let lists = "allowed_ips: [10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12, 192.168.0.0/16, 198.18.0.0/15, 'fc00::/7', '64:ff9b::a00:0/104', '2002:a00::/24']";
        let mut addresses: Vec<String> = [
            "127.0.0.1",
            "127.0.0.2",
            "::1",
            "::ffff:127.0.0.1",
            "169.254.0.1",
            "fe80::1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "224.0.0.1",
            "ff02::1",
            "240.0.0.1",
            "255.255.255.255",
            "::ffff:0.0.0.0",
            "192.0.0.1",
            "192.0.2.1",
            "198.51.100.7",
            "203.0.113.9",
            "192.88.99.1",
            "2001:db8::1",
            "3fff::1",
            "100::1",
            "5f00::1",
            "2001:20::1",
            "fec0::1",
            "e000::1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "::7f00:1",
            "fd00:ec2::254",
            "fd20:ce::254",
        ]
        .map(str::to_owned)
        .to_vec();
        for metadata in [
            [169, 254, 169, 254],
            [168, 63, 129, 16],
            [100, 100, 100, 200],
            [192, 0, 0, 192_u8],
        ] {
            let [a, b, c, d] = metadata;
            let (high, low) = (format!("{a:x}{b:02x}"), format!("{c:x}{d:02x}"));
            let inverted = format!("{:x}{:02x}:{:x}{:02x}", !a, !b, !c, !d);
            addresses.extend([
                format!("{a}.{b}.{c}.{d}"),
                format!("::ffff:{a}.{b}.{c}.{d}"),
                format!("::ffff:{high}:{low}"),
                format!("::{high}:{low}"),
                format!("64:ff9b::{high}:{low}"),
                format!("64:ff9b:1::{high}:{low}"),
                format!("2002:{high}:{low}::"),
                format!("2001:0:808:808::{inverted}"),
                format!("2001:0:{high}:{low}::f7f7:f7f7"),
            ]);
        }
        let mut setup = Setup::new().allow("hostless", &format!("{{port: 7000, {lists}}}"));
        for (number, address) in addresses.iter().enumerate() {
            setup = setup.host(&format!("{address} n{number}.test"));
        }
        let world = setup.open();
        for (number, address) in addresses.iter().enumerate() {
            let blocked = alike("403 destination_denied always_blocked");
            assert_eq!(
                both(&world, &format!("n{number}.test:7000")),
                blocked,
                "{address} by name"
            );
            let literal = if address.contains(':') {
                format!("[{address}]")
            } else {
                address.clone()
            };
            assert_eq!(
                both(&world, &format!("{literal}:7000")),
                blocked,
                "{address}"
            );
        }
        for spelled in [
            "2852039166",
            "0xa9fea9fe",
            "0xa9.0xfe.0xa9.0xfe",
            "0251.0376.0251.0376",
            "169.254.43518",
            "169.16689662",
            "[::ffff:169.254.43518]",
            "[fd00:ec2::254%25lo]",
            "169.254.169.254.",
        ] {
            let both = both(&world, &format!("{spelled}:7000"));
            assert_eq!(both, alike("400 invalid_request_target"), "{spelled}");
        }
    });
}

/// AL-13, DST-12, TR-042: the listeners of every attached sandbox, under a list that covers them.
#[test]
fn neither_entry_leads_to_a_listener_of_ringfence_itself() {
    play(|_| {
        let world = Setup::new()
            .host("10.99.0.66 gate.test")
            .host("10.99.0.7 gate-and-more.test")
            .host("10.99.0.66 gate-and-more.test")
            .allow("any-3128", "{port: 3128, allowed_ips: [10.99.0.0/24]}")
            .allow("any-443", "{port: 443, allowed_ips: [10.99.0.0/24]}")
            .open();
        // Before it is attached the address is one like any other.
        assert_eq!(
            both(&world, "10.99.0.66:3128"),
            alike("502 upstream_unreachable")
        );
        world.attach("other", "10.99.0.66", "/proc");
        let own = alike("403 destination_denied own_address");
        for authority in [
            "10.99.0.66:3128",
            "10.99.0.66:443",
            "[::ffff:10.99.0.66]:3128",
            "gate.test:443",
            "gate-and-more.test:3128",
        ] {
            assert_eq!(both(&world, authority), own, "{authority}");
        }
        assert_eq!(
            both(&world, "10.99.0.67:3128"),
            alike("502 upstream_unreachable")
        );
    });
}

/// AL-11, DST-9, TR-034: the name turns to an address that must not be dialled.
#[test]
fn a_rebinding_name_is_dialled_at_the_address_that_was_judged_by_either_entry() {
    play(|_| {
        let origin = Origin::greeting("10.99.0.7:7000", None, "here");
        let names = Names::start([10, 99, 0, 7].into(), [127, 0, 0, 1].into());
        let world = Setup::new().allow_port(7000).open();
        assert_eq!(forward(&world, "GET", "http://turn.example:7000/"), "200");
        assert_eq!((names.asked(), origin.connections()), (1, 1));
        assert_eq!(
            both(&world, "turn.example:7000"),
            alike("403 destination_denied always_blocked")
        );
        assert_eq!(origin.connections(), 1);
    });
}
