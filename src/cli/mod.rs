//! Arguments in, report out. One file per verb, and no decisions: what a verb does is in the rooms
//! below, what its outcome is called is its exit code.
//!
//! With `--json` exactly one JSON document goes to stdout on every exit. Progress goes to stderr, and
//! only to a terminal.

mod adopt;
mod args;
mod audit;
mod config_check;
mod crawled;
mod demo;
mod explain;
mod gc;
mod get;
mod init;
mod ls;
mod mirror;
mod plan;
mod policy;
mod progress;
mod publish;
mod rebuild;
mod relayout;
mod render;
mod run;
mod spool;
mod status;
mod suggest;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::run::Verdict;
use args::{Args, LogFormat, Verb};
use spool::Spool;

/// Bad usage or configuration, as in BSD's sysexits.
const EXIT_USAGE: u8 = 64;

/// Another process holds the lock.
const EXIT_BUSY: u8 = 75;

/// Something could not be done at all.
const EXIT_FAILED: u8 = 2;

/// A verb's outcome: its exit code, and its document for people and for machines.
pub struct Outcome {
    code: u8,
    text: String,
    json: serde_json::Value,
}

impl Outcome {
    /// Of a report with its verdict: why it failed is its error, too.
    fn of_report(
        report: &impl Serialize,
        verdict: Verdict,
        reasons: &[String],
        text: String,
    ) -> anyhow::Result<Outcome> {
        let mut json = serde_json::to_value(report)?;
        if verdict == Verdict::Failed {
            json["error"] = serde_json::json!(reasons.join("; "));
        }
        Ok(Outcome {
            code: verdict.exit_code(),
            text,
            json,
        })
    }

    /// Of a verb that has printed everything itself, as it came.
    fn printed(code: u8) -> Outcome {
        Outcome {
            code,
            text: String::new(),
            json: serde_json::Value::Null,
        }
    }
}

/// All that a verb has to say.
struct Answer {
    /// What comes before the text, and is the document for machines where there is no other: too long to be a value.
    spool: Option<Spool>,
    outcome: Outcome,
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Answer {
        Answer {
            spool: None,
            outcome,
        }
    }
}

/// The whole program.
pub fn main() -> ExitCode {
    crate::http::install_crypto();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    listen(&args);
    // One thread drives all waiting: a second one costs CPU and gains nothing here. Work that blocks or
    // computes has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(begin_to_end(Arc::new(args))),
        Err(error) => {
            let error = anyhow::Error::new(error).context("starting the runtime");
            complain(&args, &one_line(&error), EXIT_FAILED)
        }
    }
}

/// Verbs that do not wait with their output until they are done.
fn prints_as_it_goes(verb: &Verb) -> bool {
    matches!(verb, Verb::Get { .. } | Verb::Ls { .. } | Verb::Demo { .. })
}

/// Keeps stdout for the report alone: sled prints there what it thinks of a damaged file. Until this is dropped,
/// what is written to stdout goes to stderr.
struct Aside(Option<std::os::fd::OwnedFd>);

impl Aside {
    fn unless(prints: bool) -> Aside {
        use std::os::fd::AsFd;
        if prints {
            return Aside(None);
        }
        let kept = std::io::stdout().as_fd().try_clone_to_owned();
        let kept = kept
            .ok()
            .filter(|_| rustix::stdio::dup2_stdout(std::io::stderr()).is_ok());
        Aside(kept)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // What is still buffered belongs to where it was meant to go.
        drop(std::io::stdout().flush());
        if let Some(kept) = self.0.take()
            && let Err(error) = rustix::stdio::dup2_stdout(kept)
        {
            tracing::error!(%error, "stdout is lost");
        }
    }
}

/// A verb and the printing of its answer; either may be ended by a signal.
async fn begin_to_end(args: Arc<Args>) -> ExitCode {
    let done = async {
        let mut signals = Signals::new()?;
        let aside = Aside::unless(prints_as_it_goes(&args.verb));
        let answer = signals.or(dispatch(&args)).await;
        drop(aside);
        Ok((signals, answer?))
    };
    let (mut signals, answer) = match done.await {
        Ok(done) => done,
        Err(error) => {
            let (code, message) = explain_failure(&error);
            return complain(&args, &message, code);
        }
    };
    let said = apart(move || Ok(say(&args, answer)));
    match signals.or(said).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // A part of the answer may be out already, so that nothing more may follow it.
            eprintln!("standin: {}", one_line(&error));
            ExitCode::from(EXIT_FAILED)
        }
    }
}

/// The signals that end the program. Nothing has to be tidied up: every run can be killed anywhere, and the next one
/// goes on.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Some work, or the end of it by a signal.
    async fn or<T>(&mut self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        tokio::select! {
            done = work => done,
            _ = self.interrupt.recv() => anyhow::bail!("interrupted; run again to go on from here"),
            _ = self.terminate.recv() => anyhow::bail!("terminated; run again to go on from here"),
        }
    }
}

/// Does what blocks on a thread of its own, so that signals are heard meanwhile. Nobody waits for that thread once
/// the program ends.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let (done, doing) = tokio::sync::oneshot::channel();
    let thread = std::thread::spawn(move || {
        // The receiver is gone only when a signal has ended the program.
        drop(done.send(work()));
    });
    match doing.await {
        Ok(done) => done,
        Err(_) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("it sends before it ends"),
        },
    }
}

async fn dispatch(args: &Arc<Args>) -> anyhow::Result<Answer> {
    let outcome = match &args.verb {
        Verb::Mirror { url, into } => mirror::main(args, url, into.as_deref()).await,
        Verb::Publish { dir } => publish::main(args, dir).await,
        Verb::Demo { dir, keep } => demo::main(args, dir.as_deref(), *keep).await,
        Verb::Init { file } => init::main(args, file.as_deref()),
        Verb::Config(args::ConfigVerb::Check) => config_check::main(args),
        Verb::Config(args::ConfigVerb::Policy { provider, tier }) => {
            policy::main(args, *provider, tier.as_deref())
        }
        Verb::Run { only, .. } if !only.is_empty() => run::only(args, only).await,
        Verb::Run {
            migrate_layout: true,
            ..
        } => run::migrate_layout(args).await,
        Verb::Run { .. } => run::main(args, crate::run::Stages::All).await,
        Verb::Crawl => run::main(args, crate::run::Stages::Crawl).await,
        Verb::Sync => run::main(args, crate::run::Stages::Sync).await,
        Verb::Verify => run::main(args, crate::run::Stages::Verify).await,
        Verb::Plan { tier } => {
            let (args, tier) = (Arc::clone(args), tier.clone());
            return apart(move || plan::main(&args, tier.as_deref())).await;
        }
        Verb::Adopt { .. } => adopt::main(args).await,
        Verb::Audit(_) => audit::main(args).await,
        Verb::Rebuild(verb) => rebuild::main(args, verb).await,
        Verb::Gc { dry_run } => gc::main(args, *dry_run),
        Verb::Get { .. } => get::main(args).await,
        Verb::Ls { prefix, tier, long } => {
            ls::main(args, prefix.as_deref(), tier.as_deref(), *long).await
        }
        Verb::Suggest { urls, times, pause } => suggest::main(args, urls, *times, *pause).await,
        Verb::Status => status::main(args),
        Verb::Explain { url } => {
            let (args, url) = (Arc::clone(args), url.clone());
            apart(move || explain::main(&args, &url)).await
        }
    };
    outcome.map(Answer::from)
}

/// Which exit code an error deserves, and its one line.
fn explain_failure(error: &anyhow::Error) -> (u8, String) {
    let code = if error.is::<crate::config::ConfigError>() || error.is::<crate::site::UrlError>() {
        EXIT_USAGE
    } else {
        use crate::manifest::ManifestError;
        use crate::rebuild::RebuildError;
        use crate::run::RunError;
        match error.downcast_ref::<RunError>() {
            Some(RunError::Locked(_)) => EXIT_BUSY,
            Some(
                RunError::Config(_)
                | RunError::Http(_)
                | RunError::Manifest(ManifestError::Layout { .. } | ManifestError::Moving { .. })
                | RunError::Rebuild(
                    RebuildError::Layout { .. }
                    | RebuildError::Manifest(ManifestError::Layout { .. }),
                ),
            ) => EXIT_USAGE,
            _ => EXIT_FAILED,
        }
    };
    (code, one_line(error))
}

/// An error and its causes, but for those that it has named itself.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string().replace('\n', " ");
        if !line.contains(&text) {
            let colon = if line.is_empty() { "" } else { ": " };
            line.push_str(colon);
            line.push_str(&text);
        }
    }
    line
}

/// Help and version go out as they are; anything else is one error.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        return ExitCode::from(written(error.print(), 0));
    }
    if std::env::args().any(|argument| argument == "--json") {
        let text = error.to_string();
        let what = text.split("\n\nUsage:").next().unwrap_or(&text);
        let what = what.strip_prefix("error: ").unwrap_or(what);
        let line = what.split_whitespace().collect::<Vec<_>>().join(" ");
        return ExitCode::from(put_error(&line, EXIT_USAGE));
    }
    // Nothing can be done about a closed stderr.
    drop(error.print());
    ExitCode::from(EXIT_USAGE)
}

fn say(args: &Args, answer: Answer) -> u8 {
    let code = answer.outcome.code;
    written(put(args, answer, &mut io::stdout().lock()), code)
}

fn put(args: &Args, answer: Answer, out: &mut impl Write) -> io::Result<()> {
    let Answer { spool, outcome } = answer;
    if let Some(spool) = spool {
        spool.pour(out)?;
    }
    if args.json && !outcome.json.is_null() {
        serde_json::to_writer_pretty(&mut *out, &outcome.json)?;
        writeln!(out)?;
    } else if !args.json && !args.quiet {
        out.write_all(outcome.text.as_bytes())?;
    }
    out.flush()
}

/// The exit code once something was written to stdout, or was not.
fn written(result: io::Result<()>, code: u8) -> u8 {
    match result {
        Ok(()) => code,
        // A reader that has seen enough (`| head`) changes nothing about what was done.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => code,
        Err(error) => {
            eprintln!("standin: stdout: {error}");
            EXIT_FAILED
        }
    }
}

fn complain(args: &Args, message: &str, code: u8) -> ExitCode {
    if !args.json {
        eprintln!("standin: {message}");
        return ExitCode::from(code);
    }
    ExitCode::from(put_error(message, code))
}

/// An error as the one document for machines.
fn put_error(message: &str, code: u8) -> u8 {
    let mut out = io::stdout().lock();
    let line = writeln!(out, "{}", serde_json::json!({ "error": message }));
    written(line.and_then(|()| out.flush()), code)
}

/// Logs go to stderr; how much of them is `-v`, `-q` or `RUST_LOG`. What became of each URL has a target of
/// its own, so that `-v` says that and not everything else that is done.
fn listen(args: &Args) {
    let level = match (args.quiet, args.verbose) {
        (true, _) => "off",
        (false, 0) => "error",
        (false, 1) => &format!("standin=info,{}=debug,warn", crate::crawl::URL_LOG),
        (false, 2) => "standin=debug,info",
        (false, _) => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second subscriber can only be a test's own.
    drop(match args.log_format {
        LogFormat::Text => log.with_target(false).with_ansi(false).try_init(),
        LogFormat::Json => log.json().try_init(),
    });
}
