//! The envelope of every value: CRC32C over key and payload, then the payload.

const CHECKSUM_BYTES: usize = 4;

/// The stored form of `payload` under `key`.
pub fn seal(key: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(CHECKSUM_BYTES + payload.len());
    sealed.extend_from_slice(&checksum(key, payload).to_le_bytes());
    sealed.extend_from_slice(payload);
    sealed
}

/// The payload, or nothing when checksum, key and payload do not belong together.
pub fn unseal(key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (stored, payload) = sealed.split_first_chunk::<CHECKSUM_BYTES>()?;
    (u32::from_le_bytes(*stored) == checksum(key, payload)).then(|| payload.to_vec())
}

fn checksum(key: &[u8], payload: &[u8]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(key);
    digest.update(payload);
    u32::try_from(digest.finalize()).expect("a CRC32C has 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_and_any_other_key_is_noticed() {
        // Promise: a damaged or misplaced value is never taken for a good one.
        let sealed = seal(b"key", b"payload");
        assert_eq!(unseal(b"key", &sealed).unwrap(), b"payload");
        assert!(unseal(b"kez", &sealed).is_none());
        assert!(unseal(b"key", &sealed[..3]).is_none());
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal(b"key", &damaged).is_none(), "bit {bit}");
        }
    }
}
