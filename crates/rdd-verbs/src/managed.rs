//! Managed fields in the write path: who writes, what a kind's object is before there is one, and server-side apply.

use jiff::Timestamp;
use rdd_api::object::{self, metadata_mut};
use rdd_api::time::format_time;
use rdd_api::{Cause, FieldError, Reason, Status};
use rdd_merge::managed::{self, ApplyError, Conflict, Reach, Tracked, Type, Writer};
use rdd_registry::builtin::object_meta;
use rdd_schema::protobuf::{Message, Presence, Type as FieldType};
use serde_json::{Map, Value, json};

use crate::options::{Caller, Target, WriteOptions, options_group_kind};

/// The longest name of a manager, in bytes.
const MANAGER_LIMIT: usize = 128;

/// Who owns what a request writes.
pub(crate) struct Owner<'a> {
    manager: String,
    api_version: String,
    now: String,
    target: &'a Target,
}

impl<'a> Owner<'a> {
    pub(crate) fn new(target: &'a Target, caller: &Caller, options: &WriteOptions, now: Timestamp) -> Self {
        let manager = match options.field_manager.as_str() {
            "" => of_user_agent(&caller.user_agent),
            named => named.to_owned(),
        };
        Self { manager, api_version: target.kind.api_version(&target.version), now: format_time(now), target }
    }

    fn writer(&self) -> Result<Writer<'_>, Status> {
        let reach = match self.target.subresource.as_deref() {
            None if self.target.version()?.status_subresource => Reach::Without("status"),
            Some("status") => Reach::Only("status"),
            _ => Reach::Whole,
        };
        Ok(Writer {
            manager: &self.manager,
            api_version: &self.api_version,
            subresource: self.target.subresource.as_deref().unwrap_or_default(),
            reach,
            now: &self.now,
        })
    }

    fn tracked<T>(&self, with: impl FnOnce(Tracked<'_>) -> T) -> Result<T, Status> {
        let kind = &self.target.kind;
        let of = Type::of_object(self.target.version()?.schema.raw(), object_meta());
        let own = |api_version: &str| match api_version.split_once('/') {
            Some((group, _)) => group == kind.group,
            None => kind.group.is_empty(),
        };
        let known = |api_version: &str| {
            kind.version(api_version.split_once('/').map_or(api_version, |(_, version)| version)).is_some()
        };
        Ok(with(Tracked { of, is_own_version: &own, is_known_version: &known }))
    }

    /// Returns the managed fields after a write. `live` is the stored object, if there is one; `sent` is what
    /// [`take`] found in the request.
    pub(crate) fn after(
        &self,
        live: Option<&Value>,
        new: &Value,
        sent: Option<&Value>,
    ) -> Result<Option<Value>, Status> {
        let writer = self.writer()?;
        let nothing = nothing(self.target)?;
        let creates = live.is_none();
        self.tracked(|kind| managed::update(kind, live.unwrap_or(&nothing), new, sent, &writer, creates))
    }

    /// Applies a configuration, and returns the object and its managed fields.
    pub(crate) fn apply(
        &self,
        live: Option<&Value>,
        config: &Value,
        force: bool,
    ) -> Result<(Value, Option<Value>), Status> {
        let writer = self.writer()?;
        let nothing = nothing(self.target)?;
        let applied = self.tracked(|kind| managed::apply(kind, live.unwrap_or(&nothing), config, &writer, force))?;
        let applied = applied.map_err(|error| match error {
            ApplyError::Config(problems) => self.does_not_fit(&problems),
            ApplyError::Conflicts(conflicts) => self.conflicts(&conflicts),
        })?;
        Ok((applied.object, applied.managed))
    }

    fn does_not_fit(&self, problems: &[String]) -> Status {
        let kind = &self.target.kind;
        let name = self.target.name_text();
        let full = match &self.target.namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => format!("/{name}"),
        };
        let problems = match problems {
            [one] => one.clone(),
            several => format!("errors:\n  {}", several.join("\n  ")),
        };
        let text = format!(
            "failed to create typed patch object ({full}; {}, Kind={}): {problems}",
            self.api_version, kind.kind
        );
        Status::new(500, Reason::UNKNOWN, text)
    }

    fn conflicts(&self, conflicts: &[Conflict]) -> Status {
        let mut managers: Vec<&str> = conflicts.iter().map(|c| c.with.as_str()).collect();
        managers.dedup();
        let text = match conflicts {
            [one] => format!("Apply failed with 1 conflict: conflict with {}: {}", one.with, one.field),
            several => {
                let of = |manager: &&str| {
                    let fields = several.iter().filter(|c| c.with == **manager);
                    let fields: String = fields.map(|c| format!("\n- {}", c.field)).collect();
                    format!("conflicts with {manager}:{fields}")
                };
                let each: Vec<String> = managers.iter().map(of).collect();
                format!("Apply failed with {} conflicts: {}", several.len(), each.join("\n"))
            }
        };
        let mut status = Status::new(409, Reason::CONFLICT, text);
        for conflict in conflicts {
            status = status.with_cause(Cause {
                reason: "FieldManagerConflict".to_owned(),
                message: format!("conflict with {}", conflict.with),
                field: conflict.field.clone(),
            });
        }
        status
    }
}

/// Takes out what a request says of managed fields.
pub(crate) fn take(object: &mut Value) -> Option<Value> {
    metadata_mut(object).remove("managedFields")
}

/// Writes managed fields into an object.
pub(crate) fn put(object: &mut Value, managed: Option<Value>) {
    match managed {
        Some(managed) => metadata_mut(object).insert("managedFields".to_owned(), managed),
        None => metadata_mut(object).remove("managedFields"),
    };
}

/// Checks the body of an apply.
pub(crate) fn check_config(target: &Target, config: &Value) -> Result<(), Status> {
    if !config.is_object() {
        return Err(Status::bad_request("error decoding patch: an applied configuration must be an object"));
    }
    let expected = target.kind.api_version(&target.version);
    let found = object::api_version(config);
    if found != expected {
        return Err(Status::bad_request(format!(
            "Incorrect version specified in apply patch. Specified patch version: {found}, expected: {expected}"
        )));
    }
    if object::kind(config) != target.kind.kind {
        let text = format!("invalid object type: {}, Kind={}", found, object::kind(config));
        return Err(Status::bad_request(text));
    }
    match config.pointer("/metadata/managedFields") {
        None | Some(Value::Null) => Ok(()),
        Some(_) => Err(Status::bad_request("metadata.managedFields must be nil")),
    }
}

/// Checks the name of a manager that a request gives. `options_kind` is `CreateOptions` and the like.
pub fn check_field_manager(manager: &str, options_kind: &str) -> Result<(), Status> {
    let invalid = |error| Err(Status::invalid(&options_group_kind(options_kind), "", &[error]));
    if manager.len() > MANAGER_LIMIT {
        return invalid(FieldError::too_long("fieldManager", MANAGER_LIMIT));
    }
    if let Some((at, bad)) = manager.char_indices().find(|(_, c)| c.is_control()) {
        let detail = format!("invalid character {bad:?} (at position {at})");
        return invalid(FieldError::invalid("fieldManager", &json!(manager), &detail));
    }
    Ok(())
}

/// The name of a program, as its `User-Agent` begins.
fn of_user_agent(user_agent: &str) -> String {
    let mut name = String::new();
    for c in user_agent.split('/').next().unwrap_or_default().chars().filter(|c| !c.is_control()) {
        if name.len() + c.len_utf8() > MANAGER_LIMIT {
            break;
        }
        name.push(c);
    }
    if name.is_empty() { "unknown".to_owned() } else { name }
}

/// Returns what a kind makes of nothing: the Go value's parts that are always printed stand in built-in kinds, and so
/// are nobody's.
fn nothing(target: &Target) -> Result<Value, Status> {
    fn zero(message: &Message) -> Map<String, Value> {
        let always = message.fields.iter().filter(|field| field.presence == Presence::Always);
        let messages = always.filter_map(|field| match field.kind {
            FieldType::Message(inner) => Some((field.name.to_owned(), Value::Object(zero(inner)))),
            _ => None,
        });
        messages.collect()
    }
    let mut object = target.version()?.message.map(zero).unwrap_or_default();
    object.insert("apiVersion".to_owned(), json!(target.kind.api_version(&target.version)));
    object.insert("kind".to_owned(), json!(target.kind.kind));
    Ok(Value::Object(object))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_named_by_its_user_agent() {
        assert_eq!(of_user_agent("kubectl/v1.32.0 (linux/amd64)"), "kubectl");
        assert_eq!(of_user_agent(""), "unknown");
        assert_eq!(of_user_agent(&"x".repeat(300)).len(), 128);
    }

    #[test]
    fn names_of_managers_are_checked() {
        check_field_manager("kubectl-create", "CreateOptions").expect("a name");
        let long = check_field_manager(&"x".repeat(129), "CreateOptions").expect_err("too long");
        assert!(
            long.message.starts_with("CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Too long"),
            "{long:?}"
        );
        assert_eq!(check_field_manager("a\nb", "PatchOptions").expect_err("unprintable").code, 422);
    }
}
