//! Validation of values, in the words of kube-openapi's validator as the API server prints them.
//!
//! Ratcheting: at a value that an update leaves as it was, errors are forgiven. "As it was" needs
//! the old value of the same place, which fields, map keys and items of `list-type: map` have and
//! items of other lists have not.

use rdd_api::FieldError;
use serde_json::{Map, Value};

use crate::formats;
use crate::node::{Additional, Kind, ListType, Node};
use crate::path::Path;

/// Validates `value`, which stands at `path`; `old` is the value before an update.
pub(crate) fn validate(root: &Node, value: &Value, old: Option<&Value>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    node(root, value, old, Place { path }, errors);
    list_types(root, value, old, path, errors);
}

/// Returns the item of `old` that has the same keys as `item`.
pub(crate) fn correlate<'o>(keys: &[String], item: &Value, old: &'o [Value]) -> Option<&'o Value> {
    let same = |o: &&Value| keys.iter().all(|k| item.get(k) == o.get(k));
    old.iter().find(same)
}

/// Returns the old value of the field `key`, if fields of this node have one.
pub(crate) fn old_field<'o>(schema: &Node, old: Option<&'o Value>, key: &str) -> Option<&'o Value> {
    if schema.atomic_map { None } else { old?.get(key) }
}

/// Returns the old value of a list's item, if items of this node have one.
pub(crate) fn old_item<'o>(schema: &Node, old: Option<&'o Value>, item: &Value) -> Option<&'o Value> {
    match &schema.list_type {
        ListType::Map(keys) => correlate(keys, item, old?.as_array()?),
        _ => None,
    }
}

/// Where a value stands, and how upstream speaks of it.
#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a Path<'a>,
}

impl Place<'_> {
    fn name(&self) -> String {
        self.path.to_string()
    }

    fn says(&self, text: &str) -> String {
        format!("{} in body {text}", self.name())
    }
}

fn node(schema: &Node, value: &Value, old: Option<&Value>, place: Place<'_>, errors: &mut Vec<FieldError>) {
    if old == Some(value) {
        return;
    }
    if value.is_null() && schema.nullable {
        return;
    }
    if !has_type(schema, value) {
        errors.push(type_error(schema, value, place));
        return;
    }
    scalars(schema, value, place, errors);
    match value {
        Value::Object(map) => object(schema, map, old, place, errors),
        Value::Array(items) => array(schema, items, old, place, errors),
        _ => {}
    }
    combined(schema, value, place, errors);
}

fn has_type(schema: &Node, value: &Value) -> bool {
    if schema.int_or_string {
        return value.is_string() || is_integer(value);
    }
    match schema.kind {
        None => true,
        Some(Kind::Object) => value.is_object(),
        Some(Kind::Array) => value.is_array(),
        Some(Kind::String) => value.is_string(),
        Some(Kind::Boolean) => value.is_boolean(),
        Some(Kind::Number) => value.is_number(),
        Some(Kind::Integer) => is_integer(value),
    }
}

fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|f| f.fract() == 0.0)
}

fn type_error(schema: &Node, value: &Value, place: Place<'_>) -> FieldError {
    let wanted = match (schema.int_or_string, schema.kind) {
        (true, _) => "integer,string",
        (_, Some(kind)) => kind.name(),
        (_, None) => "",
    };
    let (found, found_format) = match value {
        Value::Null => ("null", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::String(_) => ("string", ""),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
        Value::Number(n) if n.is_f64() => ("number", "double"),
        Value::Number(_) => ("integer", "int64"),
    };
    // Upstream compares formats before types, except for texts, lists and nulls.
    let (wanted, found) = match &schema.checks.format {
        Some(format) if !matches!(value, Value::String(_) | Value::Array(_) | Value::Null) => {
            (format.as_str(), found_format)
        }
        _ => (wanted, found),
    };
    let detail = place.says(&format!("must be of type {wanted}: {}", rdd_api::field::quote(found)));
    FieldError::type_invalid(place.path, &found.into(), &detail)
}

fn scalars(schema: &Node, value: &Value, place: Place<'_>, errors: &mut Vec<FieldError>) {
    let checks = &schema.checks;
    if let Value::String(text) = value {
        if let Some(limit) = checks.max_length
            && text.chars().count() as u64 > limit
        {
            errors.push(FieldError::too_long(place.path, usize::try_from(limit).unwrap_or(usize::MAX)));
        }
        let mut says = |text: String| errors.push(FieldError::invalid(place.path, value, &place.says(&text)));
        if let Some(limit) = checks.min_length
            && (text.chars().count() as u64) < limit
        {
            says(format!("should be at least {limit} chars long"));
        }
        if let Some((pattern, text_of_pattern)) = &checks.pattern
            && !pattern.is_match(text)
        {
            says(format!("should match '{text_of_pattern}'"));
        }
        if let Some(format) = &checks.format
            && !formats::matches(format, text)
        {
            let detail = place.says(&format!("must be of type {format}: {}", rdd_api::field::quote(text)));
            errors.push(FieldError::type_invalid(place.path, value, &detail));
        }
    } else if let Some(number) = value.as_f64() {
        let mut says = |text: String| errors.push(FieldError::invalid(place.path, value, &place.says(&text)));
        if let Some((limit, text)) = &checks.maximum
            && (number > *limit || checks.exclusive_maximum && number == *limit)
        {
            let or_equal = if checks.exclusive_maximum { "" } else { " or equal to" };
            says(format!("should be less than{or_equal} {}", print_number(text)));
        }
        if let Some((limit, text)) = &checks.minimum
            && (number < *limit || checks.exclusive_minimum && number == *limit)
        {
            let or_equal = if checks.exclusive_minimum { "" } else { " or equal to" };
            says(format!("should be greater than{or_equal} {}", print_number(text)));
        }
        if let Some((factor, text)) = &checks.multiple_of
            && !is_multiple(number, *factor)
        {
            says(format!("should be a multiple of {}", print_number(text)));
        }
    }
    if let Some(allowed) = &checks.allowed
        && !allowed.iter().any(|a| equal(a, value))
    {
        let texts: Vec<String> = allowed
            .iter()
            .map(|a| match a {
                Value::String(s) => s.clone(),
                other => other.to_string(),
            })
            .collect();
        errors.push(FieldError::not_supported(place.path, value, &texts));
    }
}

/// Numbers are equal by value: `1` and `1.0`.
fn equal(a: &Value, b: &Value) -> bool {
    a == b || matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a == b)
}

fn is_multiple(number: f64, factor: f64) -> bool {
    let quotient = number / factor;
    factor != 0.0 && (quotient - quotient.round()).abs() < 1e-9 * quotient.abs().max(1.0)
}

fn print_number(value: &Value) -> String {
    match value.as_f64() {
        Some(f) if f.fract() == 0.0 && f.abs() < 1e15 => format!("{}", f as i64),
        _ => value.to_string(),
    }
}

fn object(
    schema: &Node,
    map: &Map<String, Value>,
    old: Option<&Value>,
    place: Place<'_>,
    errors: &mut Vec<FieldError>,
) {
    let checks = &schema.checks;
    let says = |text: String| {
        let detail = place.says(&text);
        FieldError::invalid(place.path, &Value::Object(map.clone()), &detail)
    };
    for name in &checks.required {
        if !map.contains_key(name) {
            errors.push(FieldError::required(place.path.child(name), ""));
        }
    }
    if let Some(limit) = checks.max_properties
        && map.len() as u64 > limit
    {
        errors.push(FieldError::too_many(place.path, map.len(), usize::try_from(limit).unwrap_or(usize::MAX)));
    }
    if let Some(limit) = checks.min_properties
        && (map.len() as u64) < limit
    {
        errors.push(says(format!("should have at least {limit} properties")));
    }
    for (key, value) in map {
        if let Some(child) = schema.child(key) {
            let path = place.path.child(key);
            node(child, value, old_field(schema, old, key), Place { path: &path }, errors);
        }
    }
}

fn array(schema: &Node, items: &[Value], old: Option<&Value>, place: Place<'_>, errors: &mut Vec<FieldError>) {
    let checks = &schema.checks;
    if let Some(limit) = checks.max_items
        && items.len() as u64 > limit
    {
        errors.push(FieldError::too_many(place.path, items.len(), usize::try_from(limit).unwrap_or(usize::MAX)));
    }
    if let Some(limit) = checks.min_items
        && (items.len() as u64) < limit
    {
        let detail = place.says(&format!("should have at least {limit} items"));
        errors.push(FieldError::invalid(place.path, &Value::Array(items.to_vec()), &detail));
    }
    let Some(item_schema) = &schema.items else { return };
    for (index, item) in items.iter().enumerate() {
        let path = place.path.index(index);
        node(item_schema, item, old_item(schema, old, item), Place { path: &path }, errors);
    }
}

/// `allOf`, `anyOf`, `oneOf`, `not`: told at no field, as upstream does, with the failures of the best branch.
fn combined(schema: &Node, value: &Value, place: Place<'_>, errors: &mut Vec<FieldError>) {
    let failures = |branch: &Node| {
        let mut errors = Vec::new();
        node(branch, value, None, place, &mut errors);
        errors
    };
    let must = |text: &str| {
        let detail = format!("{} must {text}", rdd_api::field::quote(&place.name()));
        FieldError::invalid("", &"".into(), &detail)
    };
    let count_valid = |results: &[Vec<FieldError>]| results.iter().filter(|r| r.is_empty()).count();
    if !schema.any_of.is_empty() && !is_int_or_string(schema) {
        let results: Vec<_> = schema.any_of.iter().map(failures).collect();
        if count_valid(&results) == 0 {
            errors.push(must("validate at least one schema (anyOf)"));
            errors.extend(best(results));
        }
    }
    if !schema.one_of.is_empty() {
        let results: Vec<_> = schema.one_of.iter().map(failures).collect();
        match count_valid(&results) {
            1 => {}
            0 => {
                errors.push(must("validate one and only one schema (oneOf). Found none valid"));
                errors.extend(best(results));
            }
            n => {
                let text = format!("validate one and only one schema (oneOf). Found {n} valid alternatives");
                errors.push(must(&text));
            }
        }
    }
    if !schema.all_of.is_empty() {
        let results: Vec<_> = schema.all_of.iter().map(failures).collect();
        let (valid, all) = (count_valid(&results), results.len());
        errors.extend(results.into_iter().flatten());
        match valid {
            n if n == all => {}
            0 => errors.push(must("validate all the schemas (allOf). None validated")),
            _ => errors.push(must("validate all the schemas (allOf)")),
        }
    }
    if let Some(not) = &schema.not
        && failures(not).is_empty()
    {
        errors.push(must("not validate the schema (not)"));
    }
}

fn is_int_or_string(schema: &Node) -> bool {
    schema.int_or_string && schema.any_of.iter().map(|n| n.kind).eq([Some(Kind::Integer), Some(Kind::String)])
}

fn best(results: Vec<Vec<FieldError>>) -> Vec<FieldError> {
    results.into_iter().min_by_key(Vec::len).unwrap_or_default()
}

/// Uniqueness in sets and maps. Forgiven where the old list violated it too.
fn list_types(schema: &Node, value: &Value, old: Option<&Value>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    if old == Some(value) {
        return;
    }
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let below = match (schema.properties.get(key), &schema.additional) {
                    (Some(child), _) => Some((child, path.child(key))),
                    (None, Additional::Schema(child)) => Some((&**child, path.key(key))),
                    _ => None,
                };
                if let Some((child, path)) = below {
                    list_types(child, value, old_field(schema, old, key), &path, errors);
                }
            }
        }
        Value::Array(items) => {
            let found = duplicates(schema, items);
            let had = old.and_then(Value::as_array).is_some_and(|o| !duplicates(schema, o).is_empty());
            if !had {
                errors.extend(found.into_iter().map(|(i, v)| FieldError::duplicate(path.index(i), &v)));
            }
            let Some(item_schema) = &schema.items else { return };
            for (index, item) in items.iter().enumerate() {
                list_types(item_schema, item, old_item(schema, old, item), &path.index(index), errors);
            }
        }
        _ => {}
    }
}

fn duplicates(schema: &Node, items: &[Value]) -> Vec<(usize, Value)> {
    let mut seen = std::collections::HashSet::new();
    let mut found = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let identity = match &schema.list_type {
            ListType::Atomic => return found,
            ListType::Set => item.clone(),
            ListType::Map(keys) => {
                let of = |k: &String| item.get(k).map(|v| (k.clone(), v.clone()));
                Value::Object(keys.iter().filter_map(of).collect())
            }
        };
        if !seen.insert(identity.clone()) {
            found.push((index, identity));
        }
    }
    found
}

#[cfg(test)]
mod tests;
