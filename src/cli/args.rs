//! What can be said on the command line.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};

/// An incremental, content-addressed mirror store for public web sites.
#[derive(Debug, Parser)]
#[command(
    name = "standin",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub struct Args {
    /// The configuration [default: standin.toml, then /etc/standin/standin.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print exactly one JSON document on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing but errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Log more to stderr (-v why each URL was taken or left, -vv what is done, -vvv everything)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// How log lines look
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Mirror a site without any configuration; again = only what changed
    Mirror {
        /// The site's home page, such as https://your.site/
        url: String,
        /// Where state and copy are kept [default: a folder named after the host]
        #[arg(long, value_name = "DIR")]
        into: Option<PathBuf>,
    },
    /// Publish a folder, such as a site generator writes, in the crawl's place; again = only what changed
    Publish {
        /// Its files become the pages of the first of `site.hosts`, DIR/a/index.html the page /a/
        dir: PathBuf,
    },
    /// Watch the whole cycle on a bundled site, offline
    Demo {
        /// Where to work [default: a temporary folder]
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// Keep the folder, to look at the copies afterwards
        #[arg(long)]
        keep: bool,
    },
    /// Write a commented configuration
    Init {
        /// [default: standin.toml]
        file: Option<PathBuf>,
    },
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigVerb),
    /// The scheduled job: crawl, commit, sync, verify, report
    Run {
        /// These pages alone, all the way to every tier: just published, or reported as wrong
        #[arg(long, num_args = 1.., value_name = "URL")]
        only: Vec<String>,
        /// Move the mirror to the layout that the configuration says now; `standin plan` shows what it costs
        #[arg(long, conflicts_with = "only")]
        migrate_layout: bool,
    },
    /// Crawl and commit only
    Crawl,
    /// What a sync would do now, and why (the dry run); -v names every object
    Plan {
        /// This tier alone [default: all]
        #[arg(long, value_name = "NAME")]
        tier: Option<String>,
    },
    /// Bring every tier up to the newest generation
    Sync,
    /// Prove what the last run wrote from the tiers' own listings
    Verify,
    /// Take over tiers that another tool has filled: what matches is not sent again
    Adopt {
        /// This tier alone [default: all that are not ours yet]
        #[arg(long, value_name = "NAME")]
        tier: Option<String>,
        /// Compare and count only; nothing is written anywhere
        #[arg(long)]
        dry_run: bool,
        /// Give what matches our headers, too (metadata alone is replaced)
        #[arg(long)]
        reheader: bool,
    },
    /// What is really in the tiers, against the manifest: every object, by complete listings
    Audit(AuditArgs),
    /// After a loss: make the manifest, the store or a tier again from what survives
    #[command(subcommand)]
    Rebuild(RebuildVerb),
    /// Drop bodies that no page has any more from the local store
    Gc {
        /// Count only; nothing is removed
        #[arg(long)]
        dry_run: bool,
    },
    /// The bytes of a page as a tier holds them; answers while a run is going, too
    Get {
        url: String,
        /// [default: the first]
        #[arg(long, value_name = "NAME")]
        tier: Option<String>,
        /// Write the bytes there and the headers to stdout
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// The headers alone
        #[arg(long, conflicts_with = "output")]
        head: bool,
    },
    /// What is in a tier; answers while a run is going, too
    Ls {
        /// Keys that begin so; a URL stands for the keys below it
        prefix: Option<String>,
        /// [default: the first]
        #[arg(long, value_name = "NAME")]
        tier: Option<String>,
        /// Size and ETag before each key
        #[arg(long)]
        long: bool,
    },
    /// Which rules a site needs: asks for pages twice, and says where the answers differ
    Suggest {
        #[arg(required = true, value_name = "URL")]
        urls: Vec<String>,
        /// How often each page is asked for
        #[arg(long, value_name = "N", default_value_t = 2)]
        times: usize,
        /// Seconds between two rounds; more for pages that change by the minute
        #[arg(long, value_name = "SECONDS", default_value_t = 1.1)]
        pause: f64,
    },
    /// How the mirror stands; answers while a run is going, too
    Status,
    /// All about one page: its rule, key, record, history, what a CDN asks for, and what each tier has
    Explain { url: String },
}

#[derive(Debug, clap::Args)]
pub struct AuditArgs {
    /// This tier alone; may be said several times [default: all]
    #[arg(long, value_name = "NAME")]
    pub tier: Vec<String>,
    /// Read every byte back, too, and compare its BLAKE3
    #[arg(long)]
    pub deep: bool,
    /// Read so many objects back, picked at random, and say what that says of all
    #[arg(long, value_name = "N", conflicts_with = "deep")]
    pub sample: Option<u64>,
    /// Bytes a second that are read back from each tier, such as 50MB [default: as fast as it goes]
    #[arg(long, value_name = "RATE")]
    pub rate: Option<String>,
    /// Ask for the headers of objects, too: `all`, or `sample N`
    #[arg(long, num_args = 1..=2, value_names = ["all|sample", "N"])]
    pub headers: Vec<String>,
    /// Instead of the tiers: does every link of every stored page lead to something stored? Without any network
    #[arg(long, conflicts_with_all = ["tier", "deep", "sample", "rate", "headers", "repair", "delete_foreign"])]
    pub links: bool,
    /// Mend what is found: from the store, else from another tier, else from the site itself
    #[arg(long)]
    pub repair: bool,
    /// Delete objects that no page of the site has the key of
    #[arg(long)]
    pub delete_foreign: bool,
    /// Write all findings there, as NDJSON and CSV, a file for each class
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Validate it and say what it means
    Check,
    /// The least rights that the job needs in its buckets
    Policy {
        /// Whose rights: a policy document for aws, a role and its bindings for gcp
        #[arg(long = "for", value_enum, value_name = "PROVIDER")]
        provider: Provider,
        /// For this tier alone
        #[arg(long, value_name = "NAME")]
        tier: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum RebuildVerb {
    /// The manifest, from the newest checkpoint that can be believed, else from the objects' own metadata
    Manifest {
        /// A tier, or a state folder (or a copy of one) with checkpoints [default: the best there is]
        #[arg(long, value_name = "TIER|DIR")]
        from: Option<String>,
        /// Also where the manifest that is there opens well; it is moved aside
        #[arg(long)]
        replace: bool,
        /// Look at every object, where there is no checkpoint, without asking first
        #[arg(long)]
        yes: bool,
    },
    /// The local store: fetch the bodies that it lacks from the tiers
    Store,
    /// A tier that was emptied or lost: take it anew and fill it
    Tier {
        #[arg(value_name = "NAME")]
        tier: String,
        /// Where bodies come from: `store`, `tiers`, or one tier [default: the store, then the tiers]
        #[arg(long, value_name = "SOURCE")]
        from: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Provider {
    Aws,
    Gcp,
}
