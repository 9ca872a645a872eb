//! Questions about users: may they (`kubectl auth can-i`), what may they (`--list`), who are they (`kubectl auth
//! whoami`), and whose is a token.
//!
//! They are created, answered and forgotten: no object of theirs is stored.

use axum::body::Body;
use rdd_api::{FieldError, Status, object};
use rdd_auth::rbac::PolicyRule;
use rdd_auth::{AccessRequest, Decision, UserInfo};
use rdd_registry::Kind;
use rdd_verbs::{Target, parse_dry_run};
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::call::Call;
use crate::review_spec;

/// Answers a question.
pub(crate) async fn handle(call: &Call, sent: Body, target: &Target) -> Result<Answer, Status> {
    // Nothing is ever stored, so a dry run is what every run is; but the parameter must be one.
    parse_dry_run(&call.query.all("dryRun").collect::<Vec<_>>(), "CreateOptions")?;
    let kind = &target.kind;
    let mut review = review_spec::read(call, sent, kind).await?;
    review["status"] = match kind.kind.as_str() {
        "SelfSubjectReview" => json!({"userInfo": review_spec::user_info(&call.caller.user)}),
        "TokenReview" => token(call, &review["spec"])?,
        "SelfSubjectRulesReview" => rules(call, &review["spec"]).await?,
        "SelfSubjectAccessReview" => {
            let mut errors = Vec::new();
            let access = review_spec::access(&review["spec"], &mut errors);
            check(kind, &errors)?;
            decide(call, &call.caller.user, &access).await
        }
        "LocalSubjectAccessReview" => {
            let namespace = target.namespace.as_deref().unwrap_or_default();
            check_place(&mut review, namespace)?;
            subject_access(call, kind, &review["spec"], Some(namespace)).await?
        }
        _ => subject_access(call, kind, &review["spec"], None).await?,
    };
    Ok(Answer::json(201, &review, false))
}

fn check(kind: &Kind, errors: &[FieldError]) -> Result<(), Status> {
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(&kind.group_kind(), "", errors)) }
}

fn check_place(review: &mut Value, namespace: &str) -> Result<(), Status> {
    let given = object::namespace(review);
    if !given.is_empty() && given != namespace {
        let text = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Status::bad_request(text));
    }
    review["metadata"]["namespace"] = json!(namespace);
    Ok(())
}

/// Decides about the user of the spec. `place` is the namespace that a local review must stay in.
async fn subject_access(call: &Call, kind: &Kind, spec: &Value, place: Option<&str>) -> Result<Value, Status> {
    let mut errors = Vec::new();
    let access = review_spec::access(spec, &mut errors);
    let user = review_spec::subject(spec, &mut errors);
    if let Some(place) = place {
        match &access {
            AccessRequest::Resource { namespace, .. } if namespace != place => {
                let detail = "must match metadata.namespace";
                errors.push(FieldError::invalid("spec.resourceAttributes.namespace", &json!(namespace), detail));
            }
            AccessRequest::Resource { .. } => {}
            AccessRequest::Path { .. } => {
                let detail = "disallowed on this kind of request";
                errors.push(FieldError::invalid("spec.nonResourceAttributes", &spec["nonResourceAttributes"], detail));
            }
        }
    }
    check(kind, &errors)?;
    Ok(decide(call, &user, &access).await)
}

async fn decide(call: &Call, user: &UserInfo, access: &AccessRequest) -> Value {
    let (allowed, reason) = match call.shared.authorizer.authorize(user, access).await {
        Decision::Allow { reason } => (true, reason),
        Decision::Deny { reason } => (false, reason),
    };
    let mut status = json!({"allowed": allowed});
    if !reason.is_empty() {
        status["reason"] = json!(reason);
    }
    status
}

async fn rules(call: &Call, spec: &Value) -> Result<Value, Status> {
    let namespace = spec["namespace"].as_str().unwrap_or_default();
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let found = call.shared.authorizer.rules(&call.caller.user, namespace).await;
    let (on_paths, on_resources): (Vec<_>, Vec<_>) =
        found.rules.iter().partition(|rule| !rule.non_resource_urls.is_empty());
    let resources: Vec<Value> = on_resources.into_iter().map(resource_rule).collect();
    let paths: Vec<Value> = on_paths
        .into_iter()
        .map(|rule| json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}))
        .collect();
    let mut status =
        json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": found.problem.is_some()});
    if let Some(problem) = found.problem {
        status["evaluationError"] = json!(problem);
    }
    Ok(status)
}

fn resource_rule(rule: &PolicyRule) -> Value {
    let lists =
        [("apiGroups", &rule.api_groups), ("resources", &rule.resources), ("resourceNames", &rule.resource_names)];
    let named = lists.into_iter().filter(|(_, list)| !list.is_empty());
    let mut fields: Map<String, Value> = named.map(|(name, list)| (name.to_owned(), json!(list))).collect();
    fields.insert("verbs".to_owned(), json!(rule.verbs));
    Value::Object(fields)
}

fn token(call: &Call, spec: &Value) -> Result<Value, Status> {
    let token = spec["token"].as_str().unwrap_or_default();
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let authenticator = &call.shared.authenticator;
    let mut audiences = review_spec::texts(&spec["audiences"]);
    if audiences.is_empty() {
        audiences = authenticator.audiences().to_vec();
    }
    Ok(match authenticator.token(token, &audiences) {
        Ok((user, good)) => {
            json!({"authenticated": true, "user": review_spec::user_info(&user), "audiences": good})
        }
        Err(_) => json!({"user": {}, "error": "invalid bearer token"}),
    })
}
