//! The paths of a kind, and what can be done at each, in either language.

use rdd_registry::{Kind, Version, builtin};
use serde_json::{Map, Value, json};

use super::language::Language;
use super::{definitions, meta};

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// One query parameter: name, type, description.
type Parameter = (&'static str, &'static str, &'static str);

const PRETTY: Parameter = ("pretty", "string", "If 'true', then the output is pretty printed.");
const DRY_RUN: Parameter = (
    "dryRun",
    "string",
    "When present, indicates that modifications should not be persisted. Valid values are: - All: all dry run stages \
     will be processed",
);
const FIELD_MANAGER: Parameter = (
    "fieldManager",
    "string",
    "fieldManager is a name associated with the actor or entity that is making these changes.",
);
const FIELD_VALIDATION: Parameter = (
    "fieldValidation",
    "string",
    "fieldValidation instructs the server on how to handle objects in the request containing unknown or duplicate \
     fields. Valid values are: Ignore, Warn, Strict.",
);
const FORCE: Parameter = ("force", "boolean", "Force is going to \"force\" Apply requests.");
const LIST: [Parameter; 10] = [
    ("allowWatchBookmarks", "boolean", "allowWatchBookmarks requests watch events with type \"BOOKMARK\"."),
    ("continue", "string", "The continue option should be set when retrieving more results from the server."),
    ("fieldSelector", "string", "A selector to restrict the list of returned objects by their fields."),
    ("labelSelector", "string", "A selector to restrict the list of returned objects by their labels."),
    ("limit", "integer", "limit is a maximum number of responses to return for a list call."),
    (
        "resourceVersion",
        "string",
        "resourceVersion sets a constraint on what resource versions a request may be served from.",
    ),
    ("resourceVersionMatch", "string", "resourceVersionMatch determines how resourceVersion is applied to list calls."),
    ("sendInitialEvents", "boolean", "`sendInitialEvents=true` may be set together with `watch=true`."),
    ("timeoutSeconds", "integer", "Timeout for the list/watch call."),
    ("watch", "boolean", "Watch for changes to the described resources and return them as a stream."),
];
const DELETE: [Parameter; 4] = [
    DRY_RUN,
    ("gracePeriodSeconds", "integer", "The duration in seconds before the object should be deleted."),
    ("orphanDependents", "boolean", "Deprecated: please use the PropagationPolicy."),
    ("propagationPolicy", "string", "Whether and how garbage collection will be performed."),
];

/// What an operation does: method, action, verb in its id.
#[derive(Clone, Copy)]
enum Action {
    Get,
    List,
    Post,
    Put,
    Patch,
    Delete,
    DeleteCollection,
}

impl Action {
    fn method(self) -> &'static str {
        match self {
            Self::Get | Self::List => "get",
            Self::Post => "post",
            Self::Put => "put",
            Self::Patch => "patch",
            Self::Delete | Self::DeleteCollection => "delete",
        }
    }

    /// The value of `x-kubernetes-action`.
    fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::DeleteCollection => "deletecollection",
            other => other.method(),
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Post => "create",
            Self::Put => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    fn operation_verb(self) -> &'static str {
        match self {
            Self::Get => "read",
            Self::List => "list",
            Self::Post => "create",
            Self::Put => "replace",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deleteCollection",
        }
    }

    fn parameters(self) -> Vec<Parameter> {
        match self {
            Self::Get => vec![],
            Self::List => LIST.to_vec(),
            Self::Post | Self::Put => vec![DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION],
            Self::Patch => vec![DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, FORCE],
            Self::Delete => DELETE.to_vec(),
            Self::DeleteCollection => DELETE.into_iter().chain(LIST.into_iter().take(8)).collect(),
        }
    }
}

/// Where a path stands; part of operation ids.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Namespaced,
    AllNamespaces,
    Cluster,
}

/// Adds the paths of a kind.
pub(super) fn add(paths: &mut Map<String, Value>, kind: &Kind, version: &Version, language: Language) {
    let root = if kind.group.is_empty() {
        format!("/api/{}", version.name)
    } else {
        format!("/apis/{}/{}", kind.group, version.name)
    };
    let (collection, place) = if kind.is_namespaced() {
        (format!("{root}/namespaces/{{namespace}}/{}", kind.resource), Place::Namespaced)
    } else {
        (format!("{root}/{}", kind.resource), Place::Cluster)
    };
    let one = |place| Page { kind, version, place, subresource: "", language };
    let on_collection = [Action::List, Action::Post, Action::DeleteCollection];
    let on_object = [Action::Get, Action::Put, Action::Patch, Action::Delete];

    one(place).add(paths, &collection, &on_collection);
    one(place).add(paths, &format!("{collection}/{{name}}"), &on_object);
    if place == Place::Namespaced {
        one(Place::AllNamespaces).add(paths, &format!("{root}/{}", kind.resource), &[Action::List]);
    }
    let write = [Action::Get, Action::Put, Action::Patch];
    if version.status_subresource {
        let page = Page { subresource: "status", ..one(place) };
        page.add(paths, &format!("{collection}/{{name}}/status"), &write);
    }
    if version.scale.is_some() {
        let page = Page { subresource: "scale", ..one(place) };
        page.add(paths, &format!("{collection}/{{name}}/scale"), &write);
    }
    for (name, verbs) in &kind.subresources {
        let actions: Vec<Action> = [Action::Get, Action::Post, Action::Put, Action::Patch]
            .into_iter()
            .filter(|a| verbs.contains(&a.verb()))
            .collect();
        let page = Page { subresource: name, ..one(place) };
        page.add(paths, &format!("{collection}/{{name}}/{name}"), &actions);
    }
}

/// What all operations of one path share.
struct Page<'a> {
    kind: &'a Kind,
    version: &'a Version,
    place: Place,
    subresource: &'a str,
    language: Language,
}

impl Page<'_> {
    fn add(&self, paths: &mut Map<String, Value>, path: &str, actions: &[Action]) {
        let mut item = Map::new();
        let offered = |action: &&Action| !self.subresource.is_empty() || self.kind.supports(action.verb());
        for action in actions.iter().filter(offered) {
            item.insert(action.method().to_owned(), self.operation(*action));
        }
        if item.is_empty() {
            return;
        }
        let mut shared = vec![self.query_parameter(PRETTY)];
        for name in ["namespace", "name"] {
            if path.contains(&format!("{{{name}}}")) {
                shared.push(self.path_parameter(name));
            }
        }
        item.insert("parameters".to_owned(), Value::Array(shared));
        paths.insert(path.to_owned(), Value::Object(item));
    }

    fn operation(&self, action: Action) -> Value {
        let (kind, language) = (self.kind, self.language);
        let of = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
        let (gvk, object) = match self.subresource {
            "scale" => (of("autoscaling", "v1", "Scale"), meta::name("Scale")),
            "token" => {
                let request = builtin::token_request();
                (of(&request.group, "v1", &request.kind), definitions::name(request, "v1"))
            }
            _ => {
                let version = &self.version.name;
                (of(&kind.group, version, &kind.kind), definitions::name(kind, version))
            }
        };
        let answer = match action {
            Action::List => definitions::list_name(kind, &self.version.name),
            Action::Delete | Action::DeleteCollection => meta::name("Status"),
            _ => object.clone(),
        };
        let body = match action {
            Action::Post | Action::Put => Some(object),
            Action::Patch => Some(meta::name("Patch")),
            Action::Delete | Action::DeleteCollection => Some(meta::name("DeleteOptions")),
            Action::Get | Action::List => None,
        };
        let consumes: Vec<&str> = match action {
            Action::Patch if kind.custom.is_some() => vec![JSON_PATCH, MERGE_PATCH, APPLY_PATCH],
            Action::Patch => vec![JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH],
            _ => vec!["*/*"],
        };
        let code = if matches!(action, Action::Post) { "201" } else { "200" };
        let mut parameters: Vec<Value> = action.parameters().into_iter().map(|p| self.query_parameter(p)).collect();
        let mut operation = json!({
            "operationId": self.operation_id(action),
            "x-kubernetes-action": action.name(),
            "x-kubernetes-group-version-kind": gvk,
        });
        match language {
            Language::V2 => {
                if let Some(body) = body {
                    let required = matches!(action, Action::Post | Action::Put | Action::Patch);
                    let mut parameter = json!({"name": "body", "in": "body", "schema": language.reference(&body)});
                    if required {
                        parameter["required"] = json!(true);
                    }
                    parameters.insert(0, parameter);
                }
                operation["consumes"] = json!(consumes);
                operation["produces"] = json!(["application/json", "application/yaml"]);
                operation["responses"] = json!({
                    code: {"description": "OK", "schema": language.reference(&answer)},
                    "401": {"description": "Unauthorized"},
                });
            }
            Language::V3 => {
                if let Some(body) = body {
                    let schema = json!({"schema": language.reference(&body)});
                    let content: Map<String, Value> =
                        consumes.iter().map(|media| ((*media).to_owned(), schema.clone())).collect();
                    operation["requestBody"] = json!({"content": content});
                }
                let content = json!({"schema": language.reference(&answer)});
                operation["responses"] = json!({
                    code: {"description": "OK", "content": {"application/json": content.clone(), "application/yaml": content}},
                    "401": {"description": "Unauthorized"},
                });
            }
        }
        if !parameters.is_empty() {
            operation["parameters"] = Value::Array(parameters);
        }
        operation
    }

    fn operation_id(&self, action: Action) -> String {
        let group = if self.kind.group.is_empty() { "core" } else { &self.kind.group };
        let group: String = group.split(['.', '-']).map(capital).collect();
        let place = if self.place == Place::Namespaced { "Namespaced" } else { "" };
        let all = if self.place == Place::AllNamespaces { "ForAllNamespaces" } else { "" };
        format!(
            "{}{group}{}{place}{}{}{all}",
            action.operation_verb(),
            capital(&self.version.name),
            self.kind.kind,
            capital(self.subresource)
        )
    }

    fn query_parameter(&self, (name, kind, description): Parameter) -> Value {
        match self.language {
            Language::V2 => {
                json!({"name": name, "in": "query", "type": kind, "uniqueItems": true, "description": description})
            }
            Language::V3 => json!({
                "name": name, "in": "query", "description": description,
                "schema": {"type": kind, "uniqueItems": true},
            }),
        }
    }

    fn path_parameter(&self, name: &str) -> Value {
        let description = match name {
            "name" => format!("name of the {}", self.kind.kind),
            _ => "object name and auth scope, such as for teams and projects".to_owned(),
        };
        match self.language {
            Language::V2 => json!({
                "name": name, "in": "path", "required": true, "type": "string", "uniqueItems": true,
                "description": description,
            }),
            Language::V3 => json!({
                "name": name, "in": "path", "required": true, "description": description,
                "schema": {"type": "string", "uniqueItems": true},
            }),
        }
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
