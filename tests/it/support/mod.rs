//! What tests share: a scripted origin, an S3 in memory.

pub mod origin;
pub mod s3_server;
