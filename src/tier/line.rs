//! The line to one service: what every request of a cloud tier has in common, however it is spoken.
//! It is counted by its kind, waits until there is room among those in flight, is repeated after a
//! hiccup, and fails at once while the service is known to be out of reach. What is allowed when is
//! decided in `http/pace.rs`; here requests wait and are sent.
//!
//! A dropped request gives back what it held. No lock is held while anything waits, and a request that
//! meets no trouble takes two short locks and one permit: about a microsecond.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::TierError;
use crate::config::TierName;
use crate::http::pace::{
    Admission, Circuit, Failed, Failure, Limit, Next, Opens, Policy, WAIT_MAX,
};

/// Latencies of requests about more bytes than this say more about the network than about the service.
const SMALL_BYTES_MAX: u64 = 128 * 1024;

/// Nothing is sent for this long after too many failures, until one request is let through to see.
const COOL_DOWN: Duration = Duration::from_secs(15);

/// What a service of this kind bears.
fn policy(concurrency_max: usize) -> Policy {
    Policy {
        limit_first: 8,
        limit_max: concurrency_max,
        limit_min: 1.0,
        // Services of this size have no fixed ceiling.
        rounds_below_ceiling: 1.0,
        strain_max: Some(2.0),
        // With the pauses below a service that refuses is known within three seconds.
        attempts_max: 5,
        pause: Duration::from_millis(100),
        pause_throttled: Duration::from_millis(200),
        pause_max: Duration::from_secs(5),
        // Five attempts of ten seconds would hold up a run.
        quick_failure: Some(Duration::from_secs(5)),
        opens: Opens::OnFailures { in_a_row: 5 },
        cool_down: COOL_DOWN,
        cool_down_max: COOL_DOWN,
    }
}

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

impl Kind {
    /// For messages about requests that were not even sent.
    fn as_text(self) -> &'static str {
        match self {
            Kind::Put => "a put",
            Kind::Copy => "a copy",
            Kind::Get => "a get",
            Kind::Head => "a head",
            Kind::List => "a listing",
            Kind::Delete => "a delete",
            Kind::Small => "a small object",
        }
    }

    /// Whether requests of this kind take alike long, if they are about few bytes. Gets are of any
    /// length, copies of any size, listings and deletes of one key or a thousand.
    fn is_even(self) -> bool {
        matches!(self, Kind::Put | Kind::Head | Kind::Small)
    }
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
    /// How many requests may be in flight at the moment; 0 where nothing limits them.
    pub limit: u64,
}

impl Traffic {
    /// All requests so far.
    pub fn requests(&self) -> u64 {
        self.put + self.copy + self.get + self.head + self.list + self.delete + self.small
    }

    /// What is left of it without a part that is counted apart.
    pub fn without(self, part: Traffic) -> Traffic {
        Traffic {
            put: self.put - part.put,
            copy: self.copy - part.copy,
            get: self.get - part.get,
            head: self.head - part.head,
            list: self.list - part.list,
            delete: self.delete - part.delete,
            small: self.small - part.small,
            retries: self.retries - part.retries,
            throttles: self.throttles - part.throttles,
            limit: self.limit,
        }
    }
}

/// See the paragraph of this file.
pub struct Line {
    tier: TierName,
    is_counter: bool,
    begun: Instant,
    counts: [AtomicU64; 7],
    retries: AtomicU64,
    throttles: AtomicU64,
    /// As many permits as the limit allows, but for those in flight above it.
    room: Semaphore,
    state: Mutex<State>,
}

struct State {
    limit: Limit,
    circuit: Circuit,
    in_flight: usize,
    /// Permits given out by `room`, free ones included.
    granted: usize,
    /// Permits that are to be taken back when they are returned.
    owed: usize,
    /// Why the last request failed, for those that are not sent because of it.
    cause: String,
}

/// The right to send one attempt; dropping it gives it back.
struct Turn<'a> {
    line: &'a Line,
    permit: Option<SemaphorePermit<'a>>,
    is_trial: bool,
    sent: Duration,
}

/// What came of an attempt.
enum Verdict {
    Done,
    Again(Duration),
}

impl Line {
    /// Only counts, for a tier without a service: [`Line::count`].
    pub fn counter(tier: TierName) -> Line {
        Line {
            is_counter: true,
            ..Line::new(tier, 1)
        }
    }

    /// `concurrency_max` bounds the requests in flight.
    pub fn new(tier: TierName, concurrency_max: usize) -> Line {
        let policy = policy(concurrency_max);
        let limit = Limit::new(policy);
        Line {
            tier,
            is_counter: false,
            begun: Instant::now(),
            counts: Default::default(),
            retries: AtomicU64::new(0),
            throttles: AtomicU64::new(0),
            room: Semaphore::new(limit.get()),
            state: Mutex::new(State {
                granted: limit.get(),
                limit,
                circuit: Circuit::new(policy),
                in_flight: 0,
                owed: 0,
                cause: String::new(),
            }),
        }
    }

    /// One request about few bytes. `attempt` sends it once and says what came of it; it is called again
    /// after [`TierError::Busy`] and [`TierError::Unreachable`], a few times and with growing pauses, but
    /// not after [`TierError::Silent`], which has cost a timeout already, nor after
    /// [`TierError::Mismatch`], which the caller answers by reading the bytes again.
    ///
    /// # Errors
    /// What the last attempt said; [`TierError::Unreachable`] without any while the circuit is open.
    pub async fn request<T, F>(
        &self,
        kind: Kind,
        attempt: impl FnMut() -> F,
    ) -> Result<T, TierError>
    where
        F: Future<Output = Result<T, TierError>>,
    {
        self.request_sized(kind, 0, attempt).await
    }

    /// As [`Line::request`], with `bytes` of a body: a large one may take its time.
    ///
    /// # Errors
    /// As [`Line::request`].
    pub async fn request_sized<T, F>(
        &self,
        kind: Kind,
        bytes: u64,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, TierError>
    where
        F: Future<Output = Result<T, TierError>>,
    {
        let mut last = None;
        for number in 1.. {
            let mut turn = match self.turn(kind).await {
                Ok(turn) => turn,
                // Meanwhile the circuit has opened: what this request saw itself says more.
                Err(refused) => return Err(last.unwrap_or(refused)),
            };
            self.count(kind);
            if number > 1 {
                self.retries.fetch_add(1, Ordering::Relaxed);
            }
            turn.sent = self.begun.elapsed();
            let result = attempt().await;
            match (self.judge(&turn, kind, bytes, number, &result), result) {
                (Verdict::Done, result) => return result,
                (Verdict::Again(pause), Err(error)) => {
                    drop(turn);
                    tracing::debug!(tier = %self.tier, %error, attempt = number, "trying again");
                    last = Some(error);
                    tokio::time::sleep(pause).await;
                }
                (Verdict::Again(_), Ok(_)) => unreachable!("a success is never repeated"),
            }
        }
        unreachable!("the number of attempts is bounded")
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
            retries: self.retries.load(Ordering::Relaxed),
            throttles: self.throttles.load(Ordering::Relaxed),
            limit: match self.is_counter {
                true => 0,
                false => self.state().limit.get() as u64,
            },
        }
    }

    /// Waits for room, and for as long as the service has asked for.
    async fn turn(&self, kind: Kind) -> Result<Turn<'_>, TierError> {
        let permit = self.room.acquire().await.expect("it is never closed");
        self.state().in_flight += 1;
        let mut turn = Turn {
            line: self,
            permit: Some(permit),
            is_trial: false,
            sent: Duration::ZERO,
        };
        loop {
            let now = self.begun.elapsed();
            let admission = self.state().circuit.admit(now);
            match admission {
                Admission::Send => return Ok(turn),
                Admission::Trial => {
                    turn.is_trial = true;
                    return Ok(turn);
                }
                Admission::Wait(until) => tokio::time::sleep_until(self.begun + until).await,
                Admission::Refused(until) => return Err(self.refused(kind, until - now)),
            }
        }
    }

    /// Draws the conclusions from one attempt, for this request and all others.
    fn judge<T>(
        &self,
        turn: &Turn<'_>,
        kind: Kind,
        bytes: u64,
        attempt: u32,
        result: &Result<T, TierError>,
    ) -> Verdict {
        let now = self.begun.elapsed();
        let took = now.saturating_sub(turn.sent);
        if result.as_ref().is_err_and(|error| !was_sent(error)) {
            return Verdict::Done;
        }
        let mut state = self.state();
        let Some((failure, cause)) = result.as_ref().err().and_then(failure) else {
            let is_telling = result.is_ok() && kind.is_even() && bytes <= SMALL_BYTES_MAX;
            let in_flight = state.in_flight;
            match turn.is_trial {
                true => state.circuit.is_back(now),
                false => state.circuit.answered(now),
            }
            state
                .limit
                .answered(is_telling.then_some((kind as usize, took)), in_flight);
            self.adjust(&mut state);
            return Verdict::Done;
        };
        if matches!(failure, Failure::Throttled(_)) {
            self.throttles.fetch_add(1, Ordering::Relaxed);
        }
        if failure.is_congestion() {
            state.limit.congested(failure, turn.sent, now);
            self.adjust(&mut state);
        }
        state.cause = cause;
        let failed = Failed {
            failure,
            attempt,
            took,
            bytes,
            is_trial: turn.is_trial,
        };
        match state.circuit.failed(failed, now, chance()) {
            Next::Again(pause) => Verdict::Again(pause),
            Next::Final | Next::Ended(_) => Verdict::Done,
        }
    }

    /// Makes the permits follow the limit. Those in flight are taken back when they return.
    fn adjust(&self, state: &mut State) {
        let limit = state.limit.get();
        if limit > state.granted {
            let more = limit - state.granted;
            let kept = more.min(state.owed);
            state.owed -= kept;
            self.room.add_permits(more - kept);
        } else {
            let fewer = state.granted - limit;
            state.owed += fewer - self.room.forget_permits(fewer);
        }
        state.granted = limit;
    }

    fn refused(&self, kind: Kind, wait: Duration) -> TierError {
        let seconds = wait.as_secs().saturating_add(1);
        let cause = match wait > WAIT_MAX {
            true => format!("the service asked to be left alone for {seconds} s"),
            false => format!(
                "not asked again for {seconds} s, since requests keep failing: {}",
                self.state().cause
            ),
        };
        TierError::Unreachable {
            tier: self.tier.clone(),
            at: kind.as_text().into(),
            cause,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it is held")
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.line.state();
        state.in_flight -= 1;
        if self.is_trial {
            // Of no effect if the trial has been judged.
            state.circuit.abandoned();
        }
        if state.owed > 0 {
            state.owed -= 1;
            if let Some(permit) = self.permit.take() {
                permit.forget();
            }
        }
    }
}

/// False for errors of ours, which say nothing about the service: it was not asked.
fn was_sent(error: &TierError) -> bool {
    !matches!(
        error,
        TierError::Source { .. } | TierError::Configuration { .. } | TierError::NoBody { .. }
    )
}

/// What an error says about the service and its cause; `None` if it is about the one request.
fn failure(error: &TierError) -> Option<(Failure, String)> {
    match error {
        TierError::Busy {
            throttled: true,
            after,
            cause,
            ..
        } => Some((Failure::Throttled(*after), cause.clone())),
        TierError::Busy { after, cause, .. } => Some((Failure::Ill(*after), cause.clone())),
        TierError::Unreachable { cause, .. } => Some((Failure::Ill(None), cause.clone())),
        TierError::Silent { .. } => Some((Failure::Silent, "no answer in time".into())),
        _ => None,
    }
}

/// 0 to 1. Without randomness from the system all pauses are full ones, which is no harm.
fn chance() -> f64 {
    let random = getrandom::u32().unwrap_or(u32::MAX);
    f64::from(random) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn line(concurrency_max: usize) -> Line {
        let tier = TierName::parse("primary").expect("a name");
        Line::new(tier, concurrency_max)
    }

    fn ill() -> TierError {
        TierError::Unreachable {
            tier: TierName::parse("primary").expect("a name"),
            at: "h/a".into(),
            cause: "connection refused".into(),
        }
    }

    fn throttled(after: Option<Duration>) -> TierError {
        TierError::Busy {
            tier: TierName::parse("primary").expect("a name"),
            at: "h/a".into(),
            cause: "503 SlowDown".into(),
            throttled: true,
            after,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hiccup_is_repeated_and_counted() {
        // Two failures, then an answer: one result, three requests, two of them repetitions.
        let line = line(4);
        let attempts = Cell::new(0);
        let result = line.request(Kind::Put, || {
            attempts.set(attempts.get() + 1);
            let result = if attempts.get() < 3 {
                Err(ill())
            } else {
                Ok(7)
            };
            async { result }
        });
        assert_eq!(result.await.expect("answered"), 7);
        let traffic = line.traffic();
        assert_eq!(
            (traffic.put, traffic.requests(), traffic.retries),
            (3, 3, 2)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_repeating_cannot_mend_is_sent_once() {
        // Mismatches, refusals, timeouts: the answer goes to the caller at once.
        let tier = TierName::parse("primary").expect("a name");
        let at = || "h/a".to_owned();
        let line = line(4);
        for (number, make) in [
            |tier, at| TierError::Mismatch {
                tier,
                at,
                cause: String::new(),
            },
            |tier, at| TierError::Silent { tier, at },
            |tier, at| TierError::Precondition { tier, at },
        ]
        .into_iter()
        .enumerate()
        {
            let result = line.request(Kind::Head, || {
                let error = make(tier.clone(), at());
                async { Err::<(), _>(error) }
            });
            assert!(result.await.is_err());
            assert_eq!(line.traffic().head, number as u64 + 1);
        }
        assert_eq!(line.traffic().retries, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_whole_line_waits_when_the_service_says_so() {
        // One throttled request, and nobody sends before its time is over.
        let line = line(8);
        let first = Cell::new(true);
        let begun = Instant::now();
        let sent = std::cell::RefCell::new(Vec::new());
        let attempt = || {
            let result = match first.replace(false) {
                true => Err(throttled(Some(Duration::from_secs(7)))),
                false => Ok(()),
            };
            sent.borrow_mut().push(begun.elapsed());
            async { result }
        };
        let requests = (0..20).map(|_| line.request(Kind::Put, attempt));
        for result in futures_util::future::join_all(requests).await {
            result.expect("answered");
        }
        let sent = sent.into_inner();
        assert_eq!(sent.len(), 21);
        let early = sent.iter().filter(|at| at.as_secs() < 7).count();
        assert_eq!(early, 1, "{sent:?}");
        assert_eq!(line.traffic().throttles, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_wants_an_hour_gets_it() {
        // The request fails as busy, the next ones are not sent and say why.
        let line = line(8);
        let hour = Some(Duration::from_secs(3600));
        let busy = line.request(Kind::Put, || async { Err::<(), _>(throttled(hour)) });
        assert!(matches!(busy.await, Err(TierError::Busy { .. })));
        let next = line.request(Kind::Put, || async { Ok(()) });
        let message = next.await.expect_err("not sent").to_string();
        assert!(message.contains("left alone for 36"), "{message}");
        assert_eq!(line.traffic().requests(), 1);
        tokio::time::advance(Duration::from_secs(3601)).await;
        let later = line.request(Kind::Put, || async { Ok(()) });
        later.await.expect("sent again");
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_circuit_sends_nothing_but_a_trial() {
        // Five requests in a row fail for good; the next ones fail at once, in one line that says
        // why, until one of them is let through after the cool-down.
        let line = line(8);
        for _ in 0..5 {
            let result = line.request(Kind::Put, || async { Err::<(), _>(ill()) });
            assert!(result.await.is_err());
        }
        let sent = line.traffic().requests();
        let refused = line.request(Kind::Get, || async { Ok(()) }).await;
        let message = refused.expect_err("not sent").to_string();
        assert!(
            message.contains("primary") && message.contains("connection refused"),
            "{message}"
        );
        assert_eq!(line.traffic().requests(), sent);
        tokio::time::advance(Duration::from_secs(16)).await;
        // A trial that is given up makes room for the next.
        let dropped = line.request(Kind::Get, std::future::pending::<Result<(), TierError>>);
        let dropped = tokio::time::timeout(Duration::from_millis(1), dropped).await;
        assert!(dropped.is_err());
        let trial = line.request(Kind::Get, || async { Ok(()) });
        trial.await.expect("let through");
        assert_eq!(line.traffic().requests(), sent + 2);
        let next = line.request(Kind::Get, || async { Ok(()) });
        next.await.expect("closed again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_request_gives_its_place_back() {
        // Requests are given up while they are sent, while they wait for room and while they pause.
        let line = line(2);
        for _ in 0..10 {
            let sending = line.request(Kind::Put, std::future::pending::<Result<(), TierError>>);
            let pausing = line.request(Kind::Put, || async { Err::<(), _>(throttled(None)) });
            let waiting = line.request(Kind::Put, std::future::pending::<Result<(), TierError>>);
            let all = async { futures_util::join!(sending, pausing, waiting) };
            let ended = tokio::time::timeout(Duration::from_nanos(1), all).await;
            assert!(ended.is_err());
            line.state().circuit.answered(Duration::ZERO);
        }
        assert_eq!(line.state().in_flight, 0);
        let requests = (0..2).map(|_| line.request(Kind::Put, || async { Ok(()) }));
        for result in futures_util::future::join_all(requests).await {
            result.expect("there is room");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn never_are_more_in_flight_than_the_limit() {
        // 200 requests, of which some are throttled on the way: what is in flight follows the limit up
        // and down, and in the end every permit is where it belongs.
        let line = line(16);
        let (flying, highest, sent) = (Cell::new(0_usize), Cell::new(0_usize), Cell::new(0));
        let attempt = || {
            sent.set(sent.get() + 1);
            let result = if sent.get() % 50 == 0 {
                Err(throttled(None))
            } else {
                Ok(())
            };
            let (flying, highest) = (&flying, &highest);
            async move {
                flying.set(flying.get() + 1);
                highest.set(highest.get().max(flying.get()));
                assert!(flying.get() <= 16);
                tokio::time::sleep(Duration::from_millis(20)).await;
                flying.set(flying.get() - 1);
                result
            }
        };
        let requests = (0..200).map(|_| line.request(Kind::Put, attempt));
        for result in futures_util::future::join_all(requests).await {
            result.expect("answered");
        }
        assert_eq!(highest.get(), 16);
        let traffic = line.traffic();
        assert!(traffic.throttles > 0 && traffic.limit < 16);
        let state = line.state();
        assert_eq!((state.in_flight, state.owed), (0, 0));
        assert_eq!(line.room.available_permits(), state.limit.get());
    }
}
