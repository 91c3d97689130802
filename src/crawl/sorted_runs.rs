//! Records by URL that come in any order, written so that each flush touches few places: they go to one sorted run
//! after another, and are merged when they are read.
//!
//! In a single order, some thousand URLs from all over a site touch as many leaves of the database, which are each
//! written anew as a whole: the more the site has, the dearer every one of them. A run stays small, whatever the
//! size of the site.

use crate::db::{Db, DbError, KeyAndPayload, Merged};

/// Records of a run: a thousand leaves or so.
const RUN_RECORDS: usize = 50_000;

/// In a key between the kind of the record and the URL: the number of the run.
const NUMBER_BYTES: usize = 4;

/// The runs of one kind of record: how many there are, and how full the last one is.
pub struct Runs {
    kind: u8,
    last: u32,
    records: usize,
}

impl Runs {
    /// Those that are there. What comes next begins a run of its own.
    pub fn find(db: &Db, kind: u8) -> Result<Runs, DbError> {
        let mut next = 0;
        while let Some(record) = db.scan_from(&[kind], &prefix(kind, next)).next() {
            next = number_of(&record?.0).map_or(next, |number| number + 1);
        }
        Ok(Runs {
            kind,
            last: next,
            records: 0,
        })
    }

    /// Where the next record of this URL goes; of several, the one that is written last counts.
    pub fn place(&mut self, url: &str) -> Vec<u8> {
        if self.records == RUN_RECORDS {
            self.last += 1;
            self.records = 0;
        }
        self.records += 1;
        key(self.kind, self.last, url)
    }

    /// Whether a URL has a record. Costs a look into each run.
    pub fn contain(&self, db: &Db, url: &str) -> Result<bool, DbError> {
        for number in (0..=self.last).rev() {
            if db.contains(&key(self.kind, number, url))? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// URL and payload of each record of a kind, in the order of their URLs.
pub struct Newest<'a>(Merged<'a>);

impl<'a> Newest<'a> {
    pub fn of(db: &'a Db, runs: &Runs) -> Newest<'a> {
        let numbers = 0..=runs.last;
        Newest(db.merge(numbers.map(|number| prefix(runs.kind, number))))
    }
}

impl Iterator for Newest<'_> {
    type Item = Result<KeyAndPayload, DbError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let row = match self.0.next()? {
                Ok(row) => row,
                Err(error) => return Some(Err(error)),
            };
            // Of one URL the newest run comes last.
            if self.0.next_name() != Some(&row.name) {
                return Some(Ok((row.name, row.payload)));
            }
        }
    }
}

/// The URL in the key of a record.
pub fn url_of(key: &[u8]) -> &[u8] {
    key.get(1 + NUMBER_BYTES..).unwrap_or_default()
}

fn number_of(key: &[u8]) -> Option<u32> {
    let number = key.get(1..)?.first_chunk()?;
    Some(u32::from_be_bytes(*number))
}

fn prefix(kind: u8, number: u32) -> Vec<u8> {
    key(kind, number, "")
}

fn key(kind: u8, number: u32, url: &str) -> Vec<u8> {
    [&[kind][..], &number.to_be_bytes(), url.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    use super::*;
    use crate::db::{Batch, Fuse};

    proptest! {
        #[test]
        fn the_last_record_of_each_url_is_read_in_order(
            writes in proptest::collection::vec(("[a-e]{1,2}", any::<u8>(), 0..4), 0..60),
        ) {
            // The oracle is a map. Runs end at any time, as they do when a crawl is killed.
            let dir = tempfile::tempdir().unwrap();
            let db = Db::open(dir.path(), 1 << 20, Fuse::none()).unwrap();
            let mut runs = Runs::find(&db, b'x').unwrap();
            let mut expected = BTreeMap::new();
            for (url, value, ends) in writes {
                let mut batch = Batch::default();
                batch.put(&runs.place(&url), &[value]);
                batch.put(&key(b'y', 0, &url), b"of another kind");
                db.apply(batch).unwrap();
                expected.insert(url.into_bytes(), vec![value]);
                if ends == 0 {
                    runs = Runs::find(&db, b'x').unwrap();
                }
            }
            let merged: Vec<_> = Newest::of(&db, &runs).map(|one| one.unwrap()).collect();
            for url in ["a", "bb", "zz"] {
                prop_assert_eq!(
                    runs.contain(&db, url).unwrap(),
                    expected.contains_key(url.as_bytes())
                );
            }
            prop_assert_eq!(merged, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
