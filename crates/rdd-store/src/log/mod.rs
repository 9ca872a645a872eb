//! The log on disk: one row per revision in SQLite, only ever appended to, thinned by compaction.
//!
//! Only the writer thread appends. Readers (old history, a backup) come through [`Reader`], which for a file is a
//! connection of its own, so that they never wait for the writer nor it for them. Nothing outside this module speaks
//! SQL, apart from the backup.
//!
//! The table holds, for every key, the newest row at or below the compacted revision unless that is a deletion, and
//! every row above it. So the state at any revision from the compacted one on is a replay of the rows up to it.

mod connection;
mod open;
mod replay;

pub(crate) use connection::{Log, LogError, Reader, Record, plain_connection};
pub use open::OpenError;
pub(crate) use open::{PRIVATE, check, mark_as_backup, open, open_beside, settle};
