//! From a template's text to its parts.

use serde_json::Value;

/// A piece of a template.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Text(String),
    /// `{…}`: steps, each walking on from what the one before found.
    Action(Vec<Step>),
    /// `{range …}` to `{end}`.
    Range(Vec<Step>, Vec<Part>),
}

/// A step of a path.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Field(String),
    Wildcard,
    Recursive,
    Slice { start: Option<i64>, end: Option<i64>, single: bool, step: Option<i64> },
    Union(Vec<Vec<Step>>),
    Filter { left: Vec<Step>, operator: Operator, right: Vec<Step> },
    Literal(Value),
}

/// How a filter compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Exists,
    Equal,
    NotEqual,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
}

/// Filters and unions inside each other; enough for people, bounded for the stack.
const MAX_DEPTH: usize = 50;

pub(super) fn template(text: &str) -> Result<Vec<Part>, String> {
    let mut rest = text;
    // The innermost open range is last; the first entry is the whole template.
    let mut open: Vec<(Vec<Step>, Vec<Part>)> = vec![(Vec::new(), Vec::new())];
    while !rest.is_empty() {
        let Some(brace) = rest.find('{') else {
            push(&mut open, Part::Text(rest.to_owned()));
            break;
        };
        if brace > 0 {
            push(&mut open, Part::Text(rest[..brace].to_owned()));
        }
        let (action, after) = action(&rest[brace + 1..])?;
        rest = after;
        match action {
            Action::Steps(steps) => push(&mut open, Part::Action(steps)),
            Action::Range(steps) => open.push((steps, Vec::new())),
            Action::End if open.len() > 1 => {
                let (steps, parts) = open.pop().expect("more than one is open");
                push(&mut open, Part::Range(steps, parts));
            }
            Action::End => return Err("not in range, nothing to end".into()),
        }
    }
    while open.len() > 1 {
        let (steps, parts) = open.pop().expect("more than one is open");
        push(&mut open, Part::Range(steps, parts));
    }
    Ok(open.pop().expect("the template itself").1)
}

fn push(open: &mut [(Vec<Step>, Vec<Part>)], part: Part) {
    open.last_mut().expect("the template itself is never closed").1.push(part);
}

enum Action {
    Steps(Vec<Step>),
    Range(Vec<Step>),
    End,
}

/// Reads to the closing brace; returns what stands behind it.
fn action(text: &str) -> Result<(Action, &str), String> {
    let mut parser = Parser { rest: text, depth: 0 };
    let (mut steps, mut word) = (Vec::new(), None);
    loop {
        if let Some(after) = parser.rest.strip_prefix('}') {
            let action = match word {
                Some("range") => Action::Range(steps),
                Some("end") => Action::End,
                _ => Action::Steps(steps),
            };
            return Ok((action, after));
        }
        if let Some(found) = parser.step(&mut steps)? {
            match found {
                "range" | "end" => word = Some(found),
                other => return Err(format!("unrecognized identifier {other}")),
            }
        }
    }
}

fn steps(text: &str, depth: usize) -> Result<Vec<Step>, String> {
    if depth > MAX_DEPTH {
        return Err("the expression is nested too deeply".into());
    }
    let mut parser = Parser { rest: text, depth };
    let mut steps = Vec::new();
    while !parser.rest.is_empty() {
        if let Some(word) = parser.step(&mut steps)? {
            return Err(format!("unrecognized identifier {word}"));
        }
    }
    Ok(steps)
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

fn ends_name(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}')
}

impl<'a> Parser<'a> {
    /// Reads one step; returns a bare word (`range`, `end`) instead where one stands.
    fn step(&mut self, steps: &mut Vec<Step>) -> Result<Option<&'a str>, String> {
        if let Some(rest) = self.rest.strip_prefix("[?(") {
            self.rest = rest;
            return self.filter(steps).map(|()| None);
        }
        if let Some(rest) = self.rest.strip_prefix("..") {
            self.rest = rest;
            if rest.starts_with('.') {
                return Err("invalid multiple recursive descent".into());
            }
            steps.push(Step::Recursive);
            if rest.starts_with(|c: char| !ends_name(c)) {
                self.field(steps)?;
            }
            return Ok(None);
        }
        let Some(first) = self.rest.chars().next() else { return Err("unclosed action".into()) };
        let after = &self.rest[first.len_utf8()..];
        match first {
            '\n' | '\r' => return Err("unclosed action".into()),
            ' ' | '@' | '$' | '\t' => self.rest = after,
            '[' => {
                self.rest = after;
                self.brackets(steps)?;
            }
            '"' | '\'' => {
                self.rest = after;
                steps.push(Step::Literal(self.quoted(first)?.into()));
            }
            '.' => {
                self.rest = after;
                self.field(steps)?;
            }
            '+' | '-' | '0'..='9' => self.number(steps)?,
            c if c.is_alphanumeric() || c == '_' => {
                let end = self.rest.find(ends_name).unwrap_or(self.rest.len());
                let word = &self.rest[..end];
                self.rest = &self.rest[end..];
                match word {
                    "true" => steps.push(Step::Literal(true.into())),
                    "false" => steps.push(Step::Literal(false.into())),
                    word => return Ok(Some(word)),
                }
            }
            other => return Err(format!("unrecognized character in action: U+{:04X} '{other}'", other as u32)),
        }
        Ok(None)
    }

    fn field(&mut self, steps: &mut Vec<Step>) -> Result<(), String> {
        let mut name = String::new();
        let mut chars = self.rest.char_indices();
        let end = loop {
            match chars.next() {
                None => break self.rest.len(),
                Some((_, '\\')) => name.extend(chars.next().map(|(_, c)| c)),
                Some((at, c)) if ends_name(c) => break at,
                Some((_, c)) => name.push(c),
            }
        };
        self.rest = &self.rest[end..];
        match name.as_str() {
            // A lone dot is the current object.
            "" => {}
            "*" => steps.push(Step::Wildcard),
            _ => steps.push(Step::Field(name)),
        }
        Ok(())
    }

    fn number(&mut self, steps: &mut Vec<Step>) -> Result<(), String> {
        let is_part = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let text = &self.rest[..end];
        self.rest = &self.rest[end..];
        let integer = text.strip_prefix('+').unwrap_or(text).parse::<i64>().map(Value::from);
        let value = integer.or_else(|_| text.parse::<f64>().map(Value::from));
        steps.push(Step::Literal(value.map_err(|_| format!("cannot parse number {text}"))?));
        Ok(())
    }

    /// Reads to the closing quote and resolves Go's escapes.
    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut out = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\n' => break,
                '\\' => match chars.next() {
                    Some((_, 'n')) => out.push('\n'),
                    Some((_, 't')) => out.push('\t'),
                    Some((_, 'r')) => out.push('\r'),
                    Some((_, '0')) => out.push('\0'),
                    Some((_, 'u')) => {
                        let digits: String = chars.by_ref().take(4).map(|(_, c)| c).collect();
                        let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                        out.push(code.ok_or("invalid syntax")?);
                    }
                    Some((_, c)) => out.push(c),
                    None => break,
                },
                c if c == quote => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(out);
                }
                c => out.push(c),
            }
        }
        Err("unterminated quoted string".into())
    }

    /// `[…]` behind its opening bracket: an index, a slice, a key, or several of them.
    fn brackets(&mut self, steps: &mut Vec<Step>) -> Result<(), String> {
        let end = self.closing_bracket().ok_or("unterminated array")?;
        let text = self.rest[..end].trim();
        self.rest = &self.rest[end + 1..];
        if text == "*" {
            steps.push(Step::Slice { start: None, end: None, single: false, step: None });
            return Ok(());
        }
        let members = split_outside_quotes(text);
        if members.len() > 1 {
            let depth = self.depth + 1;
            let union: Result<_, String> =
                members.into_iter().map(|m| self::steps(&format!("[{}]", m.trim()), depth)).collect();
            steps.push(Step::Union(union?));
            return Ok(());
        }
        if let Some(key) = unquoted_key(text) {
            // Upstream reads the key as a path, which is why dots want a backslash.
            steps.extend(self::steps(&format!(".{key}"), self.depth + 1)?);
            return Ok(());
        }
        steps.push(slice(text).ok_or_else(|| format!("invalid array index {text}"))?);
        Ok(())
    }

    fn closing_bracket(&self) -> Option<usize> {
        let mut quote = None;
        for (at, c) in self.rest.char_indices() {
            match (quote, c) {
                (None, ']') => return Some(at),
                (None, '\n') => return None,
                (None, '\'' | '"') => quote = Some(c),
                (Some(q), c) if c == q => quote = None,
                _ => {}
            }
        }
        None
    }

    /// `[?(…)]` behind its opening.
    fn filter(&mut self, steps: &mut Vec<Step>) -> Result<(), String> {
        let (mut quote, mut depth, mut end) = (None, 0usize, None);
        let mut escaped = false;
        for (at, c) in self.rest.char_indices() {
            match (quote, c) {
                _ if escaped => escaped = false,
                (Some(_), '\\') => escaped = true,
                (None, '(') => depth += 1,
                (None, ')') if depth > 0 => depth -= 1,
                (None, ')') => {
                    end = Some(at);
                    break;
                }
                (None, '\'' | '"') => quote = Some(c),
                (Some(q), c) if c == q => quote = None,
                _ => {}
            }
        }
        let end = end.ok_or("unterminated filter")?;
        let text = &self.rest[..end];
        self.rest = self.rest[end + 1..].strip_prefix(']').ok_or("unclosed array expect ]")?;
        let depth = self.depth + 1;
        // The operator is the first run of comparison characters; the left side has none.
        let step = match text.find(['!', '<', '>', '=']).filter(|at| *at > 0) {
            None => Step::Filter { left: self::steps(text, depth)?, operator: Operator::Exists, right: Vec::new() },
            Some(at) => {
                let length = text[at..].find(|c| !matches!(c, '!' | '<' | '>' | '=')).unwrap_or(text.len() - at);
                let operator = match &text[at..at + length] {
                    "==" => Operator::Equal,
                    "!=" => Operator::NotEqual,
                    "<" => Operator::Less,
                    ">" => Operator::Greater,
                    "<=" => Operator::LessOrEqual,
                    ">=" => Operator::GreaterOrEqual,
                    other => return Err(format!("unrecognized filter operator {other}")),
                };
                let (left, right) = (self::steps(&text[..at], depth)?, self::steps(&text[at + length..], depth)?);
                Step::Filter { left, operator, right }
            }
        };
        steps.push(step);
        Ok(())
    }
}

fn split_outside_quotes(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quote) = (Vec::new(), 0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, ',') => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            (None, '\'' | '"') => quote = Some(c),
            (Some(q), c) if c == q => quote = None,
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unquoted_key(text: &str) -> Option<&str> {
    let inner = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote).filter(|k| !k.contains(quote));
    inner('\'').or_else(|| inner('"'))
}

/// `0`, `-1:`, `1:5:2`.
fn slice(text: &str) -> Option<Step> {
    let parts: Vec<&str> = text.split(':').collect();
    let number = |part: Option<&&str>| match part {
        None | Some(&"") => Some(None),
        Some(text) => text.trim().parse::<i64>().ok().map(Some),
    };
    if parts.len() > 3 || text.is_empty() {
        return None;
    }
    let (start, end, step) = (number(parts.first())?, number(parts.get(1))?, number(parts.get(2))?);
    Some(Step::Slice { start, end, single: parts.len() == 1, step })
}
