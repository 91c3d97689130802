//! `standin get URL`: what a tier holds of a page. It needs neither lock nor manifest, so that it answers
//! while a run is going and on a machine that has the configuration alone: layout and identity come from
//! the tier's head.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::json;

use super::Outcome;
use super::args::{Args, Verb};
use crate::config::{self, Config, TierConfig, TierName};
use crate::content::Digester;
use crate::run::{self, RunError};
use crate::site::{Admission, Layout, ObjectKey, PageUrl, Scope};
use crate::sync::{HEAD, HEAD_FORMAT, Head};
use crate::tier::{ObjectMeta, Pieces, Seen, Tier};

/// Not there, or not what it should be.
const EXIT_DIFFERS: u8 = 1;

pub async fn main(args: &Args) -> anyhow::Result<Outcome> {
    let Verb::Get {
        url,
        tier,
        output,
        head,
    } = &args.verb
    else {
        unreachable!("main has chosen by the verb");
    };
    // Not said to clap, which overlooks it where `--json` stands before the verb.
    if args.json && output.is_some() {
        let why = "--json prints no bytes, so it does not go with --output; leave one of them out";
        return Err(RunError::Config(why.into()).into());
    }
    let config = config::load(args.config.as_deref())?;
    let asked = PageUrl::parse(url)?;
    let tier = run::tier_of(chosen(&config, tier.as_deref())?)?;
    let house = House::look(&config, tier.as_ref()).await?;
    let (url, rule) = house.page(asked);
    let key = house.layout.place(&url).key;
    let Some(seen) = tier.head(&key).await? else {
        let rule = rule.map_or_else(String::new, |rule| format!(" ({rule})"));
        let why = format!("tier {} has no {url}{rule}: no object {key}", tier.name());
        return Ok(absent(args, &why));
    };
    if args.json {
        return Ok(shown(&seen, &key, &url, tier.as_ref()));
    }
    if *head {
        return Ok(Outcome {
            code: 0,
            text: headers(&seen, &key),
            json: json!(null),
        });
    }
    let wanted = Wanted {
        tier: tier.as_ref(),
        key: &key,
        seen: &seen,
    };
    let (code, text) = match output {
        Some(file) => (wanted.pour_to_file(file).await?, headers(&seen, &key)),
        None => (wanted.pour_to_stdout().await?, String::new()),
    };
    Ok(Outcome {
        code,
        text,
        json: json!(null),
    })
}

/// The tier that is meant: by its name, or the first.
///
/// # Errors
/// [`RunError::Config`].
pub fn chosen<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a TierConfig, RunError> {
    if let Some(problem) = config.problems().into_iter().next() {
        return Err(RunError::Config(problem));
    }
    let Some(name) = name else {
        return Ok(config.tiers.first().expect("no tier is a problem"));
    };
    let name = TierName::parse(name);
    let name = name.map_err(|error| RunError::Config(format!("--tier: {error}")))?;
    config.tier(&name).map_err(RunError::Config)
}

/// By which rules a tier was filled: what its head says, and the configuration where it has none.
pub struct House {
    pub layout: Layout,
    scope: Scope,
}

impl House {
    /// Reads the head of a tier.
    ///
    /// # Errors
    /// What the tier says, or why the rules of the configuration are none.
    pub async fn look(config: &Config, tier: &dyn Tier) -> anyhow::Result<House> {
        let mut rules = config.site.scope_rules();
        let found = tier.read_small(HEAD).await?;
        let head = found.map(|(bytes, _)| head_of(tier, &bytes)).transpose()?;
        let layout = match head {
            None => run::layout_of(config),
            Some(head) => {
                rules.identity.extend(head.identity);
                Layout::new(head.layout, head.asset_hosts)
            }
        };
        let scope = Scope::new(rules).map_err(RunError::from)?;
        Ok(House { layout, scope })
    }

    /// The page that a URL means, and why it is none where it is none.
    pub fn page(&self, asked: PageUrl) -> (PageUrl, Option<String>) {
        let rule = self.scope.explain(&asked).to_string();
        match self.scope.admit(asked.clone()) {
            Admission::Page(page) => (page, None),
            // A tier may still hold what is outside today.
            Admission::Outside(_) => (asked, Some(rule)),
        }
    }
}

/// A head as this version understands it. The format is looked at first: of a newer one nothing else is known.
fn head_of(tier: &dyn Tier, bytes: &[u8]) -> anyhow::Result<Head> {
    #[derive(serde::Deserialize)]
    struct Format {
        format: u32,
    }
    let name = tier.name();
    let unreadable = || format!("tier {name}: {HEAD} cannot be read");
    let found: Format = serde_json::from_slice(bytes).with_context(unreadable)?;
    if found.format > HEAD_FORMAT {
        anyhow::bail!("tier {name} was written by a newer version of standin; upgrade standin");
    }
    serde_json::from_slice(bytes).with_context(unreadable)
}

/// An object that is to be read.
struct Wanted<'a> {
    tier: &'a dyn Tier,
    key: &'a ObjectKey,
    seen: &'a Seen,
}

impl Wanted<'_> {
    async fn pour_to_stdout(&self) -> anyhow::Result<u8> {
        let out = io::stdout().lock();
        match self.pour(out).await {
            // Whoever reads has seen enough.
            Err(error) if is_closed(&error) => Ok(0),
            poured => poured,
        }
    }

    /// A file that is there stays as it is until all bytes of the new one are beside it.
    async fn pour_to_file(&self, path: &Path) -> anyhow::Result<u8> {
        let named = || format!("{}", path.display());
        // What a link means is replaced, not the link; what is no file, such as /dev/stdout, is written to.
        let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if path.exists() && !path.is_file() {
            let file = File::options().write(true).open(path);
            return self
                .pour(file.with_context(named)?)
                .await
                .with_context(named);
        }
        let mut name = path.clone().into_os_string();
        name.push(format!(".{}.part", std::process::id()));
        let part = Part(name.into());
        let file = File::create(&part.0).with_context(named)?;
        let code = self.pour(file).await.with_context(named)?;
        std::fs::rename(&part.0, path).with_context(named)?;
        Ok(code)
    }

    /// Writes the bytes as they come, and says on stderr when they are not those of the page.
    async fn pour(&self, mut out: impl Write) -> anyhow::Result<u8> {
        let mut digester = Digester::new();
        let mut pieces = Pieces::new(self.tier, self.key, self.seen.size, &self.seen.etag);
        while let Some(piece) = pieces.next().await? {
            digester.update(&piece);
            out.write_all(&piece)?;
        }
        out.flush()?;
        let content = digester.finish().content;
        let tier = self.tier.name();
        match &self.seen.meta {
            Some(meta) if meta.content != content => {
                eprintln!(
                    "standin: tier {tier}: {} is damaged: BLAKE3 {content}, its metadata says {}",
                    self.key, meta.content
                );
                Ok(EXIT_DIFFERS)
            }
            Some(_) => Ok(0),
            None => {
                eprintln!(
                    "standin: tier {tier}: {} has no metadata of ours, so its bytes could not be checked",
                    self.key
                );
                Ok(0)
            }
        }
    }
}

/// A file that is being written; gone when that ends before it was given its name, by a signal, too.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // Under this name there is nothing any more if all went well.
        drop(std::fs::remove_file(&self.0));
    }
}

fn is_closed(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

fn absent(args: &Args, why: &str) -> Outcome {
    if !args.json {
        eprintln!("standin: {why}");
    }
    Outcome {
        code: EXIT_DIFFERS,
        text: String::new(),
        json: json!({ "error": why }),
    }
}

/// The answer as it would be served.
fn headers(seen: &Seen, key: &ObjectKey) -> String {
    let Some(meta) = &seen.meta else {
        return format!(
            "{key}\ncontent-length: {}\netag: {}\n(no metadata of ours)\n",
            seen.size, seen.etag
        );
    };
    let mut text = format!("{}\n", meta.status);
    if let Some(location) = &meta.location {
        text.push_str(&format!("location: {location}\n"));
    }
    for (name, value) in meta.headers.iter() {
        text.push_str(&format!("{name}: {value}\n"));
    }
    text.push_str(&format!("content-length: {}\n", seen.size));
    text
}

fn shown(seen: &Seen, key: &ObjectKey, url: &PageUrl, tier: &dyn Tier) -> Outcome {
    let meta = seen.meta.as_ref().map(described);
    Outcome {
        code: 0,
        text: String::new(),
        json: json!({
            "url": url,
            "tier": tier.name().as_str(),
            "key": key,
            "size": seen.size,
            "etag": seen.etag,
            "meta": meta,
        }),
    }
}

fn described(meta: &ObjectMeta) -> serde_json::Value {
    json!({
        "url": meta.url,
        "status": meta.status,
        "location": meta.location,
        "blake3": meta.content,
        "crc32c": format!("{:08x}", meta.crc32c),
        "headers": meta.headers,
        "provenance": meta.provenance,
    })
}
