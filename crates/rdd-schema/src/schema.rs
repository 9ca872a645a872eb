//! [`Schema`]: the face over the model. The verbs keep one per served version.

use rdd_api::FieldError;
use serde_json::Value;

use crate::node::Node;
use crate::path::Path;
use crate::{default, evaluate, openapi, prune, rule_check, structural, validate};

/// What objects of one version of one kind look like.
///
/// # Guarantees
/// A pass changes only what it names: [`prune`](Self::prune) removes, and
/// [`drop_nulls_and_default`](Self::drop_nulls_and_default) fills in. Both are idempotent. The
/// order of a decode is: [`metadata::coerce`](crate::metadata::coerce), prune, drop nulls, default.
#[derive(Debug)]
pub struct Schema {
    raw: Value,
    root: Node,
    has_rules: bool,
}

impl Schema {
    /// Reads the `openAPIV3Schema` of a CustomResourceDefinition.
    ///
    /// Refuses what is not structural, what CEL cannot compile, and defaults that do not fit. The
    /// errors' paths are relative to the schema; [`parse_at`](Self::parse_at) makes them absolute.
    pub fn parse(open_api_v3_schema: &Value) -> Result<Self, Vec<FieldError>> {
        Self::parse_at(open_api_v3_schema, "")
    }

    /// Like [`parse`](Self::parse); errors are told at `path`, as in `spec.versions[0].schema.openAPIV3Schema`.
    pub fn parse_at(open_api_v3_schema: &Value, path: &str) -> Result<Self, Vec<FieldError>> {
        let path = Path::Text(path);
        let mut errors = structural::check(open_api_v3_schema, &path);
        let schema = Self::trusted(open_api_v3_schema.clone());
        if errors.is_empty() {
            rule_check::check(&schema.root, open_api_v3_schema, &path, &mut errors);
            structural::check_defaults(&schema.root, &path, &mut errors);
        }
        if errors.is_empty() { Ok(schema) } else { Err(errors) }
    }

    /// Takes a schema as it is: one of a built-in kind, or one that was admitted before.
    pub fn trusted(raw: Value) -> Self {
        let mut root = Node::read(&raw);
        // The root of every kind carries apiVersion, kind and metadata, declared or not.
        root.embedded = true;
        let has_rules = root.has_rules();
        Self { raw, root, has_rules }
    }

    /// Removes the fields that the schema does not know and returns their paths, as in `spec.foo`.
    ///
    /// `apiVersion`, `kind` and `metadata` of the root and of embedded resources are known without
    /// being declared; the metadata is pruned to the fields of ObjectMeta.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        prune::prune(&self.root, object)
    }

    /// Drops nulls that mean "not set", then fills in defaults.
    pub fn drop_nulls_and_default(&self, object: &mut Value) {
        default::drop_nulls(&self.root, object);
        default::fill(&self.root, object);
    }

    /// Validates the values. With `old`, errors at unchanged values are forgiven (ratcheting).
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        self.validate_at(object, old, "")
    }

    /// Like [`validate`](Self::validate) for the subtree at `path` (as in `status`): errors outside of it are left out.
    pub fn validate_at(&self, object: &Value, old: Option<&Value>, path: &str) -> Vec<FieldError> {
        let mut errors = Vec::new();
        validate::validate(&self.root, object, old, &Path::Root, &mut errors);
        retain_below(&mut errors, path);
        errors
    }

    /// Evaluates `x-kubernetes-validations`. With `old`, transition rules run too, and rules without
    /// `oldSelf` are forgiven at unchanged values.
    ///
    /// Callers skip this when [`validate`](Self::validate) found errors of the classes in
    /// [`blocks_rules`](Self::blocks_rules), and append [`rules_not_checked`](Self::rules_not_checked).
    pub fn validate_rules(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if self.has_rules {
            evaluate::evaluate(&self.root, object, old, &mut errors);
        }
        errors
    }

    /// Validates values and rules as an API server does on a write: rules run only if the values have the right shape.
    pub fn validate_all(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = self.validate(object, old);
        if self.has_rules {
            if Self::blocks_rules(&errors) {
                errors.push(Self::rules_not_checked());
            } else {
                errors.extend(self.validate_rules(object, old));
            }
        }
        errors
    }

    /// Returns whether the errors are of a kind that keeps rules from being evaluated.
    pub fn blocks_rules(errors: &[FieldError]) -> bool {
        use rdd_api::FieldErrorKind::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
        errors.iter().any(|e| matches!(e.kind, NotSupported | Required | TooLong | TooMany | TypeInvalid))
    }

    /// Returns the error that stands for rules that were not evaluated.
    pub fn rules_not_checked() -> FieldError {
        let detail = "some validation rules were not checked because the object was invalid; correct the existing \
                      errors to complete validation";
        FieldError::invalid("", &Value::Null, detail)
    }

    /// Returns whether the schema has `x-kubernetes-validations` anywhere.
    pub fn has_rules(&self) -> bool {
        self.has_rules
    }

    /// Returns the schema as it was given.
    pub fn raw(&self) -> &Value {
        &self.raw
    }

    /// Returns the OpenAPI v3 form: what was given, without what only the server reads.
    pub fn to_openapi_v3(&self) -> Value {
        openapi::v3(&self.raw)
    }

    /// Returns the OpenAPI v2 form, which knows fewer words.
    pub fn to_openapi_v2(&self) -> Value {
        openapi::v2(&self.raw)
    }
}

fn retain_below(errors: &mut Vec<FieldError>, path: &str) {
    if !path.is_empty() {
        errors
            .retain(|e| e.field.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])));
    }
}

#[cfg(test)]
mod tests;
