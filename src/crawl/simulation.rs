//! What the schedule does to hosts, with a clock that jumps from one event to the next: hosts that answer after
//! a while, bear so many requests, die, or ask to be left alone.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};

use super::courtesy::{Came, Courtesy, QuietHours};
use super::job::Job;
use super::schedule::{After, HostTraffic, Schedule};
use crate::site::PageUrl;

/// 2026-11-21 00:00 UTC.
const MIDNIGHT: i64 = 1_795_219_200;

/// Of the jitter.
const SEED: u64 = 7;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn job(host: &str, number: usize) -> Job {
    Job::first(&PageUrl::parse(&format!("http://{host}/{number}")).unwrap())
}

fn courtesy(concurrency: usize) -> Courtesy {
    Courtesy {
        concurrency,
        ..Courtesy::default()
    }
}

/// A request as its host sees it.
struct Sent<'a> {
    job: &'a Job,
    at: Duration,
    /// Requests at this host, with this one.
    in_flight: usize,
}

/// What a host makes of it, and after how long.
type Reaction = (Duration, Came);

fn good(latency: u64) -> Reaction {
    let took = ms(latency);
    (took, Came::Answered { took })
}

#[derive(Default, Debug)]
struct Outcome {
    /// Time, authority and kind of every request.
    sent: Vec<(Duration, String, u32)>,
    taken_in: Vec<(Job, Came)>,
    given_up: Vec<Job>,
    in_flight_max: BTreeMap<String, usize>,
    ended: Duration,
}

impl Outcome {
    fn answered(&self) -> usize {
        let answered = |came: &Came| matches!(came, Came::Answered { .. });
        self.taken_in
            .iter()
            .filter(|(_, came)| answered(came))
            .count()
    }

    fn sent_to(&self, host: &str) -> Vec<Duration> {
        let to = self
            .sent
            .iter()
            .filter(|(_, authority, _)| authority == host);
        to.map(|(at, ..)| *at).collect()
    }
}

struct World {
    schedule: Schedule,
    begun: Instant,
    wall: i64,
    /// Added as the windows have room, per host.
    jobs: BTreeMap<String, Vec<Job>>,
}

impl World {
    fn new(courtesy: Courtesy, jobs: &[(&str, usize)]) -> World {
        let of = |host: &str, count: usize| (0..count).rev().map(|n| job(host, n)).collect();
        World {
            schedule: Schedule::seeded(courtesy, SEED),
            begun: Instant::now(),
            wall: MIDNIGHT,
            jobs: jobs
                .iter()
                .map(|(host, count)| ((*host).to_owned(), of(host, *count)))
                .collect(),
        }
    }

    /// Until nothing waits and nothing is in flight.
    fn run(&mut self, mut react: impl FnMut(&Sent<'_>) -> Reaction) -> Outcome {
        let mut outcome = Outcome::default();
        let mut events = BinaryHeap::new();
        let mut flying: BTreeMap<usize, (Job, Came)> = BTreeMap::new();
        let mut at_host: BTreeMap<String, usize> = BTreeMap::new();
        let mut now = Duration::ZERO;
        for number in 0.. {
            assert!(number < 1_000_000, "it does not end");
            for (host, jobs) in &mut self.jobs {
                let room = self.schedule.room(host).min(jobs.len());
                for job in jobs.drain(jobs.len() - room..).rev() {
                    self.schedule.add(job);
                }
            }
            outcome.given_up.extend(self.schedule.take_given_up());
            if self
                .jobs
                .iter()
                .any(|(host, jobs)| !jobs.is_empty() && self.schedule.given_up(host).is_some())
            {
                continue;
            }
            let wall = self.wall + i64::try_from(now.as_secs()).unwrap();
            if let Some(job) = self.schedule.next(self.begun + now, wall) {
                let host = job.url.authority().to_owned();
                let in_flight = at_host.entry(host.clone()).or_default();
                *in_flight += 1;
                let most = outcome.in_flight_max.entry(host.clone()).or_default();
                *most = (*most).max(*in_flight);
                outcome.sent.push((now, host, job.turn.attempts()));
                let (latency, came) = react(&Sent {
                    job: &job,
                    at: now,
                    in_flight: *in_flight,
                });
                events.push(Reverse((now + latency, number)));
                flying.insert(number, (job, came));
                continue;
            }
            let wake = self
                .schedule
                .wakes(self.begun + now, wall)
                .map(|at| at - self.begun);
            assert!(wake.is_none_or(|wake| wake > now), "woken for nothing");
            let back = events.peek().map(|Reverse((at, _))| *at);
            let Some(next) = wake.into_iter().chain(back).min() else {
                break;
            };
            now = next;
            if back == Some(next) {
                let Reverse((_, number)) = events.pop().unwrap();
                let (job, came) = flying.remove(&number).unwrap();
                *at_host.get_mut(job.url.authority()).unwrap() -= 1;
                if let After::TakeIn(job) = self.schedule.came(job, came, self.begun + now) {
                    outcome.taken_in.push((job, came));
                }
            }
        }
        assert_eq!((self.schedule.in_flight(), self.schedule.waiting()), (0, 0));
        outcome.ended = now;
        outcome
    }

    fn traffic(&self, host: &str) -> HostTraffic {
        self.schedule
            .traffic()
            .find(|(name, _)| *name == host)
            .unwrap()
            .1
    }
}

/// A host that refuses what goes beyond so many requests a second, over any second.
fn at_most_a_second(count: usize) -> impl FnMut(&Sent<'_>) -> Reaction {
    let mut accepted: Vec<Duration> = Vec::new();
    move |sent| {
        accepted.retain(|at| sent.at - *at < ms(1000));
        if accepted.len() >= count {
            return (ms(20), Came::Throttled(None));
        }
        accepted.push(sent.at);
        good(50)
    }
}

/// Promise: a healthy host is used in full: 2,000 requests of 50 ms each reach nine tenths of concurrency ÷
/// latency, beginning included; never are more in flight than configured.
#[test]
fn a_healthy_host_is_used_in_full() {
    for concurrency in [1, 2, 4, 8, 16, 32, 64] {
        let mut world = World::new(courtesy(concurrency), &[("a.test", 2000)]);
        let outcome = world.run(|_| good(50));
        assert_eq!(outcome.answered(), 2000);
        let share = 2000.0 * 0.050 / concurrency as f64 / outcome.ended.as_secs_f64();
        assert!(share >= 0.9, "{concurrency}: {share}");
        assert_eq!(outcome.in_flight_max["a.test"], concurrency);
        assert_eq!(
            outcome
                .sent_to("a.test")
                .iter()
                .filter(|at| at.is_zero())
                .count(),
            concurrency.min(6)
        );
    }
}

/// Promise: a host that refuses the fourth request at a time soon gets three, nearly all the time, and no page
/// is lost over finding that out.
#[test]
fn the_limit_finds_what_a_host_bears() {
    let mut world = World::new(courtesy(16), &[("a.test", 2000)]);
    let outcome = world.run(|sent| match sent.in_flight {
        0..=3 => good(50),
        _ => (ms(5), Came::Throttled(None)),
    });
    assert_eq!(outcome.answered(), 2000);
    let traffic = world.traffic("a.test");
    assert!((1..60).contains(&traffic.throttled), "{traffic:?}");
    let share = 2000.0 * 0.050 / 3.0 / outcome.ended.as_secs_f64();
    assert!(share > 0.9, "{share}");
}

/// Promise: a host that bears two requests a second, and says so only by refusing more, gets about that many,
/// one in ten or fewer are refused, and hardly a page is lost.
#[test]
fn a_host_that_counts_requests_per_second_is_spaced() {
    let mut world = World::new(courtesy(8), &[("a.test", 600)]);
    let mut host = at_most_a_second(2);
    let outcome = world.run(|sent| host(sent));
    let traffic = world.traffic("a.test");
    assert!(outcome.answered() >= 597, "{traffic:?}");
    let rate = 600.0 / outcome.ended.as_secs_f64();
    assert!((1.2..2.1).contains(&rate), "{rate}");
    assert!(traffic.throttled < 60, "{traffic:?}");
}

/// Promise: hosts take turns, and one that is slow, dead or full holds up no other: what the second of two
/// hosts gets does not depend on the first.
#[test]
fn no_host_holds_up_another() {
    let alone = World::new(courtesy(8), &[("b.test", 2000)])
        .run(|_| good(50))
        .ended;
    for ill in [
        good(3000),
        (ms(8000), Came::Silent),
        (ms(1), Came::Throttled(Some(ms(50_000)))),
    ] {
        let mut world = World::new(courtesy(8), &[("a.test", 3000), ("b.test", 2000)]);
        let mut last = Duration::ZERO;
        let outcome = world.run(|sent| match sent.job.url.authority() {
            "a.test" => ill,
            _ => {
                last = sent.at + ms(50);
                good(50)
            }
        });
        assert_eq!(last, alone);
        assert_eq!(outcome.taken_in.len() + outcome.given_up.len(), 5000);
    }
    let mut world = World::new(courtesy(2), &[("a.test", 4), ("b.test", 4), ("c.test", 2)]);
    let outcome = world.run(|_| good(50));
    let hosts: String = outcome.sent.iter().map(|(_, host, _)| &host[..1]).collect();
    assert_eq!(hosts, "abcabcabab");
}

/// Promise: `Retry-After` is obeyed by everything that goes to the host; more than a minute, or more than three
/// in a row, ends its part of the run, and what waited comes out.
#[test]
fn a_host_is_left_alone_for_as_long_as_it_asks() {
    let mut world = World::new(courtesy(8), &[("a.test", 100)]);
    let mut asked = None;
    let outcome = world.run(|sent| match (asked, sent.at >= ms(200)) {
        (None, true) => {
            asked = Some(sent.at + ms(10));
            (ms(10), Came::Throttled(Some(ms(30_000))))
        }
        _ => good(50),
    });
    let asked = asked.expect("the fault fires");
    assert_eq!(outcome.answered(), 100);
    let early = outcome.sent_to("a.test");
    assert!(
        early
            .iter()
            .all(|at| *at <= asked || *at >= asked + ms(30_000)),
        "{early:?}"
    );
    assert!(world.schedule.given_up("a.test").is_none());

    let mut world = World::new(courtesy(8), &[("a.test", 100)]);
    let outcome = world.run(|_| (ms(10), Came::Ill(Some(ms(61_000)))));
    assert_eq!((outcome.taken_in.len(), outcome.given_up.len()), (10, 90));
    let why = world.schedule.given_up("a.test").expect("ended");
    assert!(why.contains("61 s") && why.contains("Retry-After"), "{why}");

    let mut world = World::new(courtesy(1), &[("a.test", 100)]);
    let outcome = world.run(|_| (ms(10), Came::Throttled(Some(ms(50_000)))));
    assert_eq!(outcome.sent.len(), 4, "at 0, 50, 100 and 150 s");
    let why = world.schedule.given_up("a.test").expect("ended");
    assert!(why.contains("in a row"), "{why}");
    world.schedule.add(job("a.test", 100));
    assert_eq!(world.schedule.take_given_up(), [job("a.test", 100)]);
}

/// Promise: a host that dies in mid-crawl is given up in less than 25 s when it falls silent and 23 s when it
/// refuses connections, after a handful of requests; nearly all pages are left for another run.
#[test]
fn a_dead_host_ends_in_bounded_time() {
    for (death, within) in [
        ((ms(8000), Came::Silent), ms(25_100)),
        ((ms(10_000), Came::Silent), ms(31_100)),
        ((ms(5000), Came::Unreachable), ms(25_000)),
        ((ms(0), Came::Unreachable), ms(24_000)),
    ] {
        for concurrency in [1, 8, 64] {
            let mut world = World::new(courtesy(concurrency), &[("a.test", 2000), ("b.test", 500)]);
            let outcome = world.run(|sent| match sent.job.url.authority() {
                "a.test" if sent.at >= ms(600) => death,
                _ => good(50),
            });
            let why = world.schedule.given_up("a.test").expect("given up");
            assert!(why.contains("no sign of life for 2"), "{why}");
            let last = outcome.sent_to("a.test").pop().unwrap() + death.0;
            assert!(last < ms(600) + within, "{concurrency} {death:?}: {last:?}");
            let failed = outcome.taken_in.len() - outcome.answered();
            assert!(
                failed < 10,
                "{concurrency} {death:?}: {failed} pages were lost"
            );
            assert_eq!(outcome.taken_in.len() + outcome.given_up.len(), 2500);
            assert!(world.schedule.given_up("b.test").is_none());
        }
    }
}

/// Promise: a host that was away for ten seconds, as long as a restart takes, is used in full afterwards, and no
/// page is lost.
#[test]
fn a_restart_is_survived() {
    let mut world = World::new(courtesy(8), &[("a.test", 4000)]);
    let away = ms(2000)..ms(12_000);
    let outcome = world.run(|sent| match away.contains(&sent.at) {
        true => (ms(1), Came::Unreachable),
        false => good(50),
    });
    assert!(world.schedule.given_up("a.test").is_none());
    let lost = outcome.taken_in.len() - outcome.answered();
    assert!(lost <= 4, "{lost}");
    assert!(
        outcome.ended < ms(25_000 + 10_000 + 5000),
        "{:?}",
        outcome.ended
    );
}

/// Promise: a page is asked for as often as configured and not more, with growing pauses of at most 5 s in which
/// it holds no place; a host that fails all the time gets a burst of repetitions, and then none.
#[test]
fn repetitions_are_bounded() {
    let ill = (ms(10), Came::Ill(None));
    let mut world = World::new(
        Courtesy {
            attempts: 9,
            ..courtesy(1)
        },
        &[("a.test", 2)],
    );
    let outcome = world.run(|sent| match sent.job.url.target() {
        "/0" => ill,
        _ => good(50),
    });
    let bad: Vec<_> = outcome
        .sent
        .iter()
        .filter(|(at, _, attempt)| *attempt > 1 || at.is_zero())
        .collect();
    assert_eq!(bad.len(), 9);
    assert!(bad.windows(2).all(|pair| pair[1].0 - pair[0].0 <= ms(5010)));
    assert_eq!(outcome.sent[1].2, 1, "the other page goes first");
    assert_eq!(world.traffic("a.test").retries, 8);

    let mut world = World::new(courtesy(8), &[("a.test", 1000)]);
    let outcome = world.run(|_| ill);
    assert_eq!(outcome.sent.len(), 1000 + 64);
    assert_eq!(outcome.taken_in.len(), 1000);
    let limit = world.traffic("a.test").limit;
    assert_eq!(limit, 1, "an ill host gets one at a time");

    let mut world = World::new(courtesy(8), &[("a.test", 3000)]);
    let outcome = world.run(|sent| match sent.job.url.target().ends_with('7') {
        true => ill,
        false => good(50),
    });
    let retries = world.traffic("a.test").retries;
    assert!(
        (300..=64 + 270).contains(&retries),
        "one in ten, and the burst: {retries}"
    );
    assert_eq!(outcome.taken_in.len(), 3000);
}

/// Promise: a page that asks to be left alone speaks for itself: it is asked for again when it says, if that is soon,
/// and costs the others no time, however many such pages there are; eight in a row speak for their host. Waits that
/// come again and again end after two hours.
#[test]
fn what_a_single_page_asks_for_is_its_own() {
    let good_ones = World::new(courtesy(8), &[("a.test", 3000)]).run(|_| good(50));
    for (wait, sent) in [(3_600_000, 3000), (20_000, 3000 + 2)] {
        let mut world = World::new(courtesy(8), &[("a.test", 3000)]);
        let outcome = world.run(|sent| match sent.job.url.target() {
            "/77" => (ms(50), Came::Ill(Some(ms(wait)))),
            _ => good(50),
        });
        assert!(world.schedule.given_up("a.test").is_none());
        assert_eq!((outcome.answered(), outcome.sent.len()), (2999, sent));
        let times = outcome.sent_to("a.test");
        assert!(
            times
                .windows(2)
                .take(2990)
                .all(|pair| pair[1] - pair[0] < ms(1000))
        );
        if wait > 60_000 {
            assert!(outcome.ended < good_ones.ended * 2, "{:?}", outcome.ended);
        }
    }
    let mut world = World::new(courtesy(8), &[("a.test", 10_000)]);
    let outcome = world.run(|sent| match sent.job.url.target().ends_with('7') {
        true => (ms(50), Came::Ill(Some(ms(60_000)))),
        false => good(50),
    });
    assert_eq!(outcome.answered(), 9000);
    assert!(outcome.ended < ms(30 * 60_000), "{:?}", outcome.ended);

    let mut world = World::new(courtesy(1), &[("a.test", 10_000)]);
    let mut number = 0;
    let outcome = world.run(|_| {
        number += 1;
        match number % 10 {
            0 => (ms(50), Came::Throttled(Some(ms(60_000)))),
            _ => good(50),
        }
    });
    let why = world.schedule.given_up("a.test").expect("given up");
    assert!(why.contains("waiting in all"), "{why}");
    assert!(outcome.ended < ms(4 * 60 * 60_000), "{:?}", outcome.ended);
}

/// Promise: a host that does nothing but fail is given up after some minutes and some hundred requests; a part of a
/// site that is broken, or an hour in which every other page fails, ends nothing.
#[test]
fn a_host_that_only_fails_ends_in_bounded_time() {
    for ill in [Came::Ill(None), Came::Throttled(None)] {
        let mut world = World::new(courtesy(8), &[("a.test", 100_000)]);
        let outcome = world.run(|_| (ms(200), ill));
        let why = world.schedule.given_up("a.test").expect("given up");
        assert!(why.contains("nothing but errors for"), "{why}");
        assert!((200..2000).contains(&outcome.sent.len()), "{ill:?}");
        assert!(outcome.ended < ms(20 * 60_000), "{:?}", outcome.ended);
    }
    let mut world = World::new(courtesy(8), &[("a.test", 10_000)]);
    let outcome = world.run(|sent| match sent.job.url.target().len() {
        // A thousand in a row, and then one in ten.
        2..=4 => (ms(200), Came::Ill(None)),
        _ if sent.job.url.target().ends_with('7') => (ms(400), Came::Ill(None)),
        _ => good(400),
    });
    assert!(world.schedule.given_up("a.test").is_none());
    assert_eq!(outcome.taken_in.len(), 10_000);
}

/// Promise: a rate and a `Crawl-delay` space the requests of a host, the slower of the two counts, a timer that
/// is late costs no throughput, and a delay of minutes is cut to ten seconds and told.
#[test]
fn rate_and_crawl_delay_space_the_requests() {
    let four_a_second = || Courtesy {
        rate: Some(4.0),
        ..courtesy(8)
    };
    let mut world = World::new(four_a_second(), &[("a.test", 40), ("b.test", 40)]);
    world.schedule.slow_down("b.test", ms(1500));
    let outcome = world.run(|_| good(50));
    for (host, spacing) in [("a.test", 250), ("b.test", 1500)] {
        let sent = outcome.sent_to(host);
        assert!(
            sent.windows(2).all(|pair| pair[1] - pair[0] == ms(spacing)),
            "{host}: {sent:?}"
        );
    }
    let mut schedule = Schedule::seeded(four_a_second(), SEED);
    schedule.slow_down("c.test", ms(240_000));
    let (_, traffic) = schedule.traffic().next().unwrap();
    assert_eq!(
        (traffic.spacing, traffic.delay_asked),
        (ms(10_000), ms(240_000))
    );

    (0..3).for_each(|number| schedule.add(job("a.test", number)));
    let begun = Instant::now();
    assert!(schedule.next(begun, MIDNIGHT).is_some());
    assert!(schedule.next(begun + ms(249), MIDNIGHT).is_none());
    assert!(schedule.next(begun + ms(253), MIDNIGHT).is_some());
    assert_eq!(
        schedule.wakes(begun + ms(253), MIDNIGHT),
        Some(begun + ms(500))
    );
}

/// Promise: requests that have no job here keep the pauses of their host, and so do those that follow.
#[test]
fn requests_out_of_turn_keep_the_pace() {
    let mut schedule = Schedule::seeded(courtesy(4), SEED);
    let begun = Instant::now();
    assert_eq!(schedule.out_of_turn("a.test", begun), begun);
    assert_eq!(schedule.out_of_turn("a.test", begun), begun);
    schedule.slow_down("a.test", ms(2000));
    for number in 0..3 {
        let due = begun + ms(2000) * number;
        assert_eq!(schedule.out_of_turn("a.test", begun), due);
        assert_eq!(schedule.out_of_turn("b.test", begun), begun);
    }
    schedule.add(job("a.test", 0));
    assert_eq!(schedule.next(begun, MIDNIGHT), None);
    assert_eq!(schedule.wakes(begun, MIDNIGHT), Some(begun + ms(6000)));
    let sent = schedule
        .next(begun + ms(6000), MIDNIGHT)
        .expect("it is due");
    let wait = Came::Throttled(Some(ms(30_000)));
    schedule.came(sent, wait, begun + ms(6050));
    let due = schedule.out_of_turn("a.test", begun + ms(9000));
    assert_eq!(due, begun + ms(36_050));
}

/// Promise: in quiet hours nothing is sent, what was on its way is taken in, and afterwards it goes on.
#[test]
fn nothing_is_sent_in_quiet_hours() {
    let quiet = QuietHours::parse(&["00:01-00:03".to_owned()]).unwrap();
    let mut world = World::new(
        Courtesy {
            quiet,
            rate: Some(1.0),
            ..courtesy(2)
        },
        &[("a.test", 200)],
    );
    let outcome = world.run(|_| good(2500));
    assert_eq!(outcome.answered(), 200);
    let sent = outcome.sent_to("a.test");
    let in_window = sent
        .iter()
        .filter(|at| (ms(60_000)..ms(180_000)).contains(*at))
        .count();
    assert_eq!(in_window, 0);
    assert!(
        sent.iter().any(|at| *at == ms(180_000)),
        "it goes on at once"
    );
    assert_eq!(
        world.schedule.quiet_until(MIDNIGHT + 100),
        Some(MIDNIGHT + 180)
    );
    assert_eq!(world.schedule.quiet_until(MIDNIGHT), None);
}

/// Promise: the windows say how much more they take.
#[test]
fn a_window_has_room_for_some_rounds() {
    let mut schedule = Schedule::seeded(courtesy(4), SEED);
    let room = schedule.room("new.test");
    (0..3).for_each(|number| schedule.add(job("a.test", number)));
    assert!(schedule.next(Instant::now(), MIDNIGHT).is_some());
    assert_eq!((schedule.in_flight(), schedule.waiting()), (1, 2));
    assert_eq!(schedule.room("a.test"), room - 2);
}

mod properties {
    use std::cell::RefCell;

    use proptest::prelude::*;

    use super::*;

    fn reactions() -> impl Strategy<Value = Vec<Reaction>> {
        let wait = prop_oneof![
            3 => Just(None),
            2 => (0_u64..20).prop_map(|seconds| Some(ms(seconds * 1000))),
            1 => (50_u64..70).prop_map(|seconds| Some(ms(seconds * 1000))),
        ];
        let came = prop_oneof![
            8 => Just(Came::Answered { took: ms(50) }),
            2 => wait.clone().prop_map(Came::Throttled),
            2 => wait.prop_map(Came::Ill),
            2 => Just(Came::Silent),
            2 => Just(Came::Unreachable),
            1 => Just(Came::Nothing),
        ];
        prop::collection::vec(((0_u64..9000).prop_map(ms), came), 1..40)
    }

    proptest! {
        /// Promise: whatever hosts do, every job that was added comes out exactly once, never are more in
        /// flight than configured, nothing is sent in quiet hours or while a host asks to be left alone, no page
        /// is asked for more often than configured, and it ends.
        #[test]
        fn every_job_comes_out_once(
            reactions in reactions(),
            counts in prop::collection::vec(0_usize..60, 1..4),
            concurrency in 1_usize..9,
            attempts in 1_u32..4,
            rate in prop::option::of(1.0_f64..100.0),
            quiet in any::<bool>(),
        ) {
            let quiet = QuietHours::parse(&match quiet {
                true => vec!["00:00-00:01".to_owned(), "00:02-00:04".to_owned()],
                false => Vec::new(),
            }).unwrap();
            let names = ["a.test", "b.test", "c.test"];
            let jobs: Vec<_> = names.into_iter().zip(counts.iter().copied()).collect();
            let rules = Courtesy { attempts, rate, quiet: quiet.clone(), ..courtesy(concurrency) };
            let mut world = World::new(rules, &jobs);
            let alone: RefCell<BTreeMap<String, Vec<(Duration, Duration)>>> = RefCell::default();
            let mut number = 0;
            let outcome = world.run(|sent| {
                number += 1;
                let (latency, came) = reactions[number % reactions.len()];
                if let Came::Throttled(Some(wait)) = came {
                    let asked = sent.at + latency;
                    let host = sent.job.url.authority().to_owned();
                    alone.borrow_mut().entry(host).or_default().push((asked, asked + wait));
                }
                (latency, came)
            });
            let mut out: Vec<_> = outcome.taken_in.iter().map(|(job, _)| &job.url).collect();
            out.extend(outcome.given_up.iter().map(|job| &job.url));
            out.sort();
            let mut added: Vec<_> = jobs.iter().flat_map(|(host, count)| (0..*count).map(|n| job(host, n).url)).collect();
            added.sort();
            prop_assert!(out.into_iter().eq(&added));
            for (host, most) in &outcome.in_flight_max {
                prop_assert!(*most <= concurrency, "{host}: {most}");
            }
            for (at, host, attempt) in &outcome.sent {
                prop_assert!(*attempt <= attempts);
                prop_assert_eq!(quiet.active(MIDNIGHT + i64::try_from(at.as_secs()).unwrap()), None);
                // What goes out in the very moment in which the answer comes could not know it.
                let asked = alone.borrow().get(host).cloned().unwrap_or_default();
                prop_assert!(!asked.iter().any(|(from, to)| from < at && at < to), "{host} at {at:?}: {asked:?}");
            }
        }
    }
}
