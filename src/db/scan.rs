//! Ordered scans. sled's bounded ranges walk on to the end of the tree, so this is the only place
//! that iterates it: an open-ended range that stops by itself.

use super::{Db, DbError, LEAF_FANOUT};

/// Key and payload of each record under a prefix, in key order. Ends after the first error, because
/// sled would repeat it for ever.
pub struct Scan<'a> {
    db: &'a Db,
    prefix: Vec<u8>,
    records: sled::Iter<LEAF_FANOUT>,
    done: bool,
}

impl<'a> Scan<'a> {
    pub(super) fn new(db: &'a Db, prefix: Vec<u8>, from: &[u8]) -> Scan<'a> {
        let start = from.max(prefix.as_slice()).to_vec();
        Scan {
            records: db.tree().range(start..),
            db,
            prefix,
            done: false,
        }
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<(Vec<u8>, Vec<u8>), DbError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let result = match self.records.next()? {
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
