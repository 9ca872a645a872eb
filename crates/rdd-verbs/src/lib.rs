//! The verbs of the API, and what they mean: get, list, watch, create, update, patch, delete.
//!
//! `rdd-apiserver` puts HTTP around them, the server's own controllers may call them in process. Between
//! a verb and the store lie decoding, defaulting, admission, validation and the rules of metadata; every
//! failure is a `Status`. Nothing here knows HTTP, encodings, or who is allowed what.
//!
//! # Guarantees
//!
//! * What a write answers with is durable, and visible to every read that begins after.
//! * A write that changes nothing makes no revision and no event.
//! * Objects are shared, not copied, between the readers of one revision.

mod access;
mod continue_token;
mod create;
mod custom_kinds;
mod decode;
mod delete;
mod list;
mod managed;
mod metadata;
mod metadata_watch;
mod object;
mod options;
mod patch;
mod revision_parameter;
mod scale;
mod seed;
mod selection;
mod update;
mod validate;
mod verbs;
mod view;
mod watch;

pub use delete::{FOREGROUND as FOREGROUND_FINALIZER, ORPHAN as ORPHAN_FINALIZER};
pub use list::list_object;
pub use managed::check_field_manager;
pub use metadata_watch::{MetadataChange, MetadataWatch, MetadataWatchEnd, ObjectKey, ObjectMetadata, OwnerReference};
pub use object::Object;
pub use options::{
    Caller, DeleteOptions, Deleted, FieldValidation, List, ListOptions, Patch, Target, WatchEvent, WatchOptions,
    WatchStream, WriteOptions, Written, parse_dry_run,
};
pub use verbs::Verbs;
pub use view::OBJECT_LIMIT;
