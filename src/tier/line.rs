//! The line to one service: what every request of a tier has in common, however it is spoken. Each
//! request is counted by its kind.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::TierError;
use crate::config::TierName;

/// What a request is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Bytes of an object of the site, also a part of one.
    Put,
    /// Made inside the tier: copies and re-headers.
    Copy,
    Get,
    Head,
    List,
    Delete,
    /// Small objects under `.standin/`, and what is asked of the service itself.
    Small,
}

/// Requests by kind, repeated ones included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Traffic {
    pub put: u64,
    pub copy: u64,
    pub get: u64,
    pub head: u64,
    pub list: u64,
    pub delete: u64,
    pub small: u64,
    /// Requests among them that repeated one that had failed.
    pub retries: u64,
    /// Answers that asked for fewer requests.
    pub throttles: u64,
}

impl Traffic {
    /// All requests.
    pub fn requests(&self) -> u64 {
        self.put + self.copy + self.get + self.head + self.list + self.delete + self.small
    }
}

/// See the paragraph of this file.
pub struct Line {
    #[expect(dead_code, reason = "for messages")]
    tier: TierName,
    counts: [AtomicU64; 7],
}

impl Line {
    /// `concurrency_max` bounds the requests in flight.
    pub fn new(tier: TierName, _concurrency_max: usize) -> Line {
        Line {
            tier,
            counts: Default::default(),
        }
    }

    /// One request. `attempt` sends it once and says what came of it.
    ///
    /// # Errors
    /// What the last attempt said.
    pub async fn request<T, F>(
        &self,
        kind: Kind,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, TierError>
    where
        F: Future<Output = Result<T, TierError>>,
    {
        self.counts[kind as usize].fetch_add(1, Ordering::Relaxed);
        attempt().await
    }

    /// Counts a request that is not sent through [`Line::request`] (an operation of a folder).
    pub fn count(&self, kind: Kind) {
        self.counts[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn traffic(&self) -> Traffic {
        let count = |kind: Kind| self.counts[kind as usize].load(Ordering::Relaxed);
        Traffic {
            put: count(Kind::Put),
            copy: count(Kind::Copy),
            get: count(Kind::Get),
            head: count(Kind::Head),
            list: count(Kind::List),
            delete: count(Kind::Delete),
            small: count(Kind::Small),
            retries: 0,
            throttles: 0,
        }
    }
}
