//! Who owns which fields after a write: the rules of `sigs.k8s.io/structured-merge-diff`, `merge`, and of
//! `k8s.io/apimachinery/pkg/util/managedfields` around them.

use serde_json::{Map, Value};

use super::element::{Element, print};
use super::entries::{Entries, Entry, Operation};
use super::field_set::FieldSet;
use super::types::Type;
use super::walk::{self, Comparison};
use crate::LAST_APPLIED;

/// The manager of what an object had before it was first tracked.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// The manager whose applied configurations are kept in an annotation, where there is one.
const KUBECTL: &str = "kubectl";
/// Annotations are no larger than this together.
const ANNOTATION_LIMIT: usize = 256 * 1024;
/// Fields of metadata that nobody owns.
const UNOWNED: [&str; 8] =
    ["creationTimestamp", "generation", "managedFields", "name", "namespace", "resourceVersion", "selfLink", "uid"];

/// Which fields a write through an endpoint can own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All.
    Whole,
    /// All but this one at the top, which has an endpoint of its own.
    Without(&'static str),
    /// Only this one at the top.
    Only(&'static str),
}

/// Who writes, and how.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The field manager.
    pub manager: &'a str,
    /// The `apiVersion` of the request.
    pub api_version: &'a str,
    /// The subresource, or nothing.
    pub subresource: &'a str,
    /// What it can own.
    pub reach: Reach,
    /// The time, in RFC 3339.
    pub now: &'a str,
}

/// The kind that is written: its type, and the versions that its managers may be of.
#[derive(Clone, Copy)]
pub struct Tracked<'a> {
    /// The type of its objects.
    pub of: Type<'a>,
    /// Returns whether a manager's `apiVersion` is one of the kind's group; others are left alone.
    pub is_own_version: &'a dyn Fn(&str) -> bool,
    /// Returns whether a version of the kind's group is still there; managers of others are dropped.
    pub is_known_version: &'a dyn Fn(&str) -> bool,
}

/// One field that another manager owns and that an apply would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The other manager, quoted, with what tells it apart: `"m" using apps/v1`.
    pub with: String,
    /// The field, as in `.spec.replicas`.
    pub field: String,
}

/// Why a configuration was not applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyError {
    /// It does not fit the kind. Each text names a field.
    Config(Vec<String>),
    /// Others own fields that it would change.
    Conflicts(Vec<Conflict>),
}

/// What an apply makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The object, without `metadata.managedFields`.
    pub object: Value,
    /// Its `metadata.managedFields`; `None` for none.
    pub managed: Option<Value>,
}

/// Returns the `managedFields` of an object that `writer` changes from `live` to `new`.
///
/// `sent` is what the request itself said of managedFields. For a create, `live` is the object that the kind makes of
/// nothing and `creates` is true.
pub fn update(
    kind: Tracked<'_>,
    live: &Value,
    new: &Value,
    sent: Option<&Value>,
    writer: &Writer<'_>,
    creates: bool,
) -> Option<Value> {
    let stored = live.pointer("/metadata/managedFields");
    let before = Entries::read(stored).unwrap_or_default();
    let sent = sent.filter(|_| writer.subresource.is_empty());
    let mut entries = match sent {
        Some(list) if is_reset(list) => Entries::default(),
        sent => match Entries::read(sent).filter(|sent| !sent.0.is_empty()) {
            Some(sent) => sent,
            None => before.clone(),
        },
    };
    if entries.0.is_empty() && !creates {
        // Not tracked, until somebody applies.
        return None;
    }
    write(kind, live, new, &mut entries, writer);
    entries.cap();
    if entries.says_the_same(&before) { stored.cloned() } else { entries.to_json() }
}

/// Applies a configuration to an object.
///
/// `live` is the stored object, or what the kind makes of nothing. With `force`, fields are taken over from whoever
/// owns them.
pub fn apply(
    kind: Tracked<'_>,
    live: &Value,
    config: &Value,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Applied, ApplyError> {
    walk::check(kind.of, config).map_err(ApplyError::Config)?;
    let stored = live.pointer("/metadata/managedFields");
    let before = Entries::read(stored).unwrap_or_default();
    let untracked = untracked(live);
    let mut entries = before.clone();
    if entries.0.is_empty() {
        let first = Writer { manager: BEFORE_FIRST_APPLY, subresource: "", reach: Reach::Whole, ..*writer };
        let mut nothing = Map::new();
        for key in ["apiVersion", "kind"] {
            nothing.extend(untracked.get(key).map(|value| (key.to_owned(), value.clone())));
        }
        write(kind, &Value::Object(nothing), &untracked, &mut entries, &first);
    }
    let (mut object, mut entries, conflicts) = apply_to(kind, &untracked, config, &entries, writer);
    // Who moves from client-side to server-side apply owns what it applied and nobody changed since.
    let takes_over = force || (writer.manager == KUBECTL && all_last_applied(kind.of, &untracked, &conflicts));
    if !conflicts.is_empty() && !takes_over {
        return Err(ApplyError::Conflicts(tell(conflicts)));
    }
    if writer.manager == KUBECTL && last_applied(live).is_some() {
        set_last_applied(&mut object, config);
    }
    entries.cap();
    let same = object == untracked && entries.says_the_same(&before);
    let managed = if same { stored.cloned() } else { entries.to_json() };
    Ok(Applied { object, managed })
}

type Conflicts = Vec<(Entry, FieldSet)>;

/// Returns the object, its owners after fields were taken over, and from whom they were.
fn apply_to(
    kind: Tracked<'_>,
    live: &Value,
    config: &Value,
    entries: &Entries,
    writer: &Writer<'_>,
) -> (Value, Entries, Conflicts) {
    let mut entries = settled(kind, entries, live);
    let mut applier = entry(Operation::Apply, writer);
    let last = entries.find(&applier).cloned();
    applier.fields = reach(walk::fields(kind.of, config), writer.reach);
    let merged = walk::merge(kind.of, live, config);
    let mut owners = entries.clone();
    owners.put(applier.clone());
    let object = match &last {
        Some(last) => prune(kind.of, &merged, &last.fields, &owners),
        None => merged,
    };
    let (taken, removed) = reached(walk::compare(kind.of, live, &object), writer.reach);
    let mut conflicts = Vec::new();
    for other in
        entries.0.iter_mut().filter(|other| !other.is_same(&applier) && (kind.is_own_version)(&other.api_version))
    {
        let both = other.fields.intersection(&taken);
        if !both.is_empty() {
            other.fields.subtract(&both);
            conflicts.push((other.clone(), both));
        }
        other.fields.subtract(&removed);
    }
    let same_fields =
        last.as_ref().is_some_and(|last| last.fields == applier.fields && last.api_version == applier.api_version);
    if let Some(last) = last.filter(|_| same_fields && object == *live) {
        applier.time = last.time;
    }
    entries.put(applier);
    entries.0.retain(|entry| !entry.fields.is_empty());
    (object, entries, conflicts)
}

/// Takes away what the manager has applied before and does not any more, where nobody else owns it.
fn prune(of: Type<'_>, merged: &Value, last: &FieldSet, owners: &Entries) -> Value {
    let last = walk::with_declared(of, last);
    let pruned = walk::remove(of, merged, &last);
    // What others own, or the new configuration does, comes back.
    let mut managed = FieldSet::default();
    for entry in &owners.0 {
        managed.add(&entry.fields);
    }
    let whole = |value: &Value| walk::with_declared(of, &walk::fields(of, value));
    let all = whole(merged);
    let mut gone = all.clone();
    gone.subtract(&whole(&pruned));
    gone.subtract(&walk::with_declared(of, &managed));
    let pruned = walk::remove(of, merged, &gone);
    // And what the manager never owned, but lies in what it did.
    let mut gone = all;
    gone.subtract(&whole(&pruned));
    walk::remove(of, merged, &gone.intersection(&last))
}

/// Gives what has changed between two objects to the writer, and takes it from all others.
fn write(kind: Tracked<'_>, live: &Value, new: &Value, entries: &mut Entries, writer: &Writer<'_>) {
    let (live, new) = (untracked(live), untracked(new));
    let (taken, removed) = reached(walk::compare(kind.of, &live, &new), writer.reach);
    *entries = settled(kind, entries, &live);
    for other in entries.0.iter_mut().filter(|other| (kind.is_own_version)(&other.api_version)) {
        other.fields.subtract(&taken);
        other.fields.subtract(&removed);
    }
    let mut writes = entry(Operation::Update, writer);
    writes.fields = taken;
    if !writes.fields.is_empty() {
        if let Some(previous) = entries.find(&writes) {
            writes.fields.add(&previous.fields);
        }
        entries.put(writes);
    }
    entries.0.retain(|entry| !entry.fields.is_empty());
}

/// Returns the entries that still mean something, in line with the schema.
fn settled(kind: Tracked<'_>, entries: &Entries, live: &Value) -> Entries {
    let keeps =
        |entry: &&Entry| !(kind.is_own_version)(&entry.api_version) || (kind.is_known_version)(&entry.api_version);
    let settle = |entry: &Entry| match (kind.is_own_version)(&entry.api_version) {
        true => Entry { fields: walk::reconcile(kind.of, &entry.fields, Some(live)), ..entry.clone() },
        false => entry.clone(),
    };
    Entries(entries.0.iter().filter(keeps).map(settle).collect())
}

fn entry(operation: Operation, writer: &Writer<'_>) -> Entry {
    Entry {
        operation,
        manager: writer.manager.to_owned(),
        api_version: writer.api_version.to_owned(),
        subresource: writer.subresource.to_owned(),
        time: writer.now.to_owned(),
        fields: FieldSet::default(),
    }
}

/// Leaves of a set what a write may own.
fn reach(mut set: FieldSet, reach: Reach) -> FieldSet {
    let mut unowned = FieldSet::default();
    unowned.insert(&[Element::field("apiVersion")]);
    unowned.insert(&[Element::field("kind")]);
    unowned.insert(&[Element::field("metadata")]);
    for name in UNOWNED {
        unowned.insert(&[Element::field("metadata"), Element::field(name)]);
    }
    set.subtract(&unowned);
    match reach {
        Reach::Whole => {}
        Reach::Without(name) => set.retain(|element| element.as_field() != Some(name)),
        Reach::Only(name) => set.retain(|element| element.as_field() == Some(name)),
    }
    set
}

/// Returns what a write sets and what it removes, as far as it can.
fn reached(changes: Comparison, within: Reach) -> (FieldSet, FieldSet) {
    let mut taken = changes.modified;
    taken.add(&changes.added);
    (reach(taken, within), reach(changes.removed, within))
}

/// Returns an object without `metadata.managedFields`.
fn untracked(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

/// Returns whether a request says that nobody owns anything: `[]`, or `[{}]`.
fn is_reset(list: &Value) -> bool {
    match list.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([one]) => one.as_object().is_some_and(Map::is_empty),
        _ => false,
    }
}

fn tell(mut conflicts: Conflicts) -> Vec<Conflict> {
    conflicts.sort_by(|(a, _), (b, _)| (&a.manager, &a.api_version).cmp(&(&b.manager, &b.api_version)));
    let one = |(entry, fields): (Entry, FieldSet)| {
        let mut with = format!("{:?}", entry.manager);
        if !entry.subresource.is_empty() {
            with.push_str(&format!(" with subresource {:?}", entry.subresource));
        }
        if entry.operation == Operation::Update {
            with.push_str(&format!(" using {}", entry.api_version));
            if !entry.time.is_empty() {
                with.push_str(&format!(" at {}", entry.time));
            }
        }
        let paths = fields.paths().into_iter();
        paths.map(move |path| Conflict { with: with.clone(), field: print(&path) }).collect::<Vec<_>>()
    };
    conflicts.into_iter().flat_map(one).collect()
}

fn last_applied(object: &Value) -> Option<Value> {
    let text = object.get("metadata")?.get("annotations")?.get(LAST_APPLIED)?.as_str()?;
    serde_json::from_str(text).ok()
}

/// Returns whether all conflicts are about fields that were applied on the client's side and are as they were.
fn all_last_applied(of: Type<'_>, live: &Value, conflicts: &Conflicts) -> bool {
    let Some(last) = last_applied(live) else { return false };
    let mut unchanged = walk::fields(of, &last);
    let changes = walk::compare(of, &last, live);
    for changed in [&changes.modified, &changes.added, &changes.removed] {
        unchanged.subtract(changed);
    }
    conflicts.iter().all(|(_, fields)| {
        let mut fields = fields.clone();
        fields.subtract(&unchanged);
        fields.is_empty()
    })
}

/// Keeps the annotation of client-side apply in step, so that old kubectls go on from here.
fn set_last_applied(object: &mut Value, config: &Value) {
    let mut config = config.clone();
    if let Some(annotations) = config.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    let text = format!("{config}\n");
    let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) else { return };
    if text.len() > ANNOTATION_LIMIT {
        annotations.remove(LAST_APPLIED);
    } else {
        annotations.insert(LAST_APPLIED.to_owned(), Value::String(text));
    }
}
