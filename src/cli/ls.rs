//! `standin ls`: what is in a tier, as its listing shows it, a page at a time. Like `get` it needs neither
//! lock nor manifest.

use std::io::{self, BufWriter, Write};

use serde_json::json;

use super::Outcome;
use super::args::Args;
use super::get::{House, chosen};
use crate::config;
use crate::run;
use crate::site::{PageUrl, just_before};
use crate::tier::{LIST_PAGE, Listed, Tier, TierError};

/// How a listing is printed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Keys,
    Long,
    Json,
    Quiet,
}

pub async fn main(
    args: &Args,
    prefix: Option<&str>,
    tier: Option<&str>,
    long: bool,
) -> anyhow::Result<Outcome> {
    let config = config::load(args.config.as_deref())?;
    let tier = run::tier_of(chosen(&config, tier)?)?;
    let prefix = match prefix {
        Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
            let house = House::look(&config, tier.as_ref()).await?;
            below(&house, PageUrl::parse(url)?)
        }
        prefix => prefix.unwrap_or_default().to_owned(),
    };
    let style = match (args.json, args.quiet, long) {
        (true, _, _) => Style::Json,
        (_, true, _) => Style::Quiet,
        (_, _, true) => Style::Long,
        _ => Style::Keys,
    };
    let mut out = Printer {
        out: BufWriter::new(io::stdout().lock()),
        style,
        printed: 0,
    };
    let listed = match list(tier.as_ref(), &prefix, &mut out).await {
        // Whoever reads has seen enough.
        Err(Ended::Closed) => return Ok(done(0)),
        Err(Ended::Io(error)) => return Err(error.into()),
        Err(Ended::Tier(error)) => Err(error),
        Ok(()) => Ok(()),
    };
    if style != Style::Json {
        listed?;
        return Ok(done(0));
    }
    // The document is whole whatever happened on the way.
    let error = listed.err().map(|error| error.to_string());
    let code = error.as_ref().map_or(0, |_| super::EXIT_FAILED);
    match out.end(tier.name().as_str(), error) {
        Ok(()) | Err(Ended::Closed) => Ok(done(code)),
        Err(Ended::Io(error)) => Err(error.into()),
        Err(Ended::Tier(_)) => unreachable!("printing asks no tier"),
    }
}

/// The keys below a URL: what stands before the name of an index page belongs to all of them.
fn below(house: &House, url: PageUrl) -> String {
    let (page, _) = house.page(url);
    let key = house.layout.place(&page).key;
    let text = key.as_str();
    match page.path().ends_with('/') {
        true => text[..=text.rfind('/').expect("a key has a host")].to_owned(),
        false => text.to_owned(),
    }
}

enum Ended {
    /// Nobody reads any more.
    Closed,
    Io(io::Error),
    Tier(TierError),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Ended {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Ended::Closed,
            _ => Ended::Io(error),
        }
    }
}

async fn list<W: Write>(tier: &dyn Tier, prefix: &str, out: &mut Printer<W>) -> Result<(), Ended> {
    let mut after = Some(just_before(prefix)).filter(|text| !text.is_empty());
    loop {
        let page = tier.list(after.as_deref(), LIST_PAGE).await;
        let page = page.map_err(Ended::Tier)?;
        for listed in &page.objects {
            match listed.key.as_str().starts_with(prefix) {
                true => out.print(listed)?,
                false if listed.key.as_str() > prefix => return Ok(out.out.flush()?),
                false => (),
            }
        }
        out.out.flush()?;
        if !page.more {
            return Ok(());
        }
        after = page.last;
    }
}

struct Printer<W: Write> {
    out: W,
    style: Style,
    printed: u64,
}

impl<W: Write> Printer<W> {
    fn print(&mut self, listed: &Listed) -> io::Result<()> {
        let Listed {
            key, size, etag, ..
        } = listed;
        match self.style {
            Style::Quiet => (),
            Style::Keys => writeln!(self.out, "{key}")?,
            Style::Long => writeln!(self.out, "{size:>12}  {etag:<36}  {key}")?,
            Style::Json => {
                let before = if self.printed == 0 {
                    "{\"objects\":["
                } else {
                    ","
                };
                let object = json!({ "key": key, "size": size, "etag": etag });
                write!(self.out, "{before}\n{object}")?;
            }
        }
        self.printed += 1;
        Ok(())
    }

    /// The end of the document.
    fn end(&mut self, tier: &str, error: Option<String>) -> Result<(), Ended> {
        if self.printed == 0 {
            write!(self.out, "{{\"objects\":[")?;
        }
        let tier = json!(tier);
        write!(self.out, "],\"tier\":{tier}")?;
        if let Some(error) = error {
            write!(self.out, ",\"error\":{}", json!(error))?;
        }
        writeln!(self.out, "}}")?;
        Ok(self.out.flush()?)
    }
}

/// Everything has been printed already.
fn done(code: u8) -> Outcome {
    Outcome::printed(code)
}
