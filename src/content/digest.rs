//! The name of a body and the checksum that object stores verify, both from one pass over the bytes.

use std::fmt;
use std::str::FromStr;

use crc_fast::CrcAlgorithm;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Both hashes see a stretch of this many bytes before either goes on, so that the second one finds
/// it in the cache. BLAKE3 wants at least 16 KiB at a time to use its widest instructions.
const STRETCH: usize = 64 << 10;

/// BLAKE3 of a body: 32 bytes, written as 64 lower-case hexadecimal digits.
///
/// Serialised as that text in readable formats and as 32 bare bytes in binary ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash([u8; 32]);

/// A text that is no content hash.
#[derive(Debug, thiserror::Error)]
#[error("a content hash is 64 hexadecimal digits, not {text:?}")]
pub struct HashError {
    text: String,
}

/// What one pass over a body yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Digest {
    pub content: ContentHash,
    /// CRC-32C (Castagnoli), what S3 and GCS verify on a put.
    pub crc32c: u32,
    /// Bytes.
    pub size: u64,
}

/// Takes a body in pieces of any size.
pub struct Digester {
    blake3: blake3::Hasher,
    crc32c: crc_fast::Digest,
    size: u64,
}

/// The digest of a body that is in memory as a whole.
pub fn digest(body: &[u8]) -> Digest {
    let mut digester = Digester::new();
    digester.update(body);
    digester.finish()
}

impl Digester {
    #[expect(
        clippy::new_without_default,
        reason = "an empty digest is a start, not a default"
    )]
    pub fn new() -> Digester {
        Digester {
            blake3: blake3::Hasher::new(),
            crc32c: crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi),
            size: 0,
        }
    }

    pub fn update(&mut self, piece: &[u8]) {
        for stretch in piece.chunks(STRETCH) {
            self.blake3.update(stretch);
            self.crc32c.update(stretch);
        }
        self.size += piece.len() as u64;
    }

    pub fn finish(self) -> Digest {
        Digest {
            content: ContentHash(self.blake3.finalize().into()),
            crc32c: u32::try_from(self.crc32c.finalize()).expect("a CRC-32 has 32 bits"),
            size: self.size,
        }
    }
}

/// The CRC32C of `body` alone, for a part of what is digested as a whole.
pub fn crc32c(body: &[u8]) -> u32 {
    let mut digest = crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(body);
    u32::try_from(digest.finalize()).expect("a CRC-32 has 32 bits")
}

impl ContentHash {
    /// The hash of `body`, without the checksum.
    pub fn of(body: &[u8]) -> ContentHash {
        ContentHash(blake3::hash(body).into())
    }

    pub fn from_bytes(bytes: [u8; 32]) -> ContentHash {
        ContentHash(bytes)
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

/// The first eight digits: enough to tell hashes apart in a log.
impl fmt::Debug for ContentHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&blake3::Hash::from_bytes(self.0).to_hex()[..8])
    }
}

impl FromStr for ContentHash {
    type Err = HashError;

    /// Only the form that [`fmt::Display`] writes: capitals are refused, so that a hash has one name.
    fn from_str(text: &str) -> Result<ContentHash, HashError> {
        let capitals = text.bytes().any(|byte| byte.is_ascii_uppercase());
        match blake3::Hash::from_hex(text) {
            Ok(hash) if !capitals => Ok(ContentHash(hash.into())),
            _ => Err(HashError {
                text: text.chars().take(80).collect(),
            }),
        }
    }
}

impl Serialize for ContentHash {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        if out.is_human_readable() {
            out.collect_str(self)
        } else {
            self.0.serialize(out)
        }
    }
}

impl<'de> Deserialize<'de> for ContentHash {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<ContentHash, D::Error> {
        if !input.is_human_readable() {
            return Ok(ContentHash(Deserialize::deserialize(input)?));
        }
        let text = String::deserialize(input)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_bodies_have_the_published_digests() {
        // Golden vectors from the BLAKE3 paper's test file and RFC 3720 (CRC-32C of "123456789").
        let empty = digest(b"");
        assert_eq!(
            empty.content.to_string(),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
        assert_eq!((empty.crc32c, empty.size), (0, 0));
        assert_eq!(digest(b"123456789").crc32c, 0xe306_9283);
    }

    #[test]
    fn a_hash_reads_back_from_every_form_it_is_written_in() {
        // One hash, one name: text and 32 bare bytes read back, anything else is refused.
        let hash = ContentHash::of(b"page");
        assert_eq!(hash.to_string().parse::<ContentHash>().unwrap(), hash);
        assert_eq!(format!("{hash:?}"), hash.to_string()[..8]);
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(json, format!("\"{hash}\""));
        assert_eq!(serde_json::from_str::<ContentHash>(&json).unwrap(), hash);
        let bare = postcard::to_stdvec(&hash).unwrap();
        assert_eq!(bare, hash.as_bytes());
        assert_eq!(postcard::from_bytes::<ContentHash>(&bare).unwrap(), hash);
        for wrong in [
            "",
            "abcd",
            &hash.to_string().to_uppercase(),
            &format!("{hash}0"),
        ] {
            assert!(wrong.parse::<ContentHash>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_change_a_digest(
            body in proptest::collection::vec(any::<u8>(), 0..300_000),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
        ) {
            // Whatever the network's chunking, the digest is that of the whole body.
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
            cuts.sort_unstable();
            let mut digester = Digester::new();
            let mut start = 0;
            for cut in cuts {
                digester.update(&body[start..cut]);
                start = cut;
            }
            digester.update(&body[start..]);
            let whole = digester.finish();
            prop_assert_eq!(whole.content, ContentHash::of(&body));
            prop_assert_eq!(whole.crc32c, crc_fast::crc32_iscsi(&body));
            prop_assert_eq!(whole.size, body.len() as u64);
        }
    }
}
