//! CEL expressions that decide about a request, as `matchConditions` of webhooks do.
//!
//! They see `object`, `oldObject` and `request`. Caveats are those of rules; `authorizer` is not there.

use std::collections::HashMap;
use std::fmt;

use kube_cel::KubeCelExt;
use kube_cel::cel::{Context, Program, Value as Cel};
use serde_json::Value;

use crate::{rule_check, rule_cost};

/// How often the loops of one condition may turn.
const MOST_TURNS: u64 = 200_000;

const NAMES: [&str; 3] = ["object", "oldObject", "request"];

/// A compiled condition.
pub struct Condition {
    program: Program,
    expression: String,
}

impl Condition {
    /// Compiles an expression; the error says what is wrong with it.
    pub fn compile(expression: &str) -> Result<Self, String> {
        let expression = expression.trim();
        let program = Program::compile(expression).map_err(|error| error.to_string())?;
        // Names that rules have are none here.
        for name in ["self", "oldSelf"] {
            if program.references().has_variable(name) {
                return Err(format!("ERROR: <input>:1:1: undeclared reference to '{name}' (in container '')"));
            }
        }
        rule_check::check_names(program.expression(), &NAMES)?;
        Ok(Self { program, expression: expression.to_owned() })
    }

    /// Returns whether the condition holds; the error says why nobody can tell. What is not there is null.
    pub fn holds(&self, object: &Value, old_object: &Value, request: &Value) -> Result<bool, String> {
        let names = NAMES.into_iter().zip([object, old_object, request]);
        let known = names.clone().map(|(name, value)| (name, vec![value])).collect();
        if rule_cost::turns_over(self.program.expression(), known) > MOST_TURNS {
            return Err(format!("call cost exceeds limit for expression: {}", self.expression));
        }
        let mut context = Context::default();
        context.register_all();
        for (name, value) in names {
            context.add_variable_from_value(name, cel(value));
        }
        match self.program.execute(&context) {
            Ok(Cel::Bool(holds)) => Ok(holds),
            Ok(_) => Err(format!("expression '{}' does not evaluate to bool", self.expression)),
            Err(error) => Err(format!("expression '{}' resulted in error: {error}", self.expression)),
        }
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition({:?})", self.expression)
    }
}

fn cel(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(truth) => Cel::Bool(*truth),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Cel::Int(whole),
            None => Cel::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Cel::String(text.clone().into()),
        Value::Array(items) => Cel::from(items.iter().map(cel).collect::<Vec<Cel>>()),
        Value::Object(fields) => {
            Cel::from(fields.iter().map(|(key, value)| (key.clone(), cel(value))).collect::<HashMap<String, Cel>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(expression: &str, expect: Result<bool, &str>) {
        let object = json!({"metadata": {"name": "a", "labels": {"x": "y"}}, "spec": {"n": 3, "list": [1, 2]}});
        let request = json!({"operation": "CREATE", "namespace": "n", "userInfo": {"username": "u", "groups": ["g"]}});
        let found = Condition::compile(expression).and_then(|c| c.holds(&object, &Value::Null, &request));
        match (found, expect) {
            (Err(found), Err(part)) => assert!(found.contains(part), "{found}"),
            (found, expect) => assert_eq!(found, expect.map_err(str::to_owned), "{expression}"),
        }
    }

    #[test]
    fn requests_are_decided_about() {
        check("object.spec.n == 3 && object.metadata.labels.x == 'y'", Ok(true));
        check("request.namespace != 'n'", Ok(false));
        check("oldObject == null", Ok(true));
        check("!('g' in request.userInfo.groups)", Ok(false));
        check("object.spec.list.all(i, i < 3) && !has(object.spec.other)", Ok(true));
        check("object.metadata.name.startsWith('a')", Ok(true));
        check("object.spec.none == 1", Err("resulted in error"));
        check("object.spec.n", Err("does not evaluate to bool"));
        check("nobody == 1", Err("undeclared reference to 'nobody'"));
        check("self == 1", Err("undeclared reference to 'self'"));
        check("1 +", Err("Syntax error"));
    }

    #[test]
    fn what_would_take_too_long_is_not_begun() {
        let object = json!({"list": (0..1000).collect::<Vec<u32>>()});
        let condition = Condition::compile("object.list.all(a, object.list.all(b, a + b >= 0))").expect("compiles");
        let error = condition.holds(&object, &Value::Null, &Value::Null).expect_err("too much");
        assert!(error.starts_with("call cost exceeds limit"), "{error}");
    }
}
