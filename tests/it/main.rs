//! The integration tests: one binary, one module per promise. The story to read first is `journey`.

mod fetch;
mod formats;
mod journey;
mod killed;
mod model;
mod support;
mod tier_conformance;
