//! The hosts file: names the host's administrator gave addresses to (hosts(5)).
//!
//! It exists apart from `dns.rs` because it is asked first and answers without waiting. The library's own reading of
//! hosts files is not used: it reads once, and from one place.
//!
//! Invariants: what is answered is what the file says now, one `stat` a question; at most `FILE_BYTES_MAX` are read.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use wire::Host;

use super::Addresses;

/// See the file's head.
pub(super) struct HostsFile {
    path: PathBuf,
    seen: Option<Seen>,
    names: HashMap<Host, Addresses>,
}

/// What tells one state of a file from another.
#[derive(PartialEq, Clone, Copy)]
pub(super) struct Seen {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Seen {
    /// `None` when there is no such file.
    pub(super) fn now(path: &std::path::Path) -> Option<Seen> {
        let metadata = fs::metadata(path).ok()?;
        Some(Seen {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl HostsFile {
    pub(super) fn new(path: PathBuf) -> HostsFile {
        HostsFile {
            path,
            seen: None,
            names: HashMap::new(),
        }
    }

    pub(super) fn find(&mut self, host: &Host) -> Option<Addresses> {
        let now = Seen::now(&self.path);
        if now != self.seen {
            // The state from before the reading is kept: a change during it is noticed at the next question.
            self.seen = now;
            self.names = parse(&read_bounded(&self.path));
        }
        self.names.get(host).cloned()
    }
}

/// The first `FILE_BYTES_MAX` bytes of a file; nothing when it cannot be read.
pub(super) fn read_bounded(path: &std::path::Path) -> Vec<u8> {
    let mut content = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut content));
    if read.is_err() {
        content.clear();
    }
    content
}

fn parse(content: &[u8]) -> HashMap<Host, Addresses> {
    let mut names: HashMap<Host, Vec<IpAddr>> = HashMap::new();
    for line in content.split(|byte| *byte == b'\n') {
        let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let address = words
            .next()
            .and_then(|word| str::from_utf8(word).ok())
            .and_then(|word| word.parse().ok());
        let Some(address) = address else { continue };
        for word in words {
            let Ok(host) = Host::parse(word) else {
                continue;
            };
            let addresses = names.entry(host).or_default();
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    names
        .into_iter()
        .map(|(host, mut addresses)| {
            addresses.sort_by_key(IpAddr::is_ipv6);
            (host, Addresses::from(addresses))
        })
        .collect()
}

const FILE_BYTES_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests;
