//! Files of objects: `-f` with files, directories and standard input.

use std::path::{Path, PathBuf};

use clap::Args;
use rdd_schema::yaml;
use serde_json::Value;

use crate::context::Context;
use crate::failure::Failure;

/// Where objects are read from.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct FileArgs {
    /// File or directory with objects, or `-` for standard input; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "FILE", value_delimiter = ',')]
    pub(crate) filename: Vec<String>,

    /// Read the directories of -f with all that is below them
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,

    /// Not there yet: kustomize
    #[arg(short = 'k', long, value_name = "DIR", hide = true)]
    pub(crate) kustomize: Option<String>,
}

impl FileArgs {
    /// Returns whether no file is named.
    pub(crate) fn is_empty(&self) -> bool {
        self.filename.is_empty()
    }

    /// Reads all objects; lists are taken apart.
    pub(crate) fn read(&self, context: &Context) -> Result<Vec<Document>, Failure> {
        if self.kustomize.is_some() {
            return Err(Failure::message(
                "kustomize is not supported\nhint: pipe it: kubectl kustomize DIR | rdd ctl apply -f -",
            ));
        }
        let mut documents = Vec::new();
        for name in &self.filename {
            if name == "-" {
                let text =
                    context.console.read_input().map_err(|e| Failure::message(format!("error reading [-]: {e}")))?;
                parse("STDIN", &text, &mut documents)?;
            } else if name.starts_with("http://") || name.starts_with("https://") {
                return Err(Failure::message(format!(
                    "reading from a URL is not supported: {name}\nhint: curl -L {name} | rdd ctl apply -f -"
                )));
            } else {
                for path in self.files(Path::new(name))? {
                    let shown = path.display().to_string();
                    let text = std::fs::read_to_string(&path)
                        .map_err(|error| Failure::message(format!("error reading {shown}: {error}")))?;
                    parse(&shown, &text, &mut documents)?;
                }
            }
        }
        Ok(documents)
    }

    fn files(&self, path: &Path) -> Result<Vec<PathBuf>, Failure> {
        let unreadable = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => Failure::message(format!("the path \"{}\" does not exist", path.display())),
            _ => Failure::message(format!("the path \"{}\" cannot be accessed: {error}", path.display())),
        };
        if !std::fs::metadata(path).map_err(unreadable)?.is_dir() {
            return Ok(vec![path.to_owned()]);
        }
        let mut entries: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            entries.push(entry.map_err(unreadable)?.path());
        }
        entries.sort();
        let mut files = Vec::new();
        for entry in entries {
            if entry.is_dir() {
                if self.recursive {
                    files.extend(self.files(&entry)?);
                }
            } else if entry.extension().is_some_and(|e| e == "json" || e == "yaml" || e == "yml") {
                files.push(entry);
            }
        }
        Ok(files)
    }
}

/// An object from a file.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// The file, or `STDIN`.
    pub(crate) source: String,
    pub(crate) object: Value,
}

/// Reads the documents of a text.
pub(crate) fn parse(source: &str, text: &str, documents: &mut Vec<Document>) -> Result<(), Failure> {
    let all = yaml::parse_documents(text).map_err(|error| {
        let cause = error.to_string();
        Failure::message(format!("error parsing {source}: error converting YAML to JSON: {cause}"))
    })?;
    for object in all {
        if !object.is_object() {
            return Err(Failure::message(format!(
                "error validating \"{source}\": error validating data: invalid object to validate; if you choose to \
                 ignore these errors, turn validation off with --validate=false"
            )));
        }
        let is_list = object["kind"].as_str().is_some_and(|k| k.ends_with("List")) && object["items"].is_array();
        if let Some(items) = object["items"].as_array().filter(|_| is_list) {
            documents.extend(items.iter().map(|o| Document { source: source.to_owned(), object: o.clone() }));
        } else {
            documents.push(Document { source: source.to_owned(), object });
        }
    }
    Ok(())
}
