//! The SSRF corpus, driven through target syntax and address check without a socket.

use std::collections::HashMap;
use std::net::IpAddr;

use serde_json::Value;
use wire::Authority;

use super::super::{special_name, verify};
use crate::decision::Admitted;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Allow,
    Deny,
    BadRequest,
}

/// Answers from the zone file alone, and counts the questions.
struct Zone {
    names: Value,
    asked: HashMap<String, usize>,
}

impl Zone {
    fn resolve(&mut self, name: &str) -> Vec<IpAddr> {
        let mut name = name.to_owned();
        *self.asked.entry(name.clone()).or_default() += 1;
        for _ in 0..=CNAME_DEPTH_MAX {
            let entry = &self.names[&name];
            if let Some(target) = entry["CNAME"].as_str() {
                name = target.to_owned();
                continue;
            }
            let texts = |value: &Value| -> Vec<IpAddr> {
                let list = value.as_array().cloned().unwrap_or_default();
                list.iter()
                    .map(|text| text.as_str().unwrap().parse().unwrap())
                    .collect()
            };
            if let Some(sequence) = entry["sequence"].as_array() {
                let nth = self.asked[&name] - 1;
                return texts(&sequence[nth.min(sequence.len() - 1)]);
            }
            return [texts(&entry["A"]), texts(&entry["AAAA"])].concat();
        }
        Vec::new()
    }
}

const CNAME_DEPTH_MAX: usize = 8;

fn decide(zone: &mut Zone, authority: Authority) -> Verdict {
    if authority.host.is_inference() {
        // INF-1, CON-10: intercepted or denied, looked up never.
        return if authority.port.number() == 443 {
            Verdict::Allow
        } else {
            Verdict::Deny
        };
    }
    if special_name(&authority.host) {
        return Verdict::Deny;
    }
    let answer = match authority.host.literal() {
        Some(addr) => vec![addr],
        None => zone.resolve(authority.host.as_str()),
    };
    match verify(&Admitted::assume_admitted_for_test(authority), &answer) {
        Ok(_) => Verdict::Allow,
        Err(_) => Verdict::Deny,
    }
}

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

fn judge(zone: &mut Zone, input: &str, category: &str) -> Verdict {
    let target = unescape(input);
    let authority = if category.starts_with("absolute_form:") {
        wire::target::absolute(&target).map(|absolute| absolute.authority)
    } else {
        wire::target::connect(&target)
    };
    authority.map_or(Verdict::BadRequest, |authority| decide(zone, authority))
}

/// SECURITY 1, 2, TR-032, TR-040: 100 % of what must not pass does not, 100 % of what may does, and
/// at least 98 % get the exact class.
#[test]
fn the_ssrf_corpus_is_judged_as_written() {
    let rows = include_str!("../../../../../tests/corpora/ssrf.dev.tsv");
    let names = serde_json::from_str(include_str!(
        "../../../../../tests/corpora/ssrf_zone.dev.json"
    ))
    .unwrap();
    let mut zone = Zone {
        names,
        asked: HashMap::new(),
    };
    let (mut exact, mut total, mut misses) = (0, 0, Vec::new());
    for row in rows.lines().filter(|row| !row.is_empty()) {
        let columns: Vec<&str> = row.split('\t').collect();
        let expected = match columns[1] {
            "allow" => Verdict::Allow,
            "deny" => Verdict::Deny,
            "bad_request" => Verdict::BadRequest,
            other => panic!("unknown verdict {other}"),
        };
        let got = judge(&mut zone, columns[0], columns[2]);
        total += 1;
        exact += usize::from(got == expected);
        if (got == Verdict::Allow) != (expected == Verdict::Allow) {
            misses.push(format!("{row}: {got:?}"));
        }
    }
    assert!(misses.is_empty(), "wrongly judged:\n{}", misses.join("\n"));
    assert!(exact * 100 >= total * 98, "{exact} of {total} exact");
    assert!(total > 200);
    // TR-034, TR-036: one question a name, and none for names that are never looked up.
    assert_eq!(zone.asked["rebind-imds.test"], 1);
    assert!(
        zone.asked
            .keys()
            .all(|name| !name.contains("inference.local")
                || name.ends_with(".test")
                || name == "xinference.local")
    );
}
