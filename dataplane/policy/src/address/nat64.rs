//! A NAT64 prefix an operator configures (`--nat64-prefix`, DST-3).
//!
//! Apart from `block` because only six lengths have a meaning (RFC 6052 §2.2). Invariant: a prefix
//! that exists has one of them, so every address in it carries one IPv4 address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::block::{Block, BlockError};
use super::class;

/// An IPv6 prefix behind which IPv4 addresses stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat64Prefix(Block);

/// Why a prefix was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nat64PrefixError {
    /// Not a block.
    Block(BlockError),
    /// Not IPv6, or not one of the lengths 32, 40, 48, 56, 64 and 96.
    Length,
}

impl Nat64Prefix {
    /// Reads a prefix such as `64:ff9b::/96`.
    ///
    /// # Errors
    /// As listed at `Nat64PrefixError`.
    pub fn parse(text: &str) -> Result<Nat64Prefix, Nat64PrefixError> {
        let block = Block::parse_cidr(text).map_err(Nat64PrefixError::Block)?;
        if block.base().is_ipv4() || !LENGTHS_BITS.contains(&block.len_bits()) {
            return Err(Nat64PrefixError::Length);
        }
        Ok(Nat64Prefix(block))
    }

    /// The IPv4 address an address of this prefix carries.
    pub(super) fn translate(&self, addr: Ipv6Addr) -> Option<Ipv4Addr> {
        self.0
            .contains(IpAddr::V6(addr))
            .then(|| class::embedded(addr, self.0.len_bits()))
    }
}

impl fmt::Display for Nat64PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Nat64PrefixError::Block(error) => write!(f, "{error}"),
            Nat64PrefixError::Length => {
                f.write_str("expected an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits")
            }
        }
    }
}

impl std::error::Error for Nat64PrefixError {}

/// RFC 6052 §2.2.
const LENGTHS_BITS: [u8; 6] = [32, 40, 48, 56, 64, 96];
