//! `network_policies`: endpoints, and which of their fields need which.
//!
//! Apart from `rule`, which knows what a request rule looks like. Invariant: an endpoint without a
//! host has `allowed_ips`, and a field that needs inspection is refused without it (POL-2).

use std::collections::BTreeMap;

use wire::Port;

use super::node::Node;
use super::reader::{Fields, Place, Reader};
use super::{binaries, rule};
use crate::address::{AllowedIps, Block, Class, classify};
use crate::document::{Destination, Endpoint, Inspection, NetworkPolicy, Tls};
use crate::pattern::HostPattern;

pub(super) fn read(
    reader: &mut Reader<'_>,
    node: &Node,
    place: Place,
) -> Option<BTreeMap<String, NetworkPolicy>> {
    let fields = reader.map_or_nothing(node, place)?;
    let mut policies = BTreeMap::new();
    let mut complete = Some(());
    for (key, node, place) in fields.free() {
        if key.is_empty() || key.len() > KEY_BYTES_MAX || key.chars().any(char::is_control) {
            reader.error(
                &place,
                format!("a key has 1 to {KEY_BYTES_MAX} bytes and no control characters"),
            );
        }
        match network_policy(reader, key, node, place) {
            Some(policy) => drop(policies.insert(key.to_owned(), policy)),
            None => complete = None,
        }
    }
    complete.map(|()| policies)
}

fn network_policy(
    reader: &mut Reader<'_>,
    key: &str,
    node: &Node,
    place: Place,
) -> Option<NetworkPolicy> {
    let mut fields = reader.map(node, place)?;
    let name = fields
        .get("name")
        .map(|(node, place)| reader.text(node, &place));
    // An empty name is none: a message cannot tell the two apart (POL-1).
    let name = name.filter(|name| name.as_deref() != Some(""));
    let endpoints = fields
        .require(reader, "endpoints")
        .and_then(|(node, place)| {
            let items = reader.filled_list(node, &place)?;
            let read: Vec<_> = items
                .into_iter()
                .map(|(node, place)| endpoint(reader, node, place))
                .collect();
            read.into_iter().collect::<Option<Vec<_>>>()
        });
    let binaries = fields
        .require(reader, "binaries")
        .and_then(|(node, place)| binaries(reader, node, &place));
    fields.finish(reader);
    Some(NetworkPolicy {
        name: name.unwrap_or_else(|| Some(key.to_owned()))?,
        endpoints: endpoints?,
        binaries: binaries?,
    })
}

fn endpoint(reader: &mut Reader<'_>, node: &Node, place: Place) -> Option<Endpoint> {
    let mut fields = reader.map(node, place)?;
    let host = fields
        .get("host")
        .map(|(node, place)| host(reader, node, &place));
    let port = fields
        .require(reader, "port")
        .and_then(|(node, place)| port(reader, node, &place));
    let inspection = inspection(reader, &mut fields, port);
    let list = fields
        .get("allowed_ips")
        .map(|(node, place)| allowed_ips(reader, node, &place));
    let place = fields.place.clone();
    fields.finish(reader);

    let destination = match (host, list) {
        (None, None) => {
            reader.error(
                &place.key("host", place.at),
                "required unless `allowed_ips` is set",
            );
            None
        }
        (Some(host), None) => host.map(|(pattern, place)| {
            warn_of_inside(reader, &pattern, &place);
            Destination::Host(pattern)
        }),
        (Some(host), Some(list)) => host
            .zip(list)
            .map(|((host, _), list)| Destination::HostAt(host, list)),
        (None, Some(list)) => list.map(Destination::AnyHostAt),
    };
    Some(Endpoint {
        destination: destination?,
        port: port?,
        inspection: inspection?,
    })
}

fn host(reader: &mut Reader<'_>, node: &Node, place: &Place) -> Option<(HostPattern, Place)> {
    let text = reader.text(node, place)?;
    let pattern = HostPattern::parse(&text)
        .map_err(|error| reader.error(place, error.to_string()))
        .ok()?;
    Some((pattern, place.clone()))
}

/// POL-8: without `allowed_ips` such an address is denied when it is dialled.
fn warn_of_inside(reader: &mut Reader<'_>, pattern: &HostPattern, place: &Place) {
    let HostPattern::Exact(host) = pattern else {
        return;
    };
    match host.literal().map(classify) {
        Some(Class::Internal) => reader.warn(
            place,
            "an internal address is denied unless `allowed_ips` lists it",
        ),
        Some(Class::AlwaysBlocked | Class::Metadata) => {
            reader.warn(place, "this address is always blocked")
        }
        Some(Class::Public) | None => {}
    }
}

fn port(reader: &mut Reader<'_>, node: &Node, place: &Place) -> Option<Port> {
    let number = reader.integer(node, place, 1..=65_535, "a number 1–65535")?;
    u16::try_from(number).ok().and_then(Port::new)
}

fn allowed_ips(reader: &mut Reader<'_>, node: &Node, place: &Place) -> Option<AllowedIps> {
    let items = reader.filled_list(node, place)?;
    let read: Vec<_> = items
        .into_iter()
        .map(|(node, place)| {
            let text = reader.text(node, &place)?;
            let block = Block::parse(&text)
                .map_err(|error| reader.error(&place, format!("`{text}` {error}")))
                .ok()?;
            for warning in block.warnings() {
                reader.warn(&place, format!("`{text}` {warning}"));
            }
            Some(block)
        })
        .collect();
    AllowedIps::new(read.into_iter().collect::<Option<Vec<_>>>()?)
}

/// Outer: could it be read; inner: is the endpoint inspected at all.
#[expect(
    clippy::option_option,
    reason = "unreadable and not inspected are two cases"
)]
fn inspection(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    port: Option<Port>,
) -> Option<Option<Inspection>> {
    let protocol = fields
        .get("protocol")
        .map(|(node, place)| (reader.choice(node, &place, &[("rest", ())]), place));
    let tls_words = [
        ("terminate", Tls::Terminate),
        ("passthrough", Tls::Passthrough),
    ];
    let tls = fields
        .get("tls")
        .map(|(node, place)| (reader.choice(node, &place, &tls_words), place));
    let rules = rule::read(reader, fields);
    let Some((protocol, place)) = protocol else {
        if let Some((Some(Tls::Terminate), place)) = &tls {
            reader.error(place, "`terminate` needs `protocol`");
        }
        rules.refuse_without_protocol(reader);
        return match tls {
            None | Some((Some(Tls::Passthrough), _)) => Some(None),
            Some((None | Some(Tls::Terminate), _)) => None,
        };
    };
    let tls = tls.map_or(Some(Tls::default()), |(tls, _)| tls);
    if port.is_some_and(|port| port.number() == 443) && tls == Some(Tls::Passthrough) {
        reader.warn(
            &place,
            "`rest` on port 443 without `tls: terminate` refuses every TLS connection",
        );
    }
    let rules = rules.complete(reader, &place);
    protocol?;
    let inspection = rules?.into_inspection(tls?);
    Some(Some(inspection))
}

/// POL-1: longest key of `network_policies`.
const KEY_BYTES_MAX: usize = 253;
