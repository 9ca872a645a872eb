//! All roles and bindings of one moment, indexed by who is bound.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rdd_admission::UserInfo;

use super::binding::{RoleBinding, RoleRef, Subject, service_account_user};
use super::policy_rule::PolicyRule;
use crate::access::AccessRequest;

/// The rules of a role, shared.
type SharedRules = Arc<Vec<PolicyRule>>;

/// A role that a binding names and that is not there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{resource}.rbac.authorization.k8s.io {name:?} not found")]
pub struct RoleNotFound {
    /// `role` or `clusterrole`.
    pub resource: &'static str,
    /// The name.
    pub name: String,
}

/// All roles and bindings of one moment.
///
/// Looking up what a user has takes time by the number of their groups and of the bindings that name them, not of all.
#[derive(Debug, Default)]
pub struct Policy {
    /// By namespace, empty for ClusterRoles, and name.
    roles: HashMap<(String, String), SharedRules>,
    /// By namespace; empty for ClusterRoleBindings.
    bound: HashMap<String, Bound>,
}

/// The grants of one scope, by who is bound.
#[derive(Debug, Default)]
struct Bound {
    users: HashMap<String, Vec<Grant>>,
    groups: HashMap<String, Vec<Grant>>,
}

/// What one subject of one binding gets.
#[derive(Debug)]
struct Grant {
    rules: Result<SharedRules, RoleNotFound>,
    /// What allows, as told in reviews.
    source: String,
}

impl Policy {
    /// Makes a policy of roles and bindings, each with its namespace (empty for the cluster's) and name.
    pub fn new<'a>(
        roles: impl IntoIterator<Item = ((String, String), Arc<Vec<PolicyRule>>)>,
        bindings: impl IntoIterator<Item = ((String, String), &'a RoleBinding)>,
    ) -> Self {
        let mut policy = Self { roles: roles.into_iter().collect(), bound: HashMap::new() };
        for ((namespace, name), binding) in bindings {
            policy.bind(&namespace, &name, binding);
        }
        policy
    }

    fn bind(&mut self, namespace: &str, name: &str, binding: &RoleBinding) {
        let rules = self.role(namespace, &binding.role_ref).cloned();
        let bound = self.bound.entry(namespace.to_owned()).or_default();
        for subject in &binding.subjects {
            let source = describe(namespace, name, binding, subject);
            let grant = Grant { rules: rules.clone(), source };
            let (by, key) = match subject.kind.as_str() {
                "User" => (&mut bound.users, subject.name.clone()),
                "Group" => (&mut bound.groups, subject.name.clone()),
                "ServiceAccount" => match place(subject, namespace) {
                    "" => continue,
                    place => (&mut bound.users, service_account_user(place, &subject.name)),
                },
                _ => continue,
            };
            by.entry(key).or_default().push(grant);
        }
    }

    /// Returns the rules of a role that a binding in `namespace` (empty for the cluster) names.
    pub fn role(&self, namespace: &str, role: &RoleRef) -> Result<&Arc<Vec<PolicyRule>>, RoleNotFound> {
        let (resource, place) = if role.kind == "ClusterRole" { ("clusterrole", "") } else { ("role", namespace) };
        // A Role of no namespace would be found among the ClusterRoles.
        let found = (resource == "clusterrole" || !place.is_empty())
            .then(|| self.roles.get(&(place.to_owned(), role.name.clone())))
            .flatten();
        found.ok_or_else(|| RoleNotFound { resource, name: role.name.clone() })
    }

    fn grants<'a, 'b>(
        &'a self,
        user: &'b UserInfo,
        namespace: &'b str,
    ) -> impl Iterator<Item = &'a Grant> + use<'a, 'b> {
        let places = std::iter::once("").chain(Some(namespace).filter(|n| !n.is_empty()));
        places.filter_map(|place| self.bound.get(place)).flat_map(|bound| {
            let by_group = user.groups.iter().filter_map(|group| bound.groups.get(group));
            bound.users.get(&user.name).into_iter().chain(by_group).flatten()
        })
    }

    /// Returns what allows the request, or, if nothing does, the roles that bindings of the user's miss.
    pub fn allows<'a>(&'a self, user: &UserInfo, request: &AccessRequest) -> Result<&'a str, Vec<RoleNotFound>> {
        let namespace = match request {
            AccessRequest::Resource { namespace, .. } => namespace.as_str(),
            AccessRequest::Path { .. } => "",
        };
        let mut missing = BTreeSet::new();
        for grant in self.grants(user, namespace) {
            match &grant.rules {
                Ok(rules) if rules.iter().any(|rule| rule.allows(request)) => return Ok(&grant.source),
                Ok(_) => {}
                Err(error) => {
                    missing.insert(error.clone());
                }
            }
        }
        Err(missing.into_iter().collect())
    }

    /// Returns the rules that a user has in a namespace (empty for the cluster), and the roles that are missing.
    pub fn rules(&self, user: &UserInfo, namespace: &str) -> (Vec<PolicyRule>, Vec<RoleNotFound>) {
        let (mut rules, mut missing) = (Vec::new(), BTreeSet::new());
        for grant in self.grants(user, namespace) {
            match &grant.rules {
                Ok(found) => rules.extend(found.iter().cloned()),
                Err(error) => {
                    missing.insert(error.clone());
                }
            }
        }
        (rules, missing.into_iter().collect())
    }
}

fn place<'a>(subject: &'a Subject, namespace: &'a str) -> &'a str {
    if subject.namespace.is_empty() { namespace } else { &subject.namespace }
}

fn describe(namespace: &str, name: &str, binding: &RoleBinding, subject: &Subject) -> String {
    let own = match namespace {
        "" => format!("ClusterRoleBinding {name:?}"),
        namespace => format!("RoleBinding \"{name}/{namespace}\""),
    };
    let RoleRef { kind, name } = &binding.role_ref;
    let subject_name = match subject.kind.as_str() {
        "ServiceAccount" => format!("{}/{}", subject.name, place(subject, namespace)),
        _ => subject.name.clone(),
    };
    format!("{own} of {kind} {name:?} to {} {subject_name:?}", subject.kind)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn binding(role: (&str, &str), subject: (&str, &str, &str)) -> RoleBinding {
        let subject = json!({"kind": subject.0, "name": subject.1, "namespace": subject.2});
        let binding = json!({"roleRef": {"kind": role.0, "name": role.1}, "subjects": [subject]});
        serde_json::from_value(binding).expect("a binding")
    }

    fn policy() -> Policy {
        let rules = |resource: &str| {
            let rule = json!({"verbs": ["get"], "apiGroups": [""], "resources": [resource]});
            Arc::new(vec![serde_json::from_value(rule).expect("a rule")])
        };
        let url = json!({"verbs": ["get"], "nonResourceURLs": ["/metrics"]});
        let urls = Arc::new(vec![serde_json::from_value(url).expect("a rule")]);
        let roles = [
            ("", "all", rules("secrets")),
            ("n", "own", rules("pods")),
            ("m", "own", rules("services")),
            ("", "urls", urls),
        ];
        let bindings = [
            ("", "everywhere", binding(("ClusterRole", "all"), ("Group", "g", ""))),
            ("n", "here", binding(("ClusterRole", "all"), ("User", "ann", ""))),
            ("n", "own", binding(("Role", "own"), ("User", "ann", ""))),
            ("n", "account", binding(("Role", "own"), ("ServiceAccount", "sa", ""))),
            ("n", "guest", binding(("Role", "own"), ("ServiceAccount", "sa", "m"))),
            ("n", "lost", binding(("Role", "gone"), ("User", "bob", ""))),
            ("n", "urls", binding(("ClusterRole", "urls"), ("User", "ann", ""))),
            ("", "metrics", binding(("ClusterRole", "urls"), ("User", "eve", ""))),
            ("", "odd", binding(("Role", "all"), ("User", "bob", ""))),
        ];
        let place = |namespace: &str, name: &str| (namespace.to_owned(), name.to_owned());
        Policy::new(
            roles.map(|(namespace, name, rules)| (place(namespace, name), rules)),
            bindings.iter().map(|(namespace, name, binding)| (place(namespace, name), binding)),
        )
    }

    fn check(who: &str, group: &str, namespace: &str, resource: &str, expect: Result<&str, &str>) {
        let user = UserInfo { name: who.to_owned(), groups: vec![group.to_owned()], ..UserInfo::default() };
        let text = |s: &str| s.to_owned();
        let request = match resource.starts_with('/') {
            true => AccessRequest::Path { verb: text("get"), path: text(resource) },
            false => AccessRequest::Resource {
                verb: text("get"),
                group: String::new(),
                version: text("v1"),
                resource: text(resource),
                subresource: String::new(),
                namespace: text(namespace),
                name: text("x"),
            },
        };
        let policy = policy();
        let seen = policy
            .allows(&user, &request)
            .map_err(|missing| missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
        assert_eq!(seen, expect.map_err(text), "{who} {group} {namespace} {resource}");
    }

    #[test]
    fn a_binding_counts_in_its_scope_for_its_subjects() {
        let all = r#"ClusterRoleBinding "everywhere" of ClusterRole "all" to Group "g""#;
        check("zoe", "g", "", "secrets", Ok(all));
        check("zoe", "g", "n", "secrets", Ok(all));
        check("zoe", "h", "n", "secrets", Err(""));
        check("ann", "h", "n", "secrets", Ok(r#"RoleBinding "here/n" of ClusterRole "all" to User "ann""#));
        check("ann", "h", "m", "secrets", Err(""));
        check("ann", "h", "", "secrets", Err(""));
        check("ann", "h", "n", "pods", Ok(r#"RoleBinding "own/n" of Role "own" to User "ann""#));
        check("ann", "h", "m", "services", Err(""));
        let account = r#"RoleBinding "account/n" of Role "own" to ServiceAccount "sa/n""#;
        check("system:serviceaccount:n:sa", "h", "n", "pods", Ok(account));
        let guest = r#"RoleBinding "guest/n" of Role "own" to ServiceAccount "sa/m""#;
        check("system:serviceaccount:m:sa", "h", "n", "pods", Ok(guest));
        check("system:serviceaccount:k:sa", "h", "n", "pods", Err(""));
        check("ann", "h", "", "/metrics", Err(""));
        check("eve", "h", "", "/metrics", Ok(r#"ClusterRoleBinding "metrics" of ClusterRole "urls" to User "eve""#));
        let lost = r#"role.rbac.authorization.k8s.io "all" not found; role.rbac.authorization.k8s.io "gone" not found"#;
        check("bob", "h", "n", "pods", Err(lost));
        check("bob", "h", "", "secrets", Err(r#"role.rbac.authorization.k8s.io "all" not found"#));
    }

    #[test]
    fn rules_are_those_of_cluster_and_namespace() {
        let user = UserInfo { name: "ann".to_owned(), groups: vec!["g".to_owned()], ..UserInfo::default() };
        let count = |namespace: &str| policy().rules(&user, namespace).0.len();
        assert_eq!((count(""), count("n"), count("m")), (1, 4, 1));
    }
}
