//! A fuse in the line of every durable write. In production it conducts for ever; a test gives it a
//! number of passes, after which each write is refused (the process counts as dead from then on) or
//! the process kills itself for real.

use std::any::Any;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

/// The environment variable by which a test kills a debug build: `N` or `PLACE:N`, SIGKILL at the
/// N-th pass (of that place), counted from 1. Release builds do not read it.
const KILL_VARIABLE: &str = "STANDIN_KILL_AT";

/// Says that a test has blown the fuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("killed by a test at {0}")]
pub struct Blown(pub &'static str);

/// Passed by every write to disk and to a tier, by name of the place.
#[derive(Clone, Default)]
pub struct Fuse(Option<Arc<Armed>>);

struct Armed {
    passes_left: AtomicI64,
    place: Option<String>,
    kill: bool,
    /// What the dead process may not close.
    kept: Mutex<Vec<Box<dyn Any + Send>>>,
}

impl Fuse {
    /// Conducts for ever.
    pub fn none() -> Fuse {
        Fuse(None)
    }

    /// Conducts `passes` times, then never again.
    pub fn after(passes: u64) -> Fuse {
        Fuse::armed(passes, None, false)
    }

    /// Conducts until it has passed this place so many times, then never again anywhere.
    pub fn at(place: &str, passes: u64) -> Fuse {
        Fuse::armed(passes, Some(place.to_owned()), false)
    }

    /// What [`KILL_VARIABLE`] asks for, in debug builds.
    pub fn from_environment() -> Fuse {
        if !cfg!(debug_assertions) {
            return Fuse::none();
        }
        let Ok(text) = std::env::var(KILL_VARIABLE) else {
            return Fuse::none();
        };
        let (place, count) = match text.rsplit_once(':') {
            Some((place, count)) => (Some(place.to_owned()), count),
            None => (None, text.as_str()),
        };
        match count.parse::<u64>() {
            Ok(count) => Fuse::armed(count.saturating_sub(1), place, true),
            Err(_) => Fuse::none(),
        }
    }

    /// True once a write has been refused: the process of this test counts as dead.
    pub fn is_blown(&self) -> bool {
        let armed = self.0.as_ref();
        armed.is_some_and(|a| a.passes_left.load(Ordering::SeqCst) < 0)
    }

    /// Call right before (or after) a durable write.
    ///
    /// # Errors
    /// [`Blown`] when a test has set this fuse to blow here or earlier.
    pub fn pass(&self, place: &'static str) -> Result<(), Blown> {
        let Some(armed) = &self.0 else {
            return Ok(());
        };
        if self.is_blown() {
            return Err(Blown(place));
        }
        if armed.place.as_deref().is_some_and(|only| only != place) {
            return Ok(());
        }
        if armed.passes_left.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Ok(());
        }
        if armed.kill {
            let me = rustix::process::getpid();
            // Never returns when it works; when it does not, the error below still stops the run.
            let killed = rustix::process::kill_process(me, rustix::process::Signal::KILL);
            tracing::error!(?killed, "a test asked for SIGKILL");
        }
        // Stay blown however often it is asked again: i64::MIN passes are out of reach.
        armed.passes_left.store(-1, Ordering::SeqCst);
        Err(Blown(place))
    }

    /// Takes something over that must not be dropped while the test looks at what a kill leaves; it goes
    /// with the last clone of the fuse.
    pub(super) fn keep(&self, it: impl Any + Send) {
        if let Some(armed) = &self.0 {
            let mut kept = armed.kept.lock().expect("no holder of this lock panics");
            kept.push(Box::new(it));
        }
    }

    fn armed(passes: u64, place: Option<String>, kill: bool) -> Fuse {
        Fuse(Some(Arc::new(Armed {
            passes_left: AtomicI64::new(i64::try_from(passes).unwrap_or(i64::MAX)),
            place,
            kill,
            kept: Mutex::default(),
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fuse_stays_blown() {
        // Promise: once a write was refused, no later one goes through.
        let fuse = Fuse::after(2);
        assert!(fuse.pass("a").is_ok() && fuse.pass("b").is_ok());
        assert_eq!(fuse.pass("c"), Err(Blown("c")));
        assert_eq!(fuse.pass("d"), Err(Blown("d")));
        assert!(fuse.is_blown());
        assert!(Fuse::none().pass("a").is_ok());
        let named = Fuse::at("a", 1);
        assert!(named.pass("b").is_ok() && named.pass("a").is_ok() && named.pass("b").is_ok());
        assert!(named.pass("a").is_err() && named.pass("b").is_err());
    }
}
