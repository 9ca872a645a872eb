//! What a simulated VM does, and when.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// The file that says it, in the machine's directory.
pub(crate) const FILE: &str = "fake.json";
/// What the parameters of a template begin with that say it.
const PREFIX: &str = "fake";

/// What a simulated VM does, and when. Durations are written `200ms`, `1.5s`, `2m`, or as a number of
/// seconds. In a template: `fakeBoot`, `fakeIgnorePowerDown`, ...
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Scenario {
    /// From the start until the SSH server answers.
    #[serde(with = "duration")]
    pub boot: Duration,
    /// From the start until the guest has a network: before that, connections are quiet; after it and
    /// before `boot`, they are closed.
    #[serde(with = "duration")]
    pub network: Duration,
    /// From `boot` until `/run/lima-ssh-ready` has the boot's token.
    #[serde(with = "duration")]
    pub ssh_ready: Duration,
    /// From `boot` until `/run/lima-boot-done` has the boot's token.
    #[serde(with = "duration")]
    pub boot_done: Duration,
    /// The status of the boot scripts.
    pub boot_status: u32,
    /// From a power-down until the VM is off. While it boots the guest does not hear it.
    #[serde(with = "duration")]
    pub power_down: Duration,
    /// The guest does not react to a power-down.
    pub ignore_power_down: bool,
    /// The guest does not react to `poweroff` over SSH.
    pub ignore_poweroff: bool,
    /// From a quit until the process ends.
    #[serde(with = "duration")]
    pub quit: Duration,
    /// The hypervisor does not react to a quit.
    pub ignore_quit: bool,
    /// The control socket accepts connections and says nothing.
    pub hang_control: bool,
    /// The SSH server lets nobody in.
    pub refuse_login: bool,
    /// The SSH server never answers.
    pub no_ssh: bool,
    /// The VM process prints this and ends at its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_start: Option<String>,
    /// The VM process crashes this long after its start.
    #[serde(with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub crash_after: Option<Duration>,
    /// The guest powers off by itself this long after its start.
    #[serde(with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub power_off_after: Option<Duration>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            boot: Duration::from_millis(40),
            network: Duration::from_millis(20),
            ssh_ready: Duration::ZERO,
            boot_done: Duration::from_millis(10),
            boot_status: 0,
            power_down: Duration::from_millis(10),
            ignore_power_down: false,
            ignore_poweroff: false,
            quit: Duration::ZERO,
            ignore_quit: false,
            hang_control: false,
            refuse_login: false,
            no_ssh: false,
            fail_start: None,
            crash_after: None,
            power_off_after: None,
        }
    }
}

/// A scenario says something that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// A key is unknown or its value is malformed.
    #[error("{field}: {message}")]
    Invalid {
        /// `param` or the file.
        field: String,
        /// What is wrong.
        message: String,
    },
}

impl Scenario {
    /// Reads the scenario of a machine: the template's parameters, then `fake.json` over them.
    pub fn of(param: &BTreeMap<String, String>, dir: &Path) -> Result<Self, ScenarioError> {
        let mut map = Map::new();
        for (name, value) in param {
            let Some(key) = name.strip_prefix(PREFIX).and_then(lower_first) else { continue };
            let value = match value.parse::<u32>() {
                Ok(number) if key == "bootStatus" => number.into(),
                _ if value == "true" || value == "false" => (value == "true").into(),
                _ => Value::from(value.as_str()),
            };
            map.insert(key, value);
        }
        let mut field = "param".to_owned();
        let file = dir.join(FILE);
        match std::fs::read(&file) {
            Ok(bytes) => {
                field = file.display().to_string();
                let invalid = |message: String| ScenarioError::Invalid { field: field.clone(), message };
                let over: Map<String, Value> = serde_json::from_slice(&bytes).map_err(|e| invalid(e.to_string()))?;
                map.extend(over);
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(ScenarioError::Invalid { field: file.display().to_string(), message: e.to_string() }),
        }
        // A boot that is said without its network: the network comes half-way.
        let network_is_said = map.contains_key("network");
        let mut scenario: Scenario = serde_json::from_value(Value::Object(map))
            .map_err(|e| ScenarioError::Invalid { field, message: e.to_string() })?;
        if !network_is_said {
            scenario.network = scenario.boot / 2;
        }
        Ok(scenario)
    }
}

fn lower_first(name: &str) -> Option<String> {
    let mut rest = name.chars();
    let first = rest.next().filter(char::is_ascii_uppercase)?;
    Some(format!("{}{}", first.to_ascii_lowercase(), rest.as_str()))
}

/// Reads `200ms`, `1.5s`, `2m` or a number of seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().map_err(|_| format!("{text:?} is no duration"))?;
    let seconds = match unit.trim() {
        "ms" => number / 1000.0,
        "" | "s" => number,
        "m" => number * 60.0,
        _ => return Err(format!("{text:?} has no known unit (ms, s, m)")),
    };
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

mod duration {
    use super::{Deserialize, Deserializer, Duration, Serializer, parse_duration};
    use serde::de::Error;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Seconds(f64),
    }

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Text(text) => parse_duration(&text).map_err(D::Error::custom),
            Written::Seconds(seconds) => Duration::try_from_secs_f64(seconds).map_err(D::Error::custom),
        }
    }

    pub(super) mod optional {
        use super::{Deserializer, Duration, Serializer};

        pub(in super::super) fn serialize<S: Serializer>(value: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
            match value {
                Some(duration) => super::serialize(duration, s),
                None => s.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
            super::deserialize(d).map(Some)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(param: &[(&str, &str)], file: Option<&str>) -> Result<Scenario, String> {
        let dir = tempfile::tempdir().unwrap();
        if let Some(text) = file {
            std::fs::write(dir.path().join(FILE), text).unwrap();
        }
        let param = param.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Scenario::of(&param, dir.path()).map_err(|e| e.to_string())
    }

    #[test]
    fn parameters_and_the_file_over_them() {
        assert_eq!(of(&[("other", "x"), ("fake", "x"), ("faker", "x")], None), Ok(Scenario::default()));
        let param = [("fakeBoot", "1.5s"), ("fakeIgnorePowerDown", "true"), ("fakeBootStatus", "1"), ("fakeQuit", "2")];
        let scenario = of(&param, Some(r#"{"boot": "200ms", "crashAfter": 3}"#)).unwrap();
        assert_eq!(scenario.boot, Duration::from_millis(200));
        assert_eq!(scenario.network, Duration::from_millis(100));
        assert_eq!(scenario.quit, Duration::from_secs(2));
        assert_eq!(scenario.crash_after, Some(Duration::from_secs(3)));
        assert!(scenario.ignore_power_down && scenario.boot_status == 1);
        let text = serde_json::to_string(&scenario).unwrap();
        assert_eq!(serde_json::from_str::<Scenario>(&text).unwrap(), scenario);
    }

    #[test]
    fn mistakes_are_named() {
        assert!(of(&[("fakeBoat", "1s")], None).unwrap_err().starts_with("param: unknown field `boat`"));
        assert!(of(&[("fakeBoot", "soon")], None).unwrap_err().contains("\"soon\" is no duration"));
        assert!(of(&[], Some("[]")).is_err());
    }
}
