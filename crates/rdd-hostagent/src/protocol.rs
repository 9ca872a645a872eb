//! What is said over `ha.sock` beyond Lima's `GET /v1/info`.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /v1/info` | | 200, [`rdd_machine::event::HostagentInfo`] |
//! | `POST /v1/stop` | [`StopBody`] or nothing | 202; the VM is stopped, then the hostagent ends |
//! | `POST /v1/release` | | 202; the hostagent ends and leaves the VM alone |
//! | `GET /v1/events` | | 200, one [`rdd_machine::HostagentEvent`] per line, the present status first |
//!
//! Errors are `{"message": "..."}`. A second stop may shorten the grace period, never lengthen it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The grace period of a stop that names none, and of a signal.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(180);

/// A request to stop the VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopRequest {
    /// How long the guest has to power off by itself.
    pub grace: Duration,
    /// Do not ask the guest.
    pub force: bool,
}

impl Default for StopRequest {
    fn default() -> Self {
        Self { grace: DEFAULT_GRACE, force: false }
    }
}

/// The body of `POST /v1/stop`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StopBody {
    /// The grace period; [`DEFAULT_GRACE`] if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<f64>,
    /// Do not ask the guest.
    pub force: bool,
}

impl From<&StopRequest> for StopBody {
    fn from(request: &StopRequest) -> Self {
        Self { grace_seconds: Some(request.grace.as_secs_f64()), force: request.force }
    }
}

impl TryFrom<StopBody> for StopRequest {
    type Error = String;

    fn try_from(body: StopBody) -> Result<Self, String> {
        let grace = match body.grace_seconds {
            None => DEFAULT_GRACE,
            Some(seconds) => Duration::try_from_secs_f64(seconds).map_err(|e| format!("graceSeconds: {e}"))?,
        };
        Ok(Self { grace, force: body.force })
    }
}

/// The body of an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorBody {
    /// What is wrong.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<StopRequest, String> {
        serde_json::from_str::<StopBody>(text).map_err(|e| e.to_string())?.try_into()
    }

    #[test]
    fn stop_bodies() {
        assert_eq!(read("{}"), Ok(StopRequest::default()));
        let quick = StopRequest { grace: Duration::from_millis(1500), force: true };
        assert_eq!(read(r#"{"graceSeconds":1.5,"force":true}"#), Ok(quick.clone()));
        assert_eq!(read(&serde_json::to_string(&StopBody::from(&quick)).unwrap()), Ok(quick));
        assert!(read(r#"{"graceSeconds":-1}"#).is_err());
        assert!(read(r#"{"graceSeconds":"long"}"#).is_err());
    }
}
