//! Field selectors: `a=b,c!=d`, with `\` before `,`, `=` and `\` in values.
//!
//! After `k8s.io/apimachinery/pkg/fields/selector.go`.

use std::borrow::Cow;

use super::SelectorError;

/// `=` or `!=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldOperator {
    /// `a=b`, `a==b`.
    Equals,
    /// `a!=b`.
    NotEquals,
}

/// One term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTerm {
    /// The field, as in `metadata.name`.
    pub field: String,
    /// What is asked.
    pub operator: FieldOperator,
    /// The value, unescaped.
    pub value: String,
}

/// Terms that must all hold. Which fields exist is the kind's business.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<FieldTerm>,
}

impl FieldSelector {
    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut terms = Vec::new();
        for part in split_terms(text) {
            if part.is_empty() {
                continue;
            }
            terms
                .push(term(part).ok_or_else(|| {
                    SelectorError(format!("invalid selector: '{text}'; can't understand '{part}'"))
                })??);
        }
        Ok(Self { terms })
    }

    /// Returns the terms.
    pub fn terms(&self) -> &[FieldTerm] {
        &self.terms
    }

    /// Returns whether everything matches.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Returns whether all terms hold for the values that `lookup` gives; a missing value is empty.
    pub fn matches<'a>(&self, lookup: impl Fn(&str) -> Option<Cow<'a, str>>) -> bool {
        self.terms.iter().all(|term| {
            let is_equal = lookup(&term.field).unwrap_or_default() == term.value;
            is_equal == (term.operator == FieldOperator::Equals)
        })
    }

    /// Returns the value that the selector demands of a field, if it demands one.
    pub fn required(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|t| t.field == field && t.operator == FieldOperator::Equals).map(|t| t.value.as_str())
    }
}

/// Splits at commas that are not escaped.
fn split_terms(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn term(part: &str) -> Option<Result<FieldTerm, SelectorError>> {
    let at = part.find("!=").filter(|at| part.find('=').is_some_and(|eq| *at < eq)).map(|at| (at, "!="));
    let (at, operator) = at
        .or_else(|| part.find("==").filter(|at| part.find('=') == Some(*at)).map(|at| (at, "==")))
        .or_else(|| part.find('=').map(|at| (at, "=")))?;
    let value = match unescape(&part[at + operator.len()..]) {
        Ok(value) => value,
        Err(error) => return Some(Err(error)),
    };
    let operator = if operator == "!=" { FieldOperator::NotEquals } else { FieldOperator::Equals };
    Some(Ok(FieldTerm { field: part[..at].to_owned(), operator, value }))
}

fn unescape(text: &str) -> Result<String, SelectorError> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(next @ ('\\' | ',' | '=')) => out.push(next),
                Some(other) => {
                    return Err(SelectorError(format!("invalid field selector: invalid escape sequence: \\{other}")));
                }
                None => return Err(SelectorError("invalid field selector: invalid escape sequence: \\".into())),
            },
            // A plain `=` or `,` in a value must be escaped; two equal signs were taken above.
            '=' | ',' => {
                return Err(SelectorError(format!("invalid field selector: unescaped character in value: {c}")));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[(&str, FieldOperator, &str)]) {
        let selector = FieldSelector::parse(text).expect(text);
        let terms: Vec<_> = selector.terms().iter().map(|t| (t.field.as_str(), t.operator, t.value.as_str())).collect();
        assert_eq!(terms, expect, "{text}");
    }

    #[test]
    fn terms() {
        use FieldOperator::{Equals, NotEquals};
        check("", &[]);
        check("a=b", &[("a", Equals, "b")]);
        check("a==b,c!=d", &[("a", Equals, "b"), ("c", NotEquals, "d")]);
        check(r"a=x\,y\=z\\", &[("a", Equals, r"x,y=z\")]);
        check("a=", &[("a", Equals, "")]);
        let error = FieldSelector::parse("a").expect_err("no operator");
        assert_eq!(error.to_string(), "invalid selector: 'a'; can't understand 'a'");
        assert!(FieldSelector::parse(r"a=\x").is_err());
    }

    #[test]
    fn matching() {
        let selector = FieldSelector::parse("a=1,b!=2").expect("good");
        assert!(selector.matches(|f| (f == "a").then_some("1".into())));
        assert!(!selector.matches(|f| Some(if f == "a" { "1" } else { "2" }.into())));
        assert_eq!(selector.required("a"), Some("1"));
        assert_eq!(selector.required("b"), None);
    }
}
