use std::sync::Arc;

use rdd_admission::{Admit, Attributes, Operation, Plugin, async_trait};
use rdd_api::{GroupVersionResource, Status, object};
use rdd_verbs::{FieldValidation, WriteOptions};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::world::{caller, check, world, world_with};

#[tokio::test]
async fn a_new_object_is_filled_in() {
    let world = world().await;
    let body = json!({"metadata": {"name": "a", "uid": "mine", "creationTimestamp": null, "generation": 7,
        "labels": {}}, "data": {"k": "v"}});
    let made = world.create(&world.maps(), body).await;
    assert_eq!(made["apiVersion"], "v1");
    assert_eq!(made["kind"], "ConfigMap");
    let metadata = &made["metadata"];
    assert_eq!(metadata["namespace"], "default");
    assert_eq!(metadata["creationTimestamp"], "2025-01-01T00:00:00Z");
    assert_eq!(object::uid(&made).len(), 36);
    assert_eq!(object::resource_version(&made), world.revision().to_string());
    assert!(metadata.get("generation").is_none() && metadata.get("labels").is_none());
    assert_eq!(world.verbs.get(&world.maps().named("a")).expect("there"), made);
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let world = world().await;
    world.map("a").await;
    let maps = world.maps();
    let try_create = |body: Value| {
        let (world, maps) = (&world, maps.clone());
        async move { world.try_create(&maps, body).await }
    };
    let body = json!({"metadata": {"name": "a"}});
    let status = check(try_create(body).await, 409, "AlreadyExists", "configmaps \"a\" already exists");
    assert_eq!(status.details.expect("details").kind, "configmaps");
    check(
        try_create(json!({"metadata": {"name": "b", "resourceVersion": "5"}})).await,
        500,
        "",
        "resourceVersion should not be set on objects to be created",
    );
    check(
        try_create(json!({"apiVersion": "g/v2", "metadata": {"name": "b"}})).await,
        400,
        "BadRequest",
        "the API version in the data (g/v2) does not match the expected API version (v1)",
    );
    check(
        try_create(json!({"metadata": {"name": "b", "namespace": "other"}})).await,
        400,
        "BadRequest",
        "the namespace of the provided object does not match the namespace sent on the request",
    );
    check(
        try_create(json!({"metadata": {"name": "b"}, "data": {"a": 1}})).await,
        400,
        "BadRequest",
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct \
         field ConfigMap.data of type string",
    );
    check(
        try_create(json!({"metadata": {}})).await,
        422,
        "Invalid",
        "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required",
    );
    let status = try_create(json!({"metadata": {"name": "B"}})).await.expect_err("refused");
    assert_eq!((status.code, status.details.expect("details").kind.as_str()), (422, "ConfigMap"));
    assert!(status.message.starts_with(
        "ConfigMap \"B\" is invalid: metadata.name: Invalid value: \"B\": a lowercase RFC 1123 subdomain must consist of"
    ));
    let nowhere = world.target("configmaps").in_namespace("nowhere");
    check(
        world.try_create(&nowhere, json!({"metadata": {"name": "b"}})).await,
        404,
        "NotFound",
        "namespaces \"nowhere\" not found",
    );
    let everywhere = world.target("configmaps");
    let status = world.try_create(&everywhere, json!({"metadata": {"name": "b"}})).await.expect_err("refused");
    assert_eq!(status.code, 405);
}

#[tokio::test]
async fn names_are_generated() {
    let world = world().await;
    let made = world.create(&world.maps(), json!({"metadata": {"generateName": "abc-"}})).await;
    let name = object::name(&made);
    assert!(name.starts_with("abc-") && name.len() == 9, "{name}");
    assert_eq!(made["metadata"]["generateName"], "abc-");
}

#[tokio::test]
async fn a_dry_run_leaves_nothing() {
    let world = world().await;
    let before = world.revision();
    let options = WriteOptions { dry_run: true, ..WriteOptions::default() };
    let body = json!({"metadata": {"name": "a"}});
    let written = world.verbs.create(&caller(), &world.maps(), body, &options).await.expect("fine");
    assert_eq!(object::resource_version(&written.object), "");
    assert!(!object::uid(&written.object).is_empty());
    assert_eq!(world.revision(), before);
    world.map("b").await;
    let taken = world.verbs.create(&caller(), &world.maps(), json!({"metadata": {"name": "b"}}), &options).await;
    assert_eq!(taken.expect_err("taken").code, 409);
}

#[tokio::test]
async fn unknown_fields_are_dropped_told_or_refused() {
    let world = world().await;
    let body = |name: &str| json!({"metadata": {"name": name, "foo": 1}, "data": {"a": "b"}, "spec": {}});
    let create = |name: &'static str, field_validation: FieldValidation| {
        let options = WriteOptions {
            field_validation,
            decode_errors: vec!["duplicate field \"data.a\"".to_owned()],
            ..WriteOptions::default()
        };
        let (verbs, target) = (world.verbs.clone(), world.maps());
        async move { verbs.create(&caller(), &target, body(name), &options).await }
    };
    let ignored = create("a", FieldValidation::Ignore).await.expect("created");
    assert!(ignored.warnings.is_empty());
    assert!(ignored.object.get("spec").is_none() && ignored.object["metadata"].get("foo").is_none());
    let warned = create("b", FieldValidation::Warn).await.expect("created");
    let mut warnings = warned.warnings.clone();
    warnings.sort();
    assert_eq!(warnings, ["duplicate field \"data.a\"", "unknown field \"metadata.foo\"", "unknown field \"spec\""]);
    let refused = create("c", FieldValidation::Strict).await.expect_err("refused");
    assert_eq!((refused.code, refused.reason.0.as_ref()), (400, "BadRequest"));
    assert!(refused.message.starts_with(
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field"
    ));
}

#[tokio::test]
async fn secrets_and_namespaces_have_ways_of_their_own() {
    let world = world().await;
    let secrets = world.target("secrets").in_namespace("default");
    let secret = world.create(&secrets, json!({"metadata": {"name": "s"}, "stringData": {"a": "x"}})).await;
    assert_eq!((&secret["data"]["a"], &secret["type"]), (&json!("eA=="), &json!("Opaque")));
    assert!(secret.get("stringData").is_none());

    let namespace = world.create(&world.target("namespaces"), json!({"metadata": {"name": "n"}})).await;
    assert_eq!(namespace["spec"], json!({"finalizers": ["kubernetes"]}));
    assert_eq!(namespace["status"], json!({"phase": "Active"}));
    assert_eq!(namespace["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "n"}));
    let status = world.try_create(&world.target("namespaces"), json!({"metadata": {"name": "a.b"}})).await;
    assert_eq!(status.expect_err("a label is wanted").code, 422);
}

/// As the bridge's plugin does: makes a second object, holds a lock, changes the first.
struct Copier {
    lock: Arc<Mutex<()>>,
    refuse: bool,
}

#[async_trait]
impl Plugin for Copier {
    fn name(&self) -> &str {
        "copier"
    }

    fn handles(&self, request: &Attributes) -> bool {
        request.operation == Operation::Create && request.is_for("", "secrets")
    }

    async fn admit(&self, request: &mut Attributes, context: &Admit) -> Result<(), Status> {
        request.hold(self.lock.clone().lock_owned().await);
        let maps = GroupVersionResource::new("", "v1", "configmaps");
        let others = context.reader.list(&request.resource, None).await?;
        if others.iter().any(|o| object::name(o) == request.name) {
            return Err(request.forbidden("the name is used"));
        }
        let copy = json!({"metadata": {"name": format!("{}-copy", request.name)}});
        let namespace = request.namespace.clone();
        let (made, _) =
            context.writer.create(&request.user, &maps, namespace.as_deref(), copy, request.dry_run).await?;
        if !request.dry_run {
            let (writer, user, name, uid) = (
                context.writer.clone(),
                request.user.clone(),
                object::name(&made).to_owned(),
                object::uid(&made).to_owned(),
            );
            request.if_refused(async move {
                let _ = writer.delete(&user, &maps, namespace.as_deref(), &name, &uid, false).await;
            });
        }
        let object = request.object.as_mut().expect("a create has an object");
        object["metadata"]["finalizers"] = json!(["example.com/cleanup"]);
        context.warn("copied");
        Ok(())
    }

    async fn validate(&self, request: &Attributes, _context: &Admit) -> Result<(), Status> {
        assert!(!object::uid(request.object.as_ref().expect("an object")).is_empty());
        if self.refuse { Err(request.forbidden("not today")) } else { Ok(()) }
    }
}

#[tokio::test]
async fn a_plugin_may_change_copy_and_serialise() {
    let lock = Arc::new(Mutex::new(()));
    let world = world_with(vec![Arc::new(Copier { lock: lock.clone(), refuse: false })]).await;
    let secrets = world.target("secrets").in_namespace("default");
    let dry = WriteOptions { dry_run: true, ..WriteOptions::default() };
    let body = json!({"metadata": {"name": "s"}});
    world.verbs.create(&caller(), &secrets, body.clone(), &dry).await.expect("fine");
    assert!(world.verbs.get(&world.maps().named("s-copy")).is_err());

    let written = world.try_create(&secrets, body.clone()).await.expect("created");
    assert_eq!(written.warnings, ["copied"]);
    assert_eq!(written.object["metadata"]["finalizers"], json!(["example.com/cleanup"]));
    assert!(world.verbs.get(&world.maps().named("s-copy")).is_ok());
    assert!(lock.try_lock().is_ok(), "let go once durable");

    // Of many with one name in different namespaces only one gets through.
    let mut tries = tokio::task::JoinSet::new();
    for number in 0..8 {
        let name = format!("n{number}");
        world.create(&world.target("namespaces"), json!({"metadata": {"name": name}})).await;
        let (verbs, target) = (world.verbs.clone(), world.target("secrets").in_namespace(&name));
        tries.spawn(async move {
            let body = json!({"metadata": {"name": "unique"}});
            verbs.create(&caller(), &target, body, &WriteOptions::default()).await.is_ok()
        });
    }
    assert_eq!(tries.join_all().await.into_iter().filter(|made| *made).count(), 1);
}

#[tokio::test]
async fn what_a_plugin_did_is_undone_if_the_write_fails() {
    let world = world_with(vec![Arc::new(Copier { lock: Arc::default(), refuse: true })]).await;
    let secrets = world.target("secrets").in_namespace("default");
    check(
        world.try_create(&secrets, json!({"metadata": {"name": "s"}})).await,
        403,
        "Forbidden",
        "secrets \"s\" is forbidden: not today",
    );
    assert!(world.verbs.get(&world.maps().named("s-copy")).is_err());
}
