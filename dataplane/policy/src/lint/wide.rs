//! Grants that are wider than they look.
//!
//! Apart from what never matches because these entries work; the question is whether they are meant.

use super::{Effect, Findings, cover};
use crate::address::Block;
use crate::document::BASELINE_READ_WRITE;
use crate::document::{Binary, Destination, Endpoint, PolicyDocument, PolicyPath};
use crate::pattern::{Glob, HostPattern};
use crate::witness::{self, Domain, Search};

/// Programs: all of them, those the sandbox can write, and patterns that say nothing.
pub(super) fn binaries(
    findings: &mut Findings,
    document: &PolicyDocument,
    at: &str,
    binaries: &[Binary],
) {
    for (index, Binary { path }) in binaries.iter().enumerate() {
        let at = format!("{at}[{index}].path");
        if witness::find(Domain::Program, &[path], &[]) == Search::Nothing {
            findings.add(
                at,
                Effect::None,
                "never matches: this is not the path of a program",
            );
            continue;
        }
        if let Some((outer, same)) = pointless(binaries, index) {
            let message = if same {
                "is listed twice".to_owned()
            } else {
                format!("adds nothing: `{outer}` is wider")
            };
            findings.add(at, Effect::None, message);
            continue;
        }
        if cover::matches_every_program(path) {
            let message = "every program may use this, those the sandbox writes itself included";
            findings.add(at, Effect::Some, message);
        } else if let Some(directory) = writable(document, path) {
            let message =
                format!("the sandbox may write to {directory}, so it can put any program there");
            findings.add(at, Effect::Some, message);
        }
    }
}

/// Another pattern of the list that matches all this one does, and whether the two are equal.
fn pointless(binaries: &[Binary], index: usize) -> Option<(&Glob, bool)> {
    let inner = binaries.get(index)?;
    binaries.iter().enumerate().find_map(|(other, outer)| {
        let covers = |outer: &Binary, inner: &Binary| {
            cover::binaries(std::slice::from_ref(outer), std::slice::from_ref(inner))
        };
        let wins =
            other != index && covers(outer, inner) && (other < index || !covers(inner, outer));
        wins.then_some((&outer.path, outer.path == inner.path))
    })
}

/// A directory the policy makes writable and that a program of this pattern may lie in.
fn writable(document: &PolicyDocument, path: &Glob) -> Option<String> {
    let own = document
        .filesystem
        .iter()
        .flat_map(|filesystem| &filesystem.read_write);
    let baseline = BASELINE_READ_WRITE.iter().map(|text| (*text).to_owned());
    own.map(PolicyPath::to_string)
        .chain(baseline)
        .find(|directory| {
            if directory.contains('*') {
                return false;
            }
            let below = Glob::new(&format!("{directory}/**"));
            let itself = Glob::new(directory);
            [below, itself].iter().any(|glob| {
                matches!(
                    witness::find(Domain::Program, &[path, glob], &[]),
                    Search::Found(_)
                )
            })
        })
}

/// Hosts anybody can have.
pub(super) fn endpoint(findings: &mut Findings, at: &str, endpoint: &Endpoint) {
    let (Destination::Host(host) | Destination::HostAt(host, _)) = &endpoint.destination else {
        return;
    };
    let (HostPattern::OneLabel(suffix) | HostPattern::AnyLabels(suffix)) = host else {
        return;
    };
    if PUBLIC_SUFFIXES.contains(&suffix.as_str()) {
        let message =
            format!("anybody can have a name below `{suffix}`: this reaches servers of strangers");
        findings.add(format!("{at}.host"), Effect::Some, message);
    }
}

/// POL-8 speaks of one entry; several can add up to more than a /16 as well.
pub(super) fn blocks(findings: &mut Findings, at: &str, blocks: &[&Block]) {
    let narrow = |block: &&&Block| block.base().is_ipv4() && block.len_bits() >= 16;
    let total: u64 = blocks
        .iter()
        .filter(narrow)
        .map(|block| 1_u64 << (32 - u32::from(block.len_bits().min(32))))
        .sum();
    if total > 1 << 16 {
        let message = format!("grants {total} IPv4 addresses together, more than a /16");
        findings.add(format!("{at}.allowed_ips"), Effect::Some, message);
    }
}

/// The `inference` section.
pub(super) fn inference(findings: &mut Findings, document: &PolicyDocument) {
    let Some(section) = &document.inference else {
        return;
    };
    if let Some(list) = &section.binaries {
        binaries(findings, document, "inference.binaries", list);
    }
    let models = section.models.as_deref().unwrap_or_default();
    for (index, inner) in models.iter().enumerate() {
        let wider = models.iter().enumerate().find(|(other, outer)| {
            *other != index
                && witness::covered(Domain::Text, &[inner], &[outer])
                && (*other < index || !witness::covered(Domain::Text, &[outer], &[inner]))
        });
        if let Some((_, outer)) = wider {
            let message = format!("adds nothing: `{outer}` is as wide");
            findings.add(format!("inference.models[{index}]"), Effect::None, message);
        }
    }
}

/// Names under which strangers get names: registries below a country, and hosters. Not a list of all
/// such names, so its silence proves nothing.
const PUBLIC_SUFFIXES: &[&str] = &[
    "ac.uk",
    "co.at",
    "co.id",
    "co.il",
    "co.in",
    "co.jp",
    "co.kr",
    "co.nz",
    "co.th",
    "co.uk",
    "co.za",
    "com.ar",
    "com.au",
    "com.br",
    "com.cn",
    "com.co",
    "com.hk",
    "com.mx",
    "com.my",
    "com.ph",
    "com.pl",
    "com.sa",
    "com.sg",
    "com.tr",
    "com.tw",
    "com.ua",
    "com.vn",
    "net.au",
    "or.jp",
    "org.au",
    "org.br",
    "org.uk",
    "amazonaws.com",
    "appspot.com",
    "azurefd.net",
    "azurewebsites.net",
    "blob.core.windows.net",
    "cloudapp.azure.com",
    "cloudflare-ipfs.com",
    "cloudfront.net",
    "cloudfunctions.net",
    "deno.dev",
    "duckdns.org",
    "elasticbeanstalk.com",
    "execute-api.amazonaws.com",
    "firebaseapp.com",
    "firebaseio.com",
    "fly.dev",
    "github.io",
    "gitlab.io",
    "glitch.me",
    "herokuapp.com",
    "hf.space",
    "loca.lt",
    "netlify.app",
    "ngrok-free.app",
    "ngrok.app",
    "ngrok.dev",
    "ngrok.io",
    "nip.io",
    "on.aws",
    "onrender.com",
    "pages.dev",
    "r2.dev",
    "railway.app",
    "replit.app",
    "replit.dev",
    "run.app",
    "s3.amazonaws.com",
    "sslip.io",
    "supabase.co",
    "surge.sh",
    "traefik.me",
    "trycloudflare.com",
    "ts.net",
    "vercel.app",
    "web.app",
    "workers.dev",
    "xip.io",
];
