//! The roles and bindings that are always there (`bootstrap.json`), and how stored ones are brought up to date.
//!
//! After `k8s.io/component-helpers/auth/rbac/reconciliation`: what is missing is added, what somebody added stays, and
//! an object whose annotation says so (`rbac.authorization.kubernetes.io/autoupdate: "false"`) is left alone.

use rdd_api::{GroupVersionResource, Reason, Status, object};
use rdd_auth::UserInfo;
use rdd_auth::rbac::{GROUP, PolicyRule, uncovered};
use rdd_verbs::{Caller, DeleteOptions, Target, Verbs, WriteOptions};
use serde_json::{Value, json};

use super::aggregation::aggregated;

const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// A ClusterRole that the embedder grants to a user of its own, with a ClusterRoleBinding.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    /// The binding's name.
    pub(crate) binding: String,
    /// The ClusterRole's name.
    pub(crate) role: String,
    /// The user.
    pub(crate) user: String,
}

/// Makes what is missing, and adds what stored roles and bindings lack. Where nothing lacks this only reads.
pub(crate) async fn reconcile(verbs: &Verbs, grants: &[Grant]) -> Result<(), Status> {
    let (roles, mut bindings) = wanted();
    bindings.extend(grants.iter().map(|grant| {
        let subject = json!({"apiGroup": GROUP, "kind": "User", "name": grant.user});
        binding(&grant.binding, &grant.role, vec![subject])
    }));
    let place = |resource: &str| verbs.target(&GroupVersionResource::new(GROUP, "v1", resource));
    let (role_target, binding_target) = (place("clusterroles")?, place("clusterrolebindings")?);
    // Together, so that they share a commit: a first start waits for the disk once.
    let roles = roles.into_iter().map(|role| one(verbs, &role_target, role, add_rules));
    let bindings = bindings.into_iter().map(|binding| one(verbs, &binding_target, binding, add_subjects));
    let (roles, bindings) = (futures::future::try_join_all(roles), futures::future::try_join_all(bindings));
    futures::future::try_join(roles, bindings).await.map(drop)
}

async fn one(verbs: &Verbs, target: &Target, wanted: Value, add: fn(&mut Value, &Value)) -> Result<(), Status> {
    let caller = Caller::system(UserInfo::API_SERVER);
    let named = target.clone().named(object::name(&wanted));
    let stored = match verbs.get(&named) {
        Ok(stored) => stored,
        Err(status) if status.is(&Reason::NOT_FOUND) => {
            return match verbs.create(&caller, target, wanted, &WriteOptions::default()).await {
                Err(status) if !status.is(&Reason::ALREADY_EXISTS) => Err(status),
                _ => Ok(()),
            };
        }
        Err(status) => return Err(status),
    };
    if object::annotation(&stored, AUTOUPDATE) == Some("false") {
        return Ok(());
    }
    if stored.get("roleRef") != wanted.get("roleRef") {
        // A binding keeps its role for life. Ours must not give our subjects the role that somebody else chose.
        // Finalizers of others would keep it, and us from starting for ever: nobody can take them away without a server.
        if object::finalizers(&stored).next().is_some() {
            let mut freed = stored.clone().into_value();
            object::metadata_mut(&mut freed).remove("finalizers");
            verbs.update(&caller, &named, freed, &WriteOptions::default()).await?;
        }
        let options = DeleteOptions { uid: Some(object::uid(&stored).to_owned()), ..DeleteOptions::background() };
        match verbs.delete(&caller, &named, &options).await {
            // It was terminating, and went with its last finalizer.
            Err(status) if status.is(&Reason::NOT_FOUND) => {}
            other => drop(other?),
        }
        return verbs.create(&caller, target, wanted, &WriteOptions::default()).await.map(drop);
    }
    let mut next = stored.value().as_ref().clone();
    for part in ["labels", "annotations"] {
        for (key, value) in wanted["metadata"][part].as_object().into_iter().flatten() {
            next["metadata"][part][key] = value.clone();
        }
    }
    add(&mut next, &wanted);
    if next == *stored {
        return Ok(());
    }
    verbs.update(&caller, &named, next, &WriteOptions::default()).await.map(drop)
}

fn add_rules(role: &mut Value, wanted: &Value) {
    if let Some(selectors) = wanted.pointer("/aggregationRule/clusterRoleSelectors") {
        add_missing(&mut role["aggregationRule"]["clusterRoleSelectors"], selectors);
        return;
    }
    let rules = |role: &Value| -> Vec<PolicyRule> { serde_json::from_value(role["rules"].clone()).unwrap_or_default() };
    let owned = rules(role);
    let lacking = wanted["rules"].as_array().into_iter().flatten().filter(|rule| {
        let rule: PolicyRule = serde_json::from_value((*rule).clone()).unwrap_or_default();
        !uncovered(&owned, &[rule]).is_empty()
    });
    add_missing(&mut role["rules"], &json!(lacking.collect::<Vec<_>>()));
}

fn add_subjects(binding: &mut Value, wanted: &Value) {
    add_missing(&mut binding["subjects"], &wanted["subjects"]);
}

fn add_missing(list: &mut Value, wanted: &Value) {
    let mut next = list.as_array().cloned().unwrap_or_default();
    for item in wanted.as_array().into_iter().flatten() {
        if !next.contains(item) {
            next.push(item.clone());
        }
    }
    if !next.is_empty() {
        *list = json!(next);
    }
}

/// Returns the ClusterRoles, with the rules that they gather, and the ClusterRoleBindings.
fn wanted() -> (Vec<Value>, Vec<Value>) {
    let table: Value =
        serde_json::from_str(include_str!("bootstrap.json")).expect("the embedded roles are JSON, as a test checks");
    let mut roles: Vec<Value> = Vec::new();
    for row in table["clusterRoles"].as_array().into_iter().flatten() {
        let mut role = json!({"metadata": metadata(row["name"].as_str().unwrap_or_default()), "rules": row["rules"]});
        if let Some(to) = row["aggregateTo"].as_str() {
            role["metadata"]["labels"][aggregation_label(to)] = json!("true");
        }
        if let Some(of) = row["aggregates"].as_str() {
            let selector = json!({"matchLabels": {aggregation_label(of): "true"}});
            role["aggregationRule"] = json!({"clusterRoleSelectors": [selector]});
            // The table has the parts before the whole, so the first write has what the controller would find.
            let sum = aggregated(&role, &roles.iter().collect::<Vec<_>>());
            role["rules"] = json!(sum.unwrap_or_default());
        }
        roles.push(role);
    }
    let rows = table["clusterRoleBindings"].as_array().into_iter().flatten();
    let bindings = rows.map(|row| {
        let role = row["role"].as_str().unwrap_or_default();
        let groups = row["groups"].as_array().into_iter().flatten();
        let subjects = groups.map(|group| json!({"apiGroup": GROUP, "kind": "Group", "name": group})).collect();
        binding(role, role, subjects)
    });
    (roles, bindings.collect())
}

fn metadata(name: &str) -> Value {
    json!({
        "name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}, "annotations": {AUTOUPDATE: "true"},
    })
}

fn aggregation_label(to: &str) -> String {
    format!("rbac.authorization.k8s.io/aggregate-to-{to}")
}

fn binding(name: &str, role: &str, subjects: Vec<Value>) -> Value {
    let role = json!({"apiGroup": GROUP, "kind": "ClusterRole", "name": role});
    json!({"metadata": metadata(name), "roleRef": role, "subjects": subjects})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregated_roles_begin_with_their_rules() {
        let (roles, bindings) = wanted();
        let count = |name: &str| {
            let role = roles.iter().find(|role| object::name(role) == name).expect("a role");
            role["rules"].as_array().expect("rules").len()
        };
        assert_eq!((count("view"), count("edit"), count("admin")), (4, 9, 11));
        let all: Vec<&Value> = roles.iter().collect();
        for role in &roles {
            let found = aggregated(role, &all).map(|rules| json!(rules));
            assert!(found.is_none_or(|rules| rules == role["rules"]), "{role} would be written a second time");
        }
        for binding in &bindings {
            assert!(roles.iter().any(|role| role["metadata"]["name"] == binding["roleRef"]["name"]), "{binding}");
        }
    }

    #[test]
    fn what_lacks_is_added_and_what_is_there_stays() {
        let rule = |verb: &str| json!({"verbs": [verb], "apiGroups": [""], "resources": ["pods"]});
        let mut role = json!({"rules": [rule("*"), rule("own")]});
        add_rules(&mut role, &json!({"rules": [rule("get")]}));
        assert_eq!(role, json!({"rules": [rule("*"), rule("own")]}));
        let mut role = json!({"rules": null});
        add_rules(&mut role, &json!({"rules": [rule("get")]}));
        assert_eq!(role, json!({"rules": [rule("get")]}));
        let mut binding = json!({"subjects": [{"name": "mine"}]});
        add_subjects(&mut binding, &json!({"subjects": [{"name": "a"}]}));
        assert_eq!(binding, json!({"subjects": [{"name": "mine"}, {"name": "a"}]}));
    }
}
