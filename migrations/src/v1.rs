//! Format 1.
