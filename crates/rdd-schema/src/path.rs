//! The path of a field while a value is walked: a chain of borrowed steps on the stack, printed
//! only when there is an error to tell.

use std::fmt;

/// The path of a field, as in `spec.list[0].map[key].x`.
#[derive(Clone, Copy, Debug)]
pub enum Path<'a> {
    /// The object itself. Prints as nothing.
    Root,
    /// A path that is already text, as in `spec.versions[0].schema`.
    Text(&'a str),
    /// A named field.
    Child(&'a Path<'a>, &'a str),
    /// A list's item.
    Index(&'a Path<'a>, usize),
    /// A map's value.
    Key(&'a Path<'a>, &'a str),
}

impl<'a> Path<'a> {
    /// Returns the path of the field `name`.
    pub fn child(&'a self, name: &'a str) -> Path<'a> {
        Path::Child(self, name)
    }

    /// Returns the path of item `index`.
    pub fn index(&'a self, index: usize) -> Path<'a> {
        Path::Index(self, index)
    }

    /// Returns the path of the value under `key`.
    pub fn key(&'a self, key: &'a str) -> Path<'a> {
        Path::Key(self, key)
    }

    fn is_root(&self) -> bool {
        matches!(self, Path::Root | Path::Text(""))
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Text(text) => f.write_str(text),
            Path::Child(parent, name) if parent.is_root() => f.write_str(name),
            Path::Child(parent, name) => write!(f, "{parent}.{name}"),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
            Path::Key(parent, key) => write!(f, "{parent}[{key}]"),
        }
    }
}

impl From<&Path<'_>> for String {
    fn from(path: &Path<'_>) -> Self {
        path.to_string()
    }
}

impl From<Path<'_>> for String {
    fn from(path: Path<'_>) -> Self {
        path.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_like_upstream() {
        let spec = Path::Root.child("spec");
        let list = spec.child("list");
        let item = list.index(0);
        let map = item.child("map");
        assert_eq!(map.key("a/b").child("x").to_string(), "spec.list[0].map[a/b].x");
        assert_eq!(Path::Root.to_string(), "");
    }
}
