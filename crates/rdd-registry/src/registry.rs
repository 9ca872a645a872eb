//! The registry, and snapshots of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::sync::watch;

use crate::builtin;
use crate::kind::{Kind, Version};
use crate::version_order::compare_versions;

/// One API group as discovery tells it.
#[derive(Clone, Debug)]
pub struct Group {
    /// The name; empty for the core group.
    pub name: String,
    /// The served versions, the preferred first.
    pub versions: Vec<String>,
    /// The kinds.
    pub kinds: Vec<Arc<Kind>>,
}

/// All kinds at one moment.
#[derive(Debug, Default)]
pub struct Kinds {
    generation: u64,
    groups: Vec<Group>,
    by_resource: HashMap<String, HashMap<String, Arc<Kind>>>,
}

impl Kinds {
    fn new(generation: u64, builtin: &[Arc<Kind>], custom: &BTreeMap<String, Arc<Kind>>) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        let mut by_resource: HashMap<String, HashMap<String, Arc<Kind>>> = HashMap::new();
        let mut customs: Vec<&Arc<Kind>> = custom.values().collect();
        customs.sort_by(|a, b| (&a.group, &a.resource).cmp(&(&b.group, &b.resource)));
        for kind in builtin.iter().chain(customs) {
            let resources = by_resource.entry(kind.group.clone()).or_default();
            if resources.contains_key(&kind.resource) {
                // A CRD cannot take the place of a built-in kind.
                continue;
            }
            resources.insert(kind.resource.clone(), kind.clone());
            let group = match groups.iter_mut().position(|g| g.name == kind.group) {
                Some(at) => &mut groups[at],
                None => {
                    groups.push(Group { name: kind.group.clone(), versions: Vec::new(), kinds: Vec::new() });
                    groups.last_mut().expect("pushed above")
                }
            };
            for version in kind.versions.iter().filter(|v| v.served) {
                if !group.versions.contains(&version.name) {
                    group.versions.push(version.name.clone());
                }
            }
            group.kinds.push(kind.clone());
        }
        groups.retain(|g| !g.versions.is_empty());
        for group in &mut groups {
            group.versions.sort_by(|a, b| compare_versions(a, b));
        }
        Self { generation, groups, by_resource }
    }

    /// Returns a number that grows with every change of the registry.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the groups in the order of discovery: core, the other built-in ones, custom ones.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Returns a group by name.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|g| g.name == name)
    }

    /// Returns all kinds in the order of discovery.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.groups.iter().flat_map(|g| &g.kinds)
    }

    /// Returns the kind of a resource, whatever its versions.
    pub fn by_group_resource(&self, group: &str, resource: &str) -> Option<&Arc<Kind>> {
        self.by_resource.get(group)?.get(resource)
    }

    /// Returns the kind of a resource, if the version is served.
    pub fn resource(&self, group: &str, version: &str, resource: &str) -> Option<(Arc<Kind>, &Version)> {
        let kind = self.by_group_resource(group, resource)?;
        let version = kind.version(version).filter(|v| v.served)?;
        Some((kind.clone(), version))
    }

    /// Returns a kind by its CamelCase name, if the version is served.
    pub fn kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<Kind>> {
        let kinds = self.by_resource.get(group)?;
        kinds.values().find(|k| k.kind == kind && k.version(version).is_some_and(|v| v.served))
    }
}

/// The registry: hands out snapshots, takes custom kinds.
#[derive(Debug)]
pub struct Registry {
    builtin: Vec<Arc<Kind>>,
    current: watch::Sender<Arc<Kinds>>,
    custom: std::sync::Mutex<BTreeMap<String, Arc<Kind>>>,
}

impl Registry {
    /// Makes a registry of the built-in kinds.
    pub fn with_builtin_kinds() -> Self {
        let builtin = builtin::kinds();
        let custom = BTreeMap::new();
        let (current, _) = watch::channel(Arc::new(Kinds::new(1, &builtin, &custom)));
        Self { builtin, current, custom: std::sync::Mutex::new(custom) }
    }

    /// Returns all kinds at this moment.
    pub fn kinds(&self) -> Arc<Kinds> {
        self.current.borrow().clone()
    }

    /// Returns a receiver that sees every later snapshot.
    pub fn changed(&self) -> watch::Receiver<Arc<Kinds>> {
        self.current.subscribe()
    }

    /// Adds a custom kind, or replaces it. Its CRD's name is its key.
    pub fn set_custom(&self, kind: Kind) {
        let name = kind.custom.as_ref().map(|c| c.name.clone()).unwrap_or_default();
        let mut custom = self.custom.lock().expect("no holder of this lock panics");
        custom.insert(name, Arc::new(kind));
        self.publish(&custom);
    }

    /// Removes the kind of a CRD.
    pub fn remove_custom(&self, crd: &str) {
        let mut custom = self.custom.lock().expect("no holder of this lock panics");
        if custom.remove(crd).is_some() {
            self.publish(&custom);
        }
    }

    fn publish(&self, custom: &BTreeMap<String, Arc<Kind>>) {
        let generation = self.current.borrow().generation + 1;
        self.current.send_replace(Arc::new(Kinds::new(generation, &self.builtin, custom)));
    }
}
