//! Several scans as one: their records in the order of what follows the scans' prefixes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Db, DbError, Scan};

/// One record of a merge. Ordered by name, then by scan.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// Its key behind the prefix.
    pub name: Vec<u8>,
    /// Which scan it comes from, counted from 0.
    pub scan: usize,
    pub payload: Vec<u8>,
}

/// Records in the order of their names; those of one name in the order of the scans. Ends after the first error.
pub struct Merged<'a> {
    /// Each with the length of its prefix.
    scans: Vec<(Scan<'a>, usize)>,
    heads: BinaryHeap<Reverse<Row>>,
    failed: Option<DbError>,
}

impl<'a> Merged<'a> {
    pub(super) fn of(db: &'a Db, prefixes: impl Iterator<Item = Vec<u8>>) -> Merged<'a> {
        let scans = prefixes.map(|prefix| (db.scan(&prefix), prefix.len()));
        let mut merged = Merged {
            scans: scans.collect(),
            heads: BinaryHeap::new(),
            failed: None,
        };
        for scan in 0..merged.scans.len() {
            merged.pull(scan);
        }
        merged
    }

    /// The name of the next record.
    pub fn next_name(&self) -> Option<&[u8]> {
        let Reverse(row) = self.heads.peek()?;
        Some(&row.name)
    }

    fn pull(&mut self, scan: usize) {
        let (records, prefix) = &mut self.scans[scan];
        match records.next() {
            Some(Ok((mut key, payload))) => self.heads.push(Reverse(Row {
                name: key.split_off(*prefix),
                scan,
                payload,
            })),
            Some(Err(error)) => self.failed = Some(error),
            None => (),
        }
    }
}

impl Iterator for Merged<'_> {
    type Item = Result<Row, DbError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            self.heads.clear();
            return Some(Err(error));
        }
        let Reverse(row) = self.heads.pop()?;
        self.pull(row.scan);
        Some(Ok(row))
    }
}
