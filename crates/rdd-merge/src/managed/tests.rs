use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::entries::Entries;
use super::field_set::FieldSet;
use super::*;

fn object_meta() -> Value {
    json!({"type": "object", "properties": {
        "name": {"type": "string"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
        "finalizers": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
    }})
}

fn schema() -> Value {
    json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "replicas": {"type": "integer"},
            "image": {"type": "string"},
            "whole": {"type": "array", "items": {"type": "string"}},
            "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "ports": {
                "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
                "items": {"type": "object", "properties": {
                    "port": {"type": "integer"},
                    "protocol": {"type": "string", "default": "TCP"},
                    "name": {"type": "string"},
                }},
            },
            "selector": {
                "type": "object", "additionalProperties": {"type": "string"}, "x-kubernetes-map-type": "atomic",
            },
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }},
        "data": {"type": "object", "additionalProperties": {"type": "string"}},
        "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
    }})
}

/// An object with what happens to it, as a server would.
struct World {
    schema: Value,
    object_meta: Value,
    object: Option<Value>,
    clock: u32,
}

fn world() -> World {
    World { schema: schema(), object_meta: object_meta(), object: None, clock: 0 }
}

fn nothing() -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Thing"})
}

fn thing(fields: Value) -> Value {
    let mut thing = nothing();
    thing["metadata"] = json!({"name": "a"});
    for (key, value) in fields.as_object().expect("fields") {
        match (key.as_str(), value) {
            ("metadata", Value::Object(metadata)) => {
                metadata.iter().for_each(|(key, value)| thing["metadata"][key] = value.clone());
            }
            _ => thing[key] = value.clone(),
        }
    }
    thing
}

impl World {
    fn kind(&self) -> Tracked<'_> {
        Tracked {
            of: Type::of_object(&self.schema, &self.object_meta),
            is_own_version: &|version| version.starts_with("example.com/"),
            is_known_version: &|version| version == "example.com/v1",
        }
    }

    fn live(&self) -> Value {
        self.object.clone().unwrap_or_else(nothing)
    }

    fn put(&mut self, mut object: Value, managed: Option<Value>) {
        if let Some(managed) = managed {
            object["metadata"]["managedFields"] = managed;
        }
        self.object = Some(object);
    }

    fn apply_with(&mut self, manager: &str, fields: Value, force: bool) -> Result<Value, ApplyError> {
        self.clock += 1;
        let now = format!("2025-01-01T00:00:{:02}Z", self.clock % 60);
        let writer = Writer {
            manager,
            api_version: "example.com/v1",
            subresource: "",
            reach: Reach::Without("status"),
            now: &now,
        };
        let applied = apply(self.kind(), &self.live(), &thing(fields), &writer, force)?;
        self.put(applied.object.clone(), applied.managed);
        Ok(applied.object)
    }

    fn apply(&mut self, manager: &str, fields: Value) -> Value {
        self.apply_with(manager, fields, false).expect("applied")
    }

    fn conflicts(&mut self, manager: &str, fields: Value) -> Vec<String> {
        match self.apply_with(manager, fields, false) {
            Err(ApplyError::Conflicts(found)) => found.iter().map(|c| format!("{} {}", c.with, c.field)).collect(),
            other => panic!("no conflict: {other:?}"),
        }
    }

    /// Writes the whole object, as a PUT without managedFields.
    fn write(&mut self, manager: &str, fields: Value) {
        self.clock += 1;
        let now = format!("2025-01-01T00:00:{:02}Z", self.clock % 60);
        let writer = Writer {
            manager,
            api_version: "example.com/v1",
            subresource: "",
            reach: Reach::Without("status"),
            now: &now,
        };
        let new = thing(fields);
        let managed = update(self.kind(), &self.live(), &new, None, &writer, self.object.is_none());
        self.put(new, managed);
    }

    /// Returns what each manager owns.
    fn owners(&self) -> BTreeMap<String, Value> {
        let live = self.live();
        let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array).cloned().unwrap_or_default();
        let named = |entry: Value| {
            let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
            (format!("{} {}", text("manager"), text("operation")), entry["fieldsV1"].clone())
        };
        entries.into_iter().map(named).collect()
    }

    fn owns(&self, who: &str) -> Value {
        self.owners().get(who).cloned().unwrap_or_default()
    }
}

#[test]
fn a_create_is_owned_by_its_writer() {
    let mut world = world();
    world.write(
        "kubectl-create",
        json!({
            "metadata": {"labels": {"a": "1"}, "finalizers": ["x/y"]},
            "spec": {"replicas": 1, "ports": [{"port": 80}], "selector": {"x": "y"}, "free": {"a": {"b": [1]}}},
            "status": {"phase": "x"},
        }),
    );
    let expected = json!({
        "f:metadata": {
            "f:labels": {".": {}, "f:a": {}},
            "f:finalizers": {".": {}, "v:\"x/y\"": {}},
        },
        "f:spec": {
            ".": {}, "f:replicas": {}, "f:selector": {},
            "f:ports": {".": {}, "k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}},
            "f:free": {".": {}, "f:a": {".": {}, "f:b": {}}},
        },
    });
    assert_eq!(world.owns("kubectl-create Update"), expected);
}

#[test]
fn an_applied_configuration_owns_what_it_says() {
    let mut world = world();
    world.apply("a", json!({"metadata": {"labels": {"a": "1"}}, "spec": {"replicas": 1, "ports": [{"port": 80}]}}));
    let expected = json!({
        "f:metadata": {"f:labels": {"f:a": {}}},
        "f:spec": {
            "f:replicas": {},
            "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}},
        },
    });
    assert_eq!(world.owns("a Apply"), expected);
}

#[test]
fn what_is_left_out_goes_unless_others_own_it() {
    let mut world = world();
    world.apply("a", json!({"spec": {"replicas": 1, "image": "x", "tags": ["p", "q"]}, "data": {"k": "1", "l": "2"}}));
    world.apply("b", json!({"spec": {"image": "x", "tags": ["q"]}, "data": {"l": "2"}}));
    let object = world.apply("a", json!({"spec": {"replicas": 1}}));
    assert_eq!(object["spec"], json!({"replicas": 1, "image": "x", "tags": ["q"]}));
    assert_eq!(object["data"], json!({"l": "2"}));
    let object = world.apply("b", json!({}));
    assert_eq!(object, thing(json!({"spec": {"replicas": 1}})));
    assert_eq!(world.owners().len(), 1, "who owns nothing is not listed");
}

#[test]
fn what_another_one_changed_is_a_conflict() {
    let mut world = world();
    world.apply("a", json!({"spec": {"replicas": 1, "image": "x"}}));
    world.write("hand", json!({"spec": {"replicas": 5, "image": "y"}}));
    assert_eq!(
        world.conflicts("a", json!({"spec": {"replicas": 1, "image": "x"}})),
        [
            "\"hand\" using example.com/v1 at 2025-01-01T00:00:02Z .spec.image",
            "\"hand\" using example.com/v1 at 2025-01-01T00:00:02Z .spec.replicas",
        ]
    );
    // The same value is nobody's conflict; both own it.
    world.apply("a", json!({"spec": {"replicas": 5}}));
    assert_eq!(world.owns("hand Update")["f:spec"], json!({"f:image": {}, "f:replicas": {}}));
    let object = world.apply_with("a", json!({"spec": {"replicas": 7, "image": "x"}}), true).expect("forced");
    assert_eq!(object["spec"], json!({"replicas": 7, "image": "x"}));
    assert_eq!(world.owns("hand Update"), Value::Null, "it was taken over");
    assert_eq!(world.conflicts("b", json!({"spec": {"replicas": 8}})), ["\"a\" .spec.replicas"]);
}

#[test]
fn items_merge_by_their_keys() {
    let mut world = world();
    world.apply("a", json!({"spec": {"ports": [{"port": 80, "name": "web"}, {"port": 53, "protocol": "UDP"}]}}));
    world.apply("b", json!({"spec": {"ports": [{"port": 53}, {"port": 80, "protocol": "TCP", "name": "web"}]}}));
    let object = world.apply("a", json!({"spec": {"ports": [{"port": 443}]}}));
    assert_eq!(
        object["spec"]["ports"],
        json!([{"port": 53}, {"port": 80, "protocol": "TCP", "name": "web"}, {"port": 443}])
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    let check = |fields: Value, expect: &str| match world().apply_with("a", fields, true) {
        Err(ApplyError::Config(found)) => assert_eq!(found, [expect]),
        other => panic!("{other:?}"),
    };
    check(json!({"spec": {"foo": 1}}), ".spec.foo: field not declared in schema");
    check(json!({"spec": {"tags": ["a", "a"]}}), ".spec.tags: duplicate entries for key [=\"a\"]");
    check(
        json!({"spec": {"ports": [{"port": 1}, {"port": 1, "protocol": "TCP"}]}}),
        ".spec.ports: duplicate entries for key [port=1,protocol=\"TCP\"]",
    );
    check(
        json!({"spec": {"ports": [{"name": "x"}]}}),
        ".spec.ports: element 0: associative list with keys has an element that omits key field \"port\" (and doesn't \
         have default value)",
    );
    check(json!({"spec": {"replicas": "x"}}), ".spec.replicas: expected numeric (int or float), got \"x\"");
}

#[test]
fn an_untracked_object_is_before_the_first_apply() {
    let mut world = world();
    world.object = Some(thing(json!({"spec": {"replicas": 3}})));
    assert_eq!(
        world.conflicts("a", json!({"spec": {"replicas": 1}})),
        ["\"before-first-apply\" using example.com/v1 at 2025-01-01T00:00:01Z .spec.replicas"]
    );
    world.write("hand", json!({"spec": {"replicas": 4}}));
    assert_eq!(world.owners().len(), 0, "an update does not begin to track");
}

#[test]
fn kubectl_moves_from_client_side_apply() {
    let config = json!({"spec": {"replicas": 1, "image": "x"}});
    let annotated = |object: Value| {
        let mut object = object;
        object["metadata"]["annotations"][crate::LAST_APPLIED] = json!(thing(config.clone()).to_string());
        object
    };
    let mut world = world();
    world.write("kubectl-client-side-apply", annotated(config.clone()));
    world.apply("kubectl", json!({"spec": {"replicas": 2, "image": "x"}}));
    let live = world.live();
    let annotation = live["metadata"]["annotations"][crate::LAST_APPLIED].as_str().expect("kept").to_owned();
    assert!(annotation.contains("\"replicas\":2"), "{annotation}");
    // What somebody else has changed since is still a conflict.
    let mut changed = annotated(json!({"spec": {"replicas": 9, "image": "x"}}));
    changed["metadata"]["annotations"][crate::LAST_APPLIED] = json!(annotation);
    world.write("hand", changed);
    assert_eq!(world.conflicts("kubectl", json!({"spec": {"replicas": 3}})).len(), 1);
}

#[test]
fn the_oldest_of_many_writers_become_one() {
    let mut world = world();
    for at in 0..13 {
        let data: BTreeMap<String, String> = (0..=at).map(|n| (format!("k{n}"), "v".to_owned())).collect();
        world.write(&format!("m{at}"), json!({"data": data}));
    }
    assert_eq!(world.owners().len(), 10);
    let ancient = world.owns("ancient-changes Update");
    assert!(ancient.pointer("/f:data/f:k0").is_some() && ancient.pointer("/f:data/f:k3").is_some(), "{ancient}");
    assert!(ancient.pointer("/f:data/f:k5").is_none(), "{ancient}");
}

#[test]
fn a_write_that_changes_nothing_leaves_the_times() {
    let mut world = world();
    world.write("hand", json!({"spec": {"replicas": 1}}));
    let before = world.live();
    world.write("hand", json!({"spec": {"replicas": 1}}));
    assert_eq!(world.live(), before);
    world.apply("a", json!({"spec": {"replicas": 1}}));
    let before = world.live();
    world.apply("a", json!({"spec": {"replicas": 1}}));
    assert_eq!(world.live(), before);
}

#[test]
fn a_list_that_has_become_atomic_is_owned_whole() {
    let mut world = world();
    world.apply("a", json!({"spec": {"tags": ["p", "q"]}}));
    world.schema["properties"]["spec"]["properties"]["tags"]["x-kubernetes-list-type"] = json!("atomic");
    world.write("hand", json!({"spec": {"tags": ["p", "q"], "replicas": 1}}));
    assert_eq!(world.owns("a Apply"), json!({"f:spec": {"f:tags": {}}}));
}

#[test]
fn a_request_may_hand_over_what_it_owns() {
    let mut world = world();
    world.apply("a", json!({"spec": {"replicas": 1}}));
    let live = world.live();
    let new = thing(json!({"spec": {"replicas": 1}}));
    let writer = Writer {
        manager: "m",
        api_version: "example.com/v1",
        subresource: "",
        reach: Reach::Whole,
        now: "2025-01-01T00:00:09Z",
    };
    let sent = |list: Value| update(world.kind(), &live, &new, Some(&list), &writer, false);
    let mut other = live["metadata"]["managedFields"].clone();
    other[0]["manager"] = json!("b");
    assert_eq!(sent(other.clone()), Some(other));
    assert_eq!(sent(json!([])), None);
    assert_eq!(sent(json!([{}])), None);
    let kept = Some(live["metadata"]["managedFields"].clone());
    assert_eq!(sent(json!([{"manager": "x", "operation": "?"}])), kept, "what is none is not taken");
    assert_eq!(
        sent(json!([{"manager": "x", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"what": {}}}])),
        kept
    );
}

// Any configuration that the schema takes.
fn configs() -> impl Strategy<Value = Value> {
    let letters = || prop::sample::subsequence(vec!["p", "q", "r", "s"], 0..=4);
    let ports = prop::sample::subsequence(vec![1, 2, 3, 4], 0..=4).prop_flat_map(|ports| {
        let names = prop::collection::vec(prop::option::of("[ab]"), ports.len());
        names.prop_map(move |names| {
            let one = |(port, name): (&i32, Option<String>)| match name {
                Some(name) => json!({"port": port, "name": name}),
                None => json!({"port": port}),
            };
            json!(ports.iter().zip(names).map(one).collect::<Vec<_>>())
        })
    });
    let data = prop::collection::btree_map("[a-d]", "[xy]", 0..3);
    (
        prop::option::of(0..3),
        prop::option::of(letters()),
        prop::option::of(ports.boxed()),
        prop::option::of(data),
        prop::option::of(letters()),
        any::<bool>(),
    )
        .prop_map(|(replicas, tags, ports, data, whole, shuffled)| {
            let mut config = json!({});
            if let Some(replicas) = replicas {
                config["spec"]["replicas"] = json!(replicas);
            }
            if let Some(tags) = tags {
                config["spec"]["tags"] = json!(tags);
            }
            if let Some(mut ports) = ports {
                if shuffled && let Some(list) = ports.as_array_mut() {
                    list.reverse();
                }
                config["spec"]["ports"] = ports;
            }
            if let Some(whole) = whole {
                config["spec"]["whole"] = json!(whole);
            }
            if let Some(data) = data {
                config["data"] = json!(data);
            }
            config
        })
}

/// Returns what a configuration asks for as far as the object has it.
fn holds(object: &Value, config: &Value) -> bool {
    match (object, config) {
        (Value::Object(has), Value::Object(wants)) => {
            wants.iter().all(|(key, value)| match has.get(key) {
                Some(found) => holds(found, value),
                // What is empty may be null, or absent.
                None => value.as_object().is_some_and(serde_json::Map::is_empty),
            })
        }
        (Value::Array(has), Value::Array(wants)) => wants.iter().all(|item| has.iter().any(|found| holds(found, item))),
        (has, wants) => has == wants,
    }
}

proptest! {
    #[test]
    fn applying_twice_is_applying_once(first in configs(), second in configs(), config in configs()) {
        let mut world = world();
        world.apply("b", first);
        world.write("hand", second);
        world.apply_with("a", config.clone(), true).expect("forced");
        let once = world.live();
        world.apply_with("a", config, true).expect("forced");
        prop_assert_eq!(world.live(), once);
    }

    #[test]
    fn managers_lose_nothing_to_each_other(steps in prop::collection::vec((0..3usize, configs()), 1..8)) {
        let mut world = world();
        let mut wanted: [Option<Value>; 3] = [None, None, None];
        for (who, config) in steps {
            // Without force: what is refused changes nothing, and what is taken keeps what all others want.
            let before = world.live();
            match world.apply_with(["a", "b", "c"][who], config.clone(), false) {
                Ok(_) => wanted[who] = Some(config),
                Err(ApplyError::Conflicts(found)) => {
                    prop_assert!(!found.is_empty());
                    prop_assert_eq!(world.live(), before);
                }
                Err(error) => prop_assert!(false, "{:?}", error),
            }
            for config in wanted.iter().flatten() {
                prop_assert!(holds(&world.live(), config), "{} is not in {}", config, world.live());
            }
        }
    }

    #[test]
    fn what_nobody_wants_any_more_is_gone(steps in prop::collection::vec((0..3usize, configs()), 1..8)) {
        let mut world = world();
        for (who, config) in steps {
            let _ = world.apply_with(["a", "b", "c"][who], config, true);
        }
        for who in ["a", "b", "c"] {
            world.apply_with(who, json!({}), true).expect("nothing is in the way");
        }
        prop_assert_eq!(world.live(), thing(json!({})));
    }

    #[test]
    fn managed_fields_survive_a_round_trip(first in configs(), second in configs()) {
        let mut world = world();
        world.write("hand", first);
        let _ = world.apply_with("a", second, true);
        let live = world.live();
        let list = live.pointer("/metadata/managedFields");
        let read = Entries::read(list).expect("ours");
        let again = read.to_json();
        prop_assert_eq!(again.as_ref(), list);
        for entry in read.0 {
            let again = FieldSet::from_fields_v1(&entry.fields.to_fields_v1()).expect("ours");
            prop_assert_eq!(again, entry.fields);
        }
    }
}
