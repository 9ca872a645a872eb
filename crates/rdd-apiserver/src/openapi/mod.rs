//! OpenAPI: the served kinds as documents, v3 per group version and v2 as a whole.
//!
//! Pure: a snapshot of the registry in, JSON out. kubectl reads them to validate, to explain, to
//! learn how lists merge, and to see whether a kind supports `dryRun` and `fieldValidation`: every
//! served kind therefore has its full paths. Caching and ETags are [`crate::documents`]'.

mod definitions;
pub(crate) mod gnostic;
mod language;
mod meta;
mod operations;
pub(crate) mod v2;
pub(crate) mod v3;
