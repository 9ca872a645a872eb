//! The store: an append-only log of revisions on SQLite, the current state in memory, watches on a shared ring.
//!
//! The verbs talk to it, and whoever is handed a snapshot. It has etcd's meaning (one counter of revisions for all
//! keys, compare-and-swap writes, watches from a revision, compaction) and knows nothing of Kubernetes beyond the
//! shape of a [`Key`]: values are bytes. Nobody else in the workspace speaks SQL.
//!
//! # Guarantees
//!
//! - An acknowledged write is durable (WAL, `synchronous=FULL`), and nothing is shown to anybody before it is durable:
//!   not by a snapshot, not by a watch, not by the entry in a conflict.
//! - Every committed write has its own revision. Revisions grow by one, survive restarts and crashes, and are never
//!   given to a second content.
//! - A watch delivers every matching revision after its start exactly once and in order, or ends and says why.
//! - A slow reader or watcher delays nobody.
//! - Nothing runs when nothing happens: no polling, and a timer exists only while some entry has a time to live.
//!
//! # Caveats
//!
//! - The future of a write may be dropped; the write may happen all the same.
//! - [`WriteError::Unavailable`] means that the outcome was not acknowledged. After a crash right behind it the write
//!   may turn out to have reached the disk.
//!
//! ```
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
//! # runtime.block_on(async {
//! use rdd_store::{Expect, Key, Location, Options, Prefix, Start, Store};
//!
//! let store = Store::open(Location::Memory, Options::default()).expect("memory opens");
//! let mut watch = store.watch(Prefix::resource("", "configmaps"), Start::Now).expect("now is never compacted");
//! let key = Key::new("", "configmaps", Some("default"), "a");
//! let entry = store.put(key.clone(), "{}".into(), Expect::Absent, None).await.expect("the key is free");
//! assert_eq!(watch.next().await.expect("an event").revision, entry.revision);
//! assert_eq!(store.snapshot().get(&key).expect("it is there").bytes, "{}");
//! store.close().await;
//! # });
//! ```

mod backup;
mod committed;
mod compaction;
mod entry;
mod expiry;
mod key;
mod log;
mod options;
mod snapshot;
mod store;
mod watch;
mod write;
mod writer;

pub use backup::{BackupError, RestoreError, backup_file, restore_file};
pub use committed::HistoryError;
pub use entry::{Entry, Event, EventKind, Revision};
pub use key::{Key, Prefix};
pub use log::OpenError;
pub use options::{Clock, Location, Options};
pub use snapshot::Snapshot;
pub use store::{FutureRevision, Store};
pub use watch::{Start, Watch, WatchEnd};
pub use write::{Expect, WriteError};
