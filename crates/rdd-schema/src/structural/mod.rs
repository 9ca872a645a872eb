//! The rules that make a schema *structural*: every place of an object has one type, known
//! without looking at values (apiserver specification §16.4).
//!
//! The checks read the raw JSON, because they must tell what stands where it may not. Their texts
//! are those of `apiextensions-apiserver/pkg/apiserver/schema/validation.go` and
//! `pkg/apis/apiextensions/validation/validation.go`.

mod defaults;
mod keywords;
mod lists;
mod nested;
mod skeleton;

pub(crate) use defaults::check_defaults;
pub(crate) use skeleton::check;

#[cfg(test)]
mod tests;
