//! The one thread that writes during a crawl: bodies to the store in groups, then, and only then, the
//! staging that names them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Receiver, Sender, channel, error::TryRecvError};

use super::frontier::{Finished, Frontier, Position};
use super::{CrawlError, Held};
use crate::content::Digest;
use crate::manifest::Staged;
use crate::store::{Located, NewBlob, Store};

/// Finished jobs that may wait for the writer: enough to fill one group while another is written.
const QUEUE: usize = 512;

/// A group is written when it has this many jobs, this many bytes, or this age.
const GROUP_JOBS: usize = 500;
const GROUP_BYTES: u64 = 8 << 20;
const GROUP_AGE: Duration = Duration::from_millis(50);

/// How often an idle writer with an unfinished group looks again.
const IDLE: Duration = Duration::from_millis(5);

/// A job with the body it found out, if that is to be kept.
pub struct Report {
    pub finished: Finished,
    pub body: Option<(Digest, Held)>,
}

/// What the writer is asked to do, in this order.
enum Order {
    Take(Box<Report>),
    Save(Box<Position>),
}

/// The engine's side of the writer.
pub struct Writer {
    sender: Sender<Order>,
    /// Reports written.
    written: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<Result<Store, CrawlError>>,
}

impl Writer {
    pub fn start(store: Store, frontier: Arc<Frontier>) -> Writer {
        let (sender, receiver) = channel(QUEUE);
        let written = Arc::new(AtomicU64::new(0));
        let pen = Pen {
            store,
            frontier,
            written: Arc::clone(&written),
        };
        let thread = std::thread::Builder::new()
            .name("standin-writer".into())
            .spawn(move || pen.write_all(receiver))
            .expect("the operating system has room for one more thread");
        Writer {
            sender,
            written,
            thread,
        }
    }

    /// Hands a finished job over; waits while the writer is behind. False when the writer has ended,
    /// which [`Writer::end`] explains.
    pub async fn send(&self, report: Report) -> bool {
        self.sender
            .send(Order::Take(Box::new(report)))
            .await
            .is_ok()
    }

    /// Has the position recorded, durably, once everything handed over before is: it may say of no job
    /// that it is done whose outcome a kill could still take. False as above.
    pub async fn save(&self, position: Position) -> bool {
        self.sender
            .send(Order::Save(Box::new(position)))
            .await
            .is_ok()
    }

    /// How many reports are written, in the order in which they were sent.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Waits until everything handed over is written; gives the store back.
    pub async fn end(self) -> Result<Store, CrawlError> {
        drop(self.sender);
        let thread = self.thread;
        tokio::task::spawn_blocking(move || thread.join())
            .await
            .expect("waiting for a thread does not panic")
            .expect("the writer thread does not panic")
    }
}

struct Pen {
    store: Store,
    frontier: Arc<Frontier>,
    written: Arc<AtomicU64>,
}

impl Pen {
    fn write_all(mut self, mut receiver: Receiver<Order>) -> Result<Store, CrawlError> {
        while let Some(first) = receiver.blocking_recv() {
            let (group, position) = gather(first, &mut receiver);
            if !group.is_empty() {
                self.write(group)?;
            }
            if let Some(position) = position {
                self.frontier.save(&position)?;
            }
        }
        Ok(self.store)
    }

    /// Bytes first: the staging of a group is recorded only after all its bodies are durable.
    fn write(&mut self, group: Vec<Report>) -> Result<(), CrawlError> {
        let mut located = Vec::with_capacity(group.len());
        let small: Vec<NewBlob<'_>> = group.iter().filter_map(small).collect();
        let mut small = self.store.append(&small)?.into_iter();
        for report in &group {
            located.push(match &report.body {
                None => None,
                Some((_, Held::Memory(..))) => small.next(),
                Some((digest, Held::File(file))) => {
                    Some(self.store.take_file(file.path(), *digest)?)
                }
            });
        }
        let finished: Vec<Finished> = group
            .into_iter()
            .zip(located)
            .map(|(report, located)| place(report.finished, located))
            .collect();
        self.frontier.finish(&finished)?;
        self.written
            .fetch_add(finished.len() as u64, Ordering::Release);
        Ok(())
    }
}

/// Collects what is there until the group is full or old enough: under load groups are large, and on a
/// slow site nothing waits longer than a moment. A position to be saved ends the group before it.
fn gather(first: Order, receiver: &mut Receiver<Order>) -> (Vec<Report>, Option<Position>) {
    let begun = Instant::now();
    let mut bytes = 0;
    let mut group = Vec::new();
    let mut next = Ok(first);
    loop {
        match next {
            Ok(Order::Take(report)) => {
                bytes += size(&report);
                group.push(*report);
            }
            Ok(Order::Save(position)) => return (group, Some(*position)),
            Err(TryRecvError::Empty) if begun.elapsed() < GROUP_AGE => std::thread::sleep(IDLE),
            Err(_) => return (group, None),
        }
        if group.len() >= GROUP_JOBS || bytes >= GROUP_BYTES {
            return (group, None);
        }
        next = receiver.try_recv();
    }
}

fn size(report: &Report) -> u64 {
    report.body.as_ref().map_or(0, |(digest, _)| digest.size)
}

fn small(report: &Report) -> Option<NewBlob<'_>> {
    match &report.body {
        Some((digest, Held::Memory(bytes, _))) => Some(NewBlob {
            digest: *digest,
            bytes,
        }),
        _ => None,
    }
}

/// Notes in the staged outcome where its body lies now, if it came with one.
fn place(mut finished: Finished, at: Option<Located>) -> Finished {
    if let Some(Staged::Outcome { located, .. }) = &mut finished.staged
        && at.is_some()
    {
        *located = at;
    }
    finished
}
