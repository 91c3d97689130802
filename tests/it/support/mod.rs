//! What tests share: a scripted origin, an S3 in memory, and a world with both and a mirror between them.
//! What tests share: the binary as a process, a scripted origin, an S3 in memory.

pub mod binary;
pub mod origin;
pub mod s3_server;
pub mod world;
