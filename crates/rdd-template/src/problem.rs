//! What can be wrong with a field.

use std::fmt;

/// One thing that is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProblem {
    /// The field, as in `mounts[0].location`; nothing for the template as a whole.
    pub field: String,
    /// What is wrong; reads on from the field's name.
    pub reason: String,
    /// What to do about it, where that is not plain.
    pub hint: Option<String>,
}

impl fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => write!(f, "the template {}", self.reason)?,
            field => write!(f, "field `{field}` {}", self.reason)?,
        }
        match &self.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with a template, one line for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidationErrors(pub Vec<FieldProblem>);

impl fmt::Display for ValidationErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ValidationErrors {}

/// Collects problems, so that one reading finds them all.
#[derive(Debug, Default)]
pub(crate) struct Problems(pub(crate) Vec<FieldProblem>);

impl Problems {
    /// Notes a problem.
    pub(crate) fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.0.push(FieldProblem { field: field.into(), reason: reason.into(), hint: None });
    }

    /// Notes a problem and what to do about it.
    pub(crate) fn hint(&mut self, field: impl Into<String>, reason: impl Into<String>, hint: impl Into<String>) {
        self.0.push(FieldProblem { field: field.into(), reason: reason.into(), hint: Some(hint.into()) });
    }

    /// Returns all problems as an error, if there are any.
    pub(crate) fn into_result(self) -> Result<(), ValidationErrors> {
        if self.0.is_empty() { Ok(()) } else { Err(ValidationErrors(self.0)) }
    }
}
