//! Discovery: what is served, told in the legacy form and in the aggregated one.
//!
//! Pure: a snapshot of the registry in, documents out. Caching and ETags are [`crate::documents`]'.

pub(crate) mod aggregated;
pub(crate) mod legacy;
mod resources;
