//! Many rows in the order of their keys, written so that the leaves they come to lie in are full.
//!
//! sled splits a leaf that has got full in its middle. Of rows that come in order none ever falls into the first half
//! again, which stays half empty for good; and opening a database costs something for every leaf. So the rows are
//! shared out to two batches. The first has five of nine: where they leave a leaf half full there is room for the
//! other four of nine, and a few more.

use super::{Batch, Db, DbError};

/// Of so many rows ...
const ROUND: usize = 9;

/// ... these are in the first batch, spread evenly.
const FIRST: usize = 5;

/// Rows to be written with [`Rows::apply`].
#[derive(Default)]
pub struct Rows {
    batches: [Batch; 2],
    begun: usize,
}

impl Rows {
    /// The batch for all records of the next row: a row is visible as a whole or not at all.
    pub fn row(&mut self) -> &mut Batch {
        let is_first = self.begun * FIRST % ROUND < FIRST;
        self.begun += 1;
        &mut self.batches[usize::from(!is_first)]
    }

    /// How many changes the rows hold.
    pub fn changes(&self) -> usize {
        self.batches.iter().map(Batch::len).sum()
    }

    /// Makes the rows visible and begins anew. Durable only after [`Db::flush`].
    ///
    /// # Errors
    /// As [`Db::apply`].
    pub fn apply(&mut self, db: &Db) -> Result<(), DbError> {
        std::mem::take(&mut self.batches)
            .into_iter()
            .try_for_each(|batch| db.apply(batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Fuse;

    #[test]
    fn rows_in_order_fill_their_leaves() {
        // Promise: rows written so need a good third fewer leaves than the same rows in one batch after the other.
        let dir = tempfile::tempdir().unwrap();
        let leaves = |name: &str, write: &dyn Fn(&Db)| {
            let db = Db::open(&dir.path().join(name), 1 << 20, Fuse::none()).unwrap();
            // The last leaf of a database is split otherwise, and a manifest has other records behind these.
            let mut end = Batch::default();
            (0..200u8).for_each(|number| end.put(&[b'z', number], b"x"));
            db.apply(end).unwrap();
            write(&db);
            db.leaves_to_flush().unwrap()
        };
        let keys = || (0..20_000).map(|number| format!("row {number:06}").into_bytes());
        let plain = leaves("plain", &|db| {
            let keys: Vec<_> = keys().collect();
            for keys in keys.chunks(1_000) {
                let mut batch = Batch::default();
                keys.iter().for_each(|key| batch.put(key, b"x"));
                db.apply(batch).unwrap();
            }
        });
        let filled = leaves("filled", &|db| {
            let mut rows = Rows::default();
            for key in keys() {
                rows.row().put(&key, b"x");
                if rows.changes() >= 1_000 {
                    rows.apply(db).unwrap();
                }
            }
            rows.apply(db).unwrap();
            assert_eq!(db.scan(b"row").count(), 20_000);
        });
        assert!(
            plain >= 600 && filled * 3 <= plain * 2,
            "{filled} of {plain}"
        );
    }

    #[test]
    fn five_of_nine_rows_come_first_and_none_is_lost() {
        let mut rows = Rows::default();
        for number in 0..900u32 {
            rows.row().put(&number.to_be_bytes(), b"");
        }
        assert_eq!(rows.batches.each_ref().map(Batch::len), [500, 400]);
    }
}
