//! From what changed to what must be done: pure.
//!
//! A row of a tier's delta (a URL with its state at the tier's watermark, its state now, and whether
//! the tier is in doubt about it) becomes at most one operation on one object. Same input, same
//! operations; nothing here waits, reads or writes.

mod object;
mod plan;
mod reason;

pub use object::{Object, Source, redirect_page};
pub use plan::{Operation, Phase, Row, Sibling, operation};
pub use reason::{Cause, Reason};
