//! The two languages that documents are written in, and how each refers to a schema.

use serde_json::{Value, json};

/// Which of the two languages a document is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    /// Swagger 2.0.
    V2,
    /// OpenAPI 3.0.
    V3,
}

impl Language {
    /// Returns a reference to a named schema.
    pub(super) fn reference(self, name: &str) -> Value {
        match self {
            Self::V2 => json!({"$ref": format!("#/definitions/{name}")}),
            Self::V3 => json!({"$ref": format!("#/components/schemas/{name}")}),
        }
    }

    /// Returns a described property that refers to a named schema.
    pub(super) fn property(self, name: &str, description: &str) -> Value {
        match self {
            Self::V2 => {
                let mut reference = self.reference(name);
                reference["description"] = description.into();
                reference
            }
            Self::V3 => json!({"description": description, "allOf": [self.reference(name)], "default": {}}),
        }
    }
}
