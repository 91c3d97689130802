//! A fetcher with small limits, and a look at what it keeps: what the tests of single requests share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use standin::crawl::{Answer, Ask, Budget, FetchError, FetchLimits, Fetcher, Held, Received};
use standin::http::client::{ClientOptions, client};
use standin::site::PageUrl;

/// Bodies up to this size stay in memory.
pub const MEMORY_MAX: usize = 100_000;
pub const BODY_MAX: u64 = 400_000;

/// A fetcher and what it may not keep.
pub struct Desk {
    pub fetcher: Fetcher,
    pub budget: Budget,
    pub folder: tempfile::TempDir,
}

/// Small ones, so that small bodies go beyond them.
pub fn limits() -> FetchLimits {
    FetchLimits {
        // Long enough for a busy machine; the tests of silence have shorter ones.
        answer_timeout: Duration::from_secs(20),
        idle_timeout: Duration::from_secs(20),
        body_max: BODY_MAX,
        memory_max: MEMORY_MAX,
        attempts: 3,
        retry_pause: Duration::from_millis(1),
        disk_free_min: 0,
        ..FetchLimits::default()
    }
}

impl Desk {
    pub fn new(limits: FetchLimits) -> Desk {
        let folder = tempfile::tempdir().unwrap();
        let temp_dir = folder.path().to_owned();
        Desk::with_folder(limits, folder, temp_dir)
    }

    pub fn with_folder(limits: FetchLimits, folder: tempfile::TempDir, temp_dir: PathBuf) -> Desk {
        Desk::equipped(limits, Desk::options(), folder, temp_dir)
    }

    /// A client that may speak to 127.0.0.1 alone.
    pub fn options() -> ClientOptions {
        ClientOptions {
            user_agent: "Standin/0.1".to_owned(),
            connect_timeout: Duration::from_secs(2),
            headers: vec![("x-mirror".to_owned(), "yes".to_owned())],
            permits_private: Arc::new(|host| host == "127.0.0.1"),
            ..ClientOptions::default()
        }
    }

    pub fn with_options(limits: FetchLimits, options: ClientOptions) -> Desk {
        let folder = tempfile::tempdir().unwrap();
        let temp_dir = folder.path().to_owned();
        Desk::equipped(limits, options, folder, temp_dir)
    }

    fn equipped(
        limits: FetchLimits,
        options: ClientOptions,
        folder: tempfile::TempDir,
        temp_dir: PathBuf,
    ) -> Desk {
        let budget = Budget::new(1_000_000);
        let client = client(&options).unwrap();
        let fetcher = Fetcher::new(client, limits, budget.clone(), temp_dir)
            .permitting_private(Arc::clone(&options.permits_private));
        Desk {
            fetcher,
            budget,
            folder,
        }
    }

    pub async fn get(&self, url: &str) -> Result<Answer, FetchError> {
        self.ask(url, None, None).await
    }

    pub async fn ask(
        &self,
        url: &str,
        etag: Option<&str>,
        last_modified: Option<&str>,
    ) -> Result<Answer, FetchError> {
        let url = PageUrl::parse(url).unwrap();
        let ask = Ask {
            url: &url,
            etag,
            last_modified,
        };
        can_be_spawned(self.fetcher.fetch(ask)).await
    }

    /// One request alone.
    pub async fn once(&self, url: &str) -> Result<Answer, FetchError> {
        let url = PageUrl::parse(url).unwrap();
        let ask = Ask {
            url: &url,
            etag: None,
            last_modified: None,
        };
        can_be_spawned(self.fetcher.once(ask)).await
    }

    pub async fn body(&self, url: &str) -> Box<Received> {
        match self.get(url).await {
            Ok(Answer::Body(received)) => received,
            other => panic!("{url} gave {other:?}"),
        }
    }

    pub async fn error(&self, url: &str) -> FetchError {
        self.get(url).await.expect_err("this must not succeed")
    }

    /// All memory given back, no file left.
    pub fn is_clean(&self) -> bool {
        let files = std::fs::read_dir(self.folder.path()).unwrap().count();
        self.budget.free() == self.budget.total() && files == 0
    }
}

fn can_be_spawned<F: Future + Send>(fetch: F) -> F {
    fetch
}

pub fn bytes_of(held: &Held) -> Vec<u8> {
    match held {
        Held::Memory(bytes, _) => bytes.to_vec(),
        Held::File(file) => std::fs::read(file.path()).unwrap(),
    }
}
