//! The cache against a server that misbehaves, disks against `qemu-img`, and preparing with crashes.

mod cache;
mod disk;
mod prepare;
mod server;

use rdd_machine::config::{Arch, FileSource};
use sha2::{Digest as _, Sha256};

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn source(location: impl Into<String>, digest: Option<String>) -> FileSource {
    FileSource { location: location.into(), arch: Arch::native(), digest }
}

/// Bytes that do not compress and do not repeat.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Returns an error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
