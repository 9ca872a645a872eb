//! What this process holds of the machine's memory.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
pub use linux::release_code;
#[cfg(not(target_os = "linux"))]
pub use other::release_code;
