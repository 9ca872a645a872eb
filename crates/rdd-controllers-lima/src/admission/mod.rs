//! What the API server asks before it stores a LimaVM or a template.
//!
//! Refusals read like those of the original's webhooks, whose names are part of the texts.

mod limavm;
mod template;

pub use limavm::LimaVmAdmission;
pub use template::TemplateAdmission;

use rdd_api::{Reason, Status};

/// The 403 that a webhook of this name would give.
fn denied(webhook: &str, reason: impl std::fmt::Display) -> Status {
    Status::new(403, Reason::FORBIDDEN, format!("admission webhook {webhook:?} denied the request: {reason}"))
}
