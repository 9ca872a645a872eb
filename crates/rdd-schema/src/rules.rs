//! `x-kubernetes-validations`: evaluating CEL rules.
//!
//! kube-cel evaluates one node's rules at a time; walking, pairing with the old object, ratcheting
//! and wording are ours, and so is the limit on what may be evaluated at all. Caveats of kube-cel
//! 0.8: no cost limit and no way to interrupt a rule, no type checker, `oldSelf` of
//! `optionalOldSelf` rules is null instead of an optional, and integers do not equal doubles.

use kube_cel::{CompiledSchema, ErrorKind};
use rdd_api::{FieldError, FieldErrorKind};
use serde_json::{Map, Value};

use crate::path::Path;
use crate::rule_cost;

/// How often the loops of one rule may turn. Upstream's limit of a million steps is about that, as a turn takes a few.
const TURNS_OF_A_RULE: u64 = 200_000;

/// How often the loops of all rules may turn that are evaluated for one object; `None` when it was too often.
#[derive(Debug)]
pub(crate) struct Budget(Option<u64>);

impl Default for Budget {
    fn default() -> Self {
        Self(Some(500_000))
    }
}

/// The compiled rules of one node.
#[derive(Debug)]
pub(crate) struct Rules {
    compiled: CompiledSchema,
    /// The type's name in error texts.
    kind: String,
}

impl Rules {
    /// Compiles the rules of a raw node, if it has any. Rules that do not compile fail on evaluation.
    pub(crate) fn compile(raw: &Value) -> Option<Self> {
        let rules = raw.get("x-kubernetes-validations")?;
        rules.as_array().filter(|r| !r.is_empty())?;
        let mut alone = without_rules(raw);
        alone["x-kubernetes-validations"] = rules.clone();
        let kind = raw.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Self { compiled: kube_cel::compile_schema(&alone), kind })
    }

    pub(crate) fn results(&self) -> &[Result<kube_cel::CompilationResult, kube_cel::CompilationError>] {
        &self.compiled.validations
    }

    fn uses_old(&self, rule: &str) -> bool {
        self.results().iter().flatten().any(|r| r.rule.rule == rule && r.is_transition_rule)
    }

    pub(crate) fn evaluate(
        &self,
        value: &Value,
        old: Option<&Value>,
        path: &Path<'_>,
        budget: &mut Budget,
        errors: &mut Vec<FieldError>,
    ) {
        let is_unchanged = old == Some(value);
        let is_forgiven = is_unchanged && !self.results().iter().flatten().any(|rule| rule.is_transition_rule);
        if is_forgiven || budget.0.is_none() {
            return;
        }
        if let Err(rule) = self.spend(value, old, budget) {
            let detail =
                format!("no further validation rules will be run due to call cost exceeds limit for rule: {rule}");
            errors.push(FieldError::invalid(path, &self.kind.as_str().into(), &detail));
            return;
        }
        let Err(found) = kube_cel::validate_compiled(&self.compiled, value, old) else { return };
        for error in found {
            if is_unchanged && !self.uses_old(&error.rule) {
                continue;
            }
            errors.push(self.tell(&error, path));
        }
    }

    /// Takes from the budget what the rules may take; returns the rule that is too much for it.
    pub(crate) fn spend(&self, value: &Value, old: Option<&Value>, budget: &mut Budget) -> Result<(), &str> {
        for rule in self.results().iter().flatten().filter(|rule| old.is_some() || !rule.is_transition_rule) {
            let turns = rule_cost::turns(rule.program.expression(), value, old);
            let message = rule.message_program.as_ref();
            let message = message.map_or(0, |program| rule_cost::turns(program.expression(), value, old));
            let turns = turns.saturating_add(message);
            budget.0 = budget.0.and_then(|left| left.checked_sub(turns)).filter(|_| turns <= TURNS_OF_A_RULE);
            if budget.0.is_none() {
                return Err(rule.rule.rule.trim());
            }
        }
        Ok(())
    }

    fn tell(&self, error: &kube_cel::ValidationError, path: &Path<'_>) -> FieldError {
        let field = join(&path.to_string(), &error.field_path);
        let kind = Value::from(self.kind.as_str());
        let detail = match error.kind {
            ErrorKind::ValidationFailure => error.message.trim().to_owned(),
            _ => format!("{} evaluating rule: {}", error.message, self.message_of(&error.rule)),
        };
        match error.reason.as_deref() {
            Some("FieldValueForbidden") => FieldError::forbidden(field, &detail),
            Some("FieldValueRequired") => FieldError::required(field, &detail),
            Some("FieldValueDuplicate") => {
                FieldError { kind: FieldErrorKind::Duplicate, ..FieldError::duplicate(field, &kind) }
            }
            _ => FieldError::invalid(field, &kind, &detail),
        }
    }

    fn message_of(&self, rule: &str) -> String {
        let found = self.results().iter().flatten().find(|r| r.rule.rule == rule);
        found.and_then(|r| r.rule.message.clone()).unwrap_or_else(|| rule.trim().to_owned())
    }
}

/// Joins a rule's `fieldPath` (`.a['b']`) to the path of its node.
fn join(path: &str, field_path: &str) -> String {
    let relative = field_path.replace("['", ".").replace("']", "");
    match path {
        "" => relative.trim_start_matches('.').to_owned(),
        path => format!("{path}{relative}"),
    }
}

/// The node's shape alone: rules below are evaluated at their own nodes, and defaults are already filled in.
fn without_rules(raw: &Value) -> Value {
    let strip = |(key, value): (&String, &Value)| {
        let value = match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                Value::Object(properties.iter().map(|(k, v)| (k.clone(), without_rules(v))).collect())
            }
            ("items" | "additionalProperties", value @ Value::Object(_)) => without_rules(value),
            (_, value) => value.clone(),
        };
        (key.clone(), value)
    };
    match raw {
        Value::Object(map) => {
            let dropped = ["x-kubernetes-validations", "default", "allOf", "anyOf", "oneOf", "not", "description"];
            Value::Object(map.iter().filter(|(k, _)| !dropped.contains(&k.as_str())).map(strip).collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}
