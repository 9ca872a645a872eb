//! Bodies that kubectl 1.32 sent to a logging server on loopback, and what they mean.

use serde_json::{Value, json};

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |i: usize| u8::from_str_radix(&hex[i..i + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn check(message: &'static Message, hex: &str, expect: Value) {
    let bytes = bytes(hex);
    assert!(is_protobuf(&bytes));
    let body = decode_body(&bytes).expect("an envelope");
    assert_eq!(body.decode(message), Ok(expect));
}

#[test]
fn bodies_of_kubectl_create() {
    check(
        &NAMESPACE,
        "6b3873000a0f0a02763112094e616d657370616365121a0a120a026e3112001a0022002a0032003800420012001a020a001a002200",
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n1"}, "spec": {}, "status": {}}),
    );
    check(
        &CONFIG_MAP,
        "6b3873000a0f0a0276311209436f6e6669674d617012240a130a02633112001a016422002a0032003800420012060a0161120131\
         12050a016212001a002200",
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c1", "namespace": "d"},
            "data": {"a": "1", "b": ""}}),
    );
    check(
        &CONFIG_MAP,
        "6b3873000a0f0a0276311209436f6e6669674d617012220a130a02633212001a016422002a003200380042001a0b0a0178120600\
         000000fffe1a002200",
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c2", "namespace": "d"},
            "binaryData": {"x": "AAAAAP/+"}}),
    );
    check(
        &SECRET,
        "6b3873000a0c0a0276311206536563726574122c0a130a02733112001a016422002a00320038004200120c0a0170120768756e74\
         6572321a076d792f747970651a002200",
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s1", "namespace": "d"},
            "type": "my/type", "data": {"p": "aHVudGVyMg=="}}),
    );
    check(
        &SERVICE_ACCOUNT,
        "6b3873000a140a027631120e536572766963654163636f756e7412150a130a02613112001a016422002a003200380042001a002200",
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a1", "namespace": "d"}}),
    );
}

#[test]
fn broken_bodies_are_refused() {
    assert_eq!(decode_body(b"{}"), Err(DecodeError::NoEnvelope));
    assert!(decode_body(b"k8s\0\x0a\xff").is_err());
    assert!(decode(&NAMESPACE, b"\x0a\x7f").is_err());
    assert!(decode(&OBJECT_META, b"\x08\x01").is_err(), "a name is no number");
    assert!(decode(&OBJECT_META, b"\x0a\x01\xff").is_err(), "a name is UTF-8");
}

#[test]
fn times_numbers_and_pointers() {
    // holderIdentity "", leaseDurationSeconds 0 (pointers: kept), renewTime 2025-01-01T00:00:00.5Z.
    let spec: &[u8] = b"\x0a\x00\x10\x00\x22\x0c\x08\x80\x8b\xd2\xbb\x06\x10\x80\xca\xb5\xee\x01";
    let mut lease = vec![0x12, u8::try_from(spec.len()).expect("short")];
    lease.extend_from_slice(spec);
    assert_eq!(
        decode(&LEASE, &lease),
        Ok(
            json!({"spec": {"holderIdentity": "", "leaseDurationSeconds": 0, "renewTime": "2025-01-01T00:00:00.500000Z"}})
        )
    );
}

#[test]
fn tables_give_schemas() {
    let schema = CONFIG_MAP.schema();
    assert_eq!(schema["properties"]["data"], json!({"type": "object", "additionalProperties": {"type": "string"}}));
    let owners = &schema["properties"]["metadata"]["properties"]["ownerReferences"];
    assert_eq!(owners["x-kubernetes-patch-merge-key"], "uid");
    for message in [&NAMESPACE, &SECRET, &EVENT, &EVENTS_EVENT, &LEASE, &CUSTOM_RESOURCE_DEFINITION, &DELETE_OPTIONS] {
        assert!(crate::Schema::parse(&json!({"type": "object", "properties": {"spec": message.schema()}})).is_ok());
        let mut numbers: Vec<u32> = message.fields.iter().map(|f| f.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), message.fields.len(), "{}", message.name);
    }
}

#[test]
fn embedded_messages_stand_among_the_fields_around_them() {
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).expect("short")], bytes].concat()
    }
    let rule = [field(1, b"apps"), field(2, b"v1"), field(3, b"deployments"), field(4, b"*")].concat();
    let rules = [field(1, b"CREATE"), field(2, &rule)].concat();
    let client = field(3, b"https://localhost/");
    let webhook = [field(1, b"a.b.c"), field(2, &client), field(3, &rules), b"\x38\x05".to_vec()].concat();
    let expect = json!({"webhooks": [{
        "name": "a.b.c", "clientConfig": {"url": "https://localhost/"}, "timeoutSeconds": 5,
        "rules": [{
            "operations": ["CREATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "scope": "*",
        }],
    }]});
    for message in [&MUTATING_WEBHOOK_CONFIGURATION, &VALIDATING_WEBHOOK_CONFIGURATION] {
        assert_eq!(decode(message, &field(2, &webhook)), Ok(expect.clone()));
        assert!(crate::metadata::check_types(message, &expect).is_ok());
        let wrong = json!({"webhooks": [{"rules": [{"operations": [], "apiGroups": "apps"}]}]});
        let error = crate::metadata::check_types(message, &wrong).expect_err("no list");
        assert!(error.to_string().ends_with("webhooks.rules.apiGroups of type []string"), "{error}");
        let schema = &message.schema()["properties"]["webhooks"]["items"]["properties"]["rules"]["items"];
        assert_eq!(schema["properties"]["apiGroups"]["type"], "array");
    }
}
