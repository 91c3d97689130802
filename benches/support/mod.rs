//! What all measurements share: where the folders lie, what a process used, and how a figure stands to its bar.

use std::path::PathBuf;
use std::time::Duration;

/// How often the memory of a process is read. Its peak only grows, so the last reading is the peak.
const WATCH: Duration = Duration::from_millis(2);

/// Linux counts the CPU time of a process in hundredths of a second.
const TICKS_A_SECOND: f64 = 100.0;

/// Where the copies are made: in memory where the machine has `/dev/shm`, since on ext4 creating files costs many
/// times its price for some minutes after thousands of files were removed, which is what the run before did.
/// `STANDIN_BENCH_DIR` names another place.
pub fn place() -> PathBuf {
    let named = std::env::var_os("STANDIN_BENCH_DIR").map(PathBuf::from);
    let memory = PathBuf::from("/dev/shm");
    named.unwrap_or_else(|| {
        if memory.is_dir() {
            memory
        } else {
            std::env::temp_dir()
        }
    })
}

/// Waits until a child of this process has ended; its CPU seconds and its peak memory in MB. An ended process keeps
/// its times until somebody waits for it, but not its memory.
pub fn watch(id: u32) -> (f64, f64) {
    let folder = format!("/proc/{id}");
    let mut peak_kb: f64 = 0.0;
    loop {
        let stat = std::fs::read_to_string(format!("{folder}/stat")).expect("Linux");
        // The name before the last parenthesis may hold spaces.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<&str> = fields.split_whitespace().collect();
        if fields[0] == "Z" {
            let ticks = |at: usize| fields[at].parse().unwrap_or(0.0);
            return ((ticks(11) + ticks(12)) / TICKS_A_SECOND, peak_kb / 1e3);
        }
        let status = std::fs::read_to_string(format!("{folder}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        if let Some(number) = line.and_then(|line| line.split_whitespace().next()) {
            peak_kb = number.parse().unwrap_or(peak_kb);
        }
        std::thread::sleep(WATCH);
    }
}

/// Prints a figure that should be at most so large.
pub fn at_most(what: &str, found: f64, bar: f64) {
    let word = if found <= bar { "good" } else { "MISSED" };
    println!("  => {what}: {found:.2} (at most {bar}): {word}");
}

/// Prints a figure that should be at least so large.
pub fn at_least(what: &str, found: f64, bar: f64) {
    let word = if found >= bar { "good" } else { "MISSED" };
    println!("  => {what}: {found:.2} (at least {bar}): {word}");
}

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
