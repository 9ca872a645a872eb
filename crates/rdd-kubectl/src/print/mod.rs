//! From objects to text: the forms of `-o`.

mod align;
mod columns;
mod sort;
mod table;

use clap::Args;
use rdd_schema::jsonpath::{JsonPath, MissingKeys};
use rdd_schema::yaml;
use serde_json::Value;

pub(crate) use align::{align_rows, tabulate};
pub(crate) use columns::CustomColumns;
pub(crate) use sort::SortBy;
pub(crate) use table::{TableOptions, TablePrinter, age, generic_table, since};

use crate::context::Context;
use crate::discovery::lower_kind;
use crate::failure::Failure;

/// The flags that choose a form.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PrintArgs {
    /// Form: json, yaml, name, jsonpath=TEMPLATE, jsonpath-file=FILE, custom-columns=SPEC, custom-columns-file=FILE;
    /// wide where there is a table
    #[arg(short = 'o', long, value_name = "FORM")]
    pub(crate) output: Option<String>,
    /// Template for -o jsonpath
    #[arg(long, value_name = "TEMPLATE", hide_short_help = true)]
    pub(crate) template: Option<String>,
    /// Keep managedFields when printing JSON and YAML
    #[arg(long)]
    pub(crate) show_managed_fields: bool,
    /// Treat keys that are not there as empty in templates
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", hide_short_help = true, action = clap::ArgAction::Set)]
    pub(crate) allow_missing_template_keys: bool,
}

/// Says which forms a command has.
pub(crate) fn unknown_form(form: &str, known: &str) -> Failure {
    Failure::message(format!(
        "unable to match a printer suitable for the output format \"{form}\", allowed formats are: {known}"
    ))
}

/// A form.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    /// A table, or for writes the line that says what was done.
    Human {
        wide: bool,
    },
    Name,
    Json,
    Yaml,
    Kyaml,
    JsonPath(String, JsonPath, MissingKeys),
    Columns(CustomColumns),
}

const FORMS: &str = "custom-columns,custom-columns-file,go-template,go-template-file,json,jsonpath,jsonpath-as-json,jsonpath-file,kyaml,name,template,templatefile,wide,yaml";
const WRITE_FORMS: &str =
    "go-template,go-template-file,json,jsonpath,jsonpath-as-json,jsonpath-file,kyaml,name,template,templatefile,yaml";

impl PrintArgs {
    /// Returns the form of a command that reads.
    pub(crate) fn form(&self, no_headers: bool) -> Result<Form, Failure> {
        self.parse(FORMS, no_headers)
    }

    /// Returns the form of a command that writes.
    pub(crate) fn write_form(&self) -> Result<Form, Failure> {
        self.parse(WRITE_FORMS, false)
    }

    fn parse(&self, known: &str, no_headers: bool) -> Result<Form, Failure> {
        let whole = self.output.as_deref().unwrap_or_default();
        let (form, argument) = match whole.split_once('=') {
            Some((form, argument)) => (form, Some(argument.to_owned())),
            None => (whole, self.template.clone().filter(|t| !t.is_empty())),
        };
        let missing = if self.allow_missing_template_keys { MissingKeys::Allowed } else { MissingKeys::Refused };
        let jsonpath = |template: String| match JsonPath::parse_kubectl(&template) {
            Ok(path) => Ok(Form::JsonPath(template, path, missing)),
            Err(error) => Err(Failure::message(format!("error parsing jsonpath {template}, {error}"))),
        };
        let is_read = known == FORMS;
        match form {
            "" => Ok(Form::Human { wide: false }),
            "wide" if is_read => Ok(Form::Human { wide: true }),
            "name" => Ok(Form::Name),
            "json" => Ok(Form::Json),
            "yaml" => Ok(Form::Yaml),
            "kyaml" => Ok(Form::Kyaml),
            "jsonpath" => match argument.filter(|a| !a.is_empty()) {
                Some(template) => jsonpath(template),
                None => Err(Failure::message("template format specified but no template given")),
            },
            "jsonpath-file" => match argument.filter(|a| !a.is_empty()) {
                Some(file) => {
                    let text = std::fs::read_to_string(&file);
                    jsonpath(text.map_err(|e| {
                        Failure::message(format!("error reading --template {file}, {}", go_io(&e, &file)))
                    })?)
                }
                None => Err(Failure::message("template format specified but no template given")),
            },
            "custom-columns" if is_read => match argument.filter(|a| !a.is_empty()) {
                Some(spec) => CustomColumns::parse(&spec, no_headers).map(Form::Columns),
                None => Err(Failure::message("custom-columns format specified but no custom columns given")),
            },
            "custom-columns-file" if is_read => match argument.filter(|a| !a.is_empty()) {
                Some(file) => {
                    let text = std::fs::read_to_string(&file);
                    let text = text.map_err(|e| {
                        Failure::message(format!("error reading template {file}, {}", go_io(&e, &file)))
                    })?;
                    CustomColumns::parse_file(&text, no_headers).map(Form::Columns)
                }
                None => Err(Failure::message("custom-columns-file format specified but no custom columns file given")),
            },
            "go-template" | "go-template-file" | "template" | "templatefile" | "jsonpath-as-json" => {
                let text = format!("output format \"{form}\" is not supported");
                Err(Failure::Elsewhere { text, lead: "use -o jsonpath=…, or ", words: format!("… -o {form}") })
            }
            _ => Err(unknown_form(whole, known)),
        }
    }

    /// Removes from an object what people did not ask for.
    pub(crate) fn clean(&self, object: &mut Value) {
        if self.show_managed_fields {
            return;
        }
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
    }
}

/// Returns an I/O error in Go's words.
pub(crate) fn go_io(error: &std::io::Error, path: &str) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => format!("open {path}: no such file or directory"),
        std::io::ErrorKind::PermissionDenied => format!("open {path}: permission denied"),
        std::io::ErrorKind::IsADirectory => format!("read {path}: is a directory"),
        _ => format!("open {path}: {error}"),
    }
}

/// Escapes as Go's JSON encoder does for HTML's sake. All of these stand in strings only.
fn escape_html(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    out
}

/// Returns compact JSON as Go writes it.
pub(crate) fn compact_json(value: &Value) -> String {
    escape_html(&value.to_string())
}

/// Returns JSON as `-o json` prints it, with a line feed.
pub(crate) fn pretty_json(value: &Value) -> String {
    use serde_json::ser::{PrettyFormatter, Serializer};
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"    "));
    serde::Serialize::serialize(value, &mut serializer).expect("a value in memory can be printed");
    escape_html(&String::from_utf8(bytes).expect("JSON is UTF-8")) + "\n"
}

/// Prints one object after the other in one form.
pub(crate) struct ObjectPrinter<'a> {
    form: &'a Form,
    count: usize,
}

impl<'a> ObjectPrinter<'a> {
    /// Begins to print.
    pub(crate) fn new(form: &'a Form) -> Self {
        Self { form, count: 0 }
    }

    /// Prints an object or a list.
    pub(crate) fn print(&mut self, context: &Context, object: &Value) -> Result<(), Failure> {
        self.count += 1;
        let text = match self.form {
            Form::Human { .. } => String::new(),
            Form::Name => names(object),
            Form::Json => pretty_json(object),
            Form::Yaml => {
                let separator = if self.count > 1 { "---\n" } else { "" };
                format!("{separator}{}", yaml::print(object))
            }
            Form::Kyaml => yaml::print_kyaml(object),
            Form::JsonPath(template, path, missing) => path.print(object, *missing).map_err(|error| {
                Failure::message(format!(
                    "error executing jsonpath {}: Error executing template: {error}. Printing more information for \
                     debugging the template:\n\ttemplate was:\n\t\t{template}\n\tobject given to jsonpath engine \
                     was:\n\t\t{object}\n\n",
                    rdd_api::field::quote(template)
                ))
            })?,
            Form::Columns(columns) => columns.print(object, self.count == 1)?,
        };
        context.console.out(&text)
    }
}

fn names(object: &Value) -> String {
    if let Some(items) = object["items"].as_array() {
        return items.iter().map(names).collect();
    }
    format!("{}\n", label(object))
}

/// Returns `kind.group/name`.
pub(crate) fn label(object: &Value) -> String {
    let group = rdd_api::object::api_version(object).split_once('/').map(|(group, _)| group).unwrap_or_default();
    format!("{}/{}", lower_kind(rdd_api::object::kind(object), group), rdd_api::object::name(object))
}
