//! The CRD that rdd itself brings, as these verbs see it.

use rdd_registry::crd::is_established;
use serde_json::{Value, json};

use crate::world::{World, check, world};

async fn limavms() -> World {
    let world = world().await;
    let crd = rdd_schema::yaml::parse(rdd_api::limavm::CRD).expect("YAML");
    let made = world.create(&world.crds(), crd).await;
    assert!(is_established(&made));
    world
}

fn vm(spec: Value) -> Value {
    json!({"apiVersion": "lima.rancherdesktop.io/v1alpha1", "kind": "LimaVM", "metadata": {"name": "vm"}, "spec": spec})
}

#[tokio::test]
async fn a_limavm_is_made_and_keeps_its_template() {
    let world = limavms().await;
    let target = world.target("limavms.lima.rancherdesktop.io/v1alpha1").in_namespace("default");
    let made = world.create(&target, vm(json!({"templateRef": {"name": "t"}, "running": false}))).await;
    assert_eq!(made["spec"], json!({"templateRef": {"name": "t"}, "running": false}));
    let one = target.clone().named("vm");
    let on = world.merge(&one, json!({"spec": {"running": true}})).await;
    assert_eq!((&on["spec"]["running"], &on["metadata"]["generation"]), (&json!(true), &json!(2)));
    let patch = rdd_verbs::Patch::Merge(json!({"spec": {"templateRef": {"name": "other"}}}));
    let status = world.try_patch(&one, patch).await.expect_err("immutable");
    assert_eq!(status.code, 422);
    assert!(status.message.contains("templateRef is immutable"), "{}", status.message);
    let told = json!({"status": {"conditions": [{"type": "Running", "status": "False", "reason": "Stopped",
        "message": "", "lastTransitionTime": "2025-01-01T00:00:00Z"}]}});
    let seen = world.merge(&one.clone().subresource("status"), told).await;
    assert_eq!(seen["status"]["conditions"][0]["reason"], "Stopped");
    assert_eq!(seen["metadata"]["generation"], 2);
}

#[tokio::test]
async fn a_limavm_without_a_template_is_refused() {
    let world = limavms().await;
    let target = world.target("limavms.lima.rancherdesktop.io/v1alpha1").in_namespace("default");
    check(
        world.try_create(&target, vm(json!({"running": false}))).await.map(|w| w.object),
        422,
        "Invalid",
        "LimaVM.lima.rancherdesktop.io \"vm\" is invalid: [spec.templateRef: Required value, <nil>: Invalid value: null: \
         some validation rules were not checked because the object was invalid; correct the existing errors to complete \
         validation]",
    );
}
