//! The API's own words: names of kinds, `Status`, field errors, conditions, and the
//! kinds that rdd itself defines.
//!
//! Everybody above the operating system reads this crate. It is pure: it reads no
//! clock, no file and no environment, and it knows no server and no client.

pub mod condition;
pub mod field;
pub mod limavm;
pub mod names;
pub mod object;
pub mod status;
pub mod time;

pub use condition::Condition;
pub use field::{FieldError, FieldErrorKind};
pub use names::{GroupKind, GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource};
pub use status::{Cause, Reason, Status, StatusDetails};
