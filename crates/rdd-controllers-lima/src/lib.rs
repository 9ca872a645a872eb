//! The bridge: LimaVM objects on one side, the engine's machines on the other. Nothing else in rdd
//! knows both.
//!
//! - [`LimaVmAdmission`] and [`TemplateAdmission`] are plugins of the API server: they refuse what
//!   cannot become a machine, and give each LimaVM its own copy of its template.
//! - [`LimaController`] brings machines to what LimaVMs want and tells in their status what is seen:
//!   [`observe`] → [`plan`] (pure) → [`act`] → [`report`].
//!
//! Behaviour: VM engine specification §1.

pub mod act;
pub mod admission;
pub mod controller;
pub mod kinds;
pub mod names;
pub mod observe;
pub mod plan;
pub mod report;

pub use admission::{LimaVmAdmission, TemplateAdmission};
pub use controller::LimaController;
pub use names::NameLocks;
pub use plan::GracePeriods;
