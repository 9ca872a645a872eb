//! What the server serves, and which resource a word means.
//!
//! Fetched in the aggregated form, two requests; a server that does not know that form is asked
//! group by group. After `k8s.io/client-go/restmapper`.

use serde_json::Value;

use crate::failure::Failure;
use crate::session::{Call, Session, escape};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
    application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// One resource in one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    /// The plural.
    pub(crate) name: String,
    pub(crate) singular: String,
    pub(crate) kind: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) verbs: Vec<String>,
    pub(crate) is_namespaced: bool,
    /// Whether this is the version to use when none is named.
    pub(crate) is_preferred: bool,
}

impl Resource {
    /// Returns `g/v`, or `v` for the core group.
    pub(crate) fn api_version(&self) -> String {
        group_version(&self.group, &self.version)
    }

    /// Returns the path of the collection, or of one object in it.
    pub(crate) fn path(&self, namespace: Option<&str>, name: Option<&str>) -> String {
        let mut path = match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        if let Some(namespace) = namespace.filter(|_| self.is_namespaced) {
            path = format!("{path}/namespaces/{}", escape(namespace));
        }
        path = format!("{path}/{}", self.name);
        match name {
            Some(name) => format!("{path}/{}", escape(name)),
            None => path,
        }
    }

    /// Returns the kind as kubectl names objects: `configmap`, `widget.example.com`.
    pub(crate) fn lower_kind(&self) -> String {
        lower_kind(&self.kind, &self.group)
    }

    /// Returns `widgets` or `widgets.example.com`.
    pub(crate) fn qualified(&self) -> String {
        match self.group.as_str() {
            "" => self.name.clone(),
            group => format!("{}.{group}", self.name),
        }
    }

    fn matches(&self, word: &str) -> bool {
        self.name == word || self.singular == word
    }
}

/// Returns a kind as kubectl names objects.
pub(crate) fn lower_kind(kind: &str, group: &str) -> String {
    let kind = kind.to_lowercase();
    if group.is_empty() { kind } else { format!("{kind}.{group}") }
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Everything that is served, groups in the server's order, versions in the order of preference.
#[derive(Clone, Debug, Default)]
pub(crate) struct Discovery {
    pub(crate) resources: Vec<Resource>,
    /// All group versions, for `api-versions`.
    pub(crate) group_versions: Vec<String>,
}

impl Discovery {
    /// Asks the server.
    pub(crate) async fn fetch(session: &Session) -> Result<Self, Failure> {
        let core = session.json(&Call::get("/api").accept(AGGREGATED)).await?;
        let groups = session.json(&Call::get("/apis").accept(AGGREGATED)).await?;
        let mut discovery = Self::default();
        for answer in [&core, &groups] {
            if answer["kind"] == "APIGroupDiscoveryList" {
                discovery.add_aggregated(answer);
            } else {
                discovery.add_legacy(session, answer).await?;
            }
        }
        Ok(discovery)
    }

    fn add_aggregated(&mut self, answer: &Value) {
        for group in list(answer, "items") {
            let group_name = text(&group["metadata"], "name");
            for (index, version) in list(group, "versions").iter().enumerate() {
                let version_name = text(version, "version");
                self.group_versions.push(group_version(&group_name, &version_name));
                for resource in list(version, "resources") {
                    let kind = &resource["responseKind"];
                    self.resources.push(Resource {
                        group: group_name.clone(),
                        version: version_name.clone(),
                        name: text(resource, "resource"),
                        singular: singular(resource, "singularResource", kind),
                        kind: text(kind, "kind"),
                        short_names: texts(resource, "shortNames"),
                        categories: texts(resource, "categories"),
                        verbs: texts(resource, "verbs"),
                        is_namespaced: resource["scope"] == "Namespaced",
                        is_preferred: index == 0,
                    });
                }
            }
        }
    }

    async fn add_legacy(&mut self, session: &Session, answer: &Value) -> Result<(), Failure> {
        let mut wanted: Vec<(String, String, bool)> = Vec::new();
        for (index, version) in texts(answer, "versions").into_iter().enumerate() {
            wanted.push((String::new(), version, index == 0));
        }
        for group in list(answer, "groups") {
            let preferred = text(&group["preferredVersion"], "version");
            let mut versions: Vec<String> = list(group, "versions").iter().map(|v| text(v, "version")).collect();
            versions.sort_by_key(|version| *version != preferred);
            wanted.extend(versions.into_iter().map(|v| (text(group, "name"), v.clone(), v == preferred)));
        }
        for (group, version, is_preferred) in wanted {
            let path = match group.as_str() {
                "" => format!("/api/{version}"),
                group => format!("/apis/{group}/{version}"),
            };
            self.group_versions.push(group_version(&group, &version));
            let answer = session.json(&Call::get(path)).await?;
            for resource in list(&answer, "resources").iter().filter(|r| !text(r, "name").contains('/')) {
                self.resources.push(Resource {
                    group: group.clone(),
                    version: version.clone(),
                    name: text(resource, "name"),
                    singular: singular(resource, "singularName", resource),
                    kind: text(resource, "kind"),
                    short_names: texts(resource, "shortNames"),
                    categories: texts(resource, "categories"),
                    verbs: texts(resource, "verbs"),
                    is_namespaced: resource["namespaced"] == true,
                    is_preferred,
                });
            }
        }
        Ok(())
    }

    /// Returns the resource that a word means: plural, singular, kind or short name, with the group
    /// (or its beginning), or version and group, behind dots.
    pub(crate) fn resource(&self, word: &str) -> Result<&Resource, Failure> {
        let lower = word.to_lowercase();
        let mut parts = lower.splitn(3, '.');
        let (first, second, third) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        if let (Some(version), Some(group)) = (second, third)
            && let Some(found) = self.find(first, |r| r.version == version && r.group == group)
        {
            return Ok(found);
        }
        let (name, group) = lower.split_once('.').unwrap_or((&lower, ""));
        let exact = self.find(name, |r| group.is_empty() || r.group == group);
        let found = exact.or_else(|| self.find(name, |r| r.group.starts_with(group)));
        found.ok_or_else(|| {
            Failure::message(format!(
                "the server doesn't have a resource type \"{}\"",
                word.split('.').next().unwrap_or_default()
            ))
        })
    }

    fn find(&self, word: &str, fits: impl Fn(&Resource) -> bool) -> Option<&Resource> {
        let candidates = || self.resources.iter().filter(|r| fits(r));
        candidates()
            .find(|r| r.matches(word))
            .or_else(|| candidates().find(|r| r.short_names.iter().any(|s| s == word)))
    }

    /// Returns the resources of a category, in their preferred versions.
    pub(crate) fn category(&self, word: &str) -> Vec<&Resource> {
        let in_category = |r: &&Resource| r.is_preferred && r.categories.iter().any(|c| c == word);
        self.resources.iter().filter(in_category).collect()
    }

    /// Returns the resource of a kind in a version.
    pub(crate) fn kind(&self, api_version: &str, kind: &str) -> Option<&Resource> {
        self.resources.iter().find(|r| r.kind == kind && r.api_version() == api_version)
    }
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value, key: &str) -> Vec<String> {
    list(value, key).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn singular(resource: &Value, key: &str, kind: &Value) -> String {
    match text(resource, key) {
        name if name.is_empty() => text(kind, "kind").to_lowercase(),
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn discovery() -> Discovery {
        let resource = |plural: &str, kind: &str, short: &[&str]| {
            json!({"resource": plural, "singularResource": kind.to_lowercase(), "responseKind": {"kind": kind},
                "scope": "Namespaced", "shortNames": short, "categories": ["all"], "verbs": ["get"]})
        };
        let mut discovery = Discovery::default();
        discovery.add_aggregated(&json!({"items": [
            {"metadata": {}, "versions": [{"version": "v1", "resources": [
                resource("configmaps", "ConfigMap", &["cm"]), resource("events", "Event", &["ev"])]}]},
            {"metadata": {"name": "events.k8s.io"}, "versions": [{"version": "v1", "resources": [
                resource("events", "Event", &["ev"])]}]},
            {"metadata": {"name": "lima.rancherdesktop.io"}, "versions": [
                {"version": "v2", "resources": [resource("limavms", "LimaVM", &[])]},
                {"version": "v1alpha1", "resources": [resource("limavms", "LimaVM", &[])]}]},
        ]}));
        discovery
    }

    #[test]
    fn words() {
        let discovery = discovery();
        let check = |word: &str, expect: &str| {
            let found = discovery.resource(word).map(|r| format!("{} {}", r.name, r.api_version()));
            assert_eq!(found.unwrap_or_else(|f| f.render()), expect, "{word}");
        };
        check("cm", "configmaps v1");
        check("ConfigMap", "configmaps v1");
        check("events", "events v1");
        check("events.events.k8s.io", "events events.k8s.io/v1");
        check("ev.events", "events events.k8s.io/v1");
        check("limavm", "limavms lima.rancherdesktop.io/v2");
        check("limavm.lima", "limavms lima.rancherdesktop.io/v2");
        check("limavms.v1alpha1.lima.rancherdesktop.io", "limavms lima.rancherdesktop.io/v1alpha1");
        check("nosuch", "error: the server doesn't have a resource type \"nosuch\"\n");
        check("cm.nosuch", "error: the server doesn't have a resource type \"cm\"\n");
        assert_eq!(discovery.category("all").len(), 4);
    }

    #[test]
    fn paths() {
        let discovery = discovery();
        let path = |word: &str, namespace, name| discovery.resource(word).expect(word).path(namespace, name);
        assert_eq!(path("cm", Some("d"), Some("a")), "/api/v1/namespaces/d/configmaps/a");
        assert_eq!(path("cm", None, None), "/api/v1/configmaps");
        assert_eq!(path("limavm", Some("d"), None), "/apis/lima.rancherdesktop.io/v2/namespaces/d/limavms");
    }
}
