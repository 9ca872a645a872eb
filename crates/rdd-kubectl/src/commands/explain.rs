//! `explain`: what the fields of a kind mean, from the server's schema.

use clap::Args;
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::session::Call;

/// Show what the fields of a kind mean
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  # The fields of a kind, and of one of its fields\n  kubectl explain limavm\n  kubectl explain limavm.spec.templateRef\n\n  # All that is below\n  kubectl explain limavm --recursive"
)]
pub(crate) struct ExplainArgs {
    /// TYPE, or TYPE.field.field
    words: Vec<String>,
    /// Show the fields of fields
    #[arg(long)]
    recursive: bool,
    /// Group and version to look in
    #[arg(long, value_name = "VERSION")]
    api_version: Option<String>,
    /// Accepted for kubectl's sake
    #[arg(long, short = 'o', hide = true)]
    output: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &ExplainArgs) -> Result<(), Failure> {
    let [word] = args.words.as_slice() else {
        let text = match args.words.len() {
            0 => {
                "You must specify the type of resource to explain. Use \"kubectl api-resources\" for a complete list of supported resources."
            }
            _ => "We accept only this format: explain RESOURCE",
        };
        let end = if args.words.is_empty() { "\n" } else { "" };
        return Err(Failure::message(format!("{text}{end}")));
    };
    let discovery = context.discovery().await?;
    let mut steps = word.split('.');
    let first = steps.next().unwrap_or_default();
    // Dots divide fields; a group may follow too, as in limavms.lima.rancherdesktop.io.
    let (resource, steps) = match discovery.resource(word) {
        Ok(resource) if word.contains('.') && word.ends_with(&resource.group) => (resource, Vec::new()),
        _ => {
            // kubectl leaves its usual prefix out here.
            let resource = discovery.resource(first).map_err(|failure| Failure::Verbatim(failure.to_string()))?;
            (resource, steps.collect::<Vec<_>>())
        }
    };
    let resource = match &args.api_version {
        Some(version) => discovery.kind(version, &resource.kind).ok_or_else(|| {
            Failure::message(format!("couldn't find resource for \"{version}, Kind={}\"", resource.kind))
        })?,
        None => resource,
    };
    let path = match resource.group.as_str() {
        "" => format!("/openapi/v3/api/{}", resource.version),
        _ => format!("/openapi/v3/apis/{}", resource.api_version()),
    };
    let document = context.session().await?.json(&Call::get(path)).await?;
    let wanted = json!({"group": resource.group, "version": resource.version, "kind": resource.kind});
    let schemas = document["components"]["schemas"].as_object();
    let root = schemas.into_iter().flatten().map(|(_, schema)| schema).find(|schema| {
        schema["x-kubernetes-group-version-kind"].as_array().is_some_and(|kinds| kinds.contains(&wanted))
    });
    let Some(root) = root else {
        return Err(Failure::message(format!(
            "GVR (/{}, Resource={}) not found in OpenAPI schema",
            resource.api_version(),
            resource.name
        )));
    };
    let mut text = String::new();
    if !resource.group.is_empty() {
        text += &format!("GROUP:      {}\n", resource.group);
    }
    text += &format!("KIND:       {}\nVERSION:    {}\n\n", resource.kind, resource.version);
    let mut at = Node { document: &document, schema: root };
    let mut last = None;
    for step in &steps {
        let Some(next) = at.items().property(step) else {
            context.console.out(&text)?;
            return Err(Failure::message(format!("field \"{step}\" does not exist")));
        };
        at = next;
        last = Some(*step);
    }
    if let Some(field) = last {
        text += &format!("FIELD: {field} <{}>\n\n\n", at.type_name());
    }
    text += "DESCRIPTION:\n";
    let mut described = false;
    for description in at.descriptions() {
        text += &wrap(&description, 4);
        described = true;
    }
    if !described {
        text += "    <empty>\n";
    }
    text += "    \n";
    let fields = at.items();
    if fields.has_properties() {
        text += "FIELDS:\n";
        list(&fields, args.recursive, 2, &mut text);
    }
    text.push('\n');
    context.console.out(&text)
}

#[derive(Clone, Copy)]
struct Node<'a> {
    document: &'a Value,
    schema: &'a Value,
}

impl<'a> Node<'a> {
    fn resolved(self) -> Self {
        let mut schema = self.schema;
        for _ in 0..16 {
            let alone = schema["allOf"].as_array().filter(|a| a.len() == 1).map(|a| &a[0]);
            let reference = alone.unwrap_or(schema)["$ref"].as_str().and_then(|r| r.strip_prefix('#'));
            match reference.and_then(|pointer| self.document.pointer(pointer)) {
                Some(target) => schema = target,
                None => break,
            }
        }
        Self { schema, ..self }
    }

    fn items(self) -> Self {
        let node = self.resolved();
        if node.schema["items"].is_object() {
            return Self { schema: &node.schema["items"], ..node }.items();
        }
        if node.schema["additionalProperties"].is_object() && !node.has_properties() {
            return Self { schema: &node.schema["additionalProperties"], ..node }.items();
        }
        node
    }

    fn has_properties(&self) -> bool {
        self.schema["properties"].as_object().is_some_and(|p| !p.is_empty())
    }

    fn property(self, name: &str) -> Option<Self> {
        let schema = self.schema["properties"].get(name)?;
        Some(Self { schema, ..self })
    }

    fn descriptions(self) -> Vec<String> {
        let own = self.schema["description"].as_str();
        let target = self.resolved().schema["description"].as_str().filter(|d| own != Some(*d));
        own.or(target).into_iter().filter(|d| !d.is_empty()).map(str::to_owned).collect()
    }

    fn type_name(self) -> String {
        let has_reference = self.schema["$ref"].is_string() || self.schema["allOf"].is_array();
        let node = self.resolved();
        if node.schema["items"].is_object() {
            return format!("[]{}", Self { schema: &node.schema["items"], ..node }.type_name());
        }
        if node.schema["additionalProperties"].is_object() {
            return format!("map[string]{}", Self { schema: &node.schema["additionalProperties"], ..node }.type_name());
        }
        let reference = self.schema["$ref"].as_str().or_else(|| self.schema["allOf"][0]["$ref"].as_str());
        let kind = match node.schema["type"].as_str() {
            Some("object") | None if has_reference => reference.and_then(|r| r.rsplit('.').next()).unwrap_or("Object"),
            Some("object") | None => "Object",
            Some(kind) => kind,
        };
        kind.to_owned()
    }
}

fn list(node: &Node<'_>, recursive: bool, indent: usize, text: &mut String) {
    let required = node.schema["required"].as_array().cloned().unwrap_or_default();
    for (name, schema) in node.schema["properties"].as_object().into_iter().flatten() {
        let field = Node { schema, ..*node };
        let mark = if required.iter().any(|r| r == name) { " -required-" } else { "" };
        *text += &format!("{}{name}\t<{}>{mark}\n", " ".repeat(indent), field.type_name());
        if recursive {
            let below = field.items();
            // Schemas of schemas never end.
            if indent < 40 && below.has_properties() {
                list(&below, true, indent + 2, text);
            }
            continue;
        }
        let mut described = false;
        for description in field.descriptions() {
            *text += &wrap(&description, indent + 2);
            described = true;
        }
        if !described {
            *text += &format!("{}<no description>\n", " ".repeat(indent + 2));
        }
        text.push('\n');
    }
}

/// Breaks a text into lines that are as long as kubectl's, and indents them.
fn wrap(text: &str, indent: usize) -> String {
    let width = 80 - indent.min(40);
    let mut out = String::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                out += &format!("{}{line}\n", " ".repeat(indent));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line += word;
        }
        out += &format!("{}{line}\n", if line.is_empty() { String::new() } else { " ".repeat(indent) });
    }
    out
}
