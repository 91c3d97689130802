//! The network's two ends: the client underneath the crawl, and the server underneath the demo.
//!
//! The client asks only the hosts it is told to and resolves names to public addresses only, unless a
//! private one is permitted by name. Nothing here follows a redirect, keeps a cookie, or knows what a
//! page is. How fast one service may be asked ([`pace`]) is the same decision for tiers and for hosts.

pub mod client;
pub mod pace;
mod server;

pub use client::{ClientOptions, HttpError, Lookup, client, install_crypto};
pub use server::{Handler, Server};
