//! ClusterRoles whose rules are those of others: `aggregationRule`.
//!
//! Level-triggered: each pass looks at all ClusterRoles and writes where the rules are not what they should be. Any
//! write of a ClusterRole, our own included, starts the next pass, so chains of aggregation settle, and a restart
//! begins with a pass.

use std::time::Duration;

use rdd_api::{GroupVersionResource, Reason, Status, object};
use rdd_auth::rbac::GROUP;
use rdd_schema::selector::LabelSelector;
use rdd_store::{Prefix, Revision, Start, Store, WatchEnd};
use rdd_verbs::{Caller, ListOptions, Verbs, WriteOptions};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// How long until a pass that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Keeps aggregated rules up to date until `stop` is cancelled or the store is closed.
pub(crate) async fn run(verbs: Verbs, store: Store, stop: CancellationToken) {
    let work = async {
        loop {
            let seen = store.revision();
            if let Err(status) = pass(&verbs).await {
                tracing::warn!(%status, "the rules of ClusterRoles cannot be aggregated");
                tokio::time::sleep(RETRY).await;
                continue;
            }
            if let Err(WatchEnd::Closed) = changed_after(&store, seen).await {
                return;
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// Waits for a ClusterRole that is written after a revision.
async fn changed_after(store: &Store, revision: Revision) -> Result<(), WatchEnd> {
    let prefix = Prefix::resource(GROUP, "clusterroles");
    match store.watch(prefix, Start::After(revision)) {
        Ok(mut watch) => watch.next().await.map(drop),
        // What is no longer at hand is a reason to look again.
        Err(_) => Ok(()),
    }
}

async fn pass(verbs: &Verbs) -> Result<(), Status> {
    let target = verbs.target(&GroupVersionResource::new(GROUP, "v1", "clusterroles"))?;
    let all = verbs.list(&target, &ListOptions::default()).await?.items;
    let mut failed = Ok(());
    let values: Vec<&Value> = all.iter().map(|role| &**role).collect();
    for role in &all {
        let Some(rules) = aggregated(role, &values) else { continue };
        // The order means nothing: two roles that gather each other would take turns for ever.
        let found = role["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
        if rules.len() == found.len() && rules.iter().all(|rule| found.contains(rule)) {
            continue;
        }
        let mut wanted = role.clone().into_value();
        wanted["rules"] = json!(rules);
        let caller = Caller::system("system:serviceaccount:kube-system:clusterrole-aggregation-controller");
        let one = target.clone().named(object::name(role));
        match verbs.update(&caller, &one, wanted, &WriteOptions::default()).await {
            // Whoever was faster has started the next pass.
            Err(status) if status.is(&Reason::CONFLICT) || status.is(&Reason::NOT_FOUND) => {}
            // One that cannot be written keeps no other from being.
            Err(status) => failed = Err(status),
            Ok(_) => {}
        }
    }
    failed
}

/// Returns the rules that a ClusterRole gathers from `all`; `None` if it gathers none.
pub(super) fn aggregated(role: &Value, all: &[&Value]) -> Option<Vec<Value>> {
    let selectors = role.pointer("/aggregationRule/clusterRoleSelectors")?.as_array()?;
    let selectors: Vec<LabelSelector> = selectors.iter().filter_map(|s| LabelSelector::from_json(s).ok()).collect();
    let mut rules: Vec<Value> = Vec::new();
    let mut others: Vec<&&Value> = all.iter().filter(|other| object::name(other) != object::name(role)).collect();
    // Whoever gathers the same finds the same, in the same order.
    others.sort_by_key(|other| object::name(other));
    for other in others {
        let labels = other.pointer("/metadata/labels").and_then(Value::as_object);
        if selectors.iter().any(|selector| selector.matches(labels)) {
            for rule in other["rules"].as_array().into_iter().flatten() {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    Some(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str, label: &str, rules: Value) -> Value {
        json!({"metadata": {"name": name, "labels": {label: "true"}}, "rules": rules})
    }

    #[test]
    fn rules_of_selected_roles_are_united() {
        let sum = json!({
            "metadata": {"name": "sum", "labels": {"a": "true"}}, "rules": [{"verbs": ["own"]}],
            "aggregationRule": {"clusterRoleSelectors": [
                {"matchLabels": {"a": "true"}}, {"matchExpressions": [{"key": "b", "operator": "Exists"}]},
            ]},
        });
        let one = role("one", "a", json!([{"verbs": ["get"]}, {"verbs": ["list"]}]));
        let two = role("two", "b", json!([{"verbs": ["list"]}, {"verbs": ["watch"]}]));
        let other = role("other", "c", json!([{"verbs": ["delete"]}]));
        let rules = aggregated(&sum, &[&one, &sum, &two, &other]).expect("it gathers");
        assert_eq!(json!(rules), json!([{"verbs": ["get"]}, {"verbs": ["list"]}, {"verbs": ["watch"]}]));
        assert_eq!(aggregated(&one, &[&sum]), None);
    }
}
