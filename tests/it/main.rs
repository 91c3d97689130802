//! The integration tests: one binary, one module per promise. The story to read first is `journey`.

mod adopt;
mod bad_input;
mod bad_origin;
mod bad_tier;
mod copies;
mod explain;
mod faults;
mod fetch;
mod formats;
mod gcs;
mod get_ls;
mod help;
mod hostile;
mod journey;
mod kept_headers;
mod killed;
mod lineage;
mod model;
mod policy;
mod publish;
mod second_look;
mod secure;
mod support;
mod tier_conformance;
mod two_runs;
mod upgrade;
