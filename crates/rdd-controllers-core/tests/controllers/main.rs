//! The core controllers over the verbs and a store in memory.

mod gc;
mod world;
