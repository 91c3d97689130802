//! What tests share: the binary as a process, a scripted origin, an S3 in memory with faults, and a world
//! with both and a mirror between them.

pub mod binary;
pub mod faults;
pub mod origin;
pub mod s3_server;
pub mod world;
