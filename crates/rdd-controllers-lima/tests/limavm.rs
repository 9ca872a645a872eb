//! Floor 40: LimaVMs over an API server in this process, real hostagents and the fake driver.

#![cfg(unix)]

mod support;

use std::time::Duration;

use rdd_api::limavm::{LimaVmStatus, OWNED_BY_LIMAVM, RESTART_ANNOTATION, TEMPLATE_LABEL};
use rdd_reconcile::k8s_openapi::api::core::v1::ConfigMap;
use rdd_reconcile::kube::api::{DeleteParams, ListParams, PostParams};
use rdd_reconcile::{Patch, PatchParams, ResourceExt};
use serde_json::json;
use support::{World, is, message, refusal};
use tokio::time::sleep;

/// Not a test: the hostagent process of the others.
#[test]
fn hostagent_process() {
    if let Some(words) = support::words() {
        std::process::exit(support::hostagent(&words));
    }
}

/// Not a test: the VM process of the others.
#[test]
fn vm_process() {
    if let Some(words) = support::words() {
        std::process::exit(rdd_driver_fake::process::main(words));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limavm_from_create_to_delete() {
    let world = World::new().await;
    world.make_template("default", "source", &world.template("")).await;
    let mut recording = world.record("demo");
    world.create("default", "demo", "source", true).await.expect("created");
    let status = world.until_running("demo", 1).await;
    assert_eq!(status.restart_count, 1);
    assert!(is(&status, "Created", "True", "Created"));
    assert_eq!(message(&status, "Created"), "Lima instance created successfully");
    assert_eq!(status.template_config_map, "demo-template");
    let copy = world.configmaps("default").get("demo-template").await.expect("a copy");
    assert_eq!(copy.resource_version().as_ref(), Some(&status.observed_template_resource_version));
    assert_eq!(copy.owner_references()[0].kind, "LimaVM");
    assert!(!world.dir("demo").preparing().exists());
    recording.sees(&["Unknown/Reconciling", "False/Starting", "True/Started"]).await;

    for (action, note) in [
        ("Created", "Reconciliation in progress"),
        ("Created", "Lima instance created successfully"),
        ("Running", "Lima instance is starting"),
        ("Running", "Lima instance is running"),
    ] {
        world.until_told("demo", action, note).await;
    }

    world.set_running("demo", false).await;
    let status = world.until_stopped("demo").await;
    assert_eq!(message(&status, "Running"), "Lima instance stopped successfully");
    world.set_running("demo", true).await;
    world.until_running("demo", 2).await;
    recording.sees(&["False/Stopped", "Unknown/Reconciling", "False/Starting", "True/Started"]).await;

    let patch = json!({"metadata": {"annotations": {RESTART_ANNOTATION: "now"}}});
    world.patch("demo", &patch).await;
    let status = world.until_running("demo", 3).await;
    assert!(!status.restart_needed);
    let vm = world.limavms("default").get("demo").await.expect("it exists");
    assert!(!vm.annotations().contains_key(RESTART_ANNOTATION));
    recording.sees(&["False/Stopped", "Unknown/Reconciling", "False/Starting", "True/Started"]).await;

    world.delete("demo").await;
    world.until_gone("demo").await;
    assert!(!world.dir("demo").path().exists());
    assert_eq!(world.configmaps("default").get_opt("demo-template").await.expect("asked"), None);
    assert!(world.configmaps("default").get_opt("source").await.expect("asked").is_some(), "the source stays");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_template_edits_makes_one_restart() {
    let world = World::new().await;
    world.make_template("default", "source", &world.template("")).await;
    world.create("default", "demo", "source", true).await.expect("created");
    let before = world.until_running("demo", 1).await;
    let mut last = None;
    for cpus in 2..6 {
        last = Some(world.edit("demo", &world.template(&format!("cpus: {cpus}"))).await.expect("good"));
    }
    let version = last.and_then(|c| c.resource_version()).expect("edited");
    let seen = world.until("demo", "a restart is needed", |s| s.restart_needed || s.restart_count > 1).await;
    assert!(
        seen.restart_count > 1 || seen.observed_template_resource_version == before.observed_template_resource_version
    );
    let status = world.until_running("demo", 2).await;
    let settled = world
        .until("demo", "the edit is observed", |s| s.observed_template_resource_version == version && !s.restart_needed)
        .await;
    assert_eq!((status.restart_count, settled.restart_count), (2, 2), "exactly one restart");
    assert!(world.dir("demo").read_template().expect("read").contains("cpus: 5"));

    // On a stopped machine only the file changes.
    world.set_running("demo", false).await;
    world.until_stopped("demo").await;
    let edited =
        world.edit("demo", &world.template("cpus: 1")).await.expect("good").resource_version().expect("stored");
    world.until("demo", "the edit is observed", |s| s.observed_template_resource_version == edited).await;
    assert!(world.dir("demo").read_template().expect("read").contains("cpus: 1"));
    assert_eq!(world.status("demo").await.restart_count, 2);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashes_of_hostagent_and_vm() {
    let world = World::new().await;
    world.make_template("default", "source", &world.template("")).await;
    world.create("default", "demo", "source", true).await.expect("created");
    world.until_running("demo", 1).await;
    let vm = world.vm_pid("demo");
    let mut recording = world.record("demo");
    recording.sees(&["True/Started"]).await;
    world.kill(&world.dir("demo").ha_sock()).await;
    world.until_running("demo", 2).await;
    assert_eq!(world.vm_pid("demo"), vm, "the guest did not notice");
    recording.sees(&["False/Starting", "True/Started"]).await;
    world.kill(&world.dir("demo").file("fake.sock")).await;
    world.until("demo", "it runs again", |s| s.restart_count >= 3 && is(s, "Running", "True", "Started")).await;
    assert_ne!(world.vm_pid("demo"), vm);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_service_takes_over() {
    let mut world = World::new().await;
    world.make_template("default", "source", &world.template("")).await;
    world.create("default", "demo", "source", true).await.expect("created");
    world.until_running("demo", 1).await;
    let (vm, hostagent) = (world.vm_pid("demo"), std::fs::read_to_string(world.dir("demo").ha_pid()).expect("read"));
    let mut recording = world.record("demo");
    recording.sees(&["True/Started"]).await;
    world.restart_service().await;
    world.until_running("demo", 2).await;
    recording.sees(&["Unknown/Reconciling", "False/Starting", "True/Started"]).await;
    assert_eq!(world.vm_pid("demo"), vm, "the guest did not notice");
    assert_ne!(std::fs::read_to_string(world.dir("demo").ha_pid()).expect("read"), hostagent);

    // An orderly stop of the service is told.
    world.engine.stop_all(Duration::from_secs(5)).await;
    world.until_stopped("demo").await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_unique_across_namespaces() {
    let world = World::without_controller().await;
    for namespace in ["one", "two"] {
        world.make_namespace(namespace).await;
        world.make_template(namespace, "source", &world.template("")).await;
    }
    world.create("one", "demo", "source", false).await.expect("created");
    let (code, text) = refusal(world.create("two", "demo", "source", false).await);
    assert_eq!(code, 403);
    assert_eq!(
        text,
        "admission webhook \"limavm-defaulter.lima.rancherdesktop.io\" denied the request: LimaVM name \"demo\" is \
         already used in namespace \"one\"; LimaVM names must be unique across all namespaces"
    );
    assert_eq!(refusal(world.create("one", "demo", "source", false).await).0, 409);
    assert_eq!(world.configmaps("two").get_opt("demo-template").await.expect("asked"), None);

    // Two at the same time: one wins, the other leaves nothing.
    for round in 0..5 {
        let name = format!("race{round}");
        let both =
            tokio::join!(world.create("one", &name, "source", false), world.create("two", &name, "source", false));
        let winners = [both.0.is_ok(), both.1.is_ok()];
        assert_eq!(winners.iter().filter(|w| **w).count(), 1, "{winners:?}");
        for (namespace, won) in ["one", "two"].into_iter().zip(winners) {
            let copy = world.configmaps(namespace).get_opt(&format!("{name}-template")).await.expect("asked");
            assert_eq!(copy.is_some(), won, "{namespace}");
        }
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_refused_at_the_door_and_leaves_nothing() {
    let world = World::without_controller().await;
    let denied = "admission webhook \"limavm-defaulter.lima.rancherdesktop.io\" denied the request: ";
    let nested = format!(
        "{denied}failed to create template ConfigMap: admission webhook \
         \"limavm-configmap-validator.lima.rancherdesktop.io\" denied the request: "
    );
    let cases = [
        ("[", "failed to parse template: "),
        ("vmType: vmware\nimages: []\n", "failed to validate template: "),
        ("", "\"template\" data cannot be empty"),
    ];
    for (number, (text, expected)) in cases.into_iter().enumerate() {
        let source = format!("bad{number}");
        world.make_template("default", &source, text).await;
        let (code, text) = refusal(world.create("default", "demo", &source, true).await);
        assert_eq!(code, 403);
        assert!(text.starts_with(&format!("{nested}{expected}")), "{text}");
    }
    let (_, text) = refusal(world.create("default", "demo", "missing", true).await);
    let expected = "failed to fetch template data: failed to get templateRef ConfigMap \"missing\" in namespace \
                    \"default\": configmaps \"missing\" not found";
    assert_eq!(text, format!("{denied}{expected}"));
    world.make_template("default", "source", &world.template("")).await;
    for name in ["a..b", &"n".repeat(90)] {
        let (_, text) = refusal(world.create("default", name, "source", true).await);
        assert!(text.contains("name"), "{text}");
    }
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    world.create_with("default", "demo", "source", true, &dry).await.expect("it would do");
    // Refused by the schema, after its template was copied.
    let nonsense = json!({
        "apiVersion": "lima.rancherdesktop.io/v1alpha1", "kind": "LimaVM",
        "metadata": {"name": "demo"}, "spec": {"templateRef": {"name": "source"}, "running": "perhaps"},
    });
    let request = http::Request::post("/apis/lima.rancherdesktop.io/v1alpha1/namespaces/default/limavms")
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&nonsense).expect("JSON"))
        .expect("a request");
    assert_eq!(refusal(world.client.request::<serde_json::Value>(request).await).0, 422);

    let copies = world.configmaps("default").list(&ListParams::default().labels(TEMPLATE_LABEL)).await.expect("listed");
    assert_eq!(copies.items, [], "no copy is left");
    assert!(world.limavms("default").list(&ListParams::default()).await.expect("listed").items.is_empty());
    world.create("default", "demo", "source", false).await.expect("the next correct try works");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_creates_a_limavm_is_told_what_its_template_says_in_vain() {
    let world = World::without_controller().await;
    world.make_template("default", "source", &world.template("fooo: 1\n")).await;
    let vm = json!({
        "apiVersion": "lima.rancherdesktop.io/v1alpha1", "kind": "LimaVM",
        "metadata": {"name": "demo"}, "spec": {"templateRef": {"name": "source"}, "running": false},
    });
    let request = http::Request::post("/apis/lima.rancherdesktop.io/v1alpha1/namespaces/default/limavms")
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&vm).expect("JSON").into())
        .expect("a request");
    let answer = world.client.send(request).await.expect("answered");
    assert_eq!(answer.status(), 201);
    let warnings: Vec<_> = answer.headers().get_all("warning").iter().collect();
    assert!(warnings.iter().any(|w| w.to_str().is_ok_and(|w| w.contains("fooo"))), "{warnings:?}");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_copy_is_guarded() {
    let world = World::new().await;
    world.make_template("default", "source", &world.template("")).await;
    world.create("default", "demo", "source", false).await.expect("created");
    world.until_stopped("demo").await;
    let copies = world.configmaps("default");
    let denied = "admission webhook \"limavm-configmap-validator.lima.rancherdesktop.io\" denied the request: ";
    let (code, text) = refusal(copies.delete("demo-template", &DeleteParams::default()).await);
    let expected = "cannot delete \"demo-template\": owned by LimaVM; delete the LimaVM resource instead";
    assert_eq!((code, text), (403, format!("{denied}{expected}")));
    let patch = json!({"metadata": {"labels": {TEMPLATE_LABEL: null}}});
    let patched = copies.patch("demo-template", &PatchParams::default(), &Patch::Merge(&patch)).await;
    assert!(refusal(patched).1.ends_with(&format!("cannot remove {TEMPLATE_LABEL} label: resource is owned")));
    assert!(refusal(world.edit("demo", "[").await).1.contains("failed to parse template: "));
    let smaller = world.template("").replace("4MiB", "2MiB");
    assert!(refusal(world.edit("demo", &smaller).await).1.contains("field `disk` cannot shrink"));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_does_not_exist_is_told_and_can_be_corrected() {
    let world = World::new().await;
    let text = world.template("").replace("image.raw", "missing.raw");
    world.make_template("default", "source", &text).await;
    world.create("default", "demo", "source", true).await.expect("created");
    let failed = world.until("demo", "the failure is told", |s| is(s, "Created", "False", "CreateFailed")).await;
    assert!(message(&failed, "Created").contains("missing.raw"), "{}", message(&failed, "Created"));
    world.edit("demo", &world.template("")).await.expect("good");
    world.until_running("demo", 1).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limavm_can_be_deleted_at_any_moment_and_its_name_used_again() {
    let world = World::new().await;
    world.make_template("default", "source", &world.template("")).await;
    for pause in [0, 5, 10, 15, 20, 30, 50, 100, 200, 400] {
        world.create("default", "demo", "source", true).await.expect("created");
        sleep(Duration::from_millis(pause)).await;
        world.delete("demo").await;
        world.until_gone("demo").await;
        assert!(!world.dir("demo").path().exists());
        assert_eq!(world.configmaps("default").get_opt("demo-template").await.expect("asked"), None);
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orphaned_copy_is_collected() {
    let world = World::new().await;
    let copy: ConfigMap = serde_json::from_value(json!({
        "metadata": {"name": "lost-template", "labels": {TEMPLATE_LABEL: "true"}, "finalizers": [OWNED_BY_LIMAVM]},
        "data": {"template": world.template("")},
    }))
    .expect("a ConfigMap");
    world.configmaps("default").create(&PostParams::default(), &copy).await.expect("made");
    let deadline = tokio::time::Instant::now() + support::PATIENCE;
    while world.configmaps("default").get_opt("lost-template").await.expect("asked").is_some() {
        assert!(tokio::time::Instant::now() < deadline, "the orphan stays");
        sleep(Duration::from_millis(20)).await;
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_limavm_left_is_removed_before_a_new_one() {
    let world = World::new().await;
    let dir = world.dir("demo");
    std::fs::create_dir_all(dir.path()).expect("made");
    std::fs::write(dir.lima_yaml(), "vmType: fake\n").expect("written");
    std::fs::write(dir.disk(), "somebody else's data").expect("written");
    world.make_template("default", "source", &world.template("")).await;
    world.create("default", "demo", "source", true).await.expect("created");
    world.until_running("demo", 1).await;
    assert_ne!(std::fs::read(dir.disk()).expect("read"), b"somebody else's data");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_cannot_be_looked_at_is_told_and_kept() {
    let mut world = World::new().await;
    world.make_template("default", "source", &world.template("")).await;
    world.create("default", "demo", "source", true).await.expect("created");
    world.until_running("demo", 1).await;
    let (vm, dir) = (world.vm_pid("demo"), world.dir("demo"));
    // The service ends, the lock becomes a link to itself, a service starts.
    std::fs::rename(dir.ha_lock(), dir.file("aside")).expect("moved");
    std::os::unix::fs::symlink(dir.ha_lock(), dir.ha_lock()).expect("linked");
    world.restart_service().await;
    let told = |s: &LimaVmStatus| {
        is(s, "Created", "True", "Created")
            && message(s, "Created").starts_with("Lima instance exists: cannot look at ")
    };
    world.until("demo", "the trouble is told", told).await;
    world.until("demo", "the start fails", |s| is(s, "Running", "False", "StartFailed")).await;
    std::fs::rename(dir.file("aside"), dir.ha_lock()).expect("moved back");
    let status = world.until_running("demo", 2).await;
    assert!(is(&status, "Created", "True", "Created"));
    world.until("demo", "no trouble is told", |s| message(s, "Created") == "Lima instance exists").await;
    assert_eq!(world.vm_pid("demo"), vm, "the guest did not notice");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_that_cannot_be_written_is_told_and_does_not_hold_up_a_stop() {
    let world = World::new().await;
    world.make_template("default", "source", &world.template("")).await;
    world.create("default", "demo", "source", true).await.expect("created");
    world.until_running("demo", 1).await;
    // Nothing can be written in the place of a directory.
    let file = world.dir("demo").lima_yaml();
    std::fs::remove_file(&file).expect("removed");
    std::fs::create_dir_all(file.join("full")).expect("made");
    let edited = world.edit("demo", &world.template("cpus: 2")).await.expect("good");
    let told = |s: &LimaVmStatus| message(s, "Created").starts_with("Lima instance exists: write lima.yaml: ");
    let status = world.until("demo", "the failure is told", told).await;
    assert!(status.restart_needed && is(&status, "Running", "True", "Started"));
    world.set_running("demo", false).await;
    world.until_stopped("demo").await;
    // There is room again.
    std::fs::remove_dir_all(&file).expect("removed");
    world.set_running("demo", true).await;
    let status = world.until_running("demo", 2).await;
    assert_eq!(std::fs::read_to_string(&file).expect("read"), world.template("cpus: 2"));
    assert_eq!(Some(status.observed_template_resource_version), edited.resource_version());
    world.until("demo", "no trouble is told", |s| message(s, "Created") == "Lima instance exists").await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_free_again_whichever_way_its_limavm_went() {
    let world = World::new().await;
    world.make_namespace("one").await;
    for namespace in ["one", "default"] {
        world.make_template(namespace, "source", &world.template("")).await;
    }
    let api = world.limavms("one");
    let gone = async |name: &str| {
        let deadline = tokio::time::Instant::now() + support::PATIENCE;
        while api.get_opt(name).await.expect("asked").is_some() {
            assert!(tokio::time::Instant::now() < deadline, "{name} stays");
            sleep(Duration::from_millis(20)).await;
        }
    };
    let until_in_one = async |name: &str, holds: &dyn Fn(&LimaVmStatus) -> bool| {
        let deadline = tokio::time::Instant::now() + support::PATIENCE;
        loop {
            let vm = api.get(name).await.expect("it exists");
            if holds(&vm.status.clone().unwrap_or_default()) {
                return vm;
            }
            assert!(tokio::time::Instant::now() < deadline, "gave up; last seen: {vm:#?}");
            sleep(Duration::from_millis(20)).await;
        }
    };
    let finalizers = async |name: &str, list: serde_json::Value| {
        let patch = json!({"metadata": {"finalizers": list}});
        api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.expect("patched");
    };

    // Protected, deleted, and its finalizer taken away.
    world.create("one", "protected", "source", true).await.expect("created");
    until_in_one("protected", &|s| is(s, "Running", "True", "Started")).await;
    let protection = world.dir("protected").protected();
    std::fs::write(&protection, "").expect("written");
    api.delete("protected", &DeleteParams::default()).await.expect("accepted");
    until_in_one("protected", &|s| is(s, "Created", "True", "DeleteFailed")).await;
    finalizers("protected", json!(null)).await;
    gone("protected").await;
    std::fs::remove_file(&protection).expect("removed");
    world.create("default", "protected", "source", true).await.expect("created");
    world.until_running("protected", 1).await;

    // Let go by us, and held for a while by another's finalizer.
    world.create("one", "held", "source", true).await.expect("created");
    let vm = until_in_one("held", &|s| is(s, "Running", "True", "Started")).await;
    let ours = vm.metadata.finalizers.expect("ours");
    finalizers("held", json!(["example.com/keep", ours[0]])).await;
    api.delete("held", &DeleteParams::default()).await.expect("accepted");
    let deadline = tokio::time::Instant::now() + support::PATIENCE;
    while api.get("held").await.expect("it exists").metadata.finalizers.is_some_and(|f| f.contains(&ours[0])) {
        assert!(tokio::time::Instant::now() < deadline, "our finalizer stays");
        sleep(Duration::from_millis(20)).await;
    }
    finalizers("held", json!(null)).await;
    gone("held").await;
    world.create("default", "held", "source", true).await.expect("created");
    world.until_running("held", 1).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_that_waited_for_the_service_is_one_restart() {
    let mut world = World::new().await;
    world.make_template("default", "source", &world.template("")).await;
    world.create("default", "demo", "source", true).await.expect("created");
    world.until_running("demo", 1).await;
    let vm = world.vm_pid("demo");
    let mut recording = world.record("demo");
    recording.sees(&["True/Started"]).await;
    // Edited while nobody is there to see it; the hostagent dies too.
    world.stop_controller().await;
    world.engine.leave_all().await;
    let text = world.template("user:\n  name: somebody");
    world.edit("demo", &text).await.expect("good");
    world.kill(&world.dir("demo").ha_sock()).await;
    world.restart_service().await;
    recording.sees(&["False/Stopped", "Unknown/Reconciling", "False/Starting", "True/Started"]).await;
    let status = world.until("demo", "nothing waits", |s| !s.restart_needed).await;
    assert_eq!(status.restart_count, 2, "nobody waited for a login that cannot come");
    assert_ne!(world.vm_pid("demo"), vm);
    assert_eq!(world.dir("demo").read_template().expect("read"), text);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_keeps_powering_off_is_told_as_such() {
    let world = World::new().await;
    let text = world.template("param:\n  fakePowerOffAfter: 700ms");
    world.make_template("default", "source", &text).await;
    world.create("default", "demo", "source", true).await.expect("created");
    world.until_running("demo", 1).await;
    let failed = world.until("demo", "it is said", |s| is(s, "Running", "False", "StartFailed")).await;
    let text = message(&failed, "Running");
    assert!(text.starts_with("the guest powered off by itself"), "{text}");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_file_that_was_damaged_or_lost_is_written_again() {
    let world = World::new().await;
    world.make_template("default", "source", &world.template("")).await;
    world.create("default", "demo", "source", true).await.expect("created");
    world.until_running("demo", 1).await;
    for (damage, count) in [(Some("{{{"), 2), (None, 3)] {
        world.set_running("demo", false).await;
        world.until_stopped("demo").await;
        let file = world.dir("demo").lima_yaml();
        match damage {
            Some(text) => std::fs::write(&file, text).expect("written"),
            None => std::fs::remove_file(&file).expect("removed"),
        }
        world.set_running("demo", true).await;
        let status = world.until_running("demo", count).await;
        assert!(!status.restart_needed);
        assert_eq!(std::fs::read_to_string(&file).expect("read"), world.template(""));
    }
    world.close().await;
}
