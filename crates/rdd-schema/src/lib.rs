//! What an object may look like, and the small languages that point into objects.
//!
//! [`Schema`] prunes, defaults and validates a JSON value as `kube-apiserver` does for custom
//! resources; the modules beside it hold kubectl's JSONPath, YAML, selectors, the rules for
//! metadata, and the protobuf form that Go clients send. Everything is a function of its inputs:
//! no store, no HTTP, no clock. The verbs, the HTTP server and the command line all use it.

mod condition;
mod default;
mod evaluate;
mod formats;
pub mod json;
pub mod jsonpath;
pub mod metadata;
mod node;
mod openapi;
mod path;
pub mod protobuf;
mod prune;
mod rule_check;
mod rule_cost;
mod rules;
mod schema;
pub mod selector;
mod structural;
mod validate;
pub mod validation;
pub mod yaml;

pub use condition::Condition;
pub use path::Path;
pub use schema::Schema;
