//! The keys of the manifest's records: one byte for the kind, then what it is about. Numbers are
//! big-endian, so that their order is the order of keys. The store keeps its index under `b`.

use super::record::Generation;
use crate::config::TierName;
use crate::site::{ObjectKey, PageUrl};

pub const META: &[u8] = b"m";
pub const ENTRY: u8 = b'e';
pub const CHANGE: u8 = b'c';
pub const GENERATION: u8 = b'g';
pub const MISSING: u8 = b'x';
pub const PENDING: u8 = b'u';
pub const ALIAS: u8 = b'k';
pub const COLLISION: u8 = b'l';
pub const SHARED: &[u8] = b"s";
pub const RELAYOUT: &[u8] = b"y";
pub const FILLED: u8 = b'v';
pub const LOG_BEGINS: &[u8] = b"r";
pub const HIDDEN: u8 = b'o';
pub const TIER: u8 = b't';
pub const INTENT: u8 = b'i';
pub const DEBT: u8 = b'd';
pub const MARK: u8 = b'w';
pub const ETAG_OF_BLOB: u8 = b'a';
pub const ETAG_IN_TIER: u8 = b'f';
pub const HOLDER: u8 = b'h';
pub const AS_FOUND: u8 = b'n';
pub const HELD_TWICE: u8 = b'p';
pub const PERHAPS_GONE: u8 = b'q';

/// Ends a tier's name or a key inside a longer key; neither can hold it.
pub const END: u8 = 0;

pub fn entry(url: &PageUrl) -> Vec<u8> {
    entry_text(url.as_str())
}

pub fn entry_text(url: &str) -> Vec<u8> {
    concat(&[&[ENTRY], url.as_bytes()])
}

pub fn change(generation: Generation, url: &str) -> Vec<u8> {
    concat(&[&changes_of(generation), url.as_bytes()])
}

/// Prefix of the change log of one generation.
pub fn changes_of(generation: Generation) -> Vec<u8> {
    concat(&[&[CHANGE], &generation.0.to_be_bytes()])
}

pub fn generation(generation: Generation) -> Vec<u8> {
    concat(&[&[GENERATION], &generation.0.to_be_bytes()])
}

pub fn missing(url: &PageUrl) -> Vec<u8> {
    concat(&[&[MISSING], url.as_str().as_bytes()])
}

pub fn pending(url: &PageUrl) -> Vec<u8> {
    concat(&[&[PENDING], url.as_str().as_bytes()])
}

pub fn perhaps_gone(url: &PageUrl) -> Vec<u8> {
    concat(&[&[PERHAPS_GONE], url.as_str().as_bytes()])
}

pub fn alias(key: &ObjectKey, url: &PageUrl) -> Vec<u8> {
    concat(&[&aliases_of(key), url.as_str().as_bytes()])
}

/// Prefix of the URLs on one object key.
pub fn aliases_of(key: &ObjectKey) -> Vec<u8> {
    concat(&[&[ALIAS], key.as_str().as_bytes(), &[END]])
}

/// That pages with different content lie on a key; `winner` is the one that is served.
pub fn collision(key: &ObjectKey, winner: &PageUrl) -> Vec<u8> {
    let winner = winner.as_str().as_bytes();
    concat(&[&[COLLISION], key.as_str().as_bytes(), &[END], winner])
}

/// Prefix of a tier's records of one kind.
pub fn tier(kind: u8, tier: &TierName) -> Vec<u8> {
    concat(&[&[kind], tier.as_str().as_bytes(), &[END]])
}

pub fn in_tier(kind: u8, name: &TierName, of: &str) -> Vec<u8> {
    concat(&[&tier(kind, name), of.as_bytes()])
}

pub fn etag_of_blob(hash: &crate::content::ContentHash) -> Vec<u8> {
    concat(&[&[ETAG_OF_BLOB], hash.as_bytes()])
}

pub fn holder(hash: &crate::content::ContentHash) -> Vec<u8> {
    concat(&[&[HOLDER], hash.as_bytes()])
}

/// A page whose body another URL held when that generation was committed.
pub fn held_twice(generation: Generation, url: &str) -> Vec<u8> {
    concat(&[&held_twice_in(generation), url.as_bytes()])
}

/// Prefix of those of one generation.
pub fn held_twice_in(generation: Generation) -> Vec<u8> {
    concat(&[&[HELD_TWICE], &generation.0.to_be_bytes()])
}

fn concat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}
