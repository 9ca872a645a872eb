//! Objects are made only in namespaces that are there and stay.
//!
//! A create in a missing namespace is a 404, in a terminating one a 403. Between that check and the
//! moment the object is durable the namespace may start to terminate; whoever empties it must not
//! miss the object. So creates are counted ([`InFlight`]) before they look at the namespace: once it is
//! seen terminating and [`NamespaceLifecycle::settled`] returns, every create that saw it alive is
//! visible, and later ones are refused.

use async_trait::async_trait;
use rdd_api::{Cause, GroupResource, GroupVersionResource, Status, object};
use serde_json::Value;

use crate::attributes::{Attributes, Operation};
use crate::in_flight::InFlight;
use crate::plugin::{Admit, Plugin};

/// Namespaces that may not be deleted.
pub const PROTECTED_NAMESPACES: [&str; 3] = ["default", "kube-system", "kube-public"];

/// The plugin that guards namespaces.
#[derive(Default)]
pub struct NamespaceLifecycle {
    creating: InFlight,
}

impl NamespaceLifecycle {
    /// Waits until no create in the namespace is under way.
    pub async fn settled(&self, namespace: &str) {
        self.creating.settled(namespace).await;
    }
}

#[async_trait]
impl Plugin for NamespaceLifecycle {
    fn name(&self) -> &str {
        "NamespaceLifecycle"
    }

    fn handles(&self, request: &Attributes) -> bool {
        request.namespace.is_some()
    }

    async fn admit(&self, request: &mut Attributes, context: &Admit) -> Result<(), Status> {
        let is_namespace = request.resource.group.is_empty() && request.resource.resource == "namespaces";
        if is_namespace {
            let protected = PROTECTED_NAMESPACES.contains(&request.name.as_str());
            if request.operation == Operation::Delete && protected {
                return Err(request.forbidden("this namespace may not be deleted"));
            }
            return Ok(());
        }
        // Deletes and updates go on in a terminating namespace: finalizers must be removable.
        if request.operation != Operation::Create || request.subresource.is_some() {
            return Ok(());
        }
        let Some(name) = request.namespace.clone() else { return Ok(()) };
        request.hold(self.creating.begin(&name));
        let resource = GroupVersionResource::new("", "v1", "namespaces");
        match context.reader.get(&resource, None, &name).await? {
            None => Err(Status::not_found(&GroupResource::new("", "namespaces"), &name)),
            Some(namespace) if is_terminating(&namespace) => Err(terminating(request, &name)),
            Some(_) => Ok(()),
        }
    }
}

fn is_terminating(namespace: &Value) -> bool {
    object::is_terminating(namespace)
        || namespace.pointer("/status/phase").and_then(Value::as_str) == Some("Terminating")
}

fn terminating(request: &Attributes, namespace: &str) -> Status {
    let text = format!("unable to create new content in namespace {namespace} because it is being terminated");
    request.forbidden(&text).with_cause(Cause {
        reason: "NamespaceTerminating".to_owned(),
        message: format!("namespace {namespace} is being terminated"),
        field: "metadata.namespace".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rdd_api::GroupVersionKind;
    use serde_json::json;

    use super::*;
    use crate::{Reader, UserInfo, Writer};

    struct Namespaces(Vec<Value>);

    #[async_trait]
    impl Reader for Namespaces {
        async fn get(
            &self,
            _resource: &GroupVersionResource,
            _namespace: Option<&str>,
            name: &str,
        ) -> Result<Option<Arc<Value>>, Status> {
            Ok(self.0.iter().find(|n| object::name(n) == name).cloned().map(Arc::new))
        }
        async fn list(&self, _: &GroupVersionResource, _: Option<&str>) -> Result<Vec<Arc<Value>>, Status> {
            Ok(Vec::new())
        }
    }

    struct NoWriter;

    #[async_trait]
    impl Writer for NoWriter {
        async fn create(
            &self,
            _: &UserInfo,
            _: &GroupVersionResource,
            _: Option<&str>,
            _: Value,
            _: bool,
        ) -> Result<(Arc<Value>, Vec<String>), Status> {
            Err(Status::internal("not here"))
        }
        async fn update(
            &self,
            _: &UserInfo,
            _: &GroupVersionResource,
            _: Option<&str>,
            _: Value,
            _: bool,
        ) -> Result<Arc<Value>, Status> {
            Err(Status::internal("not here"))
        }
        async fn delete(
            &self,
            _: &UserInfo,
            _: &GroupVersionResource,
            _: Option<&str>,
            _: &str,
            _: &str,
            _: bool,
        ) -> Result<(), Status> {
            Err(Status::internal("not here"))
        }
    }

    fn context() -> Admit {
        let namespaces = vec![
            json!({"metadata": {"name": "alive"}, "status": {"phase": "Active"}}),
            json!({"metadata": {"name": "dying"}, "status": {"phase": "Terminating"}}),
        ];
        Admit::new(Arc::new(Namespaces(namespaces)), Arc::new(NoWriter))
    }

    fn request(operation: Operation, resource: &str, namespace: &str, name: &str) -> Attributes {
        let mut request = Attributes::new(
            operation,
            GroupVersionKind::new("", "v1", "Thing"),
            GroupVersionResource::new("", "v1", resource),
            UserInfo::default(),
        );
        request.namespace = Some(namespace.to_owned());
        request.name = name.to_owned();
        request
    }

    #[tokio::test]
    async fn creates_need_a_living_namespace() {
        let plugin = NamespaceLifecycle::default();
        let mut ok = request(Operation::Create, "configmaps", "alive", "c");
        plugin.admit(&mut ok, &context()).await.expect("allowed");

        let mut missing = request(Operation::Create, "configmaps", "nowhere", "c");
        let status = plugin.admit(&mut missing, &context()).await.expect_err("refused");
        assert_eq!((status.code, status.message.as_str()), (404, "namespaces \"nowhere\" not found"));

        let mut dying = request(Operation::Create, "configmaps", "dying", "c");
        let status = plugin.admit(&mut dying, &context()).await.expect_err("refused");
        assert_eq!(status.code, 403);
        assert_eq!(
            status.message,
            "configmaps \"c\" is forbidden: unable to create new content in namespace dying because it is being terminated"
        );
        assert_eq!(status.details.expect("details").causes[0].reason, "NamespaceTerminating");

        let mut update = request(Operation::Update, "configmaps", "dying", "c");
        plugin.admit(&mut update, &context()).await.expect("updates go on");
    }

    #[tokio::test]
    async fn some_namespaces_stay() {
        let plugin = NamespaceLifecycle::default();
        for name in PROTECTED_NAMESPACES {
            let mut delete = request(Operation::Delete, "namespaces", name, name);
            let status = plugin.admit(&mut delete, &context()).await.expect_err("refused");
            assert_eq!(
                status.message,
                format!("namespaces \"{name}\" is forbidden: this namespace may not be deleted")
            );
        }
        let mut other = request(Operation::Delete, "namespaces", "alive", "alive");
        plugin.admit(&mut other, &context()).await.expect("allowed");
    }

    #[tokio::test]
    async fn a_namespace_settles_when_its_creates_have_ended() {
        let plugin = Arc::new(NamespaceLifecycle::default());
        let mut create = request(Operation::Create, "configmaps", "alive", "c");
        plugin.admit(&mut create, &context()).await.expect("allowed");
        let waiting = tokio::spawn({
            let plugin = plugin.clone();
            async move { plugin.settled("alive").await }
        });
        plugin.settled("other").await;
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        create.stored();
        waiting.await.expect("settled");
    }
}
