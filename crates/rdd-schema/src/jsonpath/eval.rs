//! Walking a value along a template.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use super::MissingKeys;
use super::parse::{Operator, Part, Step};

type Found<'v> = Vec<Cow<'v, Value>>;

/// Returns the results of each part, in order.
pub(super) fn results<'v>(parts: &[Part], value: &'v Value, missing: MissingKeys) -> Result<Vec<Found<'v>>, String> {
    let mut all = Vec::new();
    part_results(parts, Cow::Borrowed(value), missing, &mut all)?;
    Ok(all)
}

fn part_results<'v>(
    parts: &[Part],
    value: Cow<'v, Value>,
    missing: MissingKeys,
    all: &mut Vec<Found<'v>>,
) -> Result<(), String> {
    for part in parts {
        match part {
            Part::Text(text) => all.push(vec![Cow::Owned(text.as_str().into())]),
            Part::Action(steps) => all.push(walk(steps, vec![value.clone()], missing)?),
            Part::Range(steps, body) => {
                for item in walk(steps, vec![value.clone()], missing)? {
                    part_results(body, item, missing, all)?;
                }
            }
        }
    }
    Ok(())
}

fn walk<'v>(steps: &[Step], mut found: Found<'v>, missing: MissingKeys) -> Result<Found<'v>, String> {
    for step in steps {
        found = match step {
            Step::Field(name) => field(name, found, missing)?,
            Step::Wildcard => found.into_iter().flat_map(children).collect(),
            Step::Recursive => {
                let mut all = Vec::new();
                found.into_iter().for_each(|v| recursive(v, &mut all));
                all
            }
            Step::Slice { start, end, single, step } => {
                let mut all = Vec::new();
                for value in found {
                    slice(value, *start, *end, *single, *step, &mut all)?;
                }
                all
            }
            Step::Union(members) => {
                let mut all = Vec::new();
                for member in members {
                    all.extend(walk(member, found.clone(), missing)?);
                }
                all
            }
            Step::Filter { left, operator, right } => filter(left, *operator, right, found)?,
            Step::Literal(value) => vec![Cow::Owned(value.clone())],
        };
    }
    Ok(found)
}

fn field<'v>(name: &str, found: Found<'v>, missing: MissingKeys) -> Result<Found<'v>, String> {
    let get = |value: Cow<'v, Value>| match value {
        Cow::Borrowed(value) => value.get(name).map(Cow::Borrowed),
        Cow::Owned(value) => value.get(name).cloned().map(Cow::Owned),
    };
    let results: Found<'v> = found.into_iter().filter_map(get).collect();
    if results.is_empty() && missing == MissingKeys::Refused {
        return Err(format!("{name} is not found"));
    }
    Ok(results)
}

fn children(value: Cow<'_, Value>) -> Found<'_> {
    match value {
        Cow::Borrowed(Value::Array(items)) => items.iter().map(Cow::Borrowed).collect(),
        Cow::Borrowed(Value::Object(map)) => map.values().map(Cow::Borrowed).collect(),
        Cow::Owned(Value::Array(items)) => items.into_iter().map(Cow::Owned).collect(),
        Cow::Owned(Value::Object(map)) => map.into_iter().map(|(_, v)| Cow::Owned(v)).collect(),
        _ => Vec::new(),
    }
}

/// Every container at and below a value, the outer before the inner.
fn recursive<'v>(value: Cow<'v, Value>, all: &mut Found<'v>) {
    let below = children(value.clone());
    if !below.is_empty() {
        all.push(value);
        below.into_iter().for_each(|v| recursive(v, all));
    }
}

fn slice<'v>(
    value: Cow<'v, Value>,
    start: Option<i64>,
    end: Option<i64>,
    single: bool,
    step: Option<i64>,
    all: &mut Found<'v>,
) -> Result<(), String> {
    let length = match &*value {
        Value::Array(items) => i64::try_from(items.len()).unwrap_or(i64::MAX),
        Value::Null => return Ok(()),
        // `[*]` of an object means its values.
        Value::Object(_) if start.is_none() && end.is_none() && !single => {
            all.extend(children(value));
            return Ok(());
        }
        _ => return Err(format!("{} is not array or slice", kind(&value))),
    };
    let from_end = |n: i64| if n < 0 { n.saturating_add(length) } else { n };
    let first = from_end(start.unwrap_or(0));
    let last = if single { first.saturating_add(1) } else { end.map_or(length, from_end) };
    if first == last {
        return Ok(());
    }
    let out_of_bounds = |index: i64| Err(format!("array index out of bounds: index {index}, length {length}"));
    if first < 0 || first >= length {
        return out_of_bounds(first);
    }
    if last < 0 || last > length {
        return out_of_bounds(last - 1);
    }
    if first > last {
        return Err(format!("starting index {first} is greater than ending index {last}"));
    }
    let step = usize::try_from(step.unwrap_or(1)).ok().filter(|s| *s > 0).ok_or("step must be > 0")?;
    let skip = usize::try_from(first).unwrap_or_default();
    let take = usize::try_from(last - first).unwrap_or_default();
    all.extend(children(value).into_iter().skip(skip).take(take).step_by(step));
    Ok(())
}

fn filter<'v>(left: &[Step], operator: Operator, right: &[Step], found: Found<'v>) -> Result<Found<'v>, String> {
    let mut all = Vec::new();
    for value in found {
        if !value.is_array() {
            if value.is_null() {
                continue;
            }
            return Err(format!("{} is not array or slice and cannot be filtered", kind(&value)));
        }
        for item in children(value) {
            // A missing key is no error inside a filter: the item does not match.
            let lefts = walk(left, vec![item.clone()], MissingKeys::Allowed)?;
            if operator == Operator::Exists {
                if !lefts.is_empty() {
                    all.push(item);
                }
                continue;
            }
            let rights = walk(right, vec![item.clone()], MissingKeys::Allowed)?;
            if lefts.len() > 1 || rights.len() > 1 {
                return Err("can only compare one element at a time".into());
            }
            let is_match = match (lefts.first(), rights.first()) {
                (Some(left), Some(right)) => compare(left, operator, right),
                _ => false,
            };
            if is_match {
                all.push(item);
            }
        }
    }
    Ok(all)
}

fn compare(left: &Value, operator: Operator, right: &Value) -> bool {
    let order = match (left, right) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => a.as_f64().and_then(|a| a.partial_cmp(&b.as_f64()?)),
        },
        (a, b) if a == b => Some(Ordering::Equal),
        _ => None,
    };
    match operator {
        Operator::Exists => true,
        Operator::Equal => order == Some(Ordering::Equal),
        Operator::NotEqual => order != Some(Ordering::Equal),
        Operator::Less => order == Some(Ordering::Less),
        Operator::Greater => order == Some(Ordering::Greater),
        Operator::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Operator::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }
}

/// Go's names for the types that JSON decodes into.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
