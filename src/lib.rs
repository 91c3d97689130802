//! Standin keeps a static copy of a public web site ready in several object stores, to take the stage
//! when the site's own servers cannot.
//!
//! Follow one page through the rooms: [`crawl`] asks for it and stages what it answered, [`manifest`]
//! commits that as part of a generation, [`delta`] turns what changed into operations, [`sync`] carries
//! them out on every [`tier`], [`audit`] proves what is there, and [`run`] ties it together from lock to
//! verdict. A room uses only what stands below it in `docs/ARCHITECTURE.md`; a test holds the two
//! against each other.

pub mod audit;
pub mod cli;
pub mod config;
pub mod content;
pub mod crawl;
pub mod db;
pub mod delta;
pub mod demo;
pub mod http;
pub mod manifest;
pub mod rebuild;
pub mod run;
pub mod site;
pub mod store;
pub mod sync;
pub mod tier;
