//! Patches: applying the three kinds that servers take, and making the ones that `apply` sends; and who owns which
//! field ([`managed`]).
//!
//! Everything is a function from JSON to JSON. The verbs apply, the command line makes. Where
//! lists merge by key is asked of [`MergeKeys`], so that this crate knows no schema.

mod apply;
mod error;
mod json_patch;
mod keys;
pub mod managed;
mod merge_patch;
mod strategic;

pub use apply::{
    LAST_APPLIED, Precondition, is_empty_patch, merged, three_way_json_merge, three_way_strategic, two_way_merge,
    two_way_strategic,
};
pub use error::PatchError;
pub use json_patch::json_patch;
pub use keys::{ListStrategy, MergeKeys, NoMergeKeys, SchemaKeys};
pub use merge_patch::merge_patch;
pub use strategic::strategic;
