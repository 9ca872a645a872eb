//! The service in its own API: a ConfigMap that says which controllers run, and since when.

use jiff::Timestamp;
use rdd_reconcile::k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use rdd_reconcile::kube::api::DeleteParams;
use rdd_reconcile::{Api, Client, ClientError, Patch, PatchParams, PostParams};
use serde::Serialize;
use serde_json::json;

/// The namespace of what belongs to the service itself.
const NAMESPACE: &str = "rdd-system";
/// The ConfigMap.
const NAME: &str = "rdd-controller-manager";
/// The key of the controllers inside the service.
const KEY: &str = "embedded";
/// Says that the service is ready.
const READY: &str = "rdd.rancherdesktop.io/ready";
const APP_LABEL: (&str, &str) = ("app.kubernetes.io/name", "rancher-desktop-daemon");
const COMPONENT_LABEL: (&str, &str) = ("app.kubernetes.io/component", "controller-manager");

/// What the ConfigMap says of the controllers inside the service, in this order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    health_port: u16,
    metrics_port: u16,
    /// `null` when there are none.
    enabled_controllers: Option<Vec<String>>,
    enabled_passthroughs: serde_json::Map<String, serde_json::Value>,
    start_time: String,
    health_endpoint: String,
    metrics_endpoint: String,
    passthrough_endpoint: String,
}

impl Entry {
    /// Describes controllers whose health, metrics and passthrough are served by the API itself.
    pub(crate) fn new(port: u16, controllers: &[&str]) -> Entry {
        let names = controllers.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Entry {
            health_port: port,
            metrics_port: port,
            enabled_controllers: (!names.is_empty()).then_some(names),
            enabled_passthroughs: serde_json::Map::new(),
            start_time: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            health_endpoint: format!("https://127.0.0.1:{port}/healthz"),
            metrics_endpoint: format!("https://127.0.0.1:{port}/metrics"),
            passthrough_endpoint: format!("https://127.0.0.1:{port}/passthrough/"),
        }
    }
}

/// Makes the ConfigMap anew: its creation time is the start of the service. Not ready yet.
pub(crate) async fn register(client: &Client, entry: &Entry) -> Result<(), ClientError> {
    ensure_namespace(client).await?;
    let config_maps = Api::<ConfigMap>::namespaced(client.clone(), NAMESPACE);
    absent(config_maps.delete(NAME, &DeleteParams::default()).await)?;
    let text = serde_json::to_string(entry).expect("plain data has a JSON form");
    let config_map: ConfigMap = from_json(json!({
        "metadata": {
            "name": NAME,
            "labels": {APP_LABEL.0: APP_LABEL.1, COMPONENT_LABEL.0: COMPONENT_LABEL.1},
        },
        "data": {KEY: text},
    }));
    config_maps.create(&PostParams::default(), &config_map).await.map(drop)
}

/// Says whether the service is ready.
pub(crate) async fn set_ready(client: &Client, is_ready: bool) -> Result<(), ClientError> {
    let config_maps = Api::<ConfigMap>::namespaced(client.clone(), NAMESPACE);
    let value = if is_ready { json!("true") } else { json!(null) };
    let patch = Patch::Merge(json!({"metadata": {"annotations": {READY: value}}}));
    let patched = config_maps.patch(NAME, &PatchParams::default(), &patch).await;
    if is_ready { patched.map(drop) } else { absent(patched.map(drop)) }
}

async fn ensure_namespace(client: &Client) -> Result<(), ClientError> {
    let namespaces = Api::<Namespace>::all(client.clone());
    let labels = json!({APP_LABEL.0: APP_LABEL.1});
    if namespaces.get_opt(NAMESPACE).await?.is_none() {
        let namespace: Namespace = from_json(json!({"metadata": {"name": NAMESPACE, "labels": labels}}));
        return namespaces.create(&PostParams::default(), &namespace).await.map(drop);
    }
    // Changes nothing, and writes nothing, if the label is there.
    let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
    namespaces.patch(NAMESPACE, &PatchParams::default(), &patch).await.map(drop)
}

/// What is not there needs no change.
fn absent<T>(result: Result<T, ClientError>) -> Result<(), ClientError> {
    match result {
        Err(ClientError::Api(status)) if status.code == 404 => Ok(()),
        result => result.map(drop),
    }
}

fn from_json<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).expect("an object of ours has its kind's shape")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_has_the_documented_shape() {
        let mut entry = Entry::new(6445, &["limavm"]);
        entry.start_time = "T".to_owned();
        assert_eq!(
            serde_json::to_string(&entry).expect("JSON"),
            "{\"healthPort\":6445,\"metricsPort\":6445,\"enabledControllers\":[\"limavm\"],\"enabledPassthroughs\":{},\
             \"startTime\":\"T\",\"healthEndpoint\":\"https://127.0.0.1:6445/healthz\",\
             \"metricsEndpoint\":\"https://127.0.0.1:6445/metrics\",\
             \"passthroughEndpoint\":\"https://127.0.0.1:6445/passthrough/\"}"
        );
        assert!(serde_json::to_string(&Entry::new(1, &[])).expect("JSON").contains("\"enabledControllers\":null"));
    }
}
