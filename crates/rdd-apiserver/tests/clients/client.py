"""The official Python client against a server: python3 client.py KUBECONFIG BOBS-KUBECONFIG."""

import json
import sys
import threading

from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException

config.load_kube_config(sys.argv[1])
api = client.ApiClient()
core = client.CoreV1Api(api)
custom = client.CustomObjectsApi(api)
extensions = client.ApiextensionsV1Api(api)
coordination = client.CoordinationV1Api(api)

NAMESPACE = "python"
KIND = {"group": "python.example.com", "version": "v1", "plural": "boats", "namespace": NAMESPACE}


def refused(code, reason, call, *args, **kwargs):
    """Calls what must be refused, and returns the Status."""
    try:
        call(*args, **kwargs)
    except ApiException as error:
        status = json.loads(error.body)
        assert error.status == code, f"{error.status}, not {code}: {error.body}"
        assert status["reason"] == reason, f"{status}, not {reason}"
        return status
    raise AssertionError(f"{call.__name__} was not refused with {code}")


def core_kinds():
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
    made = core.create_namespaced_config_map(NAMESPACE, client.V1ConfigMap(
        metadata=client.V1ObjectMeta(name="a", labels={"x": "y"}), data={"k": "1"}))
    assert made.metadata.uid and made.metadata.creation_timestamp.tzinfo
    refused(409, "AlreadyExists", core.create_namespaced_config_map, NAMESPACE, made_anew("a"))
    patched = core.patch_namespaced_config_map("a", NAMESPACE, {"data": {"l": "2"}})
    assert patched.data == {"k": "1", "l": "2"}
    patched = core.patch_namespaced_config_map("a", NAMESPACE, [{"op": "remove", "path": "/data/l"}])
    assert patched.data == {"k": "1"}
    made.data = {"k": "stale"}
    refused(409, "Conflict", core.replace_namespaced_config_map, "a", NAMESPACE, made)
    patched.data = {"k": "3"}
    assert core.replace_namespaced_config_map("a", NAMESPACE, patched).data == {"k": "3"}
    bad = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="Not A Name"))
    status = refused(422, "Invalid", core.create_namespaced_config_map, NAMESPACE, bad)
    assert status["details"]["causes"][0]["field"] == "metadata.name"
    found = core.list_namespaced_config_map(NAMESPACE, label_selector="x=y").items
    assert [item.metadata.name for item in found] == ["a"]
    secret = core.create_namespaced_secret(NAMESPACE, client.V1Secret(
        metadata=client.V1ObjectMeta(name="s"), string_data={"p": "q"}))
    assert secret.data == {"p": "cQ=="} and secret.type == "Opaque"
    lease = client.V1Lease(metadata=client.V1ObjectMeta(name="l"), spec=client.V1LeaseSpec(
        holder_identity="me", lease_duration_seconds=15))
    assert coordination.create_namespaced_lease(NAMESPACE, lease).spec.holder_identity == "me"


def made_anew(name):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name))


def pages():
    for index in range(5):
        core.create_namespaced_config_map(NAMESPACE, made_anew(f"page-{index}"))
    names, token = [], None
    while True:
        page = core.list_namespaced_config_map(NAMESPACE, limit=2, _continue=token)
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
    assert [name for name in names if name.startswith("page-")] == [f"page-{index}" for index in range(5)]


def apply():
    def ssa(manager, data, force=None):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": data}
        return core.patch_namespaced_config_map("applied", NAMESPACE, body, field_manager=manager, force=force,
                                                _content_type="application/apply-patch+yaml")
    ssa("one", {"a": "1"})
    assert ssa("two", {"b": "1"}).data == {"a": "1", "b": "1"}
    status = refused(409, "Conflict", ssa, "two", {"a": "2", "b": "1"})
    assert status["details"]["causes"][0]["reason"] == "FieldManagerConflict"
    forced = ssa("two", {"a": "2", "b": "1"}, force=True)
    assert [entry.manager for entry in forced.metadata.managed_fields] == ["two"]


def definitions():
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "sails": {"type": "integer", "minimum": 1}}}}}
    extensions.create_custom_resource_definition({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "boats.python.example.com"},
        "spec": {"group": KIND["group"], "scope": "Namespaced", "names": {"plural": "boats", "kind": "Boat"},
                 "versions": [{"name": "v1", "served": True, "storage": True,
                               "schema": {"openAPIV3Schema": schema}}]}})
    definition = extensions.read_custom_resource_definition("boats.python.example.com")
    assert any(c.type == "Established" and c.status == "True" for c in definition.status.conditions)
    boat = {"apiVersion": "python.example.com/v1", "kind": "Boat", "metadata": {"name": "argo"}, "spec": {"sails": 2}}
    custom.create_namespaced_custom_object(body=boat, **KIND)
    raft = {**boat, "metadata": {"name": "raft"}, "spec": {"sails": 0}}
    refused(422, "Invalid", custom.create_namespaced_custom_object, body=raft, **KIND)
    boats = dynamic.DynamicClient(api).resources.get(api_version="python.example.com/v1", kind="Boat")
    assert boats.get(name="argo", namespace=NAMESPACE).spec.sails == 2
    changed = boats.patch(body={"spec": {"sails": 3}}, name="argo", namespace=NAMESPACE,
                          content_type="application/merge-patch+json")
    assert changed.spec.sails == 3
    assert [item.metadata.name for item in boats.get(namespace=NAMESPACE).items] == ["argo"]


def roles():
    bob = client.CoreV1Api(config.new_client_from_config(sys.argv[2]))
    status = refused(403, "Forbidden", bob.list_namespaced_config_map, NAMESPACE)
    assert 'User "bob" cannot list resource "configmaps"' in status["message"], status
    rbac = client.RbacAuthorizationV1Api(api)
    rbac.create_namespaced_role(NAMESPACE, client.V1Role(
        metadata=client.V1ObjectMeta(name="reader"),
        rules=[client.V1PolicyRule(api_groups=[""], resources=["configmaps"], verbs=["get", "list"])]))
    rbac.create_namespaced_role_binding(NAMESPACE, {
        "metadata": {"name": "bob"}, "subjects": [{"kind": "User", "name": "bob"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}})
    assert bob.read_namespaced_config_map("a", NAMESPACE).metadata.name == "a"
    refused(403, "Forbidden", bob.delete_namespaced_config_map, "a", NAMESPACE)
    refused(403, "Forbidden", bob.list_namespaced_config_map, "default")
    review = client.AuthorizationV1Api(api).create_subject_access_review({"spec": {"user": "bob", "resourceAttributes": {
        "namespace": NAMESPACE, "verb": "get", "resource": "configmaps"}}})
    assert review.status.allowed


def watches():
    start = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    # The watch sees what happens after it was taken note of, also before it begins.
    core.create_namespaced_config_map(NAMESPACE, made_anew("seen"))
    later = threading.Thread(target=lambda: (
        core.patch_namespaced_config_map("seen", NAMESPACE, {"data": {"k": "v"}}),
        core.delete_namespaced_config_map("seen", NAMESPACE)))
    later.start()
    told, watcher = [], watch.Watch()
    for event in watcher.stream(core.list_namespaced_config_map, NAMESPACE, resource_version=start,
                                field_selector="metadata.name=seen", timeout_seconds=60):
        told.append(event["type"])
        if event["type"] == "DELETED":
            watcher.stop()
    later.join()
    assert told == ["ADDED", "MODIFIED", "DELETED"], told


def deletes():
    status = core.delete_namespaced_secret("s", NAMESPACE)
    assert status.status == "Success" and status.details.kind == "secrets"
    refused(404, "NotFound", core.read_namespaced_secret, "s", NAMESPACE)
    refused(404, "NotFound", core.create_namespaced_config_map, "nowhere", made_anew("a"))
    custom.delete_namespaced_custom_object(name="argo", **KIND)
    refused(404, "NotFound", custom.get_namespaced_custom_object, name="argo", **KIND)
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="x=y")
    refused(404, "NotFound", core.read_namespaced_config_map, "a", NAMESPACE)
    extensions.delete_custom_resource_definition("boats.python.example.com")


for part in [core_kinds, pages, apply, definitions, roles, watches, deletes]:
    part()
    print("ok", part.__name__, flush=True)
