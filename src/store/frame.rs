//! The bytes of a segment file. Format 1, described in `docs/formats.md`:
//!
//! ```text
//! segment  = magic "STANDSEG" | format u8 = 1 | 7 zero bytes | frame*
//! frame    = "BLB1" | codec u8 = 0 | 3 zero bytes | size u64 | stored u64
//!          | BLAKE3 of the body, 32 bytes | CRC32C of the body u32 | CRC32C of this header u32 | body
//! ```
//!
//! Integers are little-endian. `stored` is the length of what follows the header, which equals
//! `size` while codec 0 (none) is the only one written.

use crate::content::{ContentHash, Digest};

pub const SEGMENT_HEADER: [u8; 16] = *b"STANDSEG\x01\0\0\0\0\0\0\0";
pub const FRAME_HEADER_BYTES: usize = 64;
const MAGIC: &[u8; 4] = b"BLB1";
const CODEC_NONE: u8 = 0;

/// What a frame says of the body behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    pub digest: Digest,
    /// Bytes of the body as stored.
    pub stored: u64,
}

impl FrameHeader {
    /// The header of a body stored as it is.
    pub fn plain(digest: Digest) -> FrameHeader {
        FrameHeader {
            digest,
            stored: digest.size,
        }
    }

    /// The 64 bytes of this header.
    pub fn encode(&self) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4] = CODEC_NONE;
        bytes[8..16].copy_from_slice(&self.digest.size.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.stored.to_le_bytes());
        bytes[24..56].copy_from_slice(self.digest.content.as_bytes());
        bytes[56..60].copy_from_slice(&self.digest.crc32c.to_le_bytes());
        let sum = checksum(&bytes[..60]);
        bytes[60..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The header in these bytes; nothing when they are torn, damaged or of another format.
    pub fn decode(bytes: &[u8; FRAME_HEADER_BYTES]) -> Option<FrameHeader> {
        let number = |at: usize| Some(u64::from_le_bytes(bytes[at..at + 8].try_into().ok()?));
        let sum = u32::from_le_bytes(bytes[60..].try_into().ok()?);
        if &bytes[..4] != MAGIC || bytes[4] != CODEC_NONE || sum != checksum(&bytes[..60]) {
            return None;
        }
        Some(FrameHeader {
            digest: Digest {
                size: number(8)?,
                content: ContentHash::from_bytes(bytes[24..56].try_into().ok()?),
                crc32c: u32::from_le_bytes(bytes[56..60].try_into().ok()?),
            },
            stored: number(16)?,
        })
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes);
    u32::try_from(sum).expect("a CRC32C has 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::digest;

    #[test]
    fn the_bytes_of_a_frame_header_are_a_promise() {
        // Promise: format 1 never changes; this vector was written by the first version.
        let header = FrameHeader::plain(digest(b"standin"));
        let bytes = header.encode();
        assert_eq!(FrameHeader::decode(&bytes), Some(header));
        let golden = include_str!("../../tests/golden/store/frame-v1.hex");
        assert_eq!(hex::encode(bytes), golden.trim());
    }
}
