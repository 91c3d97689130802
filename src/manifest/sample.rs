//! A small manifest for the tests of this room.

use super::*;
use crate::content::KeptHeaders;
use crate::site::LayoutName;

/// When the answers of a sample came.
pub const FETCHED: i64 = 5;

pub struct Sample {
    pub dir: tempfile::TempDir,
    pub manifest: Manifest,
}

impl Sample {
    pub fn new() -> Sample {
        let dir = tempfile::tempdir().unwrap();
        let manifest = open(dir.path(), Fuse::none());
        Sample { dir, manifest }
    }

    /// Opens the same manifest again, as after a kill.
    pub fn reopen(self, fuse: Fuse) -> Sample {
        let Sample { dir, manifest } = self;
        drop(manifest);
        let manifest = open(dir.path(), fuse);
        Sample { dir, manifest }
    }

    /// Commits these outcomes as one run.
    pub fn commit(&self, staged: &[(&str, Outcome)]) -> Result<Committed, ManifestError> {
        let staged = staged.iter().map(|(path, outcome)| {
            let outcome = outcome.clone();
            Ok((
                url(path),
                Staged::Outcome {
                    outcome,
                    located: None,
                    fetched: FETCHED,
                },
            ))
        });
        self.manifest
            .commit(&RunId("run".into()), 7, Evidence::Whole, staged)
    }

    /// Everything that the manifest holds, for comparing.
    pub fn all(&self) -> Vec<(PageUrl, Entry)> {
        self.manifest.entries(None).map(Result::unwrap).collect()
    }
}

fn open(dir: &std::path::Path, fuse: Fuse) -> Manifest {
    Manifest::open(dir, &Layout::new(LayoutName::Plain, []), fuse).unwrap()
}

pub fn url(path: &str) -> PageUrl {
    PageUrl::parse(&format!("https://h.test{path}")).unwrap()
}

pub fn page(body: &str) -> Outcome {
    let content = ContentHash::of(body.as_bytes());
    Outcome::Page(Page {
        status: 200,
        content,
        canonical: content,
        rules: 0,
        crc32c: 0,
        size: body.len() as u64,
        headers: KeptHeaders::default(),
        etag: None,
        last_modified: None,
    })
}

pub fn gone() -> Outcome {
    Outcome::Gone(Gone { status: 410 })
}
