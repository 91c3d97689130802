//! The real binary as a process, in a folder of its own, and what it printed and left behind.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::origin::Origin;
use super::s3_server::{ACCESS_KEY, S3Server, SECRET_KEY};

/// A process that has ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Ran {
    /// The one JSON document on stdout; panics when there is none, or more than one.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is not one JSON document: {error}\n{self:#?}"))
    }

    /// Panics with everything the process said unless it ended with this code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    fn of(status: ExitStatus, stdout: &[u8], stderr: &[u8], begun: Instant) -> Ran {
        Ran {
            code: status.code(),
            signal: status.signal(),
            stdout: String::from_utf8(stdout.to_vec()).expect("stdout is text"),
            stderr: String::from_utf8(stderr.to_vec()).expect("stderr is text"),
            took: begun.elapsed(),
        }
    }
}

/// A folder with a `standin.toml`, in which the binary is run. State and directory tiers lie in it.
pub struct Mirror {
    folder: TempDir,
}

impl Mirror {
    pub fn new(config: &str) -> Mirror {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("standin.toml"), config).expect("it is ours");
        Mirror { folder }
    }

    /// A folder without a configuration.
    pub fn bare() -> Mirror {
        Mirror {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// The same folder once more, under another configuration.
    pub fn copied(&self, config: &str) -> Mirror {
        let copy = Mirror::bare();
        copy_all(self.folder.path(), copy.folder.path());
        fs::write(copy.path("standin.toml"), config).expect("it is ours");
        copy
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The binary, to be run in this folder, with nothing of the tester's environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_standin"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("STANDIN_TEST_ID", ACCESS_KEY)
            .env("STANDIN_TEST_SECRET", SECRET_KEY)
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        finish(self.command(arguments))
    }

    /// Runs it with SIGKILL at the n-th pass of a named place: `PLACE:N`, or `N` for any place.
    pub fn run_killed(&self, at: &str, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        command.env("STANDIN_KILL_AT", at);
        finish(command)
    }

    /// Starts it and does not wait.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Running {
            child: Some(command.spawn().expect("the binary is there")),
            begun: Instant::now(),
        }
    }

    /// The text of every file below a folder of this one, by path; empty when it is not there.
    pub fn files(&self, below: &str) -> BTreeMap<String, Vec<u8>> {
        let root = self.path(below);
        let mut files = BTreeMap::new();
        for path in paths_below(&root) {
            let name = path.strip_prefix(&root).expect("it is below");
            let name = name.to_str().expect("names are text").to_owned();
            files.insert(name, fs::read(&path).expect("nobody changes it now"));
        }
        files
    }

    /// The objects of the site in a directory tier, by key. (No site in these tests needs the overflow.)
    pub fn objects(&self, below: &str) -> BTreeMap<String, Vec<u8>> {
        let mut files = self.files(below);
        files.retain(|name, _| !name.starts_with(".standin/"));
        files
    }

    /// The side files of a directory tier, by key.
    pub fn side_files(&self, below: &str) -> BTreeMap<String, Value> {
        let files = self.files(&format!("{below}/.standin/meta"));
        let sides = files.values().map(|bytes| {
            let side: Value = serde_json::from_slice(bytes).expect("a side file is JSON");
            (side["key"].as_str().expect("it has a key").to_owned(), side)
        });
        sides.collect()
    }
}

/// A process that is at work; killed when dropped, so that no test leaves one behind.
pub struct Running {
    child: Option<Child>,
    begun: Instant,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child
            .as_ref()
            .expect("it has not been waited for")
            .id()
    }

    /// Waits for the first byte that it prints.
    pub fn begins_to_print(&mut self) {
        let child = self.child.as_mut().expect("it has not been waited for");
        let stdout = child.stdout.as_mut().expect("it is a pipe");
        let mut byte = [0];
        stdout.read_exact(&mut byte).expect("it prints something");
    }

    /// Sends a signal that must end it, without anybody reading what it prints.
    pub fn ends_at(mut self, signal: Signal) -> Ran {
        let child = self.child.as_mut().expect("it has not been waited for");
        kill_process(Pid::from_child(child), signal).expect("it is our child");
        let has_ended = || child.try_wait().expect("it is our child").is_some();
        until("it ends at a signal", has_ended);
        self.wait()
    }

    pub fn wait(mut self) -> Ran {
        let child = self.child.take().expect("it is waited for once");
        let output = child.wait_with_output().expect("it is our child");
        Ran::of(output.status, &output.stdout, &output.stderr, self.begun)
    }

    /// SIGKILL.
    pub fn kill(mut self) -> Ran {
        let child = self.child.as_mut().expect("it has not been waited for");
        child.kill().expect("it is our child");
        self.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Only on the way out of a failed test.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs a command to its end.
pub fn finish(mut command: Command) -> Ran {
    let begun = Instant::now();
    let output = command.output().expect("the command is there");
    Ran::of(output.status, &output.stdout, &output.stderr, begun)
}

/// `[site]` with the origin's home page as its only seed.
pub fn site(origin: &Origin) -> String {
    format!("[site]\nseeds = [\"{}\"]\n", origin.url("/"))
}

/// A tier in the folder `tiers/NAME`.
pub fn folder_tier(name: &str) -> String {
    format!("[[tier]]\nname = \"{name}\"\nurl = \"file:tiers/{name}\"\n")
}

/// A tier in a bucket, under the prefix `copy`.
pub fn bucket_tier(name: &str, server: &S3Server, bucket: &str) -> String {
    format!(
        "[[tier]]\nname = \"{name}\"\nurl = \"s3://{bucket}/copy\"\nendpoint = \"{}\"\npath_style = true\n\
         credentials = {{ access_key_id_env = \"STANDIN_TEST_ID\", secret_access_key_env = \"STANDIN_TEST_SECRET\" }}\n",
        server.endpoint()
    )
}

/// How the keys of the origin's pages begin.
pub fn key_start(origin: &Origin) -> String {
    format!("{}/", origin.authority().replace(':', "_"))
}

/// Waits until something is so; panics when it is not within ten seconds.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(10), "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Every file below a folder, sorted; none when the folder is not there.
pub fn paths_below(root: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(found) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in found {
            let entry = entry.expect("nobody changes it now");
            match entry.file_type().expect("it is there").is_dir() {
                true => folders.push(entry.path()),
                false => paths.push(entry.path()),
            }
        }
    }
    paths.sort();
    paths
}

/// Copies every file below a folder.
pub fn copy_all(from: &Path, to: &Path) {
    for path in paths_below(from) {
        let target = to.join(path.strip_prefix(from).expect("it is below"));
        fs::create_dir_all(target.parent().expect("it has one")).expect("it is ours");
        fs::copy(&path, &target).expect("there is room");
    }
}
