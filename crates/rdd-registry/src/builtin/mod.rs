//! The built-in kinds. The list is in `table.rs`; a file per kind says what is its own.

mod config_map;
mod crd_rules;
mod custom_resource_definition;
mod draft;
mod event;
mod key_value;
mod lease;
mod namespace;
mod rbac;
mod reviews;
mod role;
mod role_binding;
mod scale;
mod secret;
mod table;
mod token_request;
mod webhook_configuration;
mod webhook_rule;

pub use custom_resource_definition::CLEANUP_FINALIZER;
pub use namespace::KUBERNETES_FINALIZER;
pub use scale::scale;
pub use table::{kinds, object_meta};
pub use token_request::token_request;
