//! What can go wrong between a tier and its service, as a script: which request is harmed, how, and how
//! often. A server asks for each request that comes in ([`Faults::next`]) and does the harm itself, with the
//! functions here. `S` is what the server says of a request.
//!
//! Every fault is counted down when it happens, so that a test can assert that all of them did
//! ([`Faults::left`] is 0): a fault that nobody runs into has proven nothing.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

/// What happens to a request that a fault has chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Harm {
    /// Answered with this status, and the error code that the service would give with it.
    Status(u16),
    /// As `Status`, with a code that its status does not tell.
    Refusal { status: u16, code: &'static str },
    /// Answered with this status and the request to come back after so many seconds.
    Throttle { status: u16, after_seconds: u64 },
    /// The connection is closed and nothing is carried out.
    Drop,
    /// Answered as ever, but later.
    Slow(Duration),
    /// Half of the request's body is taken, then the connection is closed.
    CutRequest,
    /// Half of the answer's body is sent, then the connection is closed.
    CutAnswer,
    /// Carried out, and the connection closed in place of an answer.
    LoseAnswer,
    /// One bit of the request's body arrives wrong.
    SpoilRequest,
    /// One bit of the answer's body arrives wrong.
    SpoilAnswer,
    /// Carried out now, and once more after the next request that changes the same thing.
    Late,
    /// Answered as the last such request was.
    Stale,
}

type Matcher<S> = Box<dyn Fn(&S) -> bool + Send>;

struct Fault<S> {
    left: usize,
    matcher: Matcher<S>,
    harm: Harm,
}

/// The script of one server.
pub struct Faults<S>(Mutex<Vec<Fault<S>>>);

impl<S> Default for Faults<S> {
    fn default() -> Self {
        Faults(Mutex::new(Vec::new()))
    }
}

impl<S> Faults<S> {
    /// The next `count` requests that match are harmed.
    pub fn add(&self, count: usize, matcher: impl Fn(&S) -> bool + Send + 'static, harm: Harm) {
        self.lock().push(Fault {
            left: count,
            matcher: Box::new(matcher),
            harm,
        });
    }

    /// What happens to this request, which counts the fault down.
    pub fn next(&self, seen: &S) -> Option<Harm> {
        let mut faults = self.lock();
        let chosen = faults
            .iter_mut()
            .find(|fault| fault.left > 0 && (fault.matcher)(seen))?;
        chosen.left -= 1;
        Some(chosen.harm)
    }

    /// Faults that have not happened yet: a test asserts 0 at its end.
    pub fn left(&self) -> usize {
        self.lock().iter().map(|fault| fault.left).sum()
    }

    /// Forgets the faults that have not happened yet.
    pub fn calm(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Fault<S>>> {
        self.0.lock().expect("no test panics while holding it")
    }
}

/// `bytes` with one bit turned over, in the middle.
pub fn spoiled(bytes: &Bytes) -> Bytes {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    bytes.into()
}

/// A body that announces all of `bytes`, sends half of them and then breaks, which closes the connection.
pub fn cut(bytes: &Bytes) -> impl hyper::body::Body<Data = Bytes, Error = std::io::Error> + use<> {
    let half = bytes.slice(..bytes.len() / 2);
    let frames = [
        Ok(Frame::data(half)),
        Err(std::io::Error::other("the answer is cut")),
    ];
    StreamBody::new(futures_util::stream::iter(frames))
}

/// Takes in about half of a body and lets go of the rest.
pub async fn take_half<B>(mut body: B)
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
{
    let announced = body.size_hint().exact().unwrap_or_default();
    let mut taken = 0;
    while taken * 2 < announced {
        match body.frame().await {
            Some(Ok(frame)) => taken += frame.data_ref().map_or(0, |data| data.len() as u64),
            _ => return,
        }
    }
}
