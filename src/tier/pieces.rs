//! An object read from its beginning to its end in bounded memory: small ones whole, large ones piece by
//! piece, all of the same write.

use bytes::Bytes;

use super::{Tier, TierError};
use crate::site::ObjectKey;

/// What one request asks for: as large as what is held in memory anywhere else, so that nearly every object
/// takes one.
pub const PIECE_BYTES: u64 = 8 << 20;

/// An object that is being read.
pub struct Pieces<'a> {
    tier: &'a dyn Tier,
    key: &'a ObjectKey,
    size: u64,
    etag: &'a str,
    at: u64,
}

impl<'a> Pieces<'a> {
    /// `size` and `etag` as a listing or a head has shown them.
    pub fn new(tier: &'a dyn Tier, key: &'a ObjectKey, size: u64, etag: &'a str) -> Pieces<'a> {
        Pieces {
            tier,
            key,
            size,
            etag,
            at: 0,
        }
    }

    /// The next piece; `None` behind the last one. Nothing is asked for when the object is empty.
    ///
    /// # Errors
    /// What the tier says, and [`TierError::Mismatch`] when the object is another one by now.
    pub async fn next(&mut self) -> Result<Option<Bytes>, TierError> {
        if self.at >= self.size {
            return Ok(None);
        }
        let end = (self.at + PIECE_BYTES).min(self.size);
        let range = (self.size > PIECE_BYTES).then_some(self.at..end);
        let fetched = self.tier.get(self.key, range).await?;
        let whole = fetched
            .filter(|found| found.etag == self.etag && found.body.len() as u64 == end - self.at);
        let Some(found) = whole else {
            return Err(TierError::Mismatch {
                tier: self.tier.name().clone(),
                at: self.key.to_string(),
                cause: "it was replaced while it was read".into(),
            });
        };
        self.at = end;
        Ok(Some(found.body))
    }
}
