//! The story of the demo: a site is served, mirrored into three tiers, edited, and mirrored again; the
//! second run must find exactly what was edited.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::Response;
use http::request::Parts;

use super::serve::DemoServer;
use super::site::{DemoSite, Edit, EditKind};
use crate::config::{self, Config};
use crate::http::{Handler, Server};
use crate::run::RunReport;
use crate::site::PageUrl;

/// The seed of the bundled site: every demo shows the same one.
const SEED: u64 = 7;

/// The three tiers of the demo, as operators name theirs.
pub const TIERS: [&str; 3] = ["primary", "replica", "tertiary"];

/// A demo under way: the site is being served.
pub struct Story {
    site: Arc<OnceLock<DemoServer>>,
    server: Server,
    config: Config,
}

/// The site exists only once its port is known, because it names its own address.
struct Opening(Arc<OnceLock<DemoServer>>);

impl Handler for Opening {
    fn answer(&self, request: &Parts) -> Response<Bytes> {
        match self.0.get() {
            Some(site) => site.answer(request),
            None => {
                let mut closed = Response::new(Bytes::from_static(b"not open yet\n"));
                *closed.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
                closed
            }
        }
    }
}

impl Story {
    /// Serves the site on a free loopback port; state and tiers will lie in `dir`.
    ///
    /// # Errors
    /// No loopback address can be had.
    pub async fn begin(dir: &Path) -> io::Result<Story> {
        let site = Arc::new(OnceLock::new());
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::bind(anywhere, Arc::new(Opening(Arc::clone(&site)))).await?;
        let base = format!("http://{}", server.local_addr());
        let home = PageUrl::parse(&format!("{base}/")).expect("an address with a port is a URL");
        let generated = DemoSite::generate(SEED, &base);
        site.get_or_init(|| DemoServer::new(generated));
        Ok(Story {
            site,
            server,
            config: config::for_tiers(&home, dir, &TIERS),
        })
    }

    /// What both runs of the demo are run with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// HTML pages and bytes of the site.
    pub fn size(&self) -> (usize, u64) {
        (self.server_of_site().pages(), self.server_of_site().bytes())
    }

    /// Edits the site; every address that answers otherwise now is named.
    pub fn edit(&self) -> Vec<Edit> {
        self.server_of_site().edit()
    }

    /// Closes the site.
    pub async fn end(self) {
        self.server.stop().await;
    }

    fn server_of_site(&self) -> &DemoServer {
        self.site.get().expect("it was set before the story began")
    }
}

/// Where a run's changes are not the edits: empty when the delta was exact.
pub fn differences(edits: &[Edit], report: &RunReport) -> Vec<String> {
    let expected: BTreeMap<&str, &str> = edits
        .iter()
        .map(|edit| (edit.path.as_str(), change_of(edit.what)))
        .collect();
    let found: BTreeMap<&str, &str> = report
        .changes
        .iter()
        .map(|change| (change.url.target(), change.what))
        .collect();
    let missed = expected
        .iter()
        .filter(|(path, what)| found.get(*path) != Some(*what))
        .map(|(path, what)| format!("{path} should have been {what}"));
    let invented = found
        .keys()
        .filter(|path| !expected.contains_key(*path))
        .map(|path| format!("{path} was not edited"));
    missed.chain(invented).collect()
}

fn change_of(kind: EditKind) -> &'static str {
    match kind {
        EditKind::Edited | EditKind::SameSize => "changed",
        EditKind::Added => "new",
        EditKind::Withdrawn => "gone",
    }
}
