//! ssrf.dev against a data plane with real sockets, by CONNECT and by forward.
//!
//! Public addresses have no route in here: what may be dialled is refused by the kernel at once, and that refusal is how
//! "goes on to dial" is seen. Names are known to the corpus's own zone alone.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use harness::http::Reader;
use harness::play_within;
use serde_json::Value;

use crate::world::client::verdict;
use crate::world::zone::{Zone, of_corpus};
use crate::world::{Setup, World};

struct Row {
    input: Vec<u8>,
    wanted: &'static str,
    is_absolute: bool,
    text: &'static str,
}

fn rows() -> Vec<Row> {
    let corpus = include_str!("../corpora/ssrf.dev.tsv");
    let row = |text: &'static str| {
        let columns: Vec<&str> = text.split('\t').collect();
        Row {
            input: unescape(columns[0]),
            wanted: columns[1],
            is_absolute: columns[2].starts_with("absolute_form:"),
            text,
        }
    };
    corpus
        .lines()
        .filter(|line| !line.is_empty())
        .map(row)
        .collect()
}

/// `\xNN` is one byte, `\\` a backslash.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = match (first, tail) {
            (b'\\', [b'x', high, low, tail @ ..]) => {
                let digits = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                tail
            }
            (b'\\', [b'\\', tail @ ..]) => {
                bytes.push(b'\\');
                tail
            }
            (byte, tail) => {
                bytes.push(*byte);
                tail
            }
        };
    }
    bytes
}

/// The authority a row names, where it names one.
fn authority(row: &Row) -> Option<wire::Authority> {
    let found = if row.is_absolute {
        wire::target::absolute(&row.input).map(|target| target.authority)
    } else {
        wire::target::connect(&row.input)
    };
    found
        .ok()
        .filter(|authority| !authority.host.is_inference())
}

/// A policy that allows every authority of the corpus by name; `more` is added to each endpoint.
fn world(more: &str) -> World {
    let endpoints: BTreeSet<String> = rows()
        .iter()
        .filter_map(authority)
        .map(|found| {
            format!(
                "{{host: \"{}\", port: {}{more}}}",
                found.host.as_str(),
                found.port.number()
            )
        })
        .collect();
    let endpoints: Vec<String> = endpoints.into_iter().collect();
    Setup::new()
        .allow("all", &endpoints.join(", "))
        .limit(|limits| limits.dial_time = Duration::from_millis(1_500))
        .open()
}

/// Sends one request and says how it was answered: `200`, or status, code and reason.
fn answered(mut client: TcpStream, method: &str, target: &[u8]) -> String {
    let head = [
        method.as_bytes(),
        b" ",
        target,
        b" HTTP/1.1\r\nHost: x.test\r\n\r\n",
    ]
    .concat();
    client.write_all(&head).unwrap();
    let mut reader = Reader::new(client);
    let head = reader.head().unwrap_or_else(|| {
        panic!(
            "no answer to {method} {:?}",
            String::from_utf8_lossy(target)
        )
    });
    if head.starts_with(b"HTTP/1.1 200 ") {
        return "200".to_owned();
    }
    let message = harness::http::Message {
        head,
        ..Default::default()
    };
    verdict(&reader.rest_of(method, message).message)
}

fn class(verdict: &str) -> &'static str {
    let deny = [
        "403 destination_denied",
        "502 dns_failure",
        "504 dns_timeout",
    ];
    // Whatever port but 443 of inference.local is no endpoint of any policy (CON-10).
    let inference = ["403 policy_denied", "403 inference_requires_https"];
    if verdict.starts_with("400 ") {
        "bad_request"
    } else if deny
        .iter()
        .chain(&inference)
        .any(|known| verdict.starts_with(known))
    {
        "deny"
    } else if matches!(
        verdict,
        "200" | "502 upstream_unreachable" | "504 connect_timeout"
    ) {
        "allow"
    } else {
        "?"
    }
}

fn zone() -> Zone {
    let zone: Value = serde_json::from_str(include_str!("../corpora/ssrf_zone.dev.json")).unwrap();
    Zone::serve(of_corpus(&zone))
}

/// Names that must never be asked for, whatever the policy says.
fn assert_no_special_name(zone: &Zone) {
    let special = zone.names().into_iter().filter(|name| {
        ["localhost", "onion", "inference.local"]
            .iter()
            .any(|root| name == root || name.ends_with(&format!(".{root}")))
    });
    assert_eq!(special.collect::<Vec<_>>(), Vec::<String>::new());
}

/// SECURITY 1, 2, TR-032 to TR-036, TR-040, CT-1 to CT-6, AD-1 to AD-11, AL-8, AL-9, AL-11, AL-12, DST-11
#[test]
fn what_a_connect_of_the_ssrf_corpus_reaches_is_what_its_row_says() {
    play_within(Duration::from_secs(300), |_| {
        let world = world("");
        let zone = zone();
        let (mut total, mut exact, mut misses) = (0, 0, Vec::new());
        for row in rows().iter().filter(|row| !row.is_absolute) {
            let found = answered(world.proxy(), "CONNECT", &row.input);
            total += 1;
            exact += usize::from(class(&found) == row.wanted);
            if class(&found) == "?" || (class(&found) == "allow") != (row.wanted == "allow") {
                misses.push(format!("{}: {found}", row.text));
            }
        }
        eprintln!(
            "ssrf/connect: {total} rows, {} wrong, {exact} exact",
            misses.len()
        );
        assert!(misses.is_empty(), "{}", misses.join("\n"));
        assert!(total > 150 && exact * 100 >= total * 98);
        assert_no_special_name(&zone);
        // The row of its own name asked once: what was dialled is what was judged.
        assert_eq!(zone.count("rebind-imds.test"), 1);
        assert_eq!(
            answered(world.proxy(), "CONNECT", b"rebind-imds.test:80"),
            "403 destination_denied always_blocked"
        );
    });
}

/// SECURITY 1, TR-041, FWD-4, FWD-5, MX-1, URI-7 to URI-11: nothing of the corpus is inside an internal range that is
/// listed, so the forward path reaches nothing at all.
#[test]
fn no_row_of_the_ssrf_corpus_is_reached_by_plain_http() {
    play_within(Duration::from_secs(300), |_| {
        let world = world(", allowed_ips: [10.99.0.0/24]");
        let zone = zone();
        let (mut total, mut wrong) = (0, Vec::new());
        for row in rows() {
            let target = if row.is_absolute {
                row.input.clone()
            } else {
                [b"http://", row.input.as_slice(), b"/"].concat()
            };
            let found = answered(world.proxy(), "GET", &target);
            total += 1;
            let as_written =
                !row.is_absolute || row.wanted != "bad_request" || found.starts_with("400 ");
            if !matches!(class(&found), "deny" | "bad_request") || !as_written {
                wrong.push(format!("{}: {found}", row.text));
            }
        }
        eprintln!("ssrf/forward: {total} rows, {} wrong", wrong.len());
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert_no_special_name(&zone);
    });
}
