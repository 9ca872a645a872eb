//! Keys and prefixes: the text under which an entry is kept, and what a list or a watch selects by.
//!
//! The text is `<group>/<resource>/<namespace or nothing>/<name>`, and its byte order is the order of lists. A prefix
//! ends in `/`, so that the namespace `ns1` never selects what is in `ns10`.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::sync::Arc;

/// The name of one entry: `<group>/<resource>/<namespace or nothing>/<name>`.
///
/// The core group is the empty text: `/configmaps/default/a`, and without a namespace `/namespaces//default`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// Makes the key of an object. A `/` in a part, which no valid name has, is escaped and so finds nothing.
    pub fn new(group: &str, resource: &str, namespace: Option<&str>, name: &str) -> Key {
        let namespace = namespace.unwrap_or_default();
        Key(format!("{}/{}/{}/{}", part(group), part(resource), part(namespace), part(name)).into())
    }

    /// Reads back a text that [`Key::as_str`] gave; `None` if it is not the text of a key.
    pub fn parse(text: &str) -> Option<Key> {
        (text.bytes().filter(|byte| *byte == b'/').count() == 3).then(|| Key(text.into()))
    }

    /// Returns the whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the API group, empty for the core group.
    pub fn group(&self) -> &str {
        self.part(0)
    }

    /// Returns the resource, as in a URL: the plural.
    pub fn resource(&self) -> &str {
        self.part(1)
    }

    /// Returns the namespace, if the object lies in one.
    pub fn namespace(&self) -> Option<&str> {
        Some(self.part(2)).filter(|namespace| !namespace.is_empty())
    }

    /// Returns the name of the object.
    pub fn name(&self) -> &str {
        self.part(3)
    }

    /// Returns the text up to and with the `/` behind the resource: all that [`Prefix::resource`] says.
    pub(crate) fn topic(&self) -> &str {
        topic_of(&self.0).expect("a key has three slashes")
    }

    fn part(&self, index: usize) -> &str {
        self.0.split('/').nth(index).expect("a key has three slashes")
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0)
    }
}

/// Selects the keys that begin with a text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Prefix(Arc<str>);

impl Prefix {
    /// Selects every key.
    pub fn everything() -> Prefix {
        Prefix("".into())
    }

    /// Selects the objects of one resource, in all namespaces or in none.
    pub fn resource(group: &str, resource: &str) -> Prefix {
        Prefix(format!("{}/{}/", part(group), part(resource)).into())
    }

    /// Selects the objects of one resource in one namespace.
    pub fn namespace(group: &str, resource: &str, namespace: &str) -> Prefix {
        Prefix(format!("{}/{}/{}/", part(group), part(resource), part(namespace)).into())
    }

    /// Returns the text with which selected keys begin.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether the key is selected.
    pub fn contains(&self, key: &Key) -> bool {
        key.as_str().starts_with(&*self.0)
    }

    /// Returns the topic on which all selected keys lie; `None` if there is more than one.
    pub(crate) fn topic(&self) -> Option<&str> {
        topic_of(&self.0)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prefix({})", self.0)
    }
}

fn part(text: &str) -> Cow<'_, str> {
    if text.contains('/') { Cow::Owned(text.replace('/', "%2F")) } else { Cow::Borrowed(text) }
}

fn topic_of(text: &str) -> Option<&str> {
    let (second, _) = text.match_indices('/').nth(1)?;
    Some(&text[..=second])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gives_back_its_parts() {
        let key = Key::new("lima.example", "limavms", Some("default"), "one");
        assert_eq!(key.as_str(), "lima.example/limavms/default/one");
        assert_eq!(
            (key.group(), key.resource(), key.namespace(), key.name()),
            ("lima.example", "limavms", Some("default"), "one")
        );
        assert_eq!(key.topic(), "lima.example/limavms/");
        let key = Key::new("", "namespaces", None, "default");
        assert_eq!(key.as_str(), "/namespaces//default");
        assert_eq!(key.namespace(), None);
        assert_eq!(Key::parse(key.as_str()), Some(key));
        assert_eq!(Key::parse("a/b/c"), None);
    }

    #[test]
    fn a_slash_in_a_name_reaches_no_other_object() {
        let key = Key::new("", "configmaps", Some("a/b"), "c");
        assert_ne!(key, Key::new("", "configmaps", Some("a"), "b/c"));
        assert!(!Prefix::namespace("", "configmaps", "a").contains(&key));
    }

    #[test]
    fn a_prefix_does_not_select_a_longer_neighbour() {
        let key = Key::new("", "configmaps", Some("ns10"), "x");
        assert!(!Prefix::namespace("", "configmaps", "ns1").contains(&key));
        assert!(Prefix::namespace("", "configmaps", "ns10").contains(&key));
        assert!(Prefix::resource("", "configmaps").contains(&key));
        assert!(!Prefix::resource("", "configmap").contains(&key));
        assert!(Prefix::everything().contains(&key));
        assert_eq!(Prefix::everything().topic(), None);
        assert_eq!(Prefix::namespace("", "configmaps", "ns1").topic(), Some("/configmaps/"));
    }
}
