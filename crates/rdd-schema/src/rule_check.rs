//! CEL rules at the door: what can be known to be wrong before an object is written.
//!
//! kube-cel parses but does not type-check. We add what needs no types: names that nobody
//! declares, fields of `self` that the schema does not have, and transition rules where no old
//! value can be found. Anything else is found when an object is written, and fails closed.

use kube_cel::CompilationError;
use kube_cel::cel::IdedExpr;
use kube_cel::cel::common::ast::{EntryExpr, Expr};
use rdd_api::FieldError;
use serde_json::Value;

use crate::node::{Additional, ListType, Node};
use crate::path::Path;

const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// Names that stand for a group of functions or a type.
const NAMESPACES: [&str; 26] = [
    "base64",
    "bool",
    "bytes",
    "cidr",
    "double",
    "duration",
    "format",
    "google",
    "int",
    "ip",
    "jsonpatch",
    "list",
    "lists",
    "map",
    "math",
    "null_type",
    "optional",
    "optional_type",
    "quantity",
    "semver",
    "sets",
    "string",
    "strings",
    "timestamp",
    "uint",
    "url",
];

/// Functions that kube-cel provides, operators aside.
const FUNCTIONS: &str = "contains size max min startsWith endsWith string bytes double int uint bool none of \
    ofNonZeroValue value hasValue or orValue matches duration timestamp getFullYear getMonth getDayOfYear \
    getDayOfMonth getDate getDayOfWeek getHours getMinutes getSeconds getMilliseconds quantity isQuantity isInteger \
    asInteger asApproximateFloat sign add sub isGreaterThan isLessThan compareTo isSorted sum slice sort flatten \
    distinct first last range escapeKey equivalent intersects decode encode url isURL getScheme getHost getHostname \
    getPort getEscapedPath getQuery find findAll format charAt lowerAscii upperAscii replace split substring trim \
    join reverse indexOf lastIndexOf quote ip isIP isCanonical family isUnspecified isLoopback isLinkLocalMulticast \
    isLinkLocalUnicast isGlobalUnicast cidr isCIDR containsIP containsCIDR masked prefixLength semver isSemver major \
    minor patch named validate dns1123Label dns1123Subdomain dns1035Label qualifiedName dns1123LabelPrefix \
    dns1123SubdomainPrefix dns1035LabelPrefix labelValue uri uuid byte date datetime greatest least ceil floor round \
    trunc abs isInf isNaN isFinite bitAnd bitOr bitXor bitNot bitShiftLeft bitShiftRight sqrt";

/// Checks all rules of a schema that is structural.
pub(crate) fn check(root: &Node, raw: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    node(root, raw, path, None, true, errors);
}

fn node(
    schema: &Node,
    raw: &Value,
    path: &Path<'_>,
    uncorrelatable: Option<&str>,
    is_root: bool,
    errors: &mut Vec<FieldError>,
) {
    if let Some(rules) = &schema.rules {
        let raw_rules = raw.get("x-kubernetes-validations").and_then(Value::as_array);
        let at = path.child("x-kubernetes-validations");
        for (index, (result, raw_rule)) in rules.results().iter().zip(raw_rules.into_iter().flatten()).enumerate() {
            let at = at.index(index);
            form(raw_rule, &at, errors);
            match result {
                Err(error) => compile_error(error, raw_rule, &at, errors),
                Ok(compiled) => {
                    let text = compiled.rule.rule.as_str();
                    let scope = Scope { schema, is_root, names: Vec::new() };
                    if let Err(problem) = scope.check(compiled.program.expression()) {
                        errors.push(uncompilable(&at.child("rule"), text, &problem));
                    }
                    if let Some(program) = &compiled.message_program {
                        let scope = Scope { schema, is_root, names: Vec::new() };
                        if let Err(problem) = scope.check(program.expression()) {
                            let text = compiled.rule.message_expression.as_deref().unwrap_or_default();
                            errors.push(uncompilable(&at.child("messageExpression"), text, &problem));
                        }
                    }
                    if let Some(within) = uncorrelatable
                        && compiled.is_transition_rule
                    {
                        let detail = format!(
                            "oldSelf cannot be used on the uncorrelatable portion of the schema within {within}"
                        );
                        errors.push(FieldError::invalid(at.child("rule"), &text.into(), &detail));
                    }
                }
            }
        }
    }
    below(schema, raw, path, uncorrelatable, errors);
}

fn below(schema: &Node, raw: &Value, path: &Path<'_>, uncorrelatable: Option<&str>, errors: &mut Vec<FieldError>) {
    let null = Value::Null;
    let here = path.to_string();
    let properties = path.child("properties");
    let in_map = uncorrelatable.or_else(|| schema.atomic_map.then_some(here.as_str()));
    for (name, property) in &schema.properties {
        let raw = raw.get("properties").and_then(|p| p.get(name)).unwrap_or(&null);
        node(property, raw, &properties.key(name), in_map, false, errors);
    }
    if let Additional::Schema(values) = &schema.additional {
        let raw = raw.get("additionalProperties").unwrap_or(&null);
        node(values, raw, &path.child("additionalProperties"), in_map, false, errors);
    }
    if let Some(items) = &schema.items {
        let is_map = matches!(schema.list_type, ListType::Map(_));
        let in_list = uncorrelatable.or_else(|| (!is_map).then_some(here.as_str()));
        node(items, raw.get("items").unwrap_or(&null), &path.child("items"), in_list, false, errors);
    }
}

/// What a rule's fields must look like.
fn form(rule: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let text = |key: &str| rule.get(key).and_then(Value::as_str).unwrap_or_default();
    if text("rule").trim().is_empty() {
        errors.push(FieldError::required(path.child("rule"), "rule is not specified"));
    }
    let message = text("message");
    let trimmed = message.trim();
    if !message.is_empty() && trimmed.is_empty() {
        let detail = "message must be non-empty if specified";
        errors.push(FieldError::invalid(path.child("message"), &message.into(), detail));
    } else if trimmed.contains('\n') {
        errors.push(FieldError::invalid(
            path.child("message"),
            &message.into(),
            "message must not contain line breaks",
        ));
    } else if text("rule").contains('\n') && trimmed.is_empty() {
        let detail = "message must be specified if rule contains line breaks";
        errors.push(FieldError::required(path.child("message"), detail));
    }
    if rule.get("messageExpression").is_some() && text("messageExpression").trim().is_empty() {
        let detail = "messageExpression must be non-empty if specified";
        errors.push(FieldError::required(path.child("messageExpression"), detail));
    }
    let reason = text("reason");
    if !reason.is_empty() && !REASONS.contains(&reason) {
        errors.push(FieldError::not_supported(path.child("reason"), &reason.into(), &REASONS));
    }
    let field_path = text("fieldPath");
    if !field_path.is_empty() && !field_path.starts_with(['.', '[']) {
        let detail = "fieldPath must be a valid path: it must start with . or [";
        errors.push(FieldError::invalid(path.child("fieldPath"), &field_path.into(), detail));
    }
}

fn compile_error(error: &CompilationError, raw: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    match error {
        CompilationError::Parse { rule, source } => {
            if !rule.trim().is_empty() {
                errors.push(uncompilable(&path.child("rule"), rule, &source.to_string()));
            }
        }
        CompilationError::MessageExpressionParse { message_expression, source, .. } => {
            errors.push(uncompilable(&path.child("messageExpression"), message_expression, &source.to_string()));
        }
        CompilationError::InvalidRule(error) => errors.push(FieldError::invalid(path, raw, &error.to_string())),
        other => errors.push(FieldError::forbidden(path, &other.to_string())),
    }
}

fn uncompilable(path: &Path<'_>, rule: &str, problem: &str) -> FieldError {
    FieldError::invalid(path, &rule.into(), &format!("compilation failed: {problem}"))
}

/// Checks an expression over these names, of whose values nothing is known.
pub(crate) fn check_names(expression: &IdedExpr, names: &[&str]) -> Result<(), String> {
    let schema = Node::read(&serde_json::json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}));
    Scope { schema: &schema, is_root: false, names: names.to_vec() }.check(expression)
}

/// The names that are visible in an expression.
struct Scope<'a> {
    schema: &'a Node,
    is_root: bool,
    names: Vec<&'a str>,
}

impl<'a> Scope<'a> {
    fn check(mut self, expression: &'a IdedExpr) -> Result<(), String> {
        self.expression(expression)
    }

    fn expression(&mut self, expression: &'a IdedExpr) -> Result<(), String> {
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => {
                self.expression(&select.operand)?;
                self.self_field(expression).map(|_| ())
            }
            Expr::Call(call) => {
                self.function(&call.func_name)?;
                if let Some(target) = &call.target {
                    self.expression(target)?;
                }
                call.args.iter().try_for_each(|a| self.expression(a))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|e| self.expression(e)),
            Expr::Map(map) => map.entries.iter().try_for_each(|e| self.entry(&e.expr)),
            Expr::Struct(structure) => structure.entries.iter().try_for_each(|e| self.entry(&e.expr)),
            Expr::Comprehension(comprehension) => {
                self.expression(&comprehension.iter_range)?;
                self.expression(&comprehension.accu_init)?;
                let depth = self.names.len();
                self.names.push(&comprehension.accu_var);
                self.names.push(&comprehension.iter_var);
                self.names.extend(comprehension.iter_var2.as_deref());
                let result = [&comprehension.loop_cond, &comprehension.loop_step, &comprehension.result]
                    .into_iter()
                    .try_for_each(|e| self.expression(e));
                self.names.truncate(depth);
                result
            }
        }
    }

    fn entry(&mut self, entry: &'a EntryExpr) -> Result<(), String> {
        match entry {
            EntryExpr::StructField(field) => self.expression(&field.value),
            EntryExpr::MapEntry(entry) => {
                self.expression(&entry.key)?;
                self.expression(&entry.value)
            }
        }
    }

    fn name(&self, name: &str) -> Result<(), String> {
        let is_known = matches!(name, "self" | "oldSelf")
            || name.starts_with('@')
            || self.names.contains(&name)
            || NAMESPACES.contains(&name);
        if is_known { Ok(()) } else { Err(undeclared(name)) }
    }

    fn function(&self, name: &str) -> Result<(), String> {
        let is_operator = !name.starts_with(|c: char| c.is_ascii_alphabetic());
        let last = name.rsplit('.').next().unwrap_or(name);
        if is_operator || FUNCTIONS.split_whitespace().any(|f| f == last) { Ok(()) } else { Err(undeclared(name)) }
    }

    /// Follows `self.a.b` through the schema; `None` where the schema does not say.
    fn self_field(&self, expression: &'a IdedExpr) -> Result<Option<Seen<'a>>, String> {
        match &expression.expr {
            Expr::Ident(name)
                if matches!(name.as_str(), "self" | "oldSelf") && !self.names.contains(&name.as_str()) =>
            {
                Ok(Some(Seen { node: self.schema, is_root: self.is_root }))
            }
            Expr::Select(select) => {
                let Some(seen) = self.self_field(&select.operand)? else { return Ok(None) };
                seen.field(&select.field)
            }
            _ => Ok(None),
        }
    }
}

/// A place that `self.a.b` leads to.
struct Seen<'a> {
    node: &'a Node,
    is_root: bool,
}

impl<'a> Seen<'a> {
    fn field(&self, field: &str) -> Result<Option<Seen<'a>>, String> {
        let node = self.node;
        let is_open = node.kind.is_none()
            || node.preserve_unknown
            || node.int_or_string
            || node.embedded && !self.is_root
            || !matches!(node.additional, Additional::None);
        let is_implicit = self.is_root && matches!(field, "apiVersion" | "kind" | "metadata");
        if is_open || is_implicit {
            return Ok(None);
        }
        let found = node.properties.iter().find(|(name, _)| escape(name) == field);
        match found {
            Some((_, node)) => Ok(Some(Seen { node, is_root: false })),
            None => Err(format!("ERROR: <input>:1:1: undefined field '{field}'")),
        }
    }
}

fn undeclared(name: &str) -> String {
    format!("ERROR: <input>:1:1: undeclared reference to '{name}' (in container '')")
}

/// Names of fields as CEL sees them.
fn escape(name: &str) -> String {
    const KEYWORDS: [&str; 20] = [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
    ];
    if KEYWORDS.contains(&name) || name == "while" {
        return format!("__{name}__");
    }
    name.replace("__", "__underscores__").replace('.', "__dot__").replace('-', "__dash__").replace('/', "__slash__")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::Schema;

    fn check(rule: serde_json::Value, expect: &[&str]) {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object",
            "x-kubernetes-validations": [rule],
            "properties": {"n": {"type": "integer"}, "l": {"type": "array", "items": {"type": "string"}},
                "namespace": {"type": "string"}}}}});
        let errors = Schema::parse(&schema).err().unwrap_or_default();
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts, expect);
    }

    #[test]
    fn good_rules_pass() {
        for rule in [
            "self.n > 0",
            "!has(self.n) || self.n == oldSelf.n",
            "self.l.all(x, x.startsWith('a') && size(x) < 5)",
            "self.l.exists_one(x, x == 'a')",
            "self.l.map(x, x.size()).sum() > 3",
            "self.__namespace__ == 'a'",
            "quantity('1Gi').isGreaterThan(quantity('1Mi'))",
            "isIP('10.0.0.1') && ip('10.0.0.1').family() == 4",
            "sets.contains(self.l, ['a'])",
            "self.n in [1, 2]",
            "string(self.n).matches('^[0-9]+$')",
            "math.greatest(self.n, 2) == 2",
            "timestamp('2020-01-01T00:00:00Z').getFullYear() == 2020",
            "self.n > 0 ? true : false",
            "cidr('10.0.0.0/8').containsIP('10.0.0.1')",
            "!format.dns1123Label().validate('a').hasValue()",
        ] {
            check(json!({"rule": rule}), &[]);
        }
    }

    #[test]
    fn bad_rules_are_told() {
        check(
            json!({"rule": "self.foo > 0"}),
            &[
                r#"properties[spec].x-kubernetes-validations[0].rule: Invalid value: "self.foo > 0": compilation failed: ERROR: <input>:1:1: undefined field 'foo'"#,
            ],
        );
        check(
            json!({"rule": "nobody(self.n)"}),
            &[
                r#"properties[spec].x-kubernetes-validations[0].rule: Invalid value: "nobody(self.n)": compilation failed: ERROR: <input>:1:1: undeclared reference to 'nobody' (in container '')"#,
            ],
        );
        check(
            json!({"rule": "foo == 1"}),
            &[
                r#"properties[spec].x-kubernetes-validations[0].rule: Invalid value: "foo == 1": compilation failed: ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')"#,
            ],
        );
        check(
            json!({"rule": " "}),
            &["properties[spec].x-kubernetes-validations[0].rule: Required value: rule is not specified"],
        );
        check(
            json!({"rule": "true", "reason": "Because"}),
            &[
                r#"properties[spec].x-kubernetes-validations[0].reason: Unsupported value: "Because": supported values: "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired""#,
            ],
        );
    }

    #[test]
    fn unparsable_rules_are_told() {
        let schema = json!({"type": "object", "x-kubernetes-validations": [{"rule": "self."}]});
        let errors = Schema::parse(&schema).expect_err("not an expression");
        assert!(errors[0].to_string().contains("compilation failed: ERROR: <input>:1:"), "{}", errors[0]);
    }

    #[test]
    fn transition_rules_need_a_correlatable_place() {
        let schema = json!({"type": "object", "properties": {"l": {"type": "array", "items": {"type": "integer",
            "x-kubernetes-validations": [{"rule": "self > oldSelf"}]}}}});
        let errors = Schema::parse(&schema).expect_err("items of an atomic list have no old selves");
        assert_eq!(
            errors[0].to_string(),
            r#"properties[l].items.x-kubernetes-validations[0].rule: Invalid value: "self > oldSelf": oldSelf cannot be used on the uncorrelatable portion of the schema within properties[l]"#
        );
    }
}
