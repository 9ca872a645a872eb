//! A Kubernetes API in this process: start it, apply a definition, watch what it defines, stop.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::pin::pin;

use anyhow::Context as _;
use futures::TryStreamExt as _;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::{WatchStreamExt as _, watcher};
use rdd_apiserver::{ApiServer, UserInfo};
use serde_json::json;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = ApiServer::builder().start().await?;
    let client = kube::Client::new(server.service(UserInfo::system_masters("example")), "default");

    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "boats.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "boats", "kind": "Boat"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object",
                "properties": {"spec": {"type": "object", "properties": {"sails": {"type": "integer", "minimum": 1}}}},
            }}}],
        },
    });
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions.patch("boats.example.com", &PatchParams::apply("example"), &Patch::Apply(&definition)).await?;
    await_condition(definitions, "boats.example.com", conditions::is_crd_established()).await?;

    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("example.com", "v1", "Boat"));
    let boats: Api<DynamicObject> = Api::default_namespaced_with(client, &kind);
    let boat = |name: &str, sails: i64| DynamicObject::new(name, &kind).data(json!({"spec": {"sails": sails}}));
    let mut seen = pin!(watcher(boats.clone(), watcher::Config::default()).applied_objects());
    boats.create(&PostParams::default(), &boat("argo", 2)).await?;
    let argo = seen.try_next().await?.context("a watch does not end by itself")?;
    println!("{} has {} sails", argo.metadata.name.unwrap_or_default(), argo.data["spec"]["sails"]);
    if let Err(kube::Error::Api(refused)) = boats.create(&PostParams::default(), &boat("raft", 0)).await {
        println!("{}", refused.message);
    }

    server.shutdown().await;
    Ok(())
}
