//! Records to bytes and back: a format byte, then postcard. What a format byte means, and how an old
//! record becomes a new one, is the business of the crate `standin-migrations`.

use super::ManifestError;
use super::record::Record;
use crate::db::{Batch, Db};
use crate::site::PageUrl;

/// Adds a record to a batch.
pub fn put<T: Record>(batch: &mut Batch, key: &[u8], record: &T) {
    batch.put(key, &encode(record));
}

/// Reads one record.
pub fn get<T: Record>(db: &Db, key: &[u8]) -> Result<Option<T>, ManifestError> {
    match db.get(key)? {
        Some(payload) => decode(key, &payload).map(Some),
        None => Ok(None),
    }
}

/// The bytes of a record in the current format.
pub fn encode<T: Record>(record: &T) -> Vec<u8> {
    let mut payload = vec![standin_migrations::CURRENT];
    payload.extend(postcard::to_stdvec(record).expect("a plain record always serialises"));
    payload
}

/// The record in these bytes, brought to the current format first. `key` is for the error.
///
/// # Errors
/// [`ManifestError::Record`].
pub fn decode<T: Record>(key: &[u8], payload: &[u8]) -> Result<T, ManifestError> {
    let failed = |source| ManifestError::Record {
        key: key.escape_ascii().to_string(),
        source,
    };
    let current = standin_migrations::current(T::KIND, payload).map_err(failed)?;
    postcard::from_bytes(&current)
        .map_err(|why| failed(standin_migrations::FormatError::Content(why.to_string())))
}

/// A record whose checksum is right and that is none all the same.
pub fn broken(key: &[u8], why: &str) -> ManifestError {
    ManifestError::Record {
        key: key.escape_ascii().to_string(),
        source: standin_migrations::FormatError::Content(why.to_owned()),
    }
}

/// A scanned record whose key ends in a URL after `skip` bytes.
pub fn keyed_by_url<T: Record>(
    (key, payload): (Vec<u8>, Vec<u8>),
    skip: usize,
) -> Result<(PageUrl, T), ManifestError> {
    Ok((url_of_key(&key, skip)?, decode(&key, &payload)?))
}

/// The URL at the end of a key.
pub fn url_of_key(key: &[u8], skip: usize) -> Result<PageUrl, ManifestError> {
    let text = String::from_utf8_lossy(&key[skip..]);
    PageUrl::recorded(&text).map_err(|why| ManifestError::Record {
        key: key.escape_ascii().to_string(),
        source: standin_migrations::FormatError::Content(why.to_string()),
    })
}
