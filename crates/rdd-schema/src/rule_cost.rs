//! How often the loops of a CEL rule would turn, before they do.
//!
//! Nothing interrupts a rule that runs, so one that would run for long must not begin. What is
//! counted are the turns of nested macros (`all`, `exists`, `map`, …) over the collections that are
//! there: as if none ended early, and with no regard to what one turn costs. Collections that a
//! function makes count as long as what they are made of.

use kube_cel::cel::IdedExpr;
use kube_cel::cel::common::ast::{EntryExpr, Expr};
use serde_json::Value;

/// Returns how often the loops of an expression turn at most.
pub(crate) fn turns(expression: &IdedExpr, value: &Value, old: Option<&Value>) -> u64 {
    turns_over(expression, vec![("self", vec![value]), ("oldSelf", old.into_iter().collect())])
}

/// Returns how often the loops of an expression turn at most, given what its names may stand for.
pub(crate) fn turns_over<'a>(expression: &'a IdedExpr, names: Vec<(&'a str, Vec<&'a Value>)>) -> u64 {
    Estimate { names }.visit(expression).turns
}

/// What is known about an expression.
#[derive(Default)]
struct Seen<'a> {
    turns: u64,
    /// What it may be, where it is a part of the object.
    values: Vec<&'a Value>,
    /// What its elements may be, where they are parts of the object.
    elements: Vec<&'a Value>,
    /// How many elements it has at most.
    length: u64,
}

impl<'a> Seen<'a> {
    fn of(values: Vec<&'a Value>) -> Self {
        let elements = values.iter().flat_map(|value| elements(value)).collect();
        let length = values.iter().map(|value| length(value)).max().unwrap_or_default();
        Self { turns: 0, values, elements, length }
    }
}

fn elements(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    }
}

fn length(value: &Value) -> u64 {
    let length = match value {
        Value::Array(items) => items.len(),
        Value::Object(map) => map.len(),
        // A text may be split.
        Value::String(text) => text.len(),
        _ => 0,
    };
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// The parts of the object that names stand for; the last of two with one name counts.
struct Estimate<'a> {
    names: Vec<(&'a str, Vec<&'a Value>)>,
}

impl<'a> Estimate<'a> {
    fn visit(&mut self, expression: &'a IdedExpr) -> Seen<'a> {
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => Seen::default(),
            Expr::Ident(name) => {
                let found = self.names.iter().rev().find(|(known, _)| known == name);
                found.map(|(_, values)| Seen::of(values.clone())).unwrap_or_default()
            }
            Expr::Select(select) => {
                let operand = self.visit(&select.operand);
                let values = operand.values.iter().filter_map(|value| field(value, &select.field)).collect();
                Seen { turns: operand.turns, ..Seen::of(values) }
            }
            Expr::Call(call) => {
                let parts: Vec<_> = call.target.as_deref().into_iter().chain(&call.args).collect();
                let seen: Vec<_> = parts.into_iter().map(|part| self.visit(part)).collect();
                let turns = seen.iter().fold(0u64, |sum, part| sum.saturating_add(part.turns));
                if let ("_[_]", Some(collection)) = (call.func_name.as_str(), seen.first()) {
                    return Seen { turns, ..Seen::of(collection.elements.clone()) };
                }
                let length = seen.iter().fold(0u64, |sum, part| sum.saturating_add(part.length));
                let elements = seen.iter().flat_map(|part| part.elements.iter().copied()).collect();
                Seen { turns, values: Vec::new(), elements, length }
            }
            Expr::List(list) => {
                let seen: Vec<_> = list.elements.iter().map(|element| self.visit(element)).collect();
                let turns = seen.iter().fold(0u64, |sum, part| sum.saturating_add(part.turns));
                let elements = seen.into_iter().flat_map(|part| part.values).collect();
                let length = u64::try_from(list.elements.len()).unwrap_or(u64::MAX);
                Seen { turns, values: Vec::new(), elements, length }
            }
            Expr::Map(map) => self.entries(map.entries.iter().map(|entry| &entry.expr)),
            Expr::Struct(structure) => self.entries(structure.entries.iter().map(|entry| &entry.expr)),
            Expr::Comprehension(comprehension) => {
                let range = self.visit(&comprehension.iter_range);
                let first = self.visit(&comprehension.accu_init);
                let depth = self.names.len();
                self.names.push((&comprehension.accu_var, Vec::new()));
                // With one variable maps give their keys, which have no parts.
                self.names.push((&comprehension.iter_var, range.elements.clone()));
                if let Some(name) = comprehension.iter_var2.as_deref() {
                    self.names.push((name, range.elements.clone()));
                }
                let goes_on = self.visit(&comprehension.loop_cond);
                let step = self.visit(&comprehension.loop_step);
                let result = self.visit(&comprehension.result);
                self.names.truncate(depth);
                let turn = goes_on.turns.saturating_add(step.turns).saturating_add(1);
                let turns = range.turns.saturating_add(first.turns).saturating_add(result.turns);
                let turns = turns.saturating_add(range.length.saturating_mul(turn));
                // What a filter leaves, or a map makes of it.
                Seen { turns, values: Vec::new(), elements: range.elements, length: range.length }
            }
        }
    }

    fn entries(&mut self, entries: impl Iterator<Item = &'a EntryExpr>) -> Seen<'a> {
        let mut all = Seen::default();
        for entry in entries {
            let (key, value) = match entry {
                EntryExpr::StructField(field) => (None, self.visit(&field.value)),
                EntryExpr::MapEntry(entry) => (Some(self.visit(&entry.key)), self.visit(&entry.value)),
            };
            all.turns = all.turns.saturating_add(value.turns).saturating_add(key.map_or(0, |key| key.turns));
            all.elements.extend(value.values);
            all.length += 1;
        }
        all
    }
}

/// Returns a field by the name that CEL has for it.
fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let map = value.as_object()?;
    map.get(name).or_else(|| {
        let plain = name.replace("__dash__", "-").replace("__dot__", ".").replace("__slash__", "/");
        let plain = plain.replace("__underscores__", "__");
        map.get(&plain).or_else(|| map.get(name.strip_prefix("__")?.strip_suffix("__")?))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(rule: &str, expect: u64) {
        let value = json!({
            "l": (0..10).collect::<Vec<_>>(), "none": [], "x-y": [1, 2, 3], "namespace": [1, 2], "text": "a,b,c",
            "rows": [{"cells": [1, 2, 3]}, {"cells": [1, 2, 3, 4]}], "m": {"a": [1], "b": [1, 2]},
        });
        let program = kube_cel::cel::Program::compile(rule).expect("a rule");
        assert_eq!(turns(program.expression(), &value, None), expect, "{rule}");
    }

    #[test]
    fn turns_are_counted_by_the_sizes_that_are_there() {
        check("self.l.size() > 3", 0);
        check("self.l.all(x, x > 0)", 10);
        check("self.l.all(x, x > 0) && self.l.exists(x, x > 0)", 20);
        check("self.l.all(x, self.l.all(y, x != y))", 110);
        check("self.l.all(x, self.l.all(y, self.l.all(z, x + y != z)))", 1110);
        check("self.none.all(x, self.l.all(y, x != y))", 0);
        check("self.rows.all(r, r.cells.all(c, c > 0))", 10);
        check("self.rows[0].cells.all(c, c > 0)", 4);
        check("self.m.all(k, self.m[k].all(v, v > 0))", 6);
        check("self.l.filter(x, x > 0).all(x, x < 9)", 20);
        check("self.x__dash__y.all(x, x > 0) || self.__namespace__.all(x, x > 0)", 5);
        check("self.text.split(',').all(x, x != '')", 5);
        check("[1, 2].all(x, self.l.all(y, x != y))", 22);
        check("oldSelf.l.all(x, x > 0)", 0);
    }
}
