//! Label selectors: the text form of URLs, and the JSON form of objects.
//!
//! Lexing and parsing follow `k8s.io/apimachinery/pkg/labels/selector.go`, whose error texts
//! clients see.

use rdd_api::field::quote;
use serde_json::{Map, Value};

use super::SelectorError;
use crate::validation;

/// What a requirement asks of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `k in (a,b)`, `k=a`.
    In,
    /// `k notin (a,b)`, `k!=a`. Holds for absent labels too.
    NotIn,
    /// `k`.
    Exists,
    /// `!k`.
    DoesNotExist,
    /// `k>5`, as integers.
    GreaterThan,
    /// `k<5`, as integers.
    LessThan,
}

/// One requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// What is asked.
    pub operator: Operator,
    /// The values.
    pub values: Vec<String>,
}

/// Requirements that must all hold. The empty selector matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

impl LabelSelector {
    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut parser = Parser { tokens: tokens(text), at: 0 };
        let mut requirements =
            parser.requirements().map_err(|e| SelectorError(format!("unable to parse requirement: {e}")))?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements })
    }

    /// Reads the JSON form: `matchLabels` and `matchExpressions`. Null and `{}` match everything.
    pub fn from_json(selector: &Value) -> Result<Self, SelectorError> {
        let mut requirements = Vec::new();
        for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            requirements.push(Requirement::checked(key.clone(), Operator::In, vec![value]).map_err(SelectorError)?);
        }
        for expression in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let text = |key: &str| expression.get(key).and_then(Value::as_str).unwrap_or_default();
            let operator = match text("operator") {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(SelectorError(format!("{} is not a valid label selector operator", quote(other)))),
            };
            let values = expression.get("values").and_then(Value::as_array);
            let values = values.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
            requirements.push(Requirement::checked(text("key").to_owned(), operator, values).map_err(SelectorError)?);
        }
        Ok(Self { requirements })
    }

    /// Returns whether everything matches.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Returns whether the labels (`metadata.labels`) match.
    pub fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        self.requirements.iter().all(|r| r.matches(labels.and_then(|l| l.get(&r.key)).and_then(Value::as_str)))
    }

    /// Returns the requirements.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }
}

impl Requirement {
    /// Returns whether a label with this value, or an absent one, satisfies the requirement.
    pub fn matches(&self, value: Option<&str>) -> bool {
        let is_in = |v: &str| self.values.iter().any(|x| x == v);
        let compare = |test: fn(i64, i64) -> bool| {
            let (value, bound) = (value.and_then(|v| v.parse().ok()), self.values[0].parse().ok());
            value.zip(bound).is_some_and(|(v, b)| test(v, b))
        };
        match self.operator {
            Operator::In => value.is_some_and(is_in),
            Operator::NotIn => !value.is_some_and(is_in),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => compare(|v, b| v > b),
            Operator::LessThan => compare(|v, b| v < b),
        }
    }

    /// Makes a requirement after checking key and values (`labels.NewRequirement`).
    fn checked(key: String, operator: Operator, values: Vec<String>) -> Result<Self, String> {
        let mut errors = Vec::new();
        let problems = validation::qualified_name(&key);
        if !problems.is_empty() {
            errors.push(format!("key: Invalid value: {}: {}", quote(&key), problems.join("; ")));
        }
        let shown = format!("[{}]", values.iter().map(|v| quote(v)).collect::<Vec<_>>().join(","));
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                errors.push("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty".into());
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                errors.push(format!(
                    "values: Invalid value: {shown}: values set must be empty for exists and does not exist"
                ));
            }
            Operator::GreaterThan | Operator::LessThan => {
                if values.len() != 1 {
                    errors.push(format!(
                        "values: Invalid value: {shown}: for 'Gt', 'Lt' operators, exactly one value is required"
                    ));
                }
                for (index, value) in values.iter().enumerate().filter(|(_, v)| v.parse::<i64>().is_err()) {
                    let value = quote(value);
                    errors.push(format!(
                        "values[{index}]: Invalid value: {value}: for 'Gt', 'Lt' operators, the value must be an integer"
                    ));
                }
            }
            _ => {}
        }
        for (index, value) in values.iter().enumerate() {
            let problems = validation::label_value(value);
            if !problems.is_empty() {
                let field = format!("values[{index}][{key}]");
                errors.push(format!("{field}: Invalid value: {}: {}", quote(value), problems.join("; ")));
            }
        }
        match errors.len() {
            0 => Ok(Self { key, operator, values }),
            1 => Err(errors.remove(0)),
            _ => Err(format!("[{}]", errors.join(", "))),
        }
    }
}

/// A token and its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Symbol(&'a str),
    End,
}

impl<'a> Token<'a> {
    fn text(self) -> &'a str {
        match self {
            Token::Word(text) | Token::Symbol(text) => text,
            Token::End => "",
        }
    }
}

fn is_symbol(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '<' | '>')
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\t', '\r', '\n']);
    while let Some(first) = rest.chars().next() {
        let token = if is_symbol(first) {
            let length = if rest.starts_with("==") || rest.starts_with("!=") { 2 } else { 1 };
            Token::Symbol(&rest[..length])
        } else {
            let end = rest.find(|c| is_symbol(c) || matches!(c, ' ' | '\t' | '\r' | '\n')).unwrap_or(rest.len());
            Token::Word(&rest[..end])
        };
        rest = rest[token.text().len()..].trim_start_matches([' ', '\t', '\r', '\n']);
        tokens.push(token);
    }
    tokens
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.tokens.get(self.at).copied().unwrap_or(Token::End)
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn requirements(&mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        loop {
            match self.peek() {
                Token::Word(_) | Token::Symbol("!") => {
                    requirements.push(self.requirement()?);
                    match self.next() {
                        Token::End => return Ok(requirements),
                        Token::Symbol(",") => {
                            if !matches!(self.peek(), Token::Word(_) | Token::Symbol("!")) {
                                let found = self.peek().text();
                                return Err(format!("found '{found}', expected: identifier after ','"));
                            }
                        }
                        other => return Err(format!("found '{}', expected: ',' or 'end of string'", other.text())),
                    }
                }
                Token::End => return Ok(requirements),
                other => return Err(format!("found '{}', expected: !, identifier, or 'end of string'", other.text())),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let negated = self.peek() == Token::Symbol("!");
        if negated {
            self.next();
        }
        let key = match self.next() {
            Token::Word(key) => key.to_owned(),
            other => return Err(format!("found '{}', expected: identifier", other.text())),
        };
        let problems = validation::qualified_name(&key);
        if !problems.is_empty() {
            return Err(format!("key: Invalid value: {}: {}", quote(&key), problems.join("; ")));
        }
        if matches!(self.peek(), Token::End | Token::Symbol(",")) {
            let operator = if negated { Operator::DoesNotExist } else { Operator::Exists };
            return Requirement::checked(key, operator, Vec::new());
        }
        if negated {
            // After `!key` the requirement is over; the caller complains about what follows.
            return Requirement::checked(key, Operator::DoesNotExist, Vec::new());
        }
        let operator = match self.next() {
            Token::Symbol("=" | "==") => Operator::In,
            Token::Symbol("!=") => Operator::NotIn,
            Token::Symbol(">") => Operator::GreaterThan,
            Token::Symbol("<") => Operator::LessThan,
            Token::Word("in") => return Requirement::checked(key, Operator::In, self.values()?),
            Token::Word("notin") => return Requirement::checked(key, Operator::NotIn, self.values()?),
            other => {
                let found = other.text();
                return Err(format!("found '{found}', expected: in, notin, =, ==, !=, gt, lt"));
            }
        };
        let value = match self.peek() {
            Token::End | Token::Symbol(",") => String::new(),
            Token::Word(value) => {
                self.next();
                value.to_owned()
            }
            other => return Err(format!("found '{}', expected: identifier", other.text())),
        };
        Requirement::checked(key, operator, vec![value])
    }

    /// `(a,b)`; empty values are legal.
    fn values(&mut self) -> Result<Vec<String>, String> {
        match self.next() {
            Token::Symbol("(") => {}
            other => return Err(format!("found '{}' expected: '('", other.text())),
        }
        let mut values = Vec::new();
        let mut expects_value = true;
        loop {
            match self.next() {
                Token::Word(value) if expects_value => {
                    values.push(value.to_owned());
                    expects_value = false;
                }
                Token::Symbol(",") => {
                    if expects_value {
                        values.push(String::new());
                    }
                    expects_value = true;
                }
                Token::Symbol(")") => {
                    if expects_value {
                        values.push(String::new());
                    }
                    values.sort();
                    values.dedup();
                    return Ok(values);
                }
                other => return Err(format!("found '{}', expected: ',', ')' or identifier", other.text())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(selector: &str, labels: Value, expect: bool) {
        let parsed = LabelSelector::parse(selector).expect(selector);
        assert_eq!(parsed.matches(labels.as_object()), expect, "{selector} {labels}");
    }

    fn refuse(selector: &str, expect: &str) {
        let error = LabelSelector::parse(selector).expect_err(selector);
        assert_eq!(error.to_string(), expect);
    }

    #[test]
    fn matching() {
        let labels = json!({"a": "1", "tier": "web", "e": ""});
        check("", labels.clone(), true);
        check("a", labels.clone(), true);
        check("!a", labels.clone(), false);
        check("! b", labels.clone(), true);
        check("a=1,tier==web", labels.clone(), true);
        check("a!=1", labels.clone(), false);
        check("b!=1", labels.clone(), true);
        check("tier in (web, db)", labels.clone(), true);
        check("tier notin (web,db)", labels.clone(), false);
        check("b notin (x)", labels.clone(), true);
        check("e=", labels.clone(), true);
        check("e in (,x)", labels.clone(), true);
        check("a>0, a<2", labels.clone(), true);
        check("tier>0", labels, false);
        check("a", Value::Null, false);
    }

    #[test]
    fn errors_are_upstreams() {
        refuse("a=1=2", "unable to parse requirement: found '=', expected: ',' or 'end of string'");
        refuse("=a", "unable to parse requirement: found '=', expected: !, identifier, or 'end of string'");
        refuse("a,", "unable to parse requirement: found '', expected: identifier after ','");
        refuse("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt");
        refuse("a in x", "unable to parse requirement: found 'x' expected: '('");
        assert!(LabelSelector::parse("a=%").is_err());
        assert!(LabelSelector::parse("a>x").is_err());
    }

    #[test]
    fn json_form() {
        let selector = json!({"matchLabels": {"a": "1"}, "matchExpressions": [
            {"key": "b", "operator": "DoesNotExist"}, {"key": "c", "operator": "In", "values": ["x"]}]});
        let selector = LabelSelector::from_json(&selector).expect("good");
        assert!(selector.matches(json!({"a": "1", "c": "x"}).as_object()));
        assert!(!selector.matches(json!({"a": "1", "b": "", "c": "x"}).as_object()));
        assert!(LabelSelector::from_json(&json!({"matchExpressions": [{"key": "a", "operator": "Like"}]})).is_err());
        assert!(LabelSelector::from_json(&Value::Null).expect("good").is_empty());
    }
}
