//! How fast one service may be asked, and whether at all: pure functions of what came of the requests so
//! far, for tiers and for the hosts of a crawl alike. What differs between the two is a [`Policy`]. The clock
//! is handed in, as the time since the line to the service began; whoever asks waits and sends.
//!
//! The number of requests in flight starts small and doubles with every round of answers until the service
//! first asks for less or its answers take longer; from then on it rises by one a round. A throttled
//! request or one without an answer halves it, once per round: requests that were on their way when it was
//! halved say nothing new. Below one in flight, where a policy goes so far, requests are spaced instead.

use std::time::Duration;

/// Latencies within this of the usual one mean nothing: what a busy machine adds by itself.
const GRACE_SECONDS: f64 = 0.005;

/// Weight of one latency in the short average: some ten requests.
const SHORT: f64 = 0.1;

/// The usual latency follows faster answers at once and slower ones over some hundred requests: a queue
/// does not become the usual, another route does.
const BASELINE_DOWN: f64 = 0.1;
const BASELINE_UP: f64 = 0.002;

/// Classes of requests that each have a usual latency of their own.
const CLASSES: usize = 7;

/// Below one in flight: the pause that goes with half of one. A fifth of one goes with four times as much.
const SPACING: Duration = Duration::from_millis(100);

/// What one answer adds there, in parts of what is allowed: a service that bears one request a second and
/// says so only by refusing more refuses one in fourteen.
const RECOVERY: f64 = 0.05;

/// Repetitions in a row without a success that a service may have: about one round of all its requests. One
/// that is ill is not helped by several times the requests.
const BUDGET: f64 = 64.0;

/// What a success gives back: in the long run one request in ten may be a repetition.
const BUDGET_BACK: f64 = 0.1;

/// For this many bytes a second a failed attempt may have taken longer.
const BYTES_PER_SECOND_MIN: u64 = 32 * 1024;

/// The longest wait that is obeyed; a service that asks for more is left to a later run.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// Waits in a row, without an answer in between, that are obeyed: a service that asks for one after the
/// other is left to a later run, too.
pub const WAITS_MAX: Duration = Duration::from_secs(180);

/// Waits in all that are obeyed by a service that ends: a run that waits longer does not come to its end overnight.
pub const WAITS_TOTAL_MAX: Duration = Duration::from_secs(2 * 60 * 60);

/// What differs between one kind of service and another.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// In flight at first: enough to measure a round trip, too few to hurt.
    pub limit_first: usize,
    pub limit_max: usize,
    /// 1, or a part of one, down to which requests are spaced.
    pub limit_min: f64,
    /// How many rounds of answers it takes to try again what was too much once.
    pub rounds_below_ceiling: f64,
    /// Answers that take longer than this many times the usual are a queue at the service; more requests
    /// at a time would only make it longer. None where answers are too different to tell.
    pub strain_max: Option<f64>,
    /// Attempts per request.
    pub attempts_max: u32,
    /// The longest pause before the first repetition; twice as long before each further one.
    pub pause: Duration,
    /// The same where the service asked for less.
    pub pause_throttled: Duration,
    pub pause_max: Duration,
    /// A failure that took longer is not repeated, nor is one for want of an answer. None: both are.
    pub quick_failure: Option<Duration>,
    pub opens: Opens,
    /// How long nothing is sent before one request is let through to see; twice as long each time.
    pub cool_down: Duration,
    pub cool_down_max: Duration,
}

/// When requests stop.
#[derive(Clone, Copy, Debug)]
pub enum Opens {
    /// After so many requests in a row that failed for good. It is tried again and again.
    OnFailures { in_a_row: u32 },
    /// After so many attempts in a row without an answer, or one when there was no answer for as long as
    /// `quiet`. Then one request at a time is let through; when the service shows no sign of life for
    /// `patience`, or asks for more time than is obeyed, it has ended.
    OnSilence {
        in_a_row: u32,
        quiet: Duration,
        patience: Duration,
    },
}

/// The number of requests that may be in flight.
#[derive(Debug)]
pub struct Limit {
    policy: Policy,
    now: f64,
    /// Until the first sign of congestion.
    doubling: bool,
    halved: Option<Duration>,
    /// What was too much the last time.
    ceiling: f64,
    /// Per class of requests that take alike long, in seconds.
    baselines: [Option<f64>; CLASSES],
    /// Short average of latencies, in multiples of the usual one.
    strain: f64,
}

impl Limit {
    pub fn new(policy: Policy) -> Limit {
        let first = policy.limit_first.min(policy.limit_max).max(1);
        Limit {
            policy,
            now: first as f64,
            doubling: true,
            halved: None,
            ceiling: f64::INFINITY,
            baselines: [None; CLASSES],
            strain: 1.0,
        }
    }

    pub fn get(&self) -> usize {
        (self.now as usize).max(1)
    }

    /// The least time between two requests: nothing, unless even one in flight was too much.
    pub fn spacing(&self) -> Duration {
        match self.now < 1.0 {
            true => SPACING.mul_f64(1.0 / self.now - 1.0),
            false => Duration::ZERO,
        }
    }

    /// A request was answered. `took`: its class and latency, unless that says more about its size than
    /// about the service. `in_flight`: the requests on their way, with this one.
    pub fn answered(&mut self, took: Option<(usize, Duration)>, in_flight: usize) {
        if let (Some(strain_max), Some((class, took))) = (self.policy.strain_max, took) {
            self.measure(class, took.as_secs_f64());
            if self.strain > strain_max {
                self.doubling = false;
                return;
            }
        }
        // A limit that nothing runs into is not known to be good.
        if in_flight as f64 * 2.0 >= self.now {
            let max = self.policy.limit_max.max(1) as f64;
            self.now = (self.now + self.step()).min(max);
        }
    }

    /// The service asked for less, or did not answer the request that was sent at `sent`.
    pub fn congested(&mut self, failure: Failure, sent: Duration, now: Duration) {
        if self.halved.is_some_and(|halved| sent <= halved) {
            return;
        }
        self.halved = Some(now);
        self.doubling = false;
        if matches!(failure, Failure::Throttled(_) | Failure::Ill(Some(_))) {
            self.ceiling = if self.now < 1.0 {
                self.now
            } else {
                self.now.floor()
            };
        }
        // What answers, if only by errors, bears one request at a time.
        let floor = match failure {
            Failure::Ill(_) => 1.0_f64.min(self.now),
            _ => self.policy.limit_min.min(1.0),
        };
        self.now = (self.now / 2.0).max(floor);
    }

    /// What one answer adds.
    fn step(&self) -> f64 {
        if self.doubling {
            return 1.0;
        }
        let (step, next) = match self.now < 1.0 {
            true => (self.now * RECOVERY, self.now * (1.0 + RECOVERY)),
            false => (1.0 / self.now, self.now.floor() + 1.0),
        };
        if self.now >= self.ceiling {
            return step;
        }
        match next >= self.ceiling {
            true => step / self.policy.rounds_below_ceiling.max(1.0),
            // Not past the border behind which it goes slowly.
            false if self.now >= 1.0 => step.min(self.ceiling - 1.0 - self.now),
            false => step,
        }
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
pub enum Failure {
    /// Asked for fewer requests, and perhaps to wait.
    Throttled(Option<Duration>),
    /// Ill, and perhaps asked to wait.
    Ill(Option<Duration>),
    /// No connection.
    Unreachable,
    /// No answer in time.
    Silent,
}

impl Failure {
    pub fn is_congestion(self) -> bool {
        matches!(self, Failure::Throttled(_) | Failure::Silent)
    }

    fn wait(self) -> Option<Duration> {
        match self {
            Failure::Throttled(wait) | Failure::Ill(wait) => wait,
            Failure::Unreachable | Failure::Silent => None,
        }
    }

    fn is_sign_of_life(self) -> bool {
        matches!(self, Failure::Throttled(_) | Failure::Ill(_))
    }
}

/// One attempt that failed.
#[derive(Clone, Copy, Debug)]
pub struct Failed {
    pub failure: Failure,
    /// The first is 1.
    pub attempt: u32,
    pub took: Duration,
    /// Of the body that was sent.
    pub bytes: u64,
    pub is_trial: bool,
}

/// What follows from a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// To be repeated after this pause.
    Again(Duration),
    /// The request has failed for good.
    Final,
    /// And nothing is to be sent to this service any more.
    Ended(Ending),
}

/// Why nothing is sent any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It asked for a wait this long.
    Asked(Duration),
    /// It asked for one wait after the other, in all this long.
    AskedAgain(Duration),
    /// It asked for waits that make all this together, with answers in between.
    AskedInAll(Duration),
    /// There was no sign of life for this long.
    NoAnswer(Duration),
    /// There was nothing but errors for this long.
    OnlyErrors(Duration),
}

/// What may be done with a request now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
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
pub struct Circuit {
    policy: Policy,
    budget: f64,
    failures_in_a_row: u32,
    quiet_until: Duration,
    /// Asked for since the last answer.
    waits_in_a_row: Duration,
    waits: Duration,
    open_until: Option<Duration>,
    cool_down: Duration,
    trial: bool,
    /// The last sign of life, and since when something has been sent without one.
    alive: Duration,
    silent_since: Option<Duration>,
}

impl Circuit {
    pub fn new(policy: Policy) -> Circuit {
        Circuit {
            policy,
            budget: BUDGET,
            failures_in_a_row: 0,
            quiet_until: Duration::ZERO,
            waits_in_a_row: Duration::ZERO,
            waits: Duration::ZERO,
            open_until: None,
            cool_down: policy.cool_down,
            trial: false,
            alive: Duration::ZERO,
            silent_since: None,
        }
    }

    pub fn admit(&mut self, now: Duration) -> Admission {
        let admission = self.admission(now);
        self.trial |= admission == Admission::Trial;
        admission
    }

    /// As [`Circuit::admit`], without sending anything.
    pub fn admission(&self, now: Duration) -> Admission {
        match self.open_until.map(|until| until.max(self.quiet_until)) {
            Some(until) if now < until || self.trial => Admission::Refused(until.max(now)),
            Some(_) => Admission::Trial,
            None if now < self.quiet_until => Admission::Wait(self.quiet_until),
            None => Admission::Send,
        }
    }

    /// A request is on its way whose coming back decides what happens next.
    pub fn is_on_trial(&self) -> bool {
        self.trial
    }

    /// The service did what it was asked, or said why it does not: it is there. An open circuit stays
    /// open: the request was on its way before, and may have passed one by which we are asked to wait.
    pub fn answered(&mut self, now: Duration) {
        self.budget = (self.budget + BUDGET_BACK).min(BUDGET);
        self.failures_in_a_row = 0;
        self.waits_in_a_row = Duration::ZERO;
        self.alive = now;
        self.silent_since = None;
    }

    /// The trial was answered: the service is back.
    pub fn is_back(&mut self, now: Duration) {
        self.answered(now);
        self.close();
    }

    /// A trial ended without having found out anything.
    pub fn abandoned(&mut self) {
        self.trial = false;
    }

    /// What follows from a failure. `chance`: 0 to 1.
    pub fn failed(&mut self, it: Failed, now: Duration, chance: f64) -> Next {
        if let Some(refused) = self.wait_as_asked(it.failure, now) {
            return refused;
        }
        if let Some(ended) = self.watch_for_life(it, now) {
            return ended;
        }
        let policy = &self.policy;
        let is_quick = policy.quick_failure.is_none_or(|quick| {
            let patience = quick + Duration::from_secs(it.bytes / BYTES_PER_SECOND_MIN);
            it.failure != Failure::Silent && it.took <= patience && !it.is_trial
        });
        // A trial costs nothing: another request would be sent in its place.
        let price = if it.is_trial { 0.0 } else { 1.0 };
        if it.attempt < policy.attempts_max && self.budget >= price && is_quick {
            self.budget -= price;
            return Next::Again(self.pause(it, chance));
        }
        if let Opens::OnFailures { in_a_row } = policy.opens {
            self.failures_in_a_row += 1;
            if it.is_trial || self.failures_in_a_row >= in_a_row {
                self.cool(now);
            }
        }
        Next::Final
    }

    /// Obeys a wait that the service asks for; what becomes of the request if it is too long.
    fn wait_as_asked(&mut self, failure: Failure, now: Duration) -> Option<Next> {
        let wait = failure.wait()?;
        let until = now.saturating_add(wait);
        let ending = if wait > WAIT_MAX {
            Ending::Asked(wait)
        } else {
            let quiet_until = self.quiet_until.max(until);
            let longer = quiet_until - self.quiet_until.max(now);
            self.waits_in_a_row += longer;
            self.waits += longer;
            self.quiet_until = quiet_until;
            let ends = matches!(self.policy.opens, Opens::OnSilence { .. });
            if self.waits_in_a_row > WAITS_MAX {
                Ending::AskedAgain(self.waits_in_a_row)
            } else if ends && self.waits > WAITS_TOTAL_MAX {
                Ending::AskedInAll(self.waits)
            } else {
                return None;
            }
        };
        self.open(until.max(self.quiet_until));
        match self.policy.opens {
            Opens::OnFailures { .. } => Some(Next::Final),
            Opens::OnSilence { .. } => Some(Next::Ended(ending)),
        }
    }

    /// Becomes careful with a service that shows no sign of life, and gives it up in the end.
    fn watch_for_life(&mut self, it: Failed, now: Duration) -> Option<Next> {
        let Opens::OnSilence {
            in_a_row,
            quiet,
            patience,
        } = self.policy.opens
        else {
            return None;
        };
        if it.failure.is_sign_of_life() {
            self.alive = now;
            self.silent_since = None;
            self.failures_in_a_row = 0;
            self.close();
            return None;
        }
        self.failures_in_a_row += 1;
        let sent = now.saturating_sub(it.took).max(self.alive);
        let since = now.saturating_sub(*self.silent_since.get_or_insert(sent));
        match self.open_until.is_some() {
            true if it.is_trial && since >= patience => {
                return Some(Next::Ended(Ending::NoAnswer(since)));
            }
            true if it.is_trial => self.cool(now),
            // It was on its way before and says nothing new.
            true => (),
            false if self.failures_in_a_row >= in_a_row || since >= quiet => self.open(now),
            false => (),
        }
        None
    }

    /// Nothing is sent for a while, each time for longer.
    fn cool(&mut self, now: Duration) {
        self.open(now + self.cool_down);
        self.cool_down = (self.cool_down * 2).min(self.policy.cool_down_max);
    }

    fn open(&mut self, until: Duration) {
        self.trial = false;
        self.open_until = Some(self.open_until.map_or(until, |open| open.max(until)));
    }

    fn close(&mut self) {
        self.open_until = None;
        self.cool_down = self.policy.cool_down;
        self.trial = false;
    }

    /// Exponential with full jitter, so that requests which failed together do not come back together.
    fn pause(&self, it: Failed, chance: f64) -> Duration {
        let first = match it.failure {
            Failure::Throttled(_) => self.policy.pause_throttled,
            _ => self.policy.pause,
        };
        let doubled = first.saturating_mul(1 << (it.attempt - 1).min(16));
        doubled
            .min(self.policy.pause_max)
            .mul_f64(chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// A bucket, as `tier/line.rs` has it.
    fn service(limit_max: usize) -> Policy {
        Policy {
            limit_first: 8,
            limit_max,
            limit_min: 1.0,
            rounds_below_ceiling: 1.0,
            strain_max: Some(2.0),
            attempts_max: 5,
            pause: ms(100),
            pause_throttled: ms(200),
            pause_max: ms(3200),
            quick_failure: Some(ms(5000)),
            opens: Opens::OnFailures { in_a_row: 5 },
            cool_down: ms(15_000),
            cool_down_max: ms(15_000),
        }
    }

    fn circuit() -> Circuit {
        Circuit::new(service(8))
    }

    /// The pause before a repetition, if there is one.
    fn again(next: Next) -> Option<Duration> {
        match next {
            Next::Again(pause) => Some(pause),
            Next::Final | Next::Ended(_) => None,
        }
    }

    /// One round of answers with the limit in full use.
    fn round(limit: &mut Limit, latency: Duration) {
        for _ in 0..limit.get() {
            let in_flight = limit.get();
            limit.answered(Some((0, latency)), in_flight);
        }
    }

    const THROTTLED: Failure = Failure::Throttled(None);

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
        let mut limit = Limit::new(service(256));
        for expected in [16, 32, 64] {
            round(&mut limit, ms(20));
            assert_eq!(limit.get(), expected);
        }
        limit.congested(THROTTLED, ms(500), ms(520));
        assert_eq!(limit.get(), 32);
        for _ in 0..4 {
            round(&mut limit, ms(20));
        }
        assert!((35..=36).contains(&limit.get()), "{limit:?}");
        for _ in 0..1000 {
            round(&mut limit, ms(20));
        }
        assert_eq!(limit.get(), 256);
        assert_eq!(Limit::new(service(3)).get(), 3);
    }

    #[test]
    fn a_round_of_throttled_requests_halves_once() {
        // 32 requests that were on their way together are one complaint, and the next round another;
        // at least one stays in flight.
        let mut limit = Limit::new(service(32));
        for _ in 0..3 {
            round(&mut limit, ms(20));
        }
        assert_eq!(limit.get(), 32);
        for sent in 0..32 {
            limit.congested(THROTTLED, ms(1000 + sent), ms(1040 + sent));
        }
        assert_eq!(limit.get(), 16);
        limit.congested(THROTTLED, ms(1041), ms(1060));
        assert_eq!(limit.get(), 8);
        for second in 2..20 {
            limit.congested(THROTTLED, ms(second * 1000), ms(second * 1000 + 1));
        }
        assert_eq!(limit.get(), 1);
    }

    #[test]
    fn a_queue_at_the_service_stops_the_rise() {
        // Twice the usual latency and more means that requests wait for each other there; when it is over
        // the limit rises on, slowly. A machine that is busy itself adds milliseconds, which is no queue.
        let mut limit = Limit::new(service(1000));
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
        let mut nearby = Limit::new(service(64));
        round(&mut nearby, ms(1));
        for _ in 0..4 {
            round(&mut nearby, ms(8));
        }
        assert_eq!(nearby.get(), 64);
    }

    #[test]
    fn another_route_becomes_the_usual_one() {
        // Latency that has risen for good must not hold the limit down for ever.
        let mut limit = Limit::new(service(64));
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
        let mut limit = Limit::new(service(64));
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
        let mut circuit = circuit();
        let mut longest = Vec::new();
        for attempt in 1..=5 {
            longest.push(again(circuit.failed(
                failed(Failure::Ill(None), attempt),
                ms(0),
                1.0,
            )));
        }
        let pauses = [100, 200, 400, 800].map(|pause| Some(ms(pause)));
        assert_eq!(longest[..4], pauses);
        assert_eq!(longest[4], None);
        let pause = again(circuit.failed(failed(Failure::Ill(None), 4), ms(0), 0.0));
        assert_eq!(pause, Some(ms(0)));
        let pause = again(circuit.failed(failed(Failure::Throttled(None), 1), ms(0), 1.0));
        assert_eq!(pause, Some(ms(200)));
    }

    #[test]
    fn what_timed_out_or_took_long_is_not_repeated_at_once() {
        // A dead endpoint is known after one timeout; a large body may take its time.
        let mut circuit = circuit();
        let silent = failed(Failure::Silent, 1);
        assert_eq!(again(circuit.failed(silent, ms(0), 0.5)), None);
        let slow = Failed {
            took: ms(6000),
            ..failed(Failure::Ill(None), 1)
        };
        assert_eq!(again(circuit.failed(slow, ms(0), 0.5)), None);
        let large = Failed {
            bytes: 16 << 20,
            ..slow
        };
        assert!(again(circuit.failed(large, ms(0), 0.5)).is_some());
    }

    #[test]
    fn repetitions_have_a_budget() {
        // A tier that keeps failing gets some dozen repetitions, and one per ten successes after that.
        let mut circuit = circuit();
        let ill = failed(Failure::Ill(None), 1);
        let mut repeated = 0;
        while again(circuit.failed(ill, ms(0), 0.5)).is_some() {
            repeated += 1;
        }
        assert_eq!(f64::from(repeated), BUDGET);
        for _ in 0..11 {
            circuit.answered(ms(1));
        }
        assert!(again(circuit.failed(ill, ms(0), 0.5)).is_some());
        assert!(again(circuit.failed(ill, ms(0), 0.5)).is_none());
    }

    #[test]
    fn the_circuit_opens_lets_one_through_and_closes() {
        // After five failures in a row nothing is sent; after the cool-down one request is, alone. Its
        // failure opens the circuit again, its answer closes it.
        let mut circuit = circuit();
        let last = failed(Failure::Ill(None), 5);
        for _ in 0..4 {
            circuit.failed(last, ms(0), 0.5);
        }
        circuit.answered(ms(1));
        for _ in 0..5 {
            assert_eq!(circuit.admit(ms(1)), Admission::Send);
            circuit.failed(last, ms(1), 0.5);
        }
        let until = ms(1) + ms(15_000);
        assert_eq!(circuit.admit(ms(2)), Admission::Refused(until));
        assert_eq!(circuit.admit(until), Admission::Trial);
        assert_eq!(circuit.admit(until), Admission::Refused(until));
        let trial = Failed {
            is_trial: true,
            ..failed(Failure::Ill(None), 1)
        };
        assert_eq!(again(circuit.failed(trial, until, 0.5)), None);
        let later = until + ms(15_000);
        assert_eq!(circuit.admit(until), Admission::Refused(later));
        assert_eq!(circuit.admit(later), Admission::Trial);
        circuit.abandoned();
        assert_eq!(circuit.admit(later), Admission::Trial);
        circuit.is_back(later);
        assert_eq!(circuit.admit(later), Admission::Send);
    }

    #[test]
    fn the_service_says_how_long_to_wait() {
        // Up to a minute everybody waits; what asks for more is left alone for as long as it asks.
        let mut circuit = circuit();
        let wait = failed(Failure::Throttled(Some(ms(7000))), 1);
        assert!(again(circuit.failed(wait, ms(1000), 0.5)).is_some());
        assert_eq!(circuit.admit(ms(7999)), Admission::Wait(ms(8000)));
        assert_eq!(circuit.admit(ms(8000)), Admission::Send);
        let hour = failed(Failure::Throttled(Some(Duration::from_secs(3600))), 1);
        assert_eq!(again(circuit.failed(hour, ms(9000), 0.5)), None);
        let until = ms(9000) + Duration::from_secs(3600);
        // Went wrong: a request that was on its way before let all others go again.
        circuit.answered(ms(1));
        assert_eq!(circuit.admit(ms(20_000)), Admission::Refused(until));
        assert_eq!(circuit.admit(until), Admission::Trial);
    }

    #[test]
    fn a_service_that_asks_for_one_wait_after_the_other_is_left_alone() {
        // Each is obeyed, but not for as long as a run lasts; an answer in between counts.
        let minute = failed(Failure::Throttled(Some(Duration::from_secs(60))), 1);
        let at = |minutes: u64| Duration::from_secs(60 * minutes);
        let mut circuit = circuit();
        for minutes in 0..3 {
            assert!(again(circuit.failed(minute, at(minutes), 0.5)).is_some());
            // Of those in flight together each says the same.
            assert!(again(circuit.failed(minute, at(minutes), 0.5)).is_some());
        }
        circuit.answered(ms(1));
        for minutes in 3..6 {
            assert!(again(circuit.failed(minute, at(minutes), 0.5)).is_some());
        }
        assert_eq!(again(circuit.failed(minute, at(6), 0.5)), None);
        assert_eq!(circuit.admit(at(6)), Admission::Refused(at(7)));
        assert_eq!(circuit.admit(at(7)), Admission::Trial);
    }

    /// A host of a crawl: started low, spaced when even one at a time is too much, given up when silent.
    fn host() -> Policy {
        Policy {
            limit_first: 4,
            limit_min: 0.02,
            rounds_below_ceiling: 50.0,
            strain_max: None,
            attempts_max: 3,
            pause_max: ms(5000),
            quick_failure: None,
            opens: Opens::OnSilence {
                in_a_row: 4,
                quiet: ms(2000),
                patience: ms(20_000),
            },
            cool_down: ms(500),
            cool_down_max: ms(5000),
            ..service(8)
        }
    }

    #[test]
    fn what_was_too_much_is_not_tried_again_at_once() {
        // A service that refused the fourth request at a time is given three, for fifty rounds; silence
        // is no such sign, and what turned out to be borne later counts no more.
        let mut limit = Limit::new(host());
        limit.congested(THROTTLED, ms(1), ms(2));
        for _ in 0..3 {
            round(&mut limit, ms(20));
        }
        assert_eq!(limit.get(), 3);
        for _ in 0..45 {
            round(&mut limit, ms(20));
        }
        assert_eq!(limit.get(), 3);
        for _ in 0..12 {
            round(&mut limit, ms(20));
        }
        assert_eq!(limit.get(), 4);
        let mut limit = Limit::new(host());
        limit.congested(Failure::Silent, ms(1), ms(2));
        for _ in 0..4 {
            round(&mut limit, ms(20));
        }
        assert!(limit.get() > 4, "{limit:?}");
    }

    #[test]
    fn below_one_in_flight_requests_are_spaced() {
        // Each further complaint doubles the spacing, up to five seconds; answers take it back by steps.
        let mut limit = Limit::new(host());
        let mut spacings = Vec::new();
        for second in 0..9 {
            limit.congested(THROTTLED, ms(second * 1000), ms(second * 1000 + 1));
            spacings.push(limit.spacing().as_millis());
        }
        assert_eq!(spacings, [0, 0, 100, 300, 700, 1500, 3100, 4900, 4900]);
        assert_eq!(limit.get(), 1);
        let mut answers = 0;
        while limit.get() < 2 {
            limit.answered(None, 1);
            answers += 1;
        }
        assert!((80..200).contains(&answers), "{answers}");
        assert_eq!(limit.spacing(), ms(0));
    }

    #[test]
    fn a_silent_service_is_tried_one_request_at_a_time_and_then_given_up() {
        // Four time-outs at once open the circuit; trials follow at once, then with growing pauses; the
        // one that fails after twenty seconds of silence is the last. An answer forgets all of it.
        let mut circuit = Circuit::new(host());
        circuit.answered(ms(1000));
        let silent = |attempt, is_trial| Failed {
            took: ms(8000),
            is_trial,
            ..failed(Failure::Silent, attempt)
        };
        assert!(again(circuit.failed(silent(1, false), ms(9000), 0.5)).is_some());
        assert!(again(circuit.failed(silent(1, false), ms(9000), 0.5)).is_some());
        assert_eq!(circuit.admit(ms(9000)), Admission::Trial);
        assert_eq!(circuit.admit(ms(9000)), Admission::Refused(ms(9000)));
        assert!(again(circuit.failed(silent(2, true), ms(17_000), 0.5)).is_some());
        assert_eq!(circuit.admit(ms(17_000)), Admission::Refused(ms(17_500)));
        assert_eq!(circuit.admit(ms(17_500)), Admission::Trial);
        let next = circuit.failed(silent(1, true), ms(25_500), 0.5);
        assert_eq!(next, Next::Ended(Ending::NoAnswer(ms(24_500))));
        circuit.is_back(ms(26_000));
        assert_eq!(circuit.admit(ms(26_000)), Admission::Send);
        let ill = failed(Failure::Ill(None), 3);
        circuit.failed(silent(3, false), ms(34_000), 0.5);
        assert_eq!(circuit.failed(ill, ms(34_000), 0.5), Next::Final);
        assert_eq!(circuit.admit(ms(34_000)), Admission::Send);
    }

    #[test]
    fn one_page_without_an_answer_is_no_dead_host() {
        // While others are answered, a page that times out changes nothing but the limit.
        let mut circuit = Circuit::new(host());
        let silent = Failed {
            took: ms(8000),
            ..failed(Failure::Silent, 1)
        };
        for second in 10..100 {
            circuit.answered(ms(second * 1000 - 10));
            circuit.failed(silent, ms(second * 1000), 0.5);
            assert_eq!(circuit.admit(ms(second * 1000)), Admission::Send);
        }
    }
}
