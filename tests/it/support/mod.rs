//! What tests share: the binary as a process, a scripted origin, one that breaks the
//! protocol and one that speaks TLS, a scene with a site and its mirror, an S3 in memory with faults, real buckets
//! where the environment names some, and a world with origin and S3 and a mirror between them.

pub mod binary;
pub mod desk;
pub mod faults;
pub mod gcs_server;
pub mod origin;
pub mod real;
pub mod s3_server;
pub mod scene;
pub mod secure;
pub mod wire;
pub mod world;
