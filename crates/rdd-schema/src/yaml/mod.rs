//! YAML as kubectl reads and prints it (sigs.k8s.io/yaml, which is go-yaml 2 through JSON).
//!
//! Reading: YAML 1.1 booleans, legacy octal numbers, merge keys; keys that are no strings become
//! strings; a key that stands twice is an error. Printing: keys sorted, two spaces, lists not
//! indented inside maps, `|` for texts of several lines.

mod kyaml;
mod parse;
mod print;

pub use kyaml::print_kyaml;
pub use parse::{YamlError, parse, parse_documents, parse_lenient};
pub use print::print;

#[cfg(test)]
mod tests;
