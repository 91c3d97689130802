//! `standin plan`: what a sync would do now, and why. Where nothing is to be done, a small file beside the database
//! says so and the database stays closed.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::Args;
use super::spool::Spool;
use super::{Answer, EXIT_FAILED, Outcome, one_line, relayout, render};
use crate::config::{self, TierConfig};
use crate::db::Fuse;
use crate::delta::{Cause, Operation, Reason};
use crate::manifest::{Doubt, Generation, Manifest, ManifestError, RunId, Standing};
use crate::run::{self, HeldBack, Lock, RunError};
use crate::site::{ObjectKey, PageUrl};
use crate::sync::{self, Planned, Step};
use crate::tier::Prices;

/// Objects named of each kind; the rest is counted.
const NAMED_MAX: usize = 20;

/// The answer, which is printed only after lock and database were let go of: a reader may take its time.
pub fn main(args: &Args, only: Option<&str>) -> anyhow::Result<Answer> {
    let config = config::load(args.config.as_deref())?;
    let tiers = match only {
        None => config.tiers.iter().collect(),
        Some(name) => vec![config.tier_named(name).map_err(RunError::Config)?],
    };
    let lock = Lock::acquire(&config.state.dir, "plan", &RunId("plan".into()))?;
    let held_back = run::held_back(&config.state.dir)?;
    let standing = Standing::read(&config.state.dir);
    let names = tiers.iter().map(|tier| &tier.name);
    let complete =
        standing.filter(|standing| standing.is_complete(&run::layout_of(&config), names));
    if let Some(standing) = complete {
        return Ok(nothing(&tiers, standing.generation, held_back.as_ref()).into());
    }
    let manifest = match run::manifest_of(&config, Fuse::none()) {
        Err(ManifestError::Layout { .. }) => return Ok(relayout::wanted(&config, &tiers)?.into()),
        manifest => manifest.map_err(RunError::from)?,
    };
    if let Some(shown) = relayout::under_way(&tiers, &manifest)? {
        return Ok(shown.into());
    }
    let planning = Planning {
        manifest: &manifest,
        tiers: priced(&tiers)?,
        held_back,
        place: manifest.scratch("plan.spool"),
    };
    let answer = match (args.json, args.quiet, args.verbose) {
        (true, ..) => planning.document()?,
        (false, true, _) => Outcome::printed(0).into(),
        (false, false, 0) => planning.summary(Names::First)?,
        (false, false, _) => planning.summary(Names::All)?,
    };
    // The next time nothing is to be done, the file beside the database knows.
    let (left, written) = run::leave(manifest, &config);
    if let Err(error) = written {
        tracing::warn!(%error, "the next plan opens the database again");
    }
    // Whoever waits for the lock must find the database closed. Printing waits for neither.
    std::thread::spawn(move || {
        drop(left);
        drop(lock);
    });
    Ok(answer)
}

/// What each operation on a tier costs is known to its client.
fn priced<'a>(tiers: &[&'a TierConfig]) -> Result<Vec<(&'a TierConfig, Prices)>, RunError> {
    let mut priced = Vec::new();
    for tier in tiers {
        let client = run::tier_of(tier).map_err(|error| RunError::Config(error.to_string()))?;
        priced.push((*tier, client.prices()));
    }
    Ok(priced)
}

/// The answer of the file.
fn nothing(tiers: &[&TierConfig], generation: Generation, held_back: Option<&HeldBack>) -> Outcome {
    let rows = tiers.iter().map(|tier| {
        let about = About {
            name: tier.name.as_str(),
            watermark: generation,
            debts: 0,
            in_doubt: false,
        };
        let mut row = serde_json::to_value(about).expect("a plain record always serialises");
        row["operations"] = serde_json::json!([]);
        let sums = serde_json::to_value(Planned::default()).expect("as above");
        let (row_fields, sums) = (row.as_object_mut(), sums);
        if let (Some(row), serde_json::Value::Object(sums)) = (row_fields, sums) {
            row.extend(sums);
        }
        row
    });
    let json = serde_json::json!({
        "generation": generation,
        "answered_from": "tiers.json",
        "held_back": held_back,
        "tiers": rows.collect::<Vec<_>>(),
    });
    let lines = tiers.iter().map(|tier| {
        format!(
            "{}: nothing to do, generation {generation} is recorded as there\n",
            tier.name
        )
    });
    Outcome {
        code: 0,
        text: lines.collect::<String>() + &guards_say(held_back),
        json,
    }
}

fn guards_say(held_back: Option<&HeldBack>) -> String {
    let Some(held) = held_back else {
        return String::new();
    };
    let because = held.because.as_deref().unwrap_or("a guard spoke");
    let (count, are) = match held.changes {
        1 => (1, "change is"),
        count => (count, "changes are"),
    };
    format!("{count} {are} held back by the last run and in no plan: {because}\n")
}

/// How a tier stands before the plan.
#[derive(Serialize)]
struct About<'a> {
    name: &'a str,
    watermark: Generation,
    debts: u64,
    /// A plan was begun on it and has not ended.
    in_doubt: bool,
}

/// One operation for machines.
#[derive(Serialize)]
struct Line<'a> {
    what: &'static str,
    key: &'a ObjectKey,
    url: &'a PageUrl,
    /// Where the body is copied from.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a ObjectKey>,
    /// Of the body to be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(flatten)]
    reason: &'a Reason,
}

impl<'a> Line<'a> {
    fn of(step: &'a Step) -> Line<'a> {
        let (what, from, bytes) = match &step.operation {
            Operation::Put { object, .. } => ("put", None, Some(object.meta.size)),
            Operation::Copy { from, .. } => ("copy", Some(from), None),
            Operation::Reheader { .. } => ("reheader", None, None),
            Operation::Delete { .. } => ("delete", None, None),
        };
        Line {
            what,
            key: step.operation.key(),
            url: step.operation.url(),
            from,
            bytes,
            reason: &step.reason,
        }
    }
}

/// Which objects people are told of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    /// Some of each kind.
    First,
    /// Each, in a line of its own, as the plan comes to it.
    All,
}

/// Objects of one kind in a plan.
#[derive(Default)]
struct Group {
    count: u64,
    lines: Vec<String>,
}

struct Planning<'a> {
    manifest: &'a Manifest,
    tiers: Vec<(&'a TierConfig, Prices)>,
    held_back: Option<HeldBack>,
    /// For what of a long answer is not kept in memory.
    place: PathBuf,
}

impl Planning<'_> {
    fn about<'a>(&self, tier: &'a TierConfig) -> Result<About<'a>, RunError> {
        Ok(About {
            name: tier.name.as_str(),
            watermark: self.manifest.tier(&tier.name)?.watermark,
            debts: self.manifest.debts(&tier.name).count() as u64,
            in_doubt: self.manifest.intent(&tier.name)?.is_some(),
        })
    }

    /// One document, written operation by operation, so that a plan of any size takes no memory. What cannot be read
    /// half way through is told inside of it, for it has begun by then.
    fn document(&self) -> anyhow::Result<Answer> {
        let mut out = Paper::new(&self.place);
        out.put(format_args!(
            "{{\"generation\":{},\"answered_from\":\"manifest\",\"held_back\":{},\"tiers\":[",
            self.manifest.generation(),
            text_of(&self.held_back)
        ));
        let mut failed = None;
        for (index, (tier, prices)) in self.tiers.iter().enumerate() {
            let about = match self.about(tier) {
                Ok(about) => text_of(&about),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            };
            let comma = if index == 0 { "" } else { "," };
            let fields = about.trim_end_matches('}');
            out.put(format_args!("{comma}{fields},\"operations\":["));
            let mut comma = "\n";
            let planned = sync::plan_of(self.manifest, &tier.name, prices, |step| {
                out.put(format_args!("{comma}{}", text_of(&Line::of(step))));
                comma = ",\n";
            });
            match planned {
                Ok(planned) => {
                    let sums = text_of(&planned);
                    let sums = sums.trim_start_matches('{');
                    out.put(format_args!("],{sums}"));
                }
                Err(error) => {
                    out.put(format_args!("]}}"));
                    failed = Some(error.into());
                    break;
                }
            }
        }
        let error = failed.map(|error| one_line(&anyhow::Error::from(error)));
        match &error {
            None => out.put(format_args!("]}}\n")),
            Some(line) => out.put(format_args!("],\"error\":{}}}\n", text_of(line))),
        }
        Ok(Answer {
            spool: Some(out.end(&self.place)?),
            outcome: Outcome::printed(error.map_or(0, |_| EXIT_FAILED)),
        })
    }

    /// Sums for people, with some or all objects by name.
    fn summary(&self, names: Names) -> anyhow::Result<Answer> {
        let mut out = Paper::new(&self.place);
        let mut text = String::new();
        for (tier, prices) in &self.tiers {
            let mut groups: BTreeMap<(u8, &str), Group> = BTreeMap::new();
            let planned = sync::plan_of(self.manifest, &tier.name, prices, |step| {
                let kind = (order(&step.operation), step.reason.word());
                let group = groups.entry(kind).or_default();
                group.count += 1;
                match names {
                    Names::All => out.put(format_args!(
                        "{}: {} {}: {}\n",
                        tier.name,
                        verb(order(&step.operation)),
                        step.operation.key(),
                        Told(step)
                    )),
                    Names::First if group.lines.len() < NAMED_MAX => {
                        let line = format!("{}: {}", step.operation.key(), Told(step));
                        group.lines.push(line);
                    }
                    Names::First => (),
                }
            });
            let planned = planned.map_err(RunError::from)?;
            let watermark = self.about(tier)?.watermark;
            text += &sums(
                tier.name.as_str(),
                &planned,
                watermark,
                self.manifest.generation(),
            );
            for ((order, word), group) in groups {
                text += &group.text(order, word, names);
            }
        }
        Ok(Answer {
            spool: Some(out.end(&self.place)?),
            outcome: Outcome {
                code: 0,
                text: text + &guards_say(self.held_back.as_ref()),
                json: serde_json::Value::Null,
            },
        })
    }
}

impl Group {
    fn text(&self, order: u8, word: &str, names: Names) -> String {
        let mut text = format!(
            "  {} ({}): {}\n",
            verb(order),
            word.replace('_', " "),
            self.count
        );
        for line in &self.lines {
            text += &format!("    {line}\n");
        }
        let left = self.count - self.lines.len() as u64;
        if left > 0 && names == Names::First {
            text += &format!("    … and {left} more; -v names all\n");
        }
        text
    }
}

fn sums(name: &str, planned: &Planned, watermark: Generation, newest: Generation) -> String {
    if planned.operations() == 0 {
        return format!("{name}: nothing to do, generation {newest} is recorded as there\n");
    }
    format!(
        "{name}: {} to put ({}), {} to copy, {} to re-header, {} to delete; {} requests about objects, from generation \
         {watermark} to {newest}\n",
        planned.put,
        render::bytes(planned.bytes),
        planned.copied,
        planned.reheadered,
        planned.deleted,
        planned.requests
    )
}

/// The order in which kinds are told, which is about that in which they are done.
fn order(operation: &Operation) -> u8 {
    match operation {
        Operation::Put { .. } => 0,
        Operation::Copy { .. } => 1,
        Operation::Reheader { .. } => 2,
        Operation::Delete { .. } => 3,
    }
}

fn verb(order: u8) -> &'static str {
    ["put", "copy", "re-header", "delete"][usize::from(order)]
}

/// Why an operation is planned, in words.
struct Told<'a>(&'a Step);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = &self.0.reason;
        match &reason.cause {
            Cause::New => write!(f, "new")?,
            Cause::Returned => write!(f, "there again")?,
            Cause::Body => write!(f, "body changed")?,
            Cause::Headers(names) => write!(f, "headers changed: {}", names.join(", "))?,
            Cause::Status { before, after } => write!(f, "status {before} became {after}")?,
            Cause::Target { before, after } => {
                write!(f, "redirect led to {before}, leads to {after}")?;
            }
            Cause::BecameRedirect { target } => write!(f, "page became a redirect to {target}")?,
            Cause::BecamePage => write!(f, "redirect became a page")?,
            Cause::Gone { status } => write!(f, "gone ({status})")?,
            Cause::Retired => write!(f, "retired: nothing links to it")?,
            Cause::Unchanged => write!(f, "as it was")?,
        }
        if let Operation::Copy { from, .. } = &self.0.operation {
            let moved = if reason.moved { "moved, " } else { "" };
            write!(f, "; {moved}copied from {from}")?;
        }
        match &reason.doubt {
            Doubt::None => (),
            Doubt::CutShort => write!(f, "; in doubt, since a plan was cut short")?,
            Doubt::Owed(debt) => write!(
                f,
                "; owed since generation {} after {} attempts: {}",
                debt.since,
                debt.attempts,
                debt.reason.replace(['\n', '\r'], " ")
            )?,
        }
        if let Some(url) = &reason.instead_of {
            write!(f, "; takes the place of {url}")?;
        }
        for url in &reason.wins_over {
            write!(f, "; {url} lies on the same key and is not served")?;
        }
        Ok(())
    }
}

/// Where a long answer goes. That it could not be written is told at its end.
struct Paper {
    spool: Spool,
    torn: Option<io::Error>,
}

impl Paper {
    fn new(place: &Path) -> Paper {
        Paper {
            spool: Spool::new(place.into()),
            torn: None,
        }
    }

    fn put(&mut self, text: fmt::Arguments<'_>) {
        if self.torn.is_none() {
            self.torn = self.spool.write_fmt(text).err();
        }
    }

    fn end(self, place: &Path) -> Result<Spool, RunError> {
        match self.torn {
            None => Ok(self.spool),
            Some(source) => Err(RunError::Io {
                path: place.into(),
                source,
            }),
        }
    }
}

fn text_of(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("a plain record always serialises")
}
