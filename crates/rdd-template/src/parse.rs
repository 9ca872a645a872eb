//! From text to [`Template`].

use std::cell::RefCell;
use std::path::Path;

use rdd_machine::{MachineConfig, MachineName};
use serde_json::Value;

use crate::document::{self, Document};
use crate::host::HostFacts;
use crate::param;
use crate::problem::ValidationErrors;
use crate::reader::{Findings, Node};
use crate::render;
use crate::resolve;

/// Why a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The text is no YAML.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// The line, from 1.
        line: u64,
        /// The column, from 1.
        column: u64,
        /// What the parser says.
        message: String,
    },
    /// The text is YAML, but its fields do not have the types that they should have, or a parameter
    /// is not used.
    #[error("{0}")]
    Fields(ValidationErrors),
    /// The fields' values cannot be used; only from [`Template::resolve`].
    #[error("{0}")]
    Invalid(ValidationErrors),
}

/// A template that was read: defaults are not filled in, nothing is rendered.
#[derive(Clone, Debug)]
pub struct Template {
    document: Document,
    warnings: Vec<String>,
}

/// Reads a template.
///
/// Unknown keys are warnings. Syntax errors name line and column; wrong types and unused parameters
/// are reported together, each with its field.
pub fn parse(text: &str) -> Result<Template, TemplateError> {
    let tree = parse_yaml(text)?;
    let findings = RefCell::new(Findings::default());
    let document = document::read(&Node::root(&tree, &findings));
    let Findings { mut problems, mut warnings } = findings.into_inner();
    param::check(&document, &mut problems);
    problems.into_result().map_err(TemplateError::Fields)?;
    warnings.extend(render::syntax_warnings(&document));
    Ok(Template { document, warnings })
}

impl Template {
    /// Returns what is odd about the template and no error: unknown keys, fields without effect,
    /// Go templates that cannot be read.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Checks every value, for a machine whose name and directory are not known yet. `Err` has all
    /// problems, not just the first.
    pub fn validate(&self, host: &HostFacts) -> Result<(), ValidationErrors> {
        resolve::check(&self.document, host)
    }

    /// Returns what the template means for the machine `name` in `dir` on this host.
    pub fn resolve(&self, name: &MachineName, dir: &Path, host: &HostFacts) -> Result<MachineConfig, TemplateError> {
        resolve::resolve(&self.document, name, dir, host).map_err(TemplateError::Invalid)
    }
}

fn parse_yaml(text: &str) -> Result<Value, TemplateError> {
    let options = serde_saphyr::options! {
        // Lima's reader knows YAML 1.2: `yes` is a text, and `0644` must keep its zero.
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    // A document of nothing but comments is an empty template, whose fields are then found missing.
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Value::Null);
    }
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        // The one text that the parser asks for is a key: any value may be null.
        if matches!(error.without_snippet(), serde_saphyr::Error::NullIntoString { .. }) {
            let message = "a key must be a text; before this ':' it is empty or null".to_owned();
            return TemplateError::Syntax { line, column, message };
        }
        let message = error.without_snippet().to_string();
        let message = message.lines().next().unwrap_or_default();
        // The parser repeats the place, which is told already.
        let message = message.strip_prefix("error: ").unwrap_or(message);
        let message = message.split(" at line ").next().unwrap_or(message);
        // Advice for programmers.
        let message = message.split(", set DuplicateKeyPolicy").next().unwrap_or(message);
        TemplateError::Syntax { line, column, message: message.to_owned() }
    })
}
