//! Admission webhooks: what MutatingWebhookConfigurations and ValidatingWebhookConfigurations ask to be told of writes,
//! and may change or refuse them.
//!
//! [`Webhooks`] is an admission plugin, the last of its chain. For each write it reads the configurations as they are
//! stored, so that a change of them takes effect with the next request, and calls the webhooks whose rules and selectors
//! match. Nothing here knows the store; the only thing it listens to is the answer of a webhook.
//!
//! # Caveats
//!
//! * A webhook that names a service is reached only where the embedder says how; see [`Resolve`].
//! * `request.options` carries the kind and `dryRun` of the options, and none of their other fields.

mod call;
mod calling;
mod client;
mod conditions;
mod conversion;
mod hook;
mod matching;
mod mutating;
mod resolve;
mod review;
mod validating;
mod webhooks;

pub use resolve::{NoServices, Resolve, Service};
pub use webhooks::Webhooks;
