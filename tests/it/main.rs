//! The integration tests: one binary, one module per promise.

mod fetch;
mod support;
mod tier_conformance;
