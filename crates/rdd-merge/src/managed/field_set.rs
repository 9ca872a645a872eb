//! Sets of fields, and their wire format FieldsV1 (`sigs.k8s.io/structured-merge-diff`, `fieldpath`).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::element::Element;

/// The member that says that the field itself is in the set, beside what lies below it.
const SELF: &str = ".";
/// Deeper sets than any object that is stored are no sets.
const MAX_DEPTH: usize = 256;

/// A set of fields: a tree whose marked places are in the set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSet {
    places: BTreeMap<Element, Place>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Place {
    member: bool,
    below: FieldSet,
}

impl FieldSet {
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn insert(&mut self, path: &[Element]) {
        let Some((last, above)) = path.split_last() else { return };
        let mut at = self;
        for element in above {
            at = &mut at.places.entry(element.clone()).or_default().below;
        }
        at.places.entry(last.clone()).or_default().member = true;
    }

    pub(super) fn has(&self, element: &Element) -> bool {
        self.places.get(element).is_some_and(|place| place.member)
    }

    /// Returns what lies below an element.
    pub(super) fn below(&self, element: &Element) -> Option<&FieldSet> {
        self.places.get(element).map(|place| &place.below).filter(|below| !below.is_empty())
    }

    /// Keeps only the elements of the first level that are wanted, with what lies below them.
    pub(super) fn retain(&mut self, wanted: impl Fn(&Element) -> bool) {
        self.places.retain(|element, _| wanted(element));
    }

    pub(super) fn add(&mut self, other: &FieldSet) {
        for (element, place) in &other.places {
            let mine = self.places.entry(element.clone()).or_default();
            mine.member |= place.member;
            mine.below.add(&place.below);
        }
    }

    /// Takes the fields of another set out; what lies below one of them stays.
    pub(super) fn subtract(&mut self, other: &FieldSet) {
        self.places.retain(|element, mine| {
            if let Some(place) = other.places.get(element) {
                mine.member &= !place.member;
                mine.below.subtract(&place.below);
            }
            mine.member || !mine.below.is_empty()
        });
    }

    pub(super) fn intersection(&self, other: &FieldSet) -> FieldSet {
        let mut both = FieldSet::default();
        for (element, mine) in &self.places {
            let Some(place) = other.places.get(element) else { continue };
            let here = Place { member: mine.member && place.member, below: mine.below.intersection(&place.below) };
            if here.member || !here.below.is_empty() {
                both.places.insert(element.clone(), here);
            }
        }
        both
    }

    /// Calls with each place: its element, whether it is in the set, and what lies below it.
    pub(super) fn places(&self) -> impl Iterator<Item = (&Element, bool, &FieldSet)> {
        self.places.iter().map(|(element, place)| (element, place.member, &place.below))
    }

    /// Puts a place in.
    pub(super) fn put(&mut self, element: Element, member: bool, below: FieldSet) {
        if member || !below.is_empty() {
            self.places.insert(element, Place { member, below });
        }
    }

    /// Returns the paths of all fields, in order.
    pub(super) fn paths(&self) -> Vec<Vec<Element>> {
        fn walk(set: &FieldSet, above: &mut Vec<Element>, paths: &mut Vec<Vec<Element>>) {
            for (element, place) in &set.places {
                above.push(element.clone());
                if place.member {
                    paths.push(above.clone());
                }
                walk(&place.below, above, paths);
                above.pop();
            }
        }
        let mut paths = Vec::new();
        walk(self, &mut Vec::new(), &mut paths);
        paths
    }

    pub(super) fn to_fields_v1(&self) -> Value {
        let mut fields = Map::new();
        for (element, place) in &self.places {
            let mut below = place.below.to_fields_v1();
            if place.member && !place.below.is_empty() {
                below[SELF] = json!({});
            }
            fields.insert(element.as_text().to_owned(), below);
        }
        Value::Object(fields)
    }

    /// Reads FieldsV1; `None` if it is none.
    pub(super) fn from_fields_v1(fields: &Value) -> Option<Self> {
        Self::read(fields, MAX_DEPTH)
    }

    fn read(fields: &Value, depth: usize) -> Option<Self> {
        let mut set = FieldSet::default();
        for (name, below) in fields.as_object().filter(|_| depth > 0)? {
            if name == SELF {
                continue;
            }
            let member = below.get(SELF).is_some() || below.as_object().is_some_and(Map::is_empty);
            set.put(Element::parse(name)?, member, Self::read(below, depth - 1)?);
        }
        Some(set)
    }
}
