//! CIDR blocks as a policy writes them, checked at load against the classes (DST-6, DST-7).
//!
//! Apart from `class`: that one judges a point, this one a range. Invariant: a `Block` that parsed
//! holds no address that is always blocked, except metadata addresses inside an internal range,
//! which stay blocked because every point is judged again (TR-037).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::class::{self, Embedding, V4Range, V6Range};

/// A CIDR block or single address; a v4-mapped one is kept as its IPv4 block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Block {
    base: IpAddr,
    len_bits: u8,
}

/// Why an entry was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockError {
    /// Neither an address nor a block.
    Malformed,
    /// An address or block, but not in its canonical spelling.
    NotCanonical {
        /// The spelling that is accepted.
        canonical: String,
    },
    /// Bits behind the prefix length are set.
    HostBits {
        /// The block the prefix length names.
        block: String,
    },
    /// Some of its addresses are never dialled.
    OverlapsBlocked,
    /// It is a metadata address.
    Metadata,
}

/// What is worth knowing of an entry that loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockWarning {
    /// It encloses this metadata address, which stays blocked.
    EnclosesMetadata(IpAddr),
    /// Shorter than /16 (IPv4) or /32 (IPv6).
    Wide,
}

impl Block {
    /// Parses an `allowed_ips` entry.
    ///
    /// # Errors
    /// Everything DST-6 and DST-7 refuse.
    pub fn parse(text: &str) -> Result<Block, BlockError> {
        let block = Block::parse_cidr(text)?;
        if block.is_metadata() {
            return Err(BlockError::Metadata);
        }
        if block.overlaps_blocked() {
            return Err(BlockError::OverlapsBlocked);
        }
        Ok(block.unmapped())
    }

    /// Parses address text without judging it: for prefixes an operator configures.
    ///
    /// # Errors
    /// `Malformed`, `NotCanonical` and `HostBits` (DST-6).
    pub fn parse_cidr(text: &str) -> Result<Block, BlockError> {
        let (addr_text, len_text) = match text.split_once('/') {
            Some((addr, len)) => (addr, Some(len)),
            None => (text, None),
        };
        let base: IpAddr = addr_text.parse().map_err(|_| BlockError::Malformed)?;
        let width = width_bits(base);
        let len_bits = match len_text {
            None => width,
            Some(len) if !len.is_empty() && len.bytes().all(|byte| byte.is_ascii_digit()) => len
                .parse::<u8>()
                .ok()
                .filter(|len| *len <= width)
                .ok_or(BlockError::Malformed)?,
            Some(_) => return Err(BlockError::Malformed),
        };
        let spellings = canonical_spellings(base).map(|addr| match len_text {
            None => addr,
            Some(_) => format!("{addr}/{len_bits}"),
        });
        if !spellings.iter().any(|canonical| canonical == text) {
            let [canonical, _] = spellings;
            return Err(BlockError::NotCanonical { canonical });
        }
        let block = Block { base, len_bits };
        let network = block.network();
        if network != base {
            return Err(BlockError::HostBits {
                block: format!("{network}/{len_bits}"),
            });
        }
        Ok(block)
    }

    /// True when the address lies inside; a v4-mapped address counts as its IPv4 address.
    pub fn contains(&self, addr: IpAddr) -> bool {
        match (self.base, addr.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(addr)) => V4Range {
                base,
                len: self.len_bits,
            }
            .holds(addr),
            (IpAddr::V6(base), IpAddr::V6(addr)) => V6Range {
                base,
                len: self.len_bits,
            }
            .holds(addr),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// What POL-8 and DST-7 warn of.
    pub fn warnings(&self) -> Vec<BlockWarning> {
        let mut warnings: Vec<BlockWarning> = class::METADATA_V4
            .iter()
            .map(|addr| IpAddr::V4(*addr))
            .chain(class::METADATA_V6.iter().map(|addr| IpAddr::V6(*addr)))
            .filter(|addr| self.contains(*addr))
            .map(BlockWarning::EnclosesMetadata)
            .collect();
        let wide = match self.base {
            IpAddr::V4(_) => self.len_bits < 16,
            IpAddr::V6(_) => self.len_bits < 32,
        };
        if wide {
            warnings.push(BlockWarning::Wide);
        }
        warnings
    }

    /// Lowest address.
    pub fn base(&self) -> IpAddr {
        self.base
    }

    /// Prefix length in bits.
    pub fn len_bits(&self) -> u8 {
        self.len_bits
    }

    fn network(&self) -> IpAddr {
        match self.base {
            IpAddr::V4(base) => {
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(self.len_bits))
                    .unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(base.to_bits() & mask))
            }
            IpAddr::V6(base) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.len_bits))
                    .unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(base.to_bits() & mask))
            }
        }
    }

    fn unmapped(self) -> Block {
        let within_mapped = self.len_bits >= class::MAPPED_V6.len;
        match self.base {
            IpAddr::V6(base) if within_mapped && class::MAPPED_V6.holds(base) => Block {
                base: IpAddr::V4(class::low(base)),
                len_bits: self.len_bits - class::MAPPED_V6.len,
            },
            IpAddr::V4(_) | IpAddr::V6(_) => self,
        }
    }

    fn is_metadata(&self) -> bool {
        let block = self.unmapped();
        match block.base {
            IpAddr::V4(base) => block.len_bits == 32 && class::METADATA_V4.contains(&base),
            IpAddr::V6(base) => block.len_bits == 128 && class::METADATA_V6.contains(&base),
        }
    }

    fn overlaps_blocked(&self) -> bool {
        let block = self.unmapped();
        match block.base {
            IpAddr::V4(base) => v4_overlaps(V4Range {
                base,
                len: block.len_bits,
            }),
            IpAddr::V6(base) => v6_overlaps(V6Range {
                base,
                len: block.len_bits,
            }),
        }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.len_bits == width_bits(self.base) {
            write!(f, "{}", self.base)
        } else {
            write!(f, "{}/{}", self.base, self.len_bits)
        }
    }
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BlockError::Malformed => f.write_str("expected a CIDR block or an IP address"),
            BlockError::NotCanonical { canonical } => {
                write!(f, "not in canonical form; write `{canonical}`")
            }
            BlockError::HostBits { block } => {
                write!(f, "bits behind the prefix are set; write `{block}`")
            }
            BlockError::OverlapsBlocked => f.write_str("overlaps a range that is always blocked"),
            BlockError::Metadata => {
                f.write_str("is the address of a metadata service, which is always blocked")
            }
        }
    }
}

impl std::error::Error for BlockError {}

impl fmt::Display for BlockWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BlockWarning::EnclosesMetadata(addr) => {
                write!(
                    f,
                    "encloses the metadata address {addr}, which stays blocked"
                )
            }
            BlockWarning::Wide => {
                f.write_str("covers a wide range (shorter than /16, or /32 for IPv6)")
            }
        }
    }
}

/// A non-empty list of blocks: `allowed_ips` of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedIps(Box<[Block]>);

impl AllowedIps {
    /// Takes at least one block.
    pub fn new(blocks: Vec<Block>) -> Option<AllowedIps> {
        (!blocks.is_empty()).then(|| AllowedIps(blocks.into()))
    }

    /// The entries, in the order of the policy.
    pub fn blocks(&self) -> &[Block] {
        &self.0
    }

    /// True when some entry holds the address.
    pub fn contains(&self, addr: IpAddr) -> bool {
        self.0.iter().any(|block| block.contains(addr))
    }
}

/// RFC 5952 leaves two spellings for a v4-mapped address (§5); all others have one.
fn canonical_spellings(addr: IpAddr) -> [String; 2] {
    let usual = addr.to_string();
    let other = match addr {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            let [.., high, low] = v6.segments();
            format!("::ffff:{high:x}:{low:x}")
        }
        IpAddr::V4(_) | IpAddr::V6(_) => usual.clone(),
    };
    [usual, other]
}

fn width_bits(addr: IpAddr) -> u8 {
    match addr {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn v4_nested(inner: V4Range, outer: V4Range) -> bool {
    inner.len >= outer.len && outer.holds(inner.base)
}

fn v6_nested(inner: V6Range, outer: V6Range) -> bool {
    inner.len >= outer.len && outer.holds(inner.base)
}

/// Blocks are nested or disjoint, so "overlaps" is "one holds the other".
fn v4_overlaps(range: V4Range) -> bool {
    let blocked = class::BLOCKED_V4
        .iter()
        .any(|row| v4_nested(range, *row) || v4_nested(*row, range));
    let internal = class::INTERNAL_V4.iter().any(|row| v4_nested(range, *row));
    // Outside the internal ranges a metadata address is a blocked range of its own (TR-037).
    blocked || !internal && class::METADATA_V4.iter().any(|addr| range.holds(*addr))
}

fn v6_overlaps(range: V6Range) -> bool {
    if let Some(embedding) = Embedding::ALL
        .into_iter()
        .find(|embedding| v6_nested(range, embedding.range()))
    {
        return embedded_overlaps(embedding, range);
    }
    if v6_nested(range, class::INTERNAL_V6) {
        return false;
    }
    // What is neither inside an embedding prefix nor unique-local must lie in 2000::/3 and touch
    // nothing that is blocked there; a range around an embedding prefix holds 127.0.0.1 in it.
    let embeds = Embedding::ALL
        .into_iter()
        .any(|embedding| v6_nested(embedding.range(), range));
    let blocked = class::BLOCKED_V6
        .iter()
        .any(|row| v6_nested(range, *row) || v6_nested(*row, range));
    embeds || blocked || !v6_nested(range, class::GLOBAL_V6)
}

/// The IPv4 ranges a block inside an embedding prefix stands for.
fn embedded_overlaps(embedding: Embedding, range: V6Range) -> bool {
    let behind = |prefix_len: u8| range.len.saturating_sub(prefix_len).min(32);
    let point = |addr: Ipv4Addr| {
        v4_blocked_anywhere(V4Range {
            base: addr,
            len: 32,
        })
    };
    match embedding {
        Embedding::Compatible | Embedding::Nat64 => v4_blocked_anywhere(V4Range {
            base: class::low(range.base),
            len: behind(96),
        }),
        Embedding::SixToFour => v4_blocked_anywhere(V4Range {
            base: class::six_to_four(range.base),
            len: behind(16),
        }),
        Embedding::Teredo => {
            let server = V4Range {
                base: class::teredo_server(range.base),
                len: behind(32),
            };
            // The client is written with its bits inverted: the free bits of the block are the low
            // ones either way, so invert and clear them.
            let client_len = behind(96);
            let mask = u32::MAX
                .checked_shl(32 - u32::from(client_len))
                .unwrap_or(0);
            let client = Ipv4Addr::from_bits(!class::low(range.base).to_bits() & mask);
            v4_blocked_anywhere(server)
                || v4_blocked_anywhere(V4Range {
                    base: client,
                    len: client_len,
                })
        }
        Embedding::Nat64Local => {
            if range.len <= 96 {
                // The last 32 bits are free and can name 127.0.0.1.
                return true;
            }
            let long = class::embedded(range.base, 48);
            let short = V4Range {
                base: class::low(range.base),
                len: behind(96),
            };
            let long_bad = !long.is_unspecified() && point(long);
            // 0.0.0.0 in the short layout reads as "not in use" unless the long one is unused too.
            let short_unused = short.len == 32 && short.base.is_unspecified();
            let short_bad = if short_unused {
                long.is_unspecified()
            } else {
                v4_blocked_anywhere(short)
            };
            long_bad || short_bad
        }
    }
}

/// Embedded forms have no leniency for metadata inside internal ranges: the class of the embedding
/// address is then `AlwaysBlocked`.
fn v4_blocked_anywhere(range: V4Range) -> bool {
    let blocked = class::BLOCKED_V4
        .iter()
        .any(|row| v4_nested(range, *row) || v4_nested(*row, range));
    blocked || class::METADATA_V4.iter().any(|addr| range.holds(*addr))
}
