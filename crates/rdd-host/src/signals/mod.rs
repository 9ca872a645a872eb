//! Requests from outside that this process should stop.

#[cfg(unix)]
#[path = "unix.rs"]
mod system;

pub use system::StopSignals;

/// Waits for the first request to stop.
///
/// From the first call on, the process is no longer ended by these signals on its own. Who wants
/// to see the second request as well uses [`StopSignals`].
pub async fn stop_requested() -> std::io::Result<crate::process::Signal> {
    Ok(StopSignals::new()?.next().await)
}
