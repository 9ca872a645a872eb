//! `rdd service paths`.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::bail;
use clap::Args;

use crate::context::Context;
use crate::output;

/// Arguments of `service paths`.
#[derive(Args, Debug)]
pub(crate) struct PathsArgs {
    /// The one path to print
    key: Option<String>,

    /// How to print: table, json or shell
    #[arg(short, long, default_value = "table")]
    output: String,
}

/// Prints where the control plane keeps its files.
pub(crate) fn run(args: &PathsArgs, context: &Context) -> anyhow::Result<()> {
    let instance = context.instance()?;
    let table = instance.paths().table();
    let text = render(&table, args.key.as_deref(), &args.output)?;
    Ok(output::write(text.as_bytes())?)
}

fn render(table: &[(&str, &Path)], key: Option<&str>, format: &str) -> anyhow::Result<String> {
    if !["table", "json", "shell"].contains(&format) {
        bail!("unknown output format {format:?}; valid formats: table, json, or shell");
    }
    let rows: Vec<(&str, String)> = table
        .iter()
        .filter(|(name, _)| key.is_none_or(|key| key == *name))
        .map(|(name, path)| (*name, path.to_string_lossy().into_owned()))
        .collect();
    if let (Some(key), true) = (key, rows.is_empty()) {
        let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
        bail!("unknown key {key:?}; valid keys: {}", names.join(", "));
    }
    let mut text = String::new();
    match format {
        "json" => {
            let object: std::collections::BTreeMap<_, _> = rows.into_iter().collect();
            text = serde_json::to_string(&object)?;
            text.push('\n');
        }
        "shell" => {
            for (name, path) in rows {
                writeln!(text, "export RDD_{}={path:?}", name.to_ascii_uppercase())?;
            }
        }
        _ if key.is_some() => writeln!(text, "{}", rows[0].1)?,
        _ => {
            let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
            for (name, path) in rows {
                writeln!(text, "{name:<width$}  {path}")?;
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: Option<&str>, format: &str, expect: &str) {
        let table = [("config", Path::new("/h/c.yaml")), ("dir", Path::new(r"C:\d"))];
        let text = render(&table, key, format).unwrap_or_else(|error| error.to_string());
        assert_eq!(text, expect, "{key:?} {format}");
    }

    #[test]
    fn formats() {
        check(None, "table", "config  /h/c.yaml\ndir     C:\\d\n");
        check(Some("config"), "table", "/h/c.yaml\n");
        check(None, "json", "{\"config\":\"/h/c.yaml\",\"dir\":\"C:\\\\d\"}\n");
        check(Some("dir"), "json", "{\"dir\":\"C:\\\\d\"}\n");
        check(None, "shell", "export RDD_CONFIG=\"/h/c.yaml\"\nexport RDD_DIR=\"C:\\\\d\"\n");
        check(None, "xml", "unknown output format \"xml\"; valid formats: table, json, or shell");
        check(Some("x"), "json", "unknown key \"x\"; valid keys: config, dir");
    }
}
