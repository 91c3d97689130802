//! Whose turn is it: a bounded window of jobs for each host, sent under that host's limits. Pure: the clock is
//! handed in.
//!
//! Hosts take turns, and none holds up another: each has its own window, limit, waits and budget of
//! repetitions. A page that failed waits for its repetition without holding a place among those in flight. A
//! host that shows no sign of life is asked one request at a time and given up in the end; what waits for it
//! comes out of [`Schedule::take_given_up`]. How far each goes is decided in `http/pace.rs`; the numbers for a
//! crawl stand here.
//!
//! A dead host ends in bounded time: its patience, and the last pause and time-out after it. With 20 s of
//! patience, a pause of 5 s and time-outs of 8 and 10 s that is less than 35 s whatever happens; 24.5 s when it
//! falls silent in the middle of a crawl; 22.5 s when connections are refused at once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::courtesy::{Came, Courtesy};
use super::job::Job;
use crate::http::pace::{
    Admission, Circuit, Ending, Failed, Failure, Limit, Next, Opens, Policy, WAIT_MAX, WAITS_MAX,
    WAITS_TOTAL_MAX,
};

/// Jobs of one host in memory; everything else waits in the frontier or in the manifest. As few as will do: what
/// is found to be more urgent comes behind them. At least a round of requests must be among them.
const WINDOW: usize = 128;

/// In flight at first: as many as a browser has, since nothing is known about the host yet. Doubled with each
/// round of answers it costs 2,000 requests at a concurrency of 64 less than a tenth of their throughput, at 8 one
/// part in two hundred.
const LIMIT_FIRST: usize = 6;

/// As few as that: one request, and then 4.9 s of nothing.
const LIMIT_MIN: f64 = 0.02;

/// What was too much once is tried again after fifty rounds: at most one request in fifty is then refused.
const ROUNDS_BELOW_CEILING: f64 = 50.0;

/// The longest pause before the first repetition. Nothing else waits for it.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_THROTTLED: Duration = Duration::from_secs(1);

/// No pause is longer unless the host asks for it.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// So many attempts in a row without an answer make a host suspect, or one after this long without any.
const SUSPECT_AFTER: u32 = 4;
const SUSPECT_QUIET: Duration = Duration::from_secs(2);

/// Between two trials at first, twice as long each time, up to [`PAUSE_MAX`].
const TRIAL_PAUSE: Duration = Duration::from_millis(500);

/// Errors in a row (5xx) that count as a sign of congestion: a page that fails is one thing, a host that does
/// nothing else is not helped by eight requests at a time. And as many pages make the waits that they ask for those
/// of the host; before, they are the page's own.
const ILL_IN_A_ROW: u32 = 8;

/// So many errors and refusals in a row, for so long, and a host is left to a later run: it is there, but of
/// hundreds of thousands of requests, one after the other, none would bring a page. Both, since a part of a site may
/// be broken, and a host that restarts fails for a while.
const ERRORS_IN_A_ROW_MAX: u32 = 200;
const ERRORS_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// A `Crawl-delay` is obeyed up to here, which is what content systems write into theirs. With the minutes that
/// some hosts name no run would end; what was asked for is reported.
const CRAWL_DELAY_MAX: Duration = Duration::from_secs(10);

/// A rate that is lower means one request a day.
const SPACING_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A request that is sent late, because a timer was, does not delay all that follow it.
const CATCH_UP: Duration = Duration::from_millis(5);

/// What the schedule notes about a job; a fresh one is the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Turn {
    host: u32,
    /// Requests sent for it.
    attempts: u32,
    sent: Duration,
    is_trial: bool,
}

impl Turn {
    /// Requests sent so far.
    #[cfg(test)]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }
}

/// What becomes of a job that has come back.
#[derive(Debug, PartialEq, Eq)]
pub enum After {
    /// The result is final.
    TakeIn(Job),
    /// It will be sent again.
    Again,
}

/// What happened between us and one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostTraffic {
    /// Sent, repetitions included.
    pub requests: u64,
    pub retries: u64,
    /// Answers that asked for fewer requests.
    pub throttled: u64,
    /// How many may be in flight now.
    pub limit: usize,
    /// The least time between two requests now.
    pub spacing: Duration,
    /// The `Crawl-delay` that robots.txt asks for; only the first ten seconds of it are obeyed.
    pub delay_asked: Duration,
    /// What the answers took, together.
    pub answers_took: Duration,
}

/// The windows and the state of their hosts.
pub struct Schedule {
    courtesy: Courtesy,
    policy: Policy,
    window: usize,
    /// Between two requests of a host, as configured.
    spacing: Duration,
    /// The first moment that was handed in; times of hosts count from it.
    begun: Option<Instant>,
    hosts: Vec<Host>,
    numbers: HashMap<Box<str>, u32>,
    /// The host that has its turn next.
    turn: usize,
    waiting: usize,
    in_flight: usize,
    /// Jobs of hosts that were given up.
    given_up: Vec<Job>,
    /// Number of the next repetition.
    again: u64,
    /// State of the generator that jitter comes from.
    random: u64,
}

struct Host {
    authority: Box<str>,
    waiting: VecDeque<Job>,
    /// By the time at which they are due. As many as the budget of repetitions lets through.
    again: BTreeMap<(Duration, u64), Job>,
    in_flight: usize,
    limit: Limit,
    circuit: Circuit,
    /// What its robots.txt asks for.
    delay: Duration,
    not_before: Duration,
    ill_in_a_row: u32,
    /// Pages that failed and asked for a wait since the last answer.
    pages_asking: u32,
    /// Errors and refusals since the last answer, and when the first of them came.
    errors: u32,
    errors_since: Duration,
    given_up: Option<String>,
    traffic: HostTraffic,
}

/// What a host could do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readiness {
    Ready,
    /// Nothing but time is missing.
    At(Duration),
    /// Nothing waits, or something must come back first.
    Idle,
}

impl Schedule {
    pub fn new(courtesy: Courtesy) -> Schedule {
        let seed = getrandom::u64().unwrap_or(1);
        Schedule::seeded(courtesy, seed)
    }

    /// As [`Schedule::new`], with the same jitter every time.
    pub(super) fn seeded(courtesy: Courtesy, seed: u64) -> Schedule {
        let pause = |rate: f64| {
            let pause = Duration::try_from_secs_f64(1.0 / rate).unwrap_or(SPACING_MAX);
            pause.min(SPACING_MAX)
        };
        Schedule {
            policy: policy(&courtesy),
            window: WINDOW.max(2 * courtesy.concurrency),
            spacing: courtesy.rate.map_or(Duration::ZERO, pause),
            courtesy,
            begun: None,
            hosts: Vec::new(),
            numbers: HashMap::new(),
            turn: 0,
            waiting: 0,
            in_flight: 0,
            given_up: Vec::new(),
            again: 0,
            random: seed,
        }
    }

    /// Spaces the requests of one host by what its robots.txt asks for (`Crawl-delay`), up to ten seconds.
    pub fn slow_down(&mut self, authority: &str, pause: Duration) {
        let number = self.number(authority);
        let host = &mut self.hosts[number as usize];
        host.delay = pause.min(CRAWL_DELAY_MAX);
        host.traffic.delay_asked = pause;
    }

    /// When a request may be sent that has no job here: its host's pauses hold for it, and those that follow keep
    /// theirs from it.
    pub fn out_of_turn(&mut self, authority: &str, now: Instant) -> Instant {
        let begun = *self.begun.get_or_insert(now);
        let now = now.saturating_duration_since(begun);
        let number = self.number(authority);
        let host = &mut self.hosts[number as usize];
        let permitted = match host.circuit.admission(now) {
            Admission::Send | Admission::Trial => now,
            Admission::Wait(until) | Admission::Refused(until) => until,
        };
        let due = permitted.max(host.not_before);
        host.not_before = due + host.spacing(self.spacing);
        begun + due
    }

    /// How many more jobs may be added for this host.
    pub fn room(&self, authority: &str) -> usize {
        let number = self.numbers.get(authority);
        number.map_or(self.window, |number| {
            let host = &self.hosts[*number as usize];
            self.window
                .saturating_sub(host.waiting.len() + host.again.len())
        })
    }

    /// A job of a host that was given up goes to [`Schedule::take_given_up`] at once.
    pub fn add(&mut self, job: Job) {
        if let Some((host, job)) = self.welcome(job) {
            host.waiting.push_back(job);
        }
    }

    /// A job that is to be sent now. It must come back by [`Schedule::came`]. `wall`: seconds since 1970.
    pub fn next(&mut self, now: Instant, wall: i64) -> Option<Job> {
        let now = now.saturating_duration_since(*self.begun.get_or_insert(now));
        if self.waiting == 0 || self.courtesy.quiet.active(wall).is_some() {
            return None;
        }
        let hosts = self.hosts.len();
        let order = (self.turn..hosts).chain(0..self.turn);
        let number = order
            .into_iter()
            .find(|number| self.hosts[*number].readiness(now) == Readiness::Ready)?;
        self.turn = (number + 1) % hosts;
        let job = self.hosts[number].send(now, self.spacing)?;
        self.waiting -= 1;
        self.in_flight += 1;
        Some(job)
    }

    /// When something that only waits for time has its turn; none when nothing does.
    pub fn wakes(&self, now: Instant, wall: i64) -> Option<Instant> {
        if self.waiting == 0 {
            return None;
        }
        if let Some(until) = self.courtesy.quiet.active(wall) {
            let seconds = u64::try_from(until - wall).unwrap_or(0);
            return Some(now + Duration::from_secs(seconds));
        }
        let begun = self.begun.unwrap_or(now);
        let passed = now.saturating_duration_since(begun);
        let due = self
            .hosts
            .iter()
            .filter_map(|host| match host.readiness(passed) {
                Readiness::Ready => Some(passed),
                Readiness::At(due) => Some(due),
                Readiness::Idle => None,
            });
        due.min().map(|due| begun + due)
    }

    /// A job has come back.
    pub fn came(&mut self, mut job: Job, came: Came, now: Instant) -> After {
        let now = now.saturating_duration_since(*self.begun.get_or_insert(now));
        let chance = self.chance();
        let number = job.turn.host as usize;
        let host = &mut self.hosts[number];
        let next = host.came(&job.turn, came, now, chance);
        host.in_flight -= 1;
        self.in_flight -= 1;
        match next {
            Next::Again(pause) if host.given_up.is_none() => {
                job.turn.is_trial = false;
                host.again.insert((now + pause, self.again), job);
                self.again += 1;
                self.waiting += 1;
                After::Again
            }
            Next::Ended(ending) => {
                self.give_up(number, ending);
                After::TakeIn(job)
            }
            Next::Again(_) | Next::Final => After::TakeIn(job),
        }
    }

    /// Why, if this host's part of the run has ended.
    pub fn given_up(&self, authority: &str) -> Option<&str> {
        let number = *self.numbers.get(authority)?;
        self.hosts[number as usize].given_up.as_deref()
    }

    /// Jobs that waited for hosts given up meanwhile, each once.
    pub fn take_given_up(&mut self) -> Vec<Job> {
        std::mem::take(&mut self.given_up)
    }

    /// Jobs that were handed out and have not come back.
    #[cfg(test)]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Jobs that wait for their turn or for their repetition.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Until when nothing is sent because of quiet hours, in seconds since 1970 like `wall`.
    pub fn quiet_until(&self, wall: i64) -> Option<i64> {
        self.courtesy.quiet.active(wall)
    }

    /// Per host.
    pub fn traffic(&self) -> impl Iterator<Item = (&str, HostTraffic)> {
        self.hosts.iter().map(|host| {
            let traffic = HostTraffic {
                limit: host.limit.get(),
                spacing: host.spacing(self.spacing),
                ..host.traffic
            };
            (&*host.authority, traffic)
        })
    }

    /// The host of a new job, unless it was given up.
    fn welcome(&mut self, mut job: Job) -> Option<(&mut Host, Job)> {
        let number = self.number(job.url.authority());
        job.turn = Turn {
            host: number,
            ..Turn::default()
        };
        let host = &mut self.hosts[number as usize];
        if host.given_up.is_some() {
            self.given_up.push(job);
            return None;
        }
        self.waiting += 1;
        Some((host, job))
    }

    fn number(&mut self, authority: &str) -> u32 {
        if let Some(number) = self.numbers.get(authority) {
            return *number;
        }
        let number = u32::try_from(self.hosts.len()).expect("a site has few hosts");
        self.hosts.push(Host::new(authority, self.policy));
        self.numbers.insert(authority.into(), number);
        number
    }

    fn give_up(&mut self, number: usize, ending: Ending) {
        let host = &mut self.hosts[number];
        if host.given_up.is_some() {
            return;
        }
        let why = said(ending);
        tracing::warn!(host = &*host.authority, why, "given up");
        host.given_up = Some(why);
        let left = self.given_up.len();
        self.given_up.extend(host.waiting.drain(..));
        self.given_up
            .extend(std::mem::take(&mut host.again).into_values());
        self.waiting -= self.given_up.len() - left;
    }

    /// 0 to 1, by SplitMix64: jitter needs nothing better.
    fn chance(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 32) as f64 / f64::from(u32::MAX)
    }
}

impl Host {
    fn new(authority: &str, policy: Policy) -> Host {
        Host {
            authority: authority.into(),
            waiting: VecDeque::new(),
            again: BTreeMap::new(),
            in_flight: 0,
            limit: Limit::new(policy),
            circuit: Circuit::new(policy),
            delay: Duration::ZERO,
            not_before: Duration::ZERO,
            ill_in_a_row: 0,
            pages_asking: 0,
            errors: 0,
            errors_since: Duration::ZERO,
            given_up: None,
            traffic: HostTraffic::default(),
        }
    }

    fn readiness(&self, now: Duration) -> Readiness {
        let repetition = self.again.first_key_value().map(|((due, _), _)| *due);
        let job = match self.waiting.is_empty() {
            false => Some(Duration::ZERO),
            true => repetition,
        };
        let Some(job) = job.filter(|_| self.in_flight < self.limit.get()) else {
            return Readiness::Idle;
        };
        let permitted = match self.circuit.admission(now) {
            Admission::Send | Admission::Trial => Duration::ZERO,
            Admission::Refused(_) if self.circuit.is_on_trial() => return Readiness::Idle,
            Admission::Wait(until) | Admission::Refused(until) => until,
        };
        let due = job.max(self.not_before).max(permitted);
        match due <= now {
            true => Readiness::Ready,
            false => Readiness::At(due),
        }
    }

    /// Takes a job out, the repetitions that are due first. The host must be ready.
    fn send(&mut self, now: Duration, spacing: Duration) -> Option<Job> {
        let due = self.again.first_entry();
        let mut job = match due.filter(|entry| entry.key().0 <= now) {
            Some(entry) => entry.remove(),
            None => self.waiting.pop_front()?,
        };
        job.turn.is_trial = self.circuit.admit(now) == Admission::Trial;
        job.turn.attempts += 1;
        job.turn.sent = now;
        self.in_flight += 1;
        self.traffic.requests += 1;
        self.traffic.retries += u64::from(job.turn.attempts > 1);
        let spacing = self.spacing(spacing);
        if !spacing.is_zero() {
            let was_due = self.not_before;
            let is_late = !was_due.is_zero() && now.saturating_sub(was_due) <= CATCH_UP;
            self.not_before = if is_late { was_due } else { now } + spacing;
        }
        Some(job)
    }

    fn spacing(&self, configured: Duration) -> Duration {
        configured.max(self.delay).max(self.limit.spacing())
    }

    /// Draws the conclusions from one attempt.
    fn came(&mut self, turn: &Turn, came: Came, now: Duration, chance: f64) -> Next {
        let Some(failure) = came.failure() else {
            match came {
                Came::Answered { took } => self.answered(took, now),
                _ if turn.is_trial => self.circuit.abandoned(),
                _ => (),
            }
            return Next::Final;
        };
        let asks = matches!(came, Came::Throttled(_) | Came::Ill(Some(_)));
        self.traffic.throttled += u64::from(asks);
        self.ill_in_a_row += u32::from(matches!(came, Came::Ill(_)));
        let is_ill = self.ill_in_a_row >= ILL_IN_A_ROW;
        // A single page may be out of order for an hour, and say so each time it is asked for.
        let is_another = matches!(came, Came::Ill(Some(_))) && turn.attempts == 1;
        self.pages_asking += u32::from(is_another);
        let is_for_all = self.pages_asking >= ILL_IN_A_ROW;
        let (failure, own_wait) = match failure {
            Failure::Ill(Some(wait)) if is_for_all => (Failure::Throttled(Some(wait)), None),
            Failure::Ill(wait) => (failure, wait),
            _ => (failure, None),
        };
        if failure.is_congestion() || is_ill || own_wait.is_some() {
            self.limit.congested(failure, turn.sent, now);
        }
        let failed = Failed {
            failure: match own_wait {
                Some(_) => Failure::Ill(None),
                None => failure,
            },
            attempt: turn.attempts,
            took: now.saturating_sub(turn.sent),
            bytes: 0,
            is_trial: turn.is_trial,
        };
        let next = self.circuit.failed(failed, now, chance);
        let next = match (next, own_wait) {
            (Next::Again(_), Some(wait)) if wait > WAIT_MAX => Next::Final,
            (Next::Again(pause), Some(wait)) => Next::Again(pause.max(wait)),
            _ => next,
        };
        match self.only_errors(came, now) {
            Some(since) if !matches!(next, Next::Ended(_)) => {
                Next::Ended(Ending::OnlyErrors(since))
            }
            _ => next,
        }
    }

    /// For how long nothing but errors came, if that is too long. Silence has its own patience.
    fn only_errors(&mut self, came: Came, now: Duration) -> Option<Duration> {
        if !matches!(came, Came::Ill(_) | Came::Throttled(_)) {
            return None;
        }
        if self.errors == 0 {
            self.errors_since = now;
        }
        self.errors += 1;
        let since = now.saturating_sub(self.errors_since);
        (self.errors >= ERRORS_IN_A_ROW_MAX && since >= ERRORS_PATIENCE).then_some(since)
    }

    fn answered(&mut self, took: Duration, now: Duration) {
        self.ill_in_a_row = 0;
        self.pages_asking = 0;
        self.errors = 0;
        self.traffic.answers_took += took;
        self.circuit.is_back(now);
        // Pages take too differently long for latencies to tell a queue from a search.
        self.limit.answered(None, self.in_flight);
    }
}

fn policy(courtesy: &Courtesy) -> Policy {
    Policy {
        limit_first: LIMIT_FIRST,
        limit_max: courtesy.concurrency,
        limit_min: LIMIT_MIN,
        rounds_below_ceiling: ROUNDS_BELOW_CEILING,
        strain_max: None,
        attempts_max: courtesy.attempts,
        pause: PAUSE,
        pause_throttled: PAUSE_THROTTLED,
        pause_max: PAUSE_MAX,
        // Its repetition holds up nobody.
        quick_failure: None,
        opens: Opens::OnSilence {
            in_a_row: SUSPECT_AFTER,
            quiet: SUSPECT_QUIET,
            patience: courtesy.patience,
        },
        cool_down: TRIAL_PAUSE,
        cool_down_max: PAUSE_MAX,
    }
}

/// Why a host was given up.
fn said(ending: Ending) -> String {
    match ending {
        Ending::Asked(wait) => format!(
            "asked to be left alone for {} s (Retry-After), more than the {} s that a crawl waits",
            wait.as_secs(),
            WAIT_MAX.as_secs()
        ),
        Ending::AskedAgain(waits) => format!(
            "asked for {} s of waiting in a row (Retry-After), more than the {} s that a crawl waits",
            waits.as_secs(),
            WAITS_MAX.as_secs()
        ),
        Ending::AskedInAll(waits) => format!(
            "asked for {} s of waiting in all (Retry-After), more than the {} s that a crawl waits",
            waits.as_secs(),
            WAITS_TOTAL_MAX.as_secs()
        ),
        Ending::NoAnswer(since) => format!("gave no sign of life for {} s", since.as_secs()),
        Ending::OnlyErrors(since) => {
            format!("answered nothing but errors for {} s", since.as_secs())
        }
    }
}
