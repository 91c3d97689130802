//! The demo: a web site that comes with Standin, so that a first run needs no network.
//!
//! Here a fictional ministry is made from a seed, as bytes in memory, and served on a loopback
//! address with the habits of real sites: nonces, validators, redirects, a page that is gone, a
//! link that is broken, a draft that robots.txt forbids. It can be edited, and then says exactly
//! which addresses answer otherwise than before. The story mirrors it twice with an edit in between.

mod assets;
mod feeds;
mod font;
mod ministry;
mod pages;
mod sections;
mod serve;
mod site;
mod standing;
mod story;
mod words;

pub use serve::{Answered, DemoServer};
pub use site::{DemoSite, Edit, EditKind};
pub use story::{Story, TIERS, differences};
