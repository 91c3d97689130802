//! Where each blob lies: one record a blob, under this room's prefix in the manifest's database, so
//! that a commit can make entries and the places of their bytes visible together.

use serde::{Deserialize, Serialize};

use crate::content::{ContentHash, Digest};
use crate::db::{Batch, Db, DbError, KeyAndPayload};

/// This room's prefix in the database.
const PREFIX: u8 = b'b';

/// Format of the record: a byte in front of the postcard bytes of [`Located`].
const FORMAT: u8 = 1;

/// Blobs forgotten in one batch.
const FORGET_BATCH: usize = 1000;

/// A blob that is durable, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Located {
    pub digest: Digest,
    pub place: Place,
}

/// Which file holds a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// `offset` is that of the body, in bytes from the start of the segment file.
    Segment { number: u32, offset: u64 },
    /// A file of its own, named by the hash.
    File,
}

/// The record of one blob, as key and payload.
pub fn record(located: &Located) -> KeyAndPayload {
    (key(&located.digest.content).to_vec(), encode(located))
}

/// The bytes of a record in the current format.
pub fn encode(located: &Located) -> Vec<u8> {
    let mut payload = vec![FORMAT];
    payload.extend(postcard::to_stdvec(located).expect("a plain record always serialises"));
    payload
}

/// The record in these bytes, if it is one of a format that this version knows.
pub fn decode(payload: &[u8]) -> Option<Located> {
    match payload.split_first() {
        Some((&FORMAT, bytes)) => postcard::from_bytes(bytes).ok(),
        _ => None,
    }
}

/// Where the blob lies, if the store has it.
///
/// # Errors
/// [`DbError`]; a record of a format that this version does not know counts as absent, since the
/// bytes can be fetched again.
pub fn locate(db: &Db, hash: &ContentHash) -> Result<Option<Located>, DbError> {
    let payload = db.get(&key(hash))?;
    Ok(payload.and_then(|payload| decode(&payload)))
}

/// Where every blob lies, in the order of their hashes. Records of a format that this version does not know are
/// left out.
pub fn all(db: &Db) -> impl Iterator<Item = Result<Located, DbError>> + '_ {
    db.scan(&[PREFIX]).filter_map(|record| match record {
        Ok((_, payload)) => decode(&payload).map(Ok),
        Err(error) => Some(Err(error)),
    })
}

/// Removes the record of one blob.
pub fn forget(batch: &mut Batch, hash: &ContentHash) {
    batch.remove(&key(hash));
}

/// Removes the records of all blobs, durably: names go before bytes.
///
/// # Errors
/// [`DbError`].
pub fn forget_all(db: &Db) -> Result<(), DbError> {
    loop {
        let mut batch = Batch::default();
        for record in db.scan(&[PREFIX]).take(FORGET_BATCH) {
            batch.remove(&record?.0);
        }
        if batch.is_empty() {
            return db.flush();
        }
        db.apply(batch)?;
    }
}

fn key(hash: &ContentHash) -> [u8; 33] {
    let mut key = [PREFIX; 33];
    key[1..].copy_from_slice(hash.as_bytes());
    key
}
