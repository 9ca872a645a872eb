//! The core controllers over the verbs and a store in memory.

mod essentials;
mod gc;
mod world;
