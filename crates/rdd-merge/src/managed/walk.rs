//! Walks over typed values: which fields there are, what differs, merging, removing.
//!
//! Each is the walk of the same name in `sigs.k8s.io/structured-merge-diff`, `typed`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::element::{Element, print};
use super::field_set::FieldSet;
use super::types::{Shape, Type};

/// What one object has that the other has not, or has otherwise.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub(super) added: FieldSet,
    pub(super) modified: FieldSet,
    pub(super) removed: FieldSet,
}

/// Returns the fields that a configuration speaks of.
pub(super) fn fields(of: Type<'_>, value: &Value) -> FieldSet {
    let mut set = FieldSet::default();
    collect(of, value, &mut Vec::new(), &mut set);
    set
}

fn collect(of: Type<'_>, value: &Value, path: &mut Vec<Element>, set: &mut FieldSet) {
    match of.shape(value) {
        Shape::Leaf => set.insert(path),
        Shape::Map => {
            for (name, value) in value.as_object().into_iter().flatten() {
                path.push(Element::field(name));
                collect(of.field(name), value, path, set);
                // Upstream does not own an empty list; but then another one's apply may take it away.
                if is_empty(Some(value)) || !of.declares(name) {
                    set.insert(path);
                }
                path.pop();
            }
        }
        shape => {
            for item in value.as_array().into_iter().flatten() {
                let Ok(element) = of.element(shape, item) else { continue };
                path.push(element);
                collect(of.item(), item, path, set);
                set.insert(path);
                path.pop();
            }
        }
    }
}

/// Returns whether a value is empty as a list or a map; null is.
fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(map)) => map.is_empty(),
        Some(_) => false,
    }
}

/// Compares two objects.
pub(super) fn compare(of: Type<'_>, old: &Value, new: &Value) -> Comparison {
    let mut found = Comparison::default();
    differ(of, Some(old), Some(new), &mut Vec::new(), &mut found);
    found
}

fn differ(of: Type<'_>, old: Option<&Value>, new: Option<&Value>, path: &mut Vec<Element>, found: &mut Comparison) {
    if old == new {
        return;
    }
    let shapes = (old.map(|v| of.shape(v)), new.map(|v| of.shape(v)));
    let shape = match shapes {
        (Some(old), Some(new)) if old == new => new,
        // What was a map and is a value now, or the other way round, has changed as a whole.
        (Some(_), Some(_)) => Shape::Leaf,
        (one, other) => one.or(other).unwrap_or(Shape::Leaf),
    };
    if shape == Shape::Leaf || (is_empty(old) && is_empty(new)) {
        match (old, new) {
            (None, _) => found.added.insert(path),
            (_, None) => found.removed.insert(path),
            _ => found.modified.insert(path),
        }
        // The fields of a map that has become a value, or was one, come and go with it.
        if let (Some(was), Some(is)) = shapes
            && was != is
        {
            for (name, value) in old.filter(|_| was == Shape::Map).and_then(Value::as_object).into_iter().flatten() {
                path.push(Element::field(name));
                differ(of.field(name), Some(value), None, path, found);
                path.pop();
            }
            for (name, value) in new.filter(|_| is == Shape::Map).and_then(Value::as_object).into_iter().flatten() {
                path.push(Element::field(name));
                differ(of.field(name), None, Some(value), path, found);
                path.pop();
            }
        }
        return;
    }
    if shape == Shape::Map {
        let (old, new) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
        let names: BTreeSet<&String> = old.into_iter().chain(new).flat_map(Map::keys).collect();
        for name in names {
            path.push(Element::field(name));
            differ(of.field(name), old.and_then(|m| m.get(name)), new.and_then(|m| m.get(name)), path, found);
            path.pop();
        }
    } else {
        differ_items(of, shape, old, new, path, found);
    }
    match (old, new) {
        (None, _) => found.added.insert(path),
        (_, None) => found.removed.insert(path),
        _ => {}
    }
}

fn differ_items(
    of: Type<'_>,
    shape: Shape,
    old: Option<&Value>,
    new: Option<&Value>,
    path: &mut Vec<Element>,
    found: &mut Comparison,
) {
    let (old, new) = (by_element(of, shape, old), by_element(of, shape, new));
    let elements: BTreeSet<&Element> = old.keys().chain(new.keys()).collect();
    for element in elements {
        let (old, new) = (old.get(element).map(Vec::as_slice), new.get(element).map(Vec::as_slice));
        path.push(element.clone());
        match (old, new) {
            (None, Some([_, _, ..])) => found.added.insert(path),
            (Some([_, _, ..]), None) => found.removed.insert(path),
            // What stands twice is compared as a whole.
            (Some(old), Some(new)) if old.len() > 1 || new.len() > 1 => {
                if old != new {
                    found.modified.insert(path);
                }
            }
            (old, new) => {
                let (old, new) = (old.and_then(|items| items.first()), new.and_then(|items| items.first()));
                differ(of.item(), old.copied(), new.copied(), path, found);
            }
        }
        path.pop();
    }
}

fn by_element<'v>(of: Type<'_>, shape: Shape, list: Option<&'v Value>) -> BTreeMap<Element, Vec<&'v Value>> {
    let mut found: BTreeMap<Element, Vec<&Value>> = BTreeMap::new();
    for item in list.and_then(Value::as_array).into_iter().flatten() {
        if let Ok(element) = of.element(shape, item) {
            found.entry(element).or_default().push(item);
        }
    }
    found
}

/// Merges a configuration into a live object.
pub(super) fn merge(of: Type<'_>, live: &Value, config: &Value) -> Value {
    let shape = of.shape(config);
    if shape == Shape::Leaf || of.shape(live) != shape || (is_empty(Some(live)) && is_empty(Some(config))) {
        return config.clone();
    }
    if shape == Shape::Map {
        let mut merged = live.as_object().cloned().unwrap_or_default();
        for (name, wanted) in config.as_object().into_iter().flatten() {
            let value = match merged.get(name) {
                Some(live) => merge(of.field(name), live, wanted),
                None => wanted.clone(),
            };
            merged.insert(name.clone(), value);
        }
        return Value::Object(merged);
    }
    merge_items(of, shape, live, config)
}

/// Merges lists item by item. Items that both have stand in the order of the configuration; those that only the live
/// object has keep their places among them.
fn merge_items(of: Type<'_>, shape: Shape, live: &Value, config: &Value) -> Value {
    let index = |list: &Value| -> Vec<(Element, Value)> {
        let items = list.as_array().into_iter().flatten();
        items.filter_map(|item| Some((of.element(shape, item).ok()?, item.clone()))).collect()
    };
    let (live, config) = (index(live), index(config));
    let of_live: BTreeMap<&Element, &Value> = live.iter().rev().map(|(e, v)| (e, v)).collect();
    let of_config: BTreeMap<&Element, &Value> = config.iter().map(|(e, v)| (e, v)).collect();
    let mut shared = config.iter().map(|(e, _)| e).filter(|e| of_live.contains_key(e)).peekable();
    let mut done: BTreeSet<&Element> = BTreeSet::new();
    let mut merged = Vec::with_capacity(live.len().max(config.len()));
    let one = |element: &Element| match (of_live.get(element), of_config.get(element)) {
        (Some(live), Some(config)) => merge(of.item(), live, config),
        (Some(one), None) | (None, Some(one)) => (*one).clone(),
        (None, None) => Value::Null,
    };
    let (mut at_live, mut at_config) = (0, 0);
    while at_live < live.len() || at_config < config.len() {
        if let (Some((left, _)), Some((right, _))) = (live.get(at_live), config.get(at_config)) {
            if left == right {
                merged.push(one(left));
                done.insert(left);
                (at_live, at_config) = (at_live + 1, at_config + 1);
                shared.next();
                continue;
            }
            if of_config.contains_key(left) && shared.peek().is_some_and(|next| *next != left) {
                // Both have it, but it is another one's turn.
                at_live += 1;
                continue;
            }
        }
        if let Some((left, item)) = live.get(at_live) {
            if !of_config.contains_key(left) {
                merged.push(item.clone());
                at_live += 1;
                continue;
            }
            if done.contains(left) {
                at_live += 1;
            }
        }
        if let Some((right, _)) = config.get(at_config) {
            merged.push(one(right));
            done.insert(right);
            at_config += 1;
            if shared.peek() == Some(&right) {
                shared.next();
            }
        }
    }
    Value::Array(merged)
}

/// Removes the fields of a set. What has nothing left stays as it is, empty: upstream makes it null, which is not what
/// anybody applied.
pub(super) fn remove(of: Type<'_>, value: &Value, set: &FieldSet) -> Value {
    let keep = |element: &Element, value: &Value, of: Type<'_>| match set.has(element) {
        true => None,
        false => Some(set.below(element).map_or_else(|| value.clone(), |below| remove(of, value, below))),
    };
    match (of.shape(value), value) {
        (Shape::Map, Value::Object(fields)) if !fields.is_empty() => {
            let kept = |(name, value): (&String, &Value)| {
                Some((name.clone(), keep(&Element::field(name), value, of.field(name))?))
            };
            Value::Object(fields.iter().filter_map(kept).collect())
        }
        (shape @ (Shape::Set | Shape::Items), Value::Array(items)) if !items.is_empty() => {
            let kept = |item: &Value| match of.element(shape, item) {
                Ok(element) => keep(&element, item, of.item()),
                Err(_) => Some(item.clone()),
            };
            Value::Array(items.iter().filter_map(kept).collect())
        }
        _ => value.clone(),
    }
}

/// Adds the declared fields on the way to each member, so that they come and go with what lies in them.
pub(super) fn with_declared(of: Type<'_>, set: &FieldSet) -> FieldSet {
    let mut whole = FieldSet::default();
    for (element, member, below) in set.places() {
        let (declared, inside) = match element.as_field() {
            Some(name) => (of.declares(name), of.field(name)),
            None => (false, of.item()),
        };
        whole.put(element.clone(), member || (declared && !below.is_empty()), with_declared(inside, below));
    }
    whole
}

/// Checks that a configuration fits its type; the error is one text per problem.
pub(super) fn check(of: Type<'_>, config: &Value) -> Result<(), Vec<String>> {
    let mut problems = Vec::new();
    check_at(of, config, &mut Vec::new(), &mut problems);
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn check_at(of: Type<'_>, value: &Value, path: &mut Vec<Element>, problems: &mut Vec<String>) {
    let fits = match of.wanted() {
        _ if value.is_null() => true,
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" | "number" => value.is_number(),
        _ => true,
    };
    if !fits {
        let wanted = match of.wanted() {
            "object" => "map",
            "array" => "list",
            "integer" | "number" => "numeric (int or float)",
            other => other,
        };
        problems.push(format!("{}: expected {wanted}, got {value}", print(path)));
        return;
    }
    match of.shape(value) {
        Shape::Leaf => {}
        Shape::Map => {
            for (name, value) in value.as_object().into_iter().flatten() {
                path.push(Element::field(name));
                if of.takes(name) {
                    check_at(of.field(name), value, path, problems);
                } else {
                    problems.push(format!("{}: field not declared in schema", print(path)));
                }
                path.pop();
            }
        }
        shape => {
            let mut seen = BTreeSet::new();
            for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                match of.element(shape, item) {
                    Err(problem) => problems.push(format!("{}: element {index}: {problem}", print(path))),
                    Ok(element) => {
                        if !seen.insert(element.clone()) {
                            let twice = element.to_string();
                            problems.push(format!("{}: duplicate entries for key {twice}", print(path)));
                        }
                        path.push(element);
                        check_at(of.item(), item, path, problems);
                        path.pop();
                    }
                }
            }
        }
    }
}

/// Brings a set in line with a schema that has changed since: what is atomic now is owned as a whole. What was atomic is
/// treated as if it never was, as upstream.
pub(super) fn reconcile(of: Type<'_>, set: &FieldSet, live: Option<&Value>) -> FieldSet {
    let mut next = FieldSet::default();
    for (element, member, below) in set.places() {
        let (inside, value) = match element.as_field() {
            Some(name) => (of.field(name), live.and_then(|v| v.get(name))),
            None => {
                let shape = live.map(|v| of.shape(v)).filter(|s| matches!(s, Shape::Set | Shape::Items));
                let items = live.and_then(Value::as_array).into_iter().flatten();
                let mut named = items.filter(|item| {
                    shape.is_some_and(|shape| of.element(shape, item).is_ok_and(|found| found == *element))
                });
                (of.item(), named.next())
            }
        };
        match value.map(|value| (inside.shape(value), value)) {
            Some((Shape::Leaf, Value::Array(_) | Value::Object(_))) => {
                next.put(element.clone(), true, FieldSet::default());
            }
            _ => next.put(element.clone(), member, reconcile(inside, below, value)),
        }
    }
    next
}
