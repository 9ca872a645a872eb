//! Floor 20: the verbs over a store in memory, rule by rule.

mod applies;
mod concurrency;
mod creates;
mod custom_kinds;
mod deletes;
mod events;
mod limavm;
mod lists;
mod patches;
mod restarts;
mod updates;
mod watches;
mod world;
