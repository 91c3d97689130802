//! Bodies that come from a file, piece by piece. Above some megabytes the upload is a resumable one: one
//! request announces the object with its CRC32C, another sends the bytes, and the service compares both
//! before the object becomes visible. What was begun and not ended is never an object, costs nothing, and is
//! dropped by the service after a week: the client has no way to cancel it, and nothing is lost by that.
//!
//! A connection that breaks in the middle is taken up again where it broke, by the client itself: only it
//! knows the upload. Everything else that can go wrong is for the line, as with any request.
//!
//! The client's file source reads without looking. The one here compares the file with its announced
//! digests on the way and withholds the last piece when they differ.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use google_cloud_gax::backoff_policy::BackoffPolicy;
use google_cloud_gax::retry_policy::RetryPolicy;
use google_cloud_gax::retry_result::RetryResult;
use google_cloud_gax::retry_state::RetryState;
use google_cloud_storage::model::Object;
use google_cloud_storage::streaming_source::{Seek, SizeHint, StreamingSource};
use tokio::time::timeout;

use super::{GcsTier, errors, with_fields};
use crate::content::{Digest, Digester};
use crate::site::ObjectKey;
use crate::tier::{Confirmed, Kind, ObjectMeta, TierError};

/// Files up to this size are read into memory and sent like any other bytes. 32 requests in flight hold
/// 32 MB of them.
pub(super) const IN_MEMORY_BYTES_MAX: u64 = 1 << 20;

/// Files up to this size go in one request, larger ones in two.
pub(super) const WHOLE_BYTES_MAX: u64 = 8 << 20;

/// GCS keeps no object larger than this.
const OBJECT_BYTES_MAX: u64 = 5 << 40;

/// How often one upload is taken up again before it begins anew.
const RESUMES_MAX: u32 = 3;

/// A peer that has just broken off needs a moment.
const RESUME_AFTER: Duration = Duration::from_millis(100);

/// Held in memory at once, beside what the connection buffers.
const PIECE_BYTES: u64 = 256 * 1024;

/// For the client, which passes it on as the cause of the end.
const NOT_ANNOUNCED: &str = "its file is not what was announced";

impl GcsTier {
    pub(super) async fn put_file(
        &self,
        key: &ObjectKey,
        path: &Path,
        meta: &ObjectMeta,
    ) -> Result<Confirmed, TierError> {
        let at = key.as_str();
        if meta.size > OBJECT_BYTES_MAX {
            return Err(self
                .place
                .unsupported(at, "GCS keeps no object above 5 TiB"));
        }
        let full = self.object_key(key)?;
        let fields = self.fields(key, meta).await?;
        let sent = self.line.request_sized(Kind::Put, meta.size, || async {
            if meta.size > WHOLE_BYTES_MAX {
                // The client sends two requests for this one.
                self.line.count(Kind::Put);
            }
            let clients = self.clients().await?;
            let watch = Arc::new(Watch::default());
            let source = FileSource::open(path, meta, &watch);
            let resume = Resume(Arc::clone(&watch));
            let source = source.map_err(|source| self.place.unreadable(at, path, source))?;
            let request = clients.storage.write_object(&self.bucket, &full, source);
            let request = with_fields(request, fields.clone(), self.storage_class.as_deref())
                .with_known_crc32c(meta.crc32c)
                .with_resumable_upload_threshold(WHOLE_BYTES_MAX as usize + 1);
            let request = match meta.size > WHOLE_BYTES_MAX {
                true => request
                    .with_retry_policy(resume.clone())
                    .with_backoff_policy(resume),
                false => request,
            };
            let sent = self.watched(at, request.send_unbuffered(), &watch).await;
            for _ in 1..watch.begun.load(Ordering::Relaxed) {
                // To go on takes a question how far it got, and the rest of the bytes.
                self.line.count(Kind::Put);
                self.line.count(Kind::Put);
            }
            sent.map_err(|error| {
                // What the source has found explains why the upload broke off.
                match watch.trouble().take() {
                    Some(Trouble::Unreadable(source)) => self.place.unreadable(at, path, source),
                    Some(Trouble::Differs(cause)) => self.place.mismatch(at, cause),
                    None => error,
                }
            })
        });
        self.confirm(at, &sent.await?, meta)
    }

    /// The end of an upload, or an error as soon as it does not move any more.
    async fn watched(
        &self,
        at: &str,
        upload: impl Future<Output = google_cloud_storage::Result<Object>>,
        watch: &Watch,
    ) -> Result<Object, TierError> {
        let mut upload = pin!(upload);
        let mut taken = 0;
        loop {
            let patience = match taken {
                0 => self.timeouts.answer,
                _ => self.timeouts.stall,
            };
            match timeout(patience, &mut upload).await {
                Ok(sent) => {
                    return sent.map_err(|error| self.asked(at, "WriteObject").failed(&error));
                }
                Err(_) => {
                    let now = watch.taken.load(Ordering::Relaxed);
                    if now == taken {
                        return Err(errors::no_answer(&self.place.name, at));
                    }
                    taken = now;
                }
            }
        }
    }
}

/// What is known outside of the client about a source that it has taken.
#[derive(Debug, Default)]
struct Watch {
    /// Bytes, repeated ones included.
    taken: AtomicU64,
    /// How often its bytes were begun to be sent.
    begun: AtomicU64,
    trouble: Mutex<Option<Trouble>>,
}

impl Watch {
    fn trouble(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().expect("nobody panics holding it")
    }
}

/// When the client goes on with an upload: its connection broke after bytes had been taken, and not for
/// the source's sake.
#[derive(Clone, Debug)]
struct Resume(Arc<Watch>);

impl RetryPolicy for Resume {
    fn on_error(&self, state: &RetryState, error: google_cloud_storage::Error) -> RetryResult {
        let is_broken = error.http_status_code().is_none()
            && (error.is_io() || error.is_connect() || error.is_transport());
        let may = self.0.taken.load(Ordering::Relaxed) > 0
            && self.0.trouble().is_none()
            && state.attempt_count <= RESUMES_MAX;
        match is_broken && may {
            true => RetryResult::Continue(error),
            false => RetryResult::Permanent(error),
        }
    }
}

impl BackoffPolicy for Resume {
    fn on_failure(&self, _state: &RetryState) -> Duration {
        RESUME_AFTER
    }
}

#[derive(Debug)]
enum Trouble {
    Unreadable(io::Error),
    /// In words.
    Differs(String),
}

/// A file that is read piece by piece and digested on the way.
struct FileSource {
    file: Arc<File>,
    announced: Digest,
    /// Where the next piece begins.
    offset: u64,
    /// Of the bytes before `digested`; absent while a thread is at it, and at the end.
    digester: Option<Digester>,
    digested: u64,
    watch: Arc<Watch>,
}

impl FileSource {
    fn open(path: &Path, meta: &ObjectMeta, watch: &Arc<Watch>) -> io::Result<FileSource> {
        Ok(FileSource {
            file: Arc::new(File::open(path)?),
            announced: Digest {
                content: meta.content,
                crc32c: meta.crc32c,
                size: meta.size,
            },
            offset: 0,
            digester: Some(Digester::new()),
            digested: 0,
            watch: Arc::clone(watch),
        })
    }

    async fn piece(&mut self) -> Result<Bytes, Trouble> {
        let (file, offset, digested) = (Arc::clone(&self.file), self.offset, self.digested);
        let length = PIECE_BYTES.min(self.announced.size - offset);
        let mut digester = self.digester.take();
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; usize::try_from(length).expect("a piece is small")];
            file.read_exact_at(&mut piece, offset)?;
            // What is sent a second time has been digested before.
            let known = digested.saturating_sub(offset).min(length);
            if let Some(digester) = &mut digester {
                digester.update(&piece[usize::try_from(known).expect("a piece is small")..]);
            }
            Ok((digester, Bytes::from(piece)))
        });
        let (digester, piece) = match read.await {
            Ok(read) => read.map_err(Trouble::Unreadable)?,
            Err(failure) => std::panic::resume_unwind(failure.into_panic()),
        };
        self.offset += length;
        self.digested = self.digested.max(self.offset);
        match digester {
            Some(digester) if self.digested == self.announced.size => {
                let (found, announced) = (digester.finish(), self.announced);
                if found != announced {
                    let differs = format!("found {found:?}, announced {announced:?}");
                    return Err(Trouble::Differs(differs));
                }
            }
            digester => self.digester = digester,
        }
        self.watch.taken.fetch_add(length, Ordering::Relaxed);
        Ok(piece)
    }
}

impl StreamingSource for FileSource {
    type Error = io::Error;

    async fn next(&mut self) -> Option<Result<Bytes, io::Error>> {
        if self.offset == self.announced.size {
            return None;
        }
        let piece = self.piece().await.map_err(|trouble| {
            *self.watch.trouble() = Some(trouble);
            io::Error::other(NOT_ANNOUNCED)
        });
        Some(piece)
    }

    async fn size_hint(&self) -> Result<SizeHint, io::Error> {
        Ok(SizeHint::with_exact(self.announced.size))
    }
}

impl Seek for FileSource {
    type Error = io::Error;

    async fn seek(&mut self, offset: u64) -> Result<(), io::Error> {
        if self.watch.trouble().is_some() {
            return Err(io::Error::other(NOT_ANNOUNCED));
        }
        self.watch.begun.fetch_add(1, Ordering::Relaxed);
        self.offset = offset.min(self.announced.size);
        Ok(())
    }
}
