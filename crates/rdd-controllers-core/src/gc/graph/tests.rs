use super::*;

/// A ConfigMap `name` in `default` with the uid `name`, owned by ConfigMaps: `a` blocks, `-a` does not.
fn map(name: &str, owners: &[&str], finalizer: &str) -> ObjectMetadata {
    let owner = |text: &&str| OwnerReference {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        name: text.trim_start_matches('-').to_owned(),
        uid: text.trim_start_matches('-').to_owned(),
        block_owner_deletion: Some(!text.starts_with('-')),
    };
    ObjectMetadata {
        key: ObjectKey::new("", "configmaps", Some("default"), name),
        kind: "ConfigMap".to_owned(),
        uid: name.to_owned(),
        owners: owners.iter().map(owner).collect(),
        finalizers: Some(finalizer.to_owned()).filter(|f| !f.is_empty()).into_iter().collect(),
        terminating: !finalizer.is_empty(),
    }
}

fn sorted(mut uids: Vec<Uid>) -> String {
    uids.sort();
    uids.dedup();
    uids.join(" ")
}

fn job(graph: &Graph, uid: &str) -> Option<Job> {
    graph.job(uid).map(|(_, job)| job)
}

#[test]
fn nobody_is_looked_at_while_all_owners_live() {
    let (mut graph, concerned) = Graph::new(vec![map("b", &["a"], ""), map("a", &[], "")]);
    assert_eq!(sorted(concerned), "", "whatever the order of the first look");
    assert_eq!(sorted(graph.put(map("c", &["a", "b"], ""))), "");
    assert_eq!(sorted(graph.put(map("a", &[], ""))), "");
    assert_eq!(job(&graph, "a"), None);
}

#[test]
fn dependents_are_looked_at_when_an_owner_is_gone() {
    let (mut graph, _) = Graph::new(vec![map("a", &[], ""), map("b", &["a"], ""), map("c", &["a", "b"], "")]);
    assert_eq!(sorted(graph.remove("a")), "b c");
    let Some(Job::Judge { is_owner, gone, misplaced }) = job(&graph, "b") else { panic!("b is to be judged") };
    assert_eq!((is_owner, gone, misplaced), (true, vec!["a".to_owned()], vec![]));
    // What nobody names any more is forgotten.
    graph.put(map("b", &[], ""));
    graph.remove("c");
    assert!(graph.gone.is_empty() && graph.dependents.is_empty(), "{graph:?}");
    let (_, concerned) = Graph::new(vec![map("b", &["a"], "")]);
    assert_eq!(sorted(concerned), "b", "an owner may have gone while nobody looked");
}

#[test]
fn references_that_do_not_fit_are_looked_at() {
    let mut elsewhere = map("b", &["a"], "");
    elsewhere.key = ObjectKey::new("", "configmaps", Some("other"), "b");
    let mut kind = map("c", &["a"], "");
    kind.owners[0].kind = "Secret".to_owned();
    let mut name = map("d", &["a"], "");
    name.owners[0].name = "b".to_owned();
    let mut group = map("e", &["a"], "");
    group.owners[0].api_version = "example.com/v1".to_owned();
    let (graph, concerned) = Graph::new(vec![map("a", &[], ""), elsewhere, kind, name, group]);
    assert_eq!(sorted(concerned), "b c d e");
    let Some(Job::Judge { misplaced, .. }) = job(&graph, "b") else { panic!("b is to be judged") };
    assert_eq!(misplaced, ["a"]);
}

#[test]
fn a_foreground_deletion_waits_for_those_that_block() {
    let (mut graph, _) = Graph::new(vec![map("a", &[], ""), map("b", &["a"], ""), map("c", &["-a"], "")]);
    assert_eq!(sorted(graph.put(map("a", &[], FOREGROUND_FINALIZER))), "a b c");
    assert_eq!(job(&graph, "a"), None);
    assert_eq!(sorted(graph.put(map("d", &["-a"], ""))), "d", "who comes late goes too");
    assert_eq!(sorted(graph.put(map("b", &["a"], "example.com/f"))), "");
    assert_eq!(sorted(graph.remove("b")), "a");
    assert_eq!(job(&graph, "a"), Some(Job::Release));
}

#[test]
fn a_dependent_that_blocks_no_longer_releases_its_owner() {
    let (mut graph, _) = Graph::new(vec![map("a", &[], FOREGROUND_FINALIZER), map("b", &["a"], "")]);
    assert_eq!(sorted(graph.put(map("b", &["-a"], ""))), "a b");
    assert_eq!(job(&graph, "a"), Some(Job::Release));
}

#[test]
fn a_circle_is_opened_by_the_last_that_joins() {
    let foreground = FOREGROUND_FINALIZER;
    let (mut graph, _) = Graph::new(vec![map("a", &["c"], ""), map("b", &["a"], ""), map("c", &["b"], "")]);
    graph.put(map("a", &["c"], foreground));
    graph.put(map("b", &["a"], foreground));
    assert_eq!((job(&graph, "a"), job(&graph, "b")), (None, None));
    graph.put(map("c", &["b"], foreground));
    assert_eq!(job(&graph, "c"), Some(Job::Unblock));
    assert_eq!(sorted(graph.put(map("c", &["-b"], foreground))), "b c");
    assert_eq!(job(&graph, "b"), Some(Job::Release));
    assert_eq!(job(&graph, "c"), None, "it waits for a, and not for itself");
}

#[test]
fn an_orphaning_deletion_names_all_dependents() {
    let (mut graph, _) = Graph::new(vec![map("a", &[], ""), map("b", &["a"], ""), map("c", &["-a"], "")]);
    assert_eq!(sorted(graph.put(map("a", &[], ORPHAN_FINALIZER))), "a", "the others stay as they are");
    let Some(Job::Orphan { mut dependents }) = job(&graph, "a") else { panic!("a is to be orphaned") };
    dependents.sort_by(|a, b| a.uid.cmp(&b.uid));
    assert_eq!(
        dependents.iter().map(|item| item.key.to_string()).collect::<Vec<_>>(),
        ["/configmaps/default/b", "/configmaps/default/c"]
    );
}
