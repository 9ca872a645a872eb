//! Whether the rules that somebody has cover the rules that they want to grant.

use std::collections::{BTreeMap, BTreeSet};

use rdd_admission::UserInfo;

use super::policy_rule::{PolicyRule, has, url_covers};

const ALL: &str = "*";
/// More pieces than any role of people has, and few enough to be looked at in no time.
const MAX_PIECES: usize = 10_000;

/// Returns what `wanted` allows and `owned` does not, in the smallest pieces: one verb on one thing each.
pub fn uncovered(owned: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    let pieces = wanted.iter().flat_map(break_down);
    pieces.filter(|piece| !owned.iter().any(|rule| covers(rule, piece))).collect()
}

/// Refuses rules that the user, who has `owned`, does not have. The text is for a 403.
pub fn confirm_no_escalation(
    user: &UserInfo,
    owned: &[PolicyRule],
    problem: Option<&str>,
    wanted: &[PolicyRule],
) -> Result<(), String> {
    if pieces(wanted) > MAX_PIECES {
        return Err(format!(
            "the rules have more than {MAX_PIECES} combinations of verbs, groups, resources and names, which is more than \
             can be checked; use '*', or several roles"
        ));
    }
    let missing = uncovered(owned, wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let texts: BTreeSet<String> = compact(missing).iter().map(print).collect();
    let texts: Vec<String> = texts.into_iter().collect();
    let mut text = format!(
        "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        quote(&user.name),
        print_list(&user.groups),
        texts.join("\n")
    );
    if let Some(problem) = problem {
        text.push_str(&format!("; resolution errors: [{problem}]"));
    }
    Err(text)
}

/// Returns into how many pieces rules would be broken.
fn pieces(rules: &[PolicyRule]) -> usize {
    let of = |rule: &PolicyRule| {
        let things = rule.api_groups.len().saturating_mul(rule.resources.len());
        let things =
            things.saturating_mul(rule.resource_names.len().max(1)).saturating_add(rule.non_resource_urls.len());
        rule.verbs.len().saturating_mul(things)
    };
    rules.iter().map(of).fold(0, usize::saturating_add)
}

fn break_down(rule: &PolicyRule) -> Vec<PolicyRule> {
    let mut pieces = Vec::new();
    for verb in &rule.verbs {
        let verbs = vec![verb.clone()];
        for group in &rule.api_groups {
            for resource in &rule.resources {
                let piece = PolicyRule {
                    verbs: verbs.clone(),
                    api_groups: vec![group.clone()],
                    resources: vec![resource.clone()],
                    ..PolicyRule::default()
                };
                if rule.resource_names.is_empty() {
                    pieces.push(piece);
                } else {
                    let named = |name: &String| PolicyRule { resource_names: vec![name.clone()], ..piece.clone() };
                    pieces.extend(rule.resource_names.iter().map(named));
                }
            }
        }
        let on_url = |url: &String| PolicyRule {
            verbs: verbs.clone(),
            non_resource_urls: vec![url.clone()],
            ..PolicyRule::default()
        };
        pieces.extend(rule.non_resource_urls.iter().map(on_url));
    }
    pieces
}

fn covers(rule: &PolicyRule, piece: &PolicyRule) -> bool {
    let each = |owned: &[String], wanted: &[String]| has(owned, ALL) || wanted.iter().all(|one| has(owned, one));
    each(&rule.verbs, &piece.verbs)
        && each(&rule.api_groups, &piece.api_groups)
        && piece.resources.iter().all(|resource| covers_resource(&rule.resources, resource))
        && piece.non_resource_urls.iter().all(|url| rule.non_resource_urls.iter().any(|own| url_covers(own, url)))
        // All names are more than any list of them.
        && (rule.resource_names.is_empty()
            || (!piece.resource_names.is_empty() && piece.resource_names.iter().all(|name| has(&rule.resource_names, name))))
}

fn covers_resource(owned: &[String], resource: &str) -> bool {
    let by_subresource = |(_, sub): (&str, &str)| has(owned, &format!("*/{sub}"));
    has(owned, ALL) || has(owned, resource) || resource.split_once('/').is_some_and(by_subresource)
}

/// Puts the verbs on one thing together again.
fn compact(pieces: Vec<PolicyRule>) -> Vec<PolicyRule> {
    let mut together: BTreeMap<PolicyRule, Vec<String>> = BTreeMap::new();
    for piece in pieces {
        let PolicyRule { verbs, .. } = piece.clone();
        let known = together.entry(PolicyRule { verbs: Vec::new(), ..piece }).or_default();
        known.extend(verbs.into_iter().filter(|verb| !known.contains(verb)).collect::<Vec<_>>());
    }
    together.into_iter().map(|(piece, verbs)| PolicyRule { verbs, ..piece }).collect()
}

fn print(rule: &PolicyRule) -> String {
    let parts = [
        ("APIGroups", &rule.api_groups),
        ("Resources", &rule.resources),
        ("NonResourceURLs", &rule.non_resource_urls),
        ("ResourceNames", &rule.resource_names),
        ("Verbs", &rule.verbs),
    ];
    let parts = parts.into_iter().filter(|(_, list)| !list.is_empty());
    let parts: Vec<String> = parts.map(|(name, list)| format!("{name}:{}", print_list(list))).collect();
    format!("{{{}}}", parts.join(", "))
}

fn print_list(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|text| quote(text)).collect();
    format!("[{}]", quoted.join(" "))
}

fn quote(text: &str) -> String {
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `verbs groups resources names`, comma-separated each, `-` for none; or `verbs /urls`.
    fn rules(texts: &[&str]) -> Vec<PolicyRule> {
        let list = |text: Option<&str>| match text {
            None | Some("-") => Vec::new(),
            Some("core") => vec![String::new()],
            Some(text) => text.split(',').map(str::to_owned).collect(),
        };
        let rule = |text: &&str| {
            let words: Vec<&str> = text.split(' ').collect();
            let verbs = list(words.first().copied());
            match words.get(1) {
                Some(urls) if urls.starts_with('/') => {
                    PolicyRule { verbs, non_resource_urls: list(Some(urls)), ..PolicyRule::default() }
                }
                _ => PolicyRule {
                    verbs,
                    api_groups: list(words.get(1).copied()),
                    resources: list(words.get(2).copied()),
                    resource_names: list(words.get(3).copied()),
                    ..PolicyRule::default()
                },
            }
        };
        texts.iter().map(rule).collect()
    }

    fn check(owned: &[&str], wanted: &[&str], missing: &[&str]) {
        let user =
            UserInfo { name: "ann".to_owned(), groups: vec!["a".to_owned(), "b".to_owned()], ..Default::default() };
        let expect = match missing {
            [] => Ok(()),
            missing => Err(format!(
                "user \"ann\" (groups=[\"a\" \"b\"]) is attempting to grant RBAC permissions not currently held:\n{}",
                missing.join("\n")
            )),
        };
        assert_eq!(confirm_no_escalation(&user, &rules(owned), None, &rules(wanted)), expect, "{owned:?} {wanted:?}");
    }

    #[test]
    fn who_grants_must_have() {
        check(&["get,list core pods"], &["get core pods"], &[]);
        check(&["* * *"], &["get,watch apps deployments/scale x"], &[]);
        check(&["get core pods", "list core pods"], &["get,list core pods"], &[]);
        check(&["get core pods"], &["get core pods a"], &[]);
        check(&["get core */status"], &["get core pods/status"], &[]);
        check(&["get /apis/*"], &["get /apis/apps"], &[]);
        check(&[], &[], &[]);
        check(
            &["get core pods"],
            &["get,list,watch core pods,secrets"],
            &[
                r#"{APIGroups:[""], Resources:["pods"], Verbs:["list" "watch"]}"#,
                r#"{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list" "watch"]}"#,
            ],
        );
        check(
            &["get core pods a"],
            &["get core pods", "get core pods b"],
            &[
                r#"{APIGroups:[""], Resources:["pods"], ResourceNames:["b"], Verbs:["get"]}"#,
                r#"{APIGroups:[""], Resources:["pods"], Verbs:["get"]}"#,
            ],
        );
        check(&["get core pods"], &["* core pods"], &[r#"{APIGroups:[""], Resources:["pods"], Verbs:["*"]}"#]);
        check(&["* * *"], &["get /healthz"], &[r#"{NonResourceURLs:["/healthz"], Verbs:["get"]}"#]);
    }
}
