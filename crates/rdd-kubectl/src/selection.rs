//! From the words on a command line to objects.
//!
//! After `k8s.io/cli-runtime/pkg/resource` (`Builder`, `Visitor`): types and names, `TYPE/NAME`,
//! categories, selectors, files. Failures are collected where kubectl goes on.

use clap::Args;
use serde_json::Value;

use crate::context::Context;
use crate::discovery::{Discovery, Resource};
use crate::failure::Failure;
use crate::manifest::FileArgs;
use crate::session::Call;

/// What the words say, before the server is asked what they mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    Nothing,
    /// `cm,secrets`.
    Types(Vec<String>),
    /// `cm a b`.
    Names(Vec<String>, Vec<String>),
    /// `cm/a secret/b`.
    Pairs(Vec<(String, String)>),
}

impl Words {
    /// Sorts words into types and names.
    pub(crate) fn parse(words: &[String]) -> Result<Self, Failure> {
        let with_slash = words.iter().filter(|w| w.contains('/')).count();
        if with_slash > 0 && with_slash == words.len() {
            return words.iter().map(|w| pair(w)).collect::<Result<_, _>>().map(Self::Pairs);
        }
        if with_slash > 0 {
            return Err(Failure::message(
                "there is no need to specify a resource type as a separate argument when passing arguments in \
                 resource/name form (e.g. 'kubectl get resource/<resource_name>' instead of 'kubectl get resource \
                 resource/<resource_name>'",
            ));
        }
        let types = |word: &String| word.split(',').filter(|t| !t.is_empty()).map(str::to_owned).collect();
        Ok(match words {
            [] => Self::Nothing,
            [one] => Self::Types(types(one)),
            [first, names @ ..] => Self::Names(types(first), names.to_vec()),
        })
    }
}

fn pair(word: &str) -> Result<(String, String), Failure> {
    match word.split('/').collect::<Vec<_>>().as_slice() {
        [kind, name] if !kind.is_empty() && !name.is_empty() && !kind.contains(',') => {
            Ok(((*kind).to_owned(), (*name).to_owned()))
        }
        [_, _] => Err(Failure::message("arguments in resource/name form must have a single resource and name")),
        _ => Err(Failure::message("arguments in resource/name form may not have more than one slash")),
    }
}

/// A collection, or one object in it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) resource: Resource,
    /// Nothing for all namespaces, and for what has none.
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
}

impl Target {
    /// Returns the path on the server.
    pub(crate) fn path(&self) -> String {
        self.resource.path(self.namespace.as_deref(), self.name.as_deref())
    }
}

/// The usual flags that choose among objects.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct SelectorArgs {
    /// Labels that objects must have, as in `app=web,tier!=cache`
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
    /// Fields that objects must have, as in `metadata.name=a`
    #[arg(long, value_name = "SELECTOR")]
    pub(crate) field_selector: Option<String>,
    /// Look into all namespaces
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
}

impl SelectorArgs {
    /// Adds the parameters of a list.
    pub(crate) fn add_to(&self, call: Call) -> Call {
        call.with_some("labelSelector", self.selector.as_deref().unwrap_or_default())
            .with_some("fieldSelector", self.field_selector.as_deref().unwrap_or_default())
    }

    /// Says what was looked for when a list failed.
    pub(crate) fn explain(&self, resource: &Resource, failure: Failure) -> Failure {
        let Failure::Status { status, context } = failure else { return failure };
        let quote = rdd_api::field::quote;
        let shown = quote(&format!("{}/{}, Resource={}", resource.group, resource.version, resource.name));
        let prefix = match self.is_given() {
            true => format!(
                "Unable to find {shown} that match label selector {}, field selector {}: ",
                quote(self.selector.as_deref().unwrap_or_default()),
                quote(self.field_selector.as_deref().unwrap_or_default())
            ),
            false => format!("Unable to list {shown}: "),
        };
        Failure::Status { status, context: prefix + &context }
    }

    fn is_given(&self) -> bool {
        self.selector.as_deref().is_some_and(|s| !s.is_empty())
            || self.field_selector.as_deref().is_some_and(|s| !s.is_empty())
    }
}

/// Returns the collections and objects that the words mean.
pub(crate) async fn targets(
    context: &Context,
    words: &[String],
    selectors: &SelectorArgs,
) -> Result<Vec<Target>, Failure> {
    let words = Words::parse(words)?;
    let is_named = matches!(words, Words::Names(..) | Words::Pairs(_));
    if is_named && selectors.is_given() {
        return Err(Failure::message("name cannot be provided when a selector is specified"));
    }
    if is_named && selectors.all_namespaces {
        return Err(Failure::message("a resource cannot be retrieved by name across all namespaces"));
    }
    if words == Words::Nothing {
        return Ok(Vec::new());
    }
    let discovery = context.discovery().await?;
    let namespace = match selectors.all_namespaces {
        true => None,
        false => Some(context.namespace().await?.to_owned()),
    };
    let target = |resource: &Resource, name: Option<String>| Target {
        resource: resource.clone(),
        namespace: namespace.clone().filter(|_| resource.is_namespaced),
        name,
    };
    Ok(match words {
        Words::Nothing => Vec::new(),
        Words::Types(types) => {
            let mut all = Vec::new();
            for resource in expand(discovery, &types)? {
                all.push(target(resource, None));
            }
            all
        }
        Words::Names(types, names) => {
            let resources = expand(discovery, &types)?;
            let [resource] = resources.as_slice() else {
                return Err(Failure::message("you must specify only one resource"));
            };
            names.into_iter().map(|name| target(resource, Some(name))).collect()
        }
        Words::Pairs(pairs) => {
            let mut all = Vec::new();
            for (kind, name) in pairs {
                all.push(target(discovery.resource(&kind)?, Some(name)));
            }
            all
        }
    })
}

/// Types and categories, each resource once.
fn expand<'d>(discovery: &'d Discovery, types: &[String]) -> Result<Vec<&'d Resource>, Failure> {
    let mut all: Vec<&Resource> = Vec::new();
    for word in types {
        let category = discovery.category(word);
        let found = if category.is_empty() { vec![discovery.resource(word)?] } else { category };
        for resource in found {
            if !all.contains(&resource) {
                all.push(resource);
            }
        }
    }
    Ok(all)
}

/// An object that a command works on.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) resource: Resource,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    /// The file's object, or the server's; null where nobody asked.
    pub(crate) object: Value,
    /// The file.
    pub(crate) source: Option<String>,
}

impl Found {
    /// Returns the object's path on the server.
    pub(crate) fn path(&self) -> String {
        self.resource.path(self.namespace.as_deref(), Some(&self.name))
    }

    /// Returns the path of the collection that it is in.
    pub(crate) fn collection(&self) -> String {
        self.resource.path(self.namespace.as_deref(), None)
    }

    /// Returns `kind.group/name`.
    pub(crate) fn label(&self) -> String {
        format!("{}/{}", self.resource.lower_kind(), self.name)
    }

    /// Asks the server for the object.
    pub(crate) async fn fetch(&self, context: &Context) -> Result<Value, Failure> {
        context.session().await?.json(&Call::get(self.path())).await
    }
}

/// What is known of the objects before a command works on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetch {
    /// The server's state of each.
    Latest,
    /// Names only; files keep their content.
    Names,
}

/// Everything that chooses objects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'a> {
    pub(crate) files: &'a FileArgs,
    pub(crate) words: &'a [String],
    pub(crate) selectors: &'a SelectorArgs,
    /// Whether a type alone means all of its objects.
    pub(crate) all: bool,
    pub(crate) fetch: Fetch,
}

/// Finds objects; what fails is told beside what succeeds.
pub(crate) async fn find(context: &Context, query: &Query<'_>) -> Result<(Vec<Found>, Vec<Failure>), Failure> {
    let (mut all, mut failures) = (Vec::new(), Vec::new());
    if !query.files.is_empty() || query.files.kustomize.is_some() {
        if !query.words.is_empty() {
            return Err(Failure::message(
                "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well",
            ));
        }
        for document in query.files.read(context)? {
            let located = locate(context, document.object, Some(document.source)).await;
            let located = match located {
                Ok(mut found) if query.fetch == Fetch::Latest => match found.fetch(context).await {
                    Ok(object) => {
                        found.object = object;
                        Ok(found)
                    }
                    Err(failure) => Err(failure),
                },
                other => other,
            };
            match located {
                Ok(found) => all.push(found),
                Err(failure) => failures.push(failure),
            }
        }
        return Ok((all, failures));
    }
    let session = context.session().await?;
    let targets = targets(context, query.words, query.selectors).await?;
    if targets.iter().any(|t| t.name.is_none()) && !query.all && !query.selectors.is_given() {
        return Err(Failure::message("resource(s) were provided, but no name was specified"));
    }
    for target in targets {
        let Some(name) = target.name.clone() else {
            match session.json(&query.selectors.add_to(Call::get(target.path()))).await {
                Ok(list) => all.extend(items(list).into_iter().map(|object| found(&target, object))),
                Err(failure) => failures.push(query.selectors.explain(&target.resource, failure)),
            }
            continue;
        };
        let mut found =
            Found { resource: target.resource, namespace: target.namespace, name, object: Value::Null, source: None };
        if query.fetch == Fetch::Latest {
            match found.fetch(context).await {
                Ok(object) => found.object = object,
                Err(failure) => {
                    failures.push(failure);
                    continue;
                }
            }
        }
        all.push(found);
    }
    Ok((all, failures))
}

fn found(target: &Target, object: Value) -> Found {
    let namespace = rdd_api::object::namespace(&object);
    Found {
        resource: target.resource.clone(),
        namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
        name: rdd_api::object::name(&object).to_owned(),
        object,
        source: None,
    }
}

/// Returns the items of a list, each with its own kind.
pub(crate) fn items(mut list: Value) -> Vec<Value> {
    let api_version = list["apiVersion"].clone();
    let kind = list["kind"].as_str().and_then(|k| k.strip_suffix("List")).unwrap_or_default().to_owned();
    let Value::Array(mut items) = list["items"].take() else { return Vec::new() };
    for item in &mut items {
        if item["kind"].is_null() {
            item["kind"] = kind.clone().into();
            item["apiVersion"] = api_version.clone();
        }
    }
    items
}

/// Finds out where an object of a file belongs, and fills in the namespace.
pub(crate) async fn locate(context: &Context, mut object: Value, source: Option<String>) -> Result<Found, Failure> {
    let shown = source.clone().unwrap_or_default();
    let api_version = rdd_api::object::api_version(&object).to_owned();
    let kind = rdd_api::object::kind(&object).to_owned();
    let missing = match (api_version.is_empty(), kind.is_empty()) {
        (true, true) => "[apiVersion not set, kind not set]",
        (true, false) => "apiVersion not set",
        (false, true) => "kind not set",
        (false, false) => "",
    };
    if !missing.is_empty() {
        return Err(Failure::message(format!(
            "error validating \"{shown}\": error validating data: {missing}; if you choose to ignore these errors, \
             turn validation off with --validate=false"
        )));
    }
    let name = rdd_api::object::name(&object).to_owned();
    let own_namespace = rdd_api::object::namespace(&object).to_owned();
    let Some(resource) = context.discovery().await?.kind(&api_version, &kind) else {
        return Err(Failure::message(format!(
            "resource mapping not found for name: \"{name}\" namespace: \"{own_namespace}\" from \"{shown}\": no \
             matches for kind \"{kind}\" in version \"{api_version}\"\nensure CRDs are installed first"
        )));
    };
    let resource = resource.clone();
    let mut namespace = None;
    if resource.is_namespaced {
        if let Some(explicit) = context.explicit_namespace()
            && !own_namespace.is_empty()
            && own_namespace != explicit
        {
            return Err(Failure::message(format!(
                "the namespace from the provided object \"{own_namespace}\" does not match the namespace \
                 \"{explicit}\". You must pass '--namespace={own_namespace}' to perform this operation."
            )));
        }
        let chosen = if own_namespace.is_empty() { context.namespace().await?.to_owned() } else { own_namespace };
        rdd_api::object::metadata_mut(&mut object).insert("namespace".into(), chosen.clone().into());
        namespace = Some(chosen);
    }
    Ok(Found { resource, namespace, name, object, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted() {
        let check = |words: &[&str], expect: Result<Words, &str>| {
            let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
            match (Words::parse(&words), expect) {
                (Ok(parsed), Ok(expect)) => assert_eq!(parsed, expect),
                (Err(failure), Err(expect)) => assert!(failure.to_string().contains(expect), "{failure}"),
                (parsed, expect) => panic!("{parsed:?} instead of {expect:?}"),
            }
        };
        let s = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        check(&[], Ok(Words::Nothing));
        check(&["cm"], Ok(Words::Types(s(&["cm"]))));
        check(&["cm,secrets"], Ok(Words::Types(s(&["cm", "secrets"]))));
        check(&["cm", "a", "b"], Ok(Words::Names(s(&["cm"]), s(&["a", "b"]))));
        check(&["cm/a", "ns/b"], Ok(Words::Pairs(vec![("cm".into(), "a".into()), ("ns".into(), "b".into())])));
        check(&["cm", "cm/a"], Err("there is no need to specify a resource type as a separate argument"));
        check(&["cm/a/b"], Err("may not have more than one slash"));
        check(&["cm/"], Err("must have a single resource and name"));
        check(&["cm,ns/a"], Err("must have a single resource and name"));
    }
}
