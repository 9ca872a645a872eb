//! Provisioning steps and probes.

use rdd_machine::config::{Probe, Provision, ProvisionMode};

use crate::document::{self, Document};
use crate::problem::Problems;
use crate::render::Variables;

/// Checks, renders and fills in the provisioning steps.
pub(crate) fn steps(d: &Document, guest: &Variables, problems: &mut Problems) -> Vec<Provision> {
    d.provision.iter().enumerate().filter_map(|(i, p)| step(&format!("provision[{i}]"), p, guest, problems)).collect()
}

fn step(at: &str, p: &document::Provision, guest: &Variables, problems: &mut Problems) -> Option<Provision> {
    let field = |name: &str| format!("{at}.{name}");
    if p.has_file {
        problems.hint(field("file"), "must be empty", "put the text into `script`, `content` or `expression`");
    }
    let mode = match p.mode.as_deref().unwrap_or("system") {
        "system" | "" => ProvisionMode::System,
        "user" => ProvisionMode::User,
        "boot" => ProvisionMode::Boot,
        "dependency" => ProvisionMode::Dependency,
        "data" => ProvisionMode::Data,
        "yq" => ProvisionMode::Yq,
        // Deprecated; Lima's CLI runs it on the host, which is none of our business.
        "ansible" => return None,
        other => {
            let modes = "system, user, boot, data, dependency, yq";
            problems.add(field("mode"), format!("must be one of {modes}, got {other:?}"));
            return None;
        }
    };
    let writes_file = matches!(mode, ProvisionMode::Data | ProvisionMode::Yq);
    let render = |text: &Option<String>| text.as_deref().map(|text| guest.render(text));
    let (path, permissions) = (render(&p.path).unwrap_or_default(), render(&p.permissions).unwrap_or_default());
    let text = match mode {
        ProvisionMode::Data => &p.content,
        ProvisionMode::Yq => &p.expression,
        _ => &p.script,
    };
    if writes_file {
        if path.is_empty() {
            problems.add(field("path"), "must not be empty");
        } else if !path.starts_with('/') {
            problems.add(field("path"), format!("must be an absolute path, got {path:?}"));
        }
        if !permissions.is_empty() && u32::from_str_radix(&permissions, 8).is_err() {
            problems.add(field("permissions"), format!("must be an octal number, got {permissions:?}"));
        }
        if mode == ProvisionMode::Yq && p.expression.as_deref().unwrap_or_default().is_empty() {
            problems.add(field("expression"), "must not be empty");
        }
    } else {
        if p.script.as_deref().unwrap_or_default().trim().is_empty() && !p.has_file {
            problems.add(field("script"), "must not be empty");
        }
        let mode = p.mode.as_deref().unwrap_or("system");
        let set = [
            ("content", p.content.is_some()),
            ("overwrite", p.overwrite.is_some()),
            ("owner", p.owner.is_some()),
            ("path", p.path.is_some()),
            ("permissions", p.permissions.is_some()),
            ("format", p.format.is_some()),
        ];
        for (name, _) in set.into_iter().filter(|(_, set)| *set) {
            problems.add(field(name), format!("can only be set when mode is \"data\" or \"yq\", got {mode:?}"));
        }
    }
    if p.skip_default_dependency_resolution.is_some() && mode != ProvisionMode::Dependency {
        problems.add(field("skipDefaultDependencyResolution"), "can only be set when mode is \"dependency\"");
    }
    let or = |text: String, default: &str| if text.is_empty() && writes_file { default.to_owned() } else { text };
    Some(Provision {
        mode,
        text: render(text).unwrap_or_default(),
        path,
        owner: or(render(&p.owner).unwrap_or_default(), "root:root"),
        permissions: or(permissions, "644"),
        overwrite: p.overwrite.unwrap_or(true),
        format: or(p.format.as_deref().map(|text| guest.render(text)).unwrap_or_default(), "auto"),
        skip_default_dependency_resolution: p.skip_default_dependency_resolution.unwrap_or(false),
    })
}

/// Checks, renders and fills in the probes.
pub(crate) fn probes(d: &Document, guest: &Variables, problems: &mut Problems) -> Vec<Probe> {
    let count = d.probes.len();
    let mut probes = Vec::with_capacity(count);
    for (i, p) in d.probes.iter().enumerate() {
        let script = guest.render(p.script.as_deref().unwrap_or_default());
        if p.has_file {
            problems.hint(format!("probes[{i}].file"), "must be empty", "put the text into `script`");
        } else if !script.starts_with("#!") {
            problems.add(format!("probes[{i}].script"), "must start with a '#!' line");
        }
        if let Some(mode) = p.mode.as_deref().filter(|mode| !mode.is_empty() && *mode != "readiness") {
            problems.add(format!("probes[{i}].mode"), format!("must be \"readiness\", got {mode:?}"));
        }
        probes.push(Probe {
            description: p.description.clone().unwrap_or_else(|| format!("user probe {}/{count}", i + 1)),
            script,
            hint: p.hint.clone().unwrap_or_default(),
        });
    }
    probes
}
