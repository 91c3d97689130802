//! How fast the line to one service may be used, and whether at all: pure functions of what came of the
//! requests so far. The clock is handed in, as the time since the line began; `line.rs` waits and sends.
//!
//! The number of requests in flight starts small and doubles with every round of answers until the service
//! first asks for less or its answers take longer; from then on it rises by one a round. A throttled
//! request or one without an answer halves it, once per round: requests that were on their way when it was
//! halved say nothing new.

use std::time::Duration;

/// In flight at first: enough to measure a round trip, too few to hurt.
const LIMIT_AT_FIRST: f64 = 8.0;

/// Latencies within this of the usual one mean nothing: what a busy machine adds by itself.
const GRACE_SECONDS: f64 = 0.005;

/// Answers that take longer than this many times the usual are a queue at the service; more requests at a
/// time would only make it longer.
const STRAIN_MAX: f64 = 2.0;

/// Weight of one latency in the short average: some ten requests.
const SHORT: f64 = 0.1;

/// The usual latency follows faster answers at once and slower ones over some hundred requests: a queue
/// does not become the usual, another route does.
const BASELINE_DOWN: f64 = 0.1;
const BASELINE_UP: f64 = 0.002;

/// Attempts per request. With the pauses below a service that refuses is known within three seconds.
pub(super) const ATTEMPTS_MAX: u32 = 5;

/// The longest pause before the first repetition; twice as long before each further one.
const PAUSE: Duration = Duration::from_millis(100);

/// A service that asks for less is given more time.
const PAUSE_THROTTLED: Duration = Duration::from_millis(200);

/// Repetitions in a row without a success that a tier may have: about one round of all its requests. A
/// service that is ill is not helped by several times the requests.
const BUDGET: f64 = 64.0;

/// What a success gives back: in the long run one request in ten may be a repetition.
const BUDGET_BACK: f64 = 0.1;

/// A failure that took longer than this is not repeated at once, nor is a timeout: five attempts of
/// ten seconds would hold up a run.
const QUICK_FAILURE: Duration = Duration::from_secs(5);

/// For this many bytes a second a failed attempt may have taken longer.
const BYTES_PER_SECOND_MIN: u64 = 32 * 1024;

/// Requests in a row that fail for good before nothing is sent any more.
const FAILURES_IN_A_ROW_MAX: u32 = 5;

/// How long nothing is sent then, until one request is let through to see.
const COOL_DOWN: Duration = Duration::from_secs(15);

/// The longest wait that is obeyed; a service that asks for more is left to a later run.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(60);

/// Waits in a row, without an answer in between, that are obeyed: a service that asks for one after the
/// other is left to a later run, too.
const WAITS_MAX: Duration = Duration::from_secs(180);

/// The number of requests that may be in flight.
#[derive(Debug)]
pub(super) struct Limit {
    now: f64,
    max: f64,
    /// Until the first sign of congestion.
    doubling: bool,
    halved: Option<Duration>,
    /// Per class of requests that take alike long, in seconds.
    baselines: [Option<f64>; 7],
    /// Short average of latencies, in multiples of the usual one.
    strain: f64,
}

impl Limit {
    pub(super) fn new(max: usize) -> Limit {
        let max = max.max(1) as f64;
        Limit {
            now: LIMIT_AT_FIRST.min(max),
            max,
            doubling: true,
            halved: None,
            baselines: [None; 7],
            strain: 1.0,
        }
    }

    pub(super) fn get(&self) -> usize {
        self.now as usize
    }

    /// A request was answered. `took`: its class and latency, unless that says more about its size than
    /// about the service. `in_flight`: the requests on their way, with this one.
    pub(super) fn answered(&mut self, took: Option<(usize, Duration)>, in_flight: usize) {
        if let Some((class, took)) = took {
            self.measure(class, took.as_secs_f64());
        }
        if self.strain > STRAIN_MAX {
            self.doubling = false;
            return;
        }
        // A limit that nothing runs into is not known to be good.
        if in_flight as f64 * 2.0 >= self.now {
            let step = if self.doubling { 1.0 } else { 1.0 / self.now };
            self.now = (self.now + step).min(self.max);
        }
    }

    /// The service asked for less, or did not answer the request that was sent at `sent`.
    pub(super) fn congested(&mut self, sent: Duration, now: Duration) {
        if self.halved.is_some_and(|halved| sent < halved) {
            return;
        }
        self.halved = Some(now);
        self.doubling = false;
        self.now = (self.now / 2.0).max(1.0);
    }

    fn measure(&mut self, class: usize, seconds: f64) {
        let baseline = self.baselines[class].get_or_insert(seconds);
        let strain = seconds / (*baseline + GRACE_SECONDS);
        self.strain += (strain - self.strain) * SHORT;
        let weight = if seconds < *baseline {
            BASELINE_DOWN
        } else {
            BASELINE_UP
        };
        *baseline += (seconds - *baseline) * weight;
    }
}

/// How an attempt failed, as far as it says something about the service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// Asked for fewer requests, and perhaps to wait.
    Throttled(Option<Duration>),
    /// Ill or out of reach, and perhaps asked to wait.
    Ill(Option<Duration>),
    /// No answer in time.
    Silent,
}

impl Failure {
    pub(super) fn is_congestion(self) -> bool {
        matches!(self, Failure::Throttled(_) | Failure::Silent)
    }

    fn wait(self) -> Option<Duration> {
        match self {
            Failure::Throttled(wait) | Failure::Ill(wait) => wait,
            Failure::Silent => None,
        }
    }
}

/// One attempt that failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failed {
    pub failure: Failure,
    /// The first is 1.
    pub attempt: u32,
    pub took: Duration,
    /// Of the body that was sent.
    pub bytes: u64,
    pub is_trial: bool,
}

/// What may be done with a request now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Admission {
    Send,
    /// Sent to find out whether the service is back; nothing else is sent meanwhile.
    Trial,
    /// The service asked to wait until then.
    Wait(Duration),
    /// The circuit is open until then.
    Refused(Duration),
}

/// Whether the service is sent requests, and repeated ones.
#[derive(Debug)]
pub(super) struct Circuit {
    budget: f64,
    failures_in_a_row: u32,
    quiet_until: Duration,
    /// Asked for since the last answer.
    waits_in_a_row: Duration,
    open_until: Option<Duration>,
    trial: bool,
}

impl Circuit {
    pub(super) fn new() -> Circuit {
        Circuit {
            budget: BUDGET,
            failures_in_a_row: 0,
            quiet_until: Duration::ZERO,
            waits_in_a_row: Duration::ZERO,
            open_until: None,
            trial: false,
        }
    }

    pub(super) fn admit(&mut self, now: Duration) -> Admission {
        if let Some(until) = self.open_until {
            if now < until || self.trial {
                return Admission::Refused(until.max(now));
            }
            self.trial = true;
            return Admission::Trial;
        }
        match now < self.quiet_until {
            true => Admission::Wait(self.quiet_until),
            false => Admission::Send,
        }
    }

    /// The service did what it was asked, or said why it does not: it is there. An open circuit stays
    /// open: the request was on its way before, and may have passed one by which we are asked to wait.
    pub(super) fn answered(&mut self) {
        self.budget = (self.budget + BUDGET_BACK).min(BUDGET);
        self.failures_in_a_row = 0;
        self.waits_in_a_row = Duration::ZERO;
    }

    /// The trial was answered: the service is back.
    pub(super) fn is_back(&mut self) {
        self.answered();
        self.open_until = None;
        self.trial = false;
    }

    /// A trial ended without having found out anything.
    pub(super) fn abandoned(&mut self) {
        self.trial = false;
    }

    /// How long to wait before the request is repeated, `None` if it has failed for good. `chance`: 0 to 1.
    pub(super) fn failed(&mut self, it: Failed, now: Duration, chance: f64) -> Option<Duration> {
        let asked = it.failure.wait();
        if let Some(wait) = asked.filter(|wait| *wait > WAIT_MAX) {
            self.open(now.saturating_add(wait));
            return None;
        }
        if let Some(wait) = asked {
            let quiet_until = self.quiet_until.max(now + wait);
            self.waits_in_a_row += quiet_until - self.quiet_until.max(now);
            self.quiet_until = quiet_until;
            if self.waits_in_a_row > WAITS_MAX {
                self.open(quiet_until);
                return None;
            }
        }
        let patience = QUICK_FAILURE + Duration::from_secs(it.bytes / BYTES_PER_SECOND_MIN);
        let is_repeated = it.attempt < ATTEMPTS_MAX
            && self.budget >= 1.0
            && it.failure != Failure::Silent
            && it.took <= patience
            && !it.is_trial;
        if is_repeated {
            self.budget -= 1.0;
            return Some(pause(it.failure, it.attempt, chance));
        }
        self.failures_in_a_row += 1;
        if it.is_trial || self.failures_in_a_row >= FAILURES_IN_A_ROW_MAX {
            self.open(now + COOL_DOWN);
        }
        None
    }

    fn open(&mut self, until: Duration) {
        self.trial = false;
        self.open_until = Some(self.open_until.map_or(until, |open| open.max(until)));
    }
}

/// Exponential with full jitter, so that requests which failed together do not come back together.
fn pause(failure: Failure, attempt: u32, chance: f64) -> Duration {
    let first = match failure {
        Failure::Throttled(_) => PAUSE_THROTTLED,
        _ => PAUSE,
    };
    (first * 2_u32.pow(attempt - 1)).mul_f64(chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// One round of answers with the limit in full use.
    fn round(limit: &mut Limit, latency: Duration) {
        for _ in 0..limit.get() {
            let in_flight = limit.get();
            limit.answered(Some((0, latency)), in_flight);
        }
    }

    fn failed(failure: Failure, attempt: u32) -> Failed {
        Failed {
            failure,
            attempt,
            took: ms(10),
            bytes: 0,
            is_trial: false,
        }
    }

    #[test]
    fn the_limit_doubles_until_the_first_congestion_and_then_creeps() {
        // A good service is used in full within a few round trips; one that has complained is approached
        // slowly, and never is more in flight than configured.
        let mut limit = Limit::new(256);
        for expected in [16, 32, 64] {
            round(&mut limit, ms(20));
            assert_eq!(limit.get(), expected);
        }
        limit.congested(ms(500), ms(520));
        assert_eq!(limit.get(), 32);
        for _ in 0..4 {
            round(&mut limit, ms(20));
        }
        assert!((35..=36).contains(&limit.get()), "{limit:?}");
        for _ in 0..1000 {
            round(&mut limit, ms(20));
        }
        assert_eq!(limit.get(), 256);
        assert_eq!(Limit::new(3).get(), 3);
    }

    #[test]
    fn a_round_of_throttled_requests_halves_once() {
        // 32 requests that were on their way together are one complaint, and the next round another;
        // at least one stays in flight.
        let mut limit = Limit::new(32);
        for _ in 0..3 {
            round(&mut limit, ms(20));
        }
        assert_eq!(limit.get(), 32);
        for sent in 0..32 {
            limit.congested(ms(1000 + sent), ms(1040 + sent));
        }
        assert_eq!(limit.get(), 16);
        limit.congested(ms(1041), ms(1060));
        assert_eq!(limit.get(), 8);
        for second in 2..20 {
            limit.congested(ms(second * 1000), ms(second * 1000 + 1));
        }
        assert_eq!(limit.get(), 1);
    }

    #[test]
    fn a_queue_at_the_service_stops_the_rise() {
        // Twice the usual latency and more means that requests wait for each other there; when it is over
        // the limit rises on, slowly. A machine that is busy itself adds milliseconds, which is no queue.
        let mut limit = Limit::new(1000);
        round(&mut limit, ms(20));
        for _ in 0..3 {
            round(&mut limit, ms(100));
        }
        let held = limit.get();
        assert!(held < 30, "{limit:?}");
        round(&mut limit, ms(100));
        assert_eq!(limit.get(), held);
        for _ in 0..10 {
            round(&mut limit, ms(20));
        }
        assert!((held + 5..held + 11).contains(&limit.get()), "{limit:?}");
        let mut nearby = Limit::new(64);
        round(&mut nearby, ms(1));
        for _ in 0..4 {
            round(&mut nearby, ms(8));
        }
        assert_eq!(nearby.get(), 64);
    }

    #[test]
    fn another_route_becomes_the_usual_one() {
        // Latency that has risen for good must not hold the limit down for ever.
        let mut limit = Limit::new(64);
        round(&mut limit, ms(10));
        for _ in 0..200 {
            round(&mut limit, ms(60));
        }
        assert_eq!(limit.get(), 64);
    }

    #[test]
    fn what_says_nothing_about_the_service_changes_nothing() {
        // Large bodies take long by themselves, and a limit that is not reached proves nothing; each class
        // of requests has its own usual latency.
        let mut limit = Limit::new(64);
        for _ in 0..100 {
            limit.answered(Some((0, ms(20))), 1);
        }
        assert_eq!(limit.get(), 8);
        for _ in 0..4 {
            limit.answered(None, 8);
        }
        assert_eq!(limit.get(), 12);
        for _ in 0..100 {
            limit.answered(Some((1, ms(200))), 64);
        }
        assert_eq!(limit.get(), 64);
    }

    #[test]
    fn a_request_is_repeated_a_few_times_with_growing_pauses() {
        // The bound is kept, jitter spans from nothing to the whole pause, throttling waits longer.
        let mut circuit = Circuit::new();
        let mut longest = Vec::new();
        for attempt in 1..=ATTEMPTS_MAX {
            longest.push(circuit.failed(failed(Failure::Ill(None), attempt), ms(0), 1.0));
        }
        let pauses = [100, 200, 400, 800].map(|pause| Some(ms(pause)));
        assert_eq!(longest[..4], pauses);
        assert_eq!(longest[4], None);
        let pause = circuit.failed(failed(Failure::Ill(None), 4), ms(0), 0.0);
        assert_eq!(pause, Some(ms(0)));
        let pause = circuit.failed(failed(Failure::Throttled(None), 1), ms(0), 1.0);
        assert_eq!(pause, Some(ms(200)));
    }

    #[test]
    fn what_timed_out_or_took_long_is_not_repeated_at_once() {
        // A dead endpoint is known after one timeout; a large body may take its time.
        let mut circuit = Circuit::new();
        let silent = failed(Failure::Silent, 1);
        assert_eq!(circuit.failed(silent, ms(0), 0.5), None);
        let slow = Failed {
            took: ms(6000),
            ..failed(Failure::Ill(None), 1)
        };
        assert_eq!(circuit.failed(slow, ms(0), 0.5), None);
        let large = Failed {
            bytes: 16 << 20,
            ..slow
        };
        assert!(circuit.failed(large, ms(0), 0.5).is_some());
    }

    #[test]
    fn repetitions_have_a_budget() {
        // A tier that keeps failing gets some dozen repetitions, and one per ten successes after that.
        let mut circuit = Circuit::new();
        let ill = failed(Failure::Ill(None), 1);
        let mut repeated = 0;
        while circuit.failed(ill, ms(0), 0.5).is_some() {
            repeated += 1;
        }
        assert_eq!(f64::from(repeated), BUDGET);
        for _ in 0..11 {
            circuit.answered();
        }
        assert!(circuit.failed(ill, ms(0), 0.5).is_some());
        assert!(circuit.failed(ill, ms(0), 0.5).is_none());
    }

    #[test]
    fn the_circuit_opens_lets_one_through_and_closes() {
        // After five failures in a row nothing is sent; after the cool-down one request is, alone. Its
        // failure opens the circuit again, its answer closes it.
        let mut circuit = Circuit::new();
        let last = failed(Failure::Ill(None), ATTEMPTS_MAX);
        for _ in 0..4 {
            circuit.failed(last, ms(0), 0.5);
        }
        circuit.answered();
        for _ in 0..5 {
            assert_eq!(circuit.admit(ms(1)), Admission::Send);
            circuit.failed(last, ms(1), 0.5);
        }
        let until = ms(1) + COOL_DOWN;
        assert_eq!(circuit.admit(ms(2)), Admission::Refused(until));
        assert_eq!(circuit.admit(until), Admission::Trial);
        assert_eq!(circuit.admit(until), Admission::Refused(until));
        let trial = Failed {
            is_trial: true,
            ..failed(Failure::Ill(None), 1)
        };
        assert_eq!(circuit.failed(trial, until, 0.5), None);
        let later = until + COOL_DOWN;
        assert_eq!(circuit.admit(until), Admission::Refused(later));
        assert_eq!(circuit.admit(later), Admission::Trial);
        circuit.abandoned();
        assert_eq!(circuit.admit(later), Admission::Trial);
        circuit.is_back();
        assert_eq!(circuit.admit(later), Admission::Send);
    }

    #[test]
    fn the_service_says_how_long_to_wait() {
        // Up to a minute everybody waits; what asks for more is left alone for as long as it asks.
        let mut circuit = Circuit::new();
        let wait = failed(Failure::Throttled(Some(ms(7000))), 1);
        assert!(circuit.failed(wait, ms(1000), 0.5).is_some());
        assert_eq!(circuit.admit(ms(7999)), Admission::Wait(ms(8000)));
        assert_eq!(circuit.admit(ms(8000)), Admission::Send);
        let hour = failed(Failure::Throttled(Some(Duration::from_secs(3600))), 1);
        assert_eq!(circuit.failed(hour, ms(9000), 0.5), None);
        let until = ms(9000) + Duration::from_secs(3600);
        // Went wrong: a request that was on its way before let all others go again.
        circuit.answered();
        assert_eq!(circuit.admit(ms(20_000)), Admission::Refused(until));
        assert_eq!(circuit.admit(until), Admission::Trial);
    }

    #[test]
    fn a_service_that_asks_for_one_wait_after_the_other_is_left_alone() {
        // Each is obeyed, but not for as long as a run lasts; an answer in between counts.
        let minute = failed(Failure::Throttled(Some(Duration::from_secs(60))), 1);
        let at = |minutes: u64| Duration::from_secs(60 * minutes);
        let mut circuit = Circuit::new();
        for minutes in 0..3 {
            assert!(circuit.failed(minute, at(minutes), 0.5).is_some());
            // Of those in flight together each says the same.
            assert!(circuit.failed(minute, at(minutes), 0.5).is_some());
        }
        circuit.answered();
        for minutes in 3..6 {
            assert!(circuit.failed(minute, at(minutes), 0.5).is_some());
        }
        assert_eq!(circuit.failed(minute, at(6), 0.5), None);
        assert_eq!(circuit.admit(at(6)), Admission::Refused(at(7)));
        assert_eq!(circuit.admit(at(7)), Admission::Trial);
    }
}
