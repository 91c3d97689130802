//! Ordered scans. sled's bounded ranges walk on to the end of the tree, so this is the only place
//! that iterates it: an open-ended range that stops by itself.

use std::sync::atomic::Ordering;

use super::handle::{Hold, Records};
use super::{Db, DbError, KeyAndPayload};

/// Key and payload of each record under a prefix, in key order. Ends after the first error, because
/// sled would repeat it for ever.
pub struct Scan<'a> {
    db: &'a Db,
    prefix: Vec<u8>,
    /// What could not be begun says why, once.
    records: Result<(Records, Hold<'a>), Option<DbError>>,
    done: bool,
}

impl<'a> Scan<'a> {
    pub(super) fn new(db: &'a Db, prefix: Vec<u8>, from: &[u8]) -> Scan<'a> {
        let start = from.max(prefix.as_slice()).to_vec();
        Scan {
            records: db
                .handle
                .hold(|tree| tree.range(start..))
                .map_err(|error| Some(db.io(error))),
            db,
            prefix,
            done: false,
        }
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<KeyAndPayload, DbError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        self.db.read.fetch_add(1, Ordering::Relaxed);
        let records = match &mut self.records {
            Ok((records, _)) => records,
            Err(error) => return error.take().map(Err),
        };
        let result = match records.next()? {
            Ok((key, _)) if !key.starts_with(&self.prefix) => {
                self.done = true;
                return None;
            }
            Ok((key, sealed)) => self.db.unseal(&key, &sealed).map(|p| (key.to_vec(), p)),
            Err(source) => Err(self.db.io(source)),
        };
        self.done = result.is_err();
        Some(result)
    }
}
