//! Go templates inside a template's texts.

use std::collections::BTreeMap;
use std::path::Path;

use gotmpl::{Template, Value};
use rdd_machine::{MachineName, config::GuestUser};

use crate::document::Document;
use crate::host::HostFacts;

/// The variables of one side.
pub(crate) struct Variables(Value);

impl Variables {
    /// Returns what templates about the guest may use.
    pub(crate) fn guest(name: &MachineName, user: &GuestUser, param: &BTreeMap<String, String>) -> Self {
        Self::new(
            [
                ("Name", name.as_str().to_owned()),
                ("Hostname", name.hostname()),
                ("UID", user.uid.to_string()),
                ("User", user.name.clone()),
                ("Home", user.home.clone()),
            ],
            param,
        )
    }

    /// Returns what templates about the host may use.
    pub(crate) fn host(name: &MachineName, dir: &Path, host: &HostFacts, param: &BTreeMap<String, String>) -> Self {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let variables = [
            ("Name", name.as_str().to_owned()),
            ("Dir", text(dir)),
            ("UID", host.uid.to_string()),
            ("User", host.user.clone()),
            ("Home", text(&host.home)),
            ("GlobalTempDir", text(&host.global_temp_dir)),
            ("TempDir", text(&host.temp_dir)),
            ("Instance", name.as_str().to_owned()),
            ("LimaHome", dir.parent().map(text).unwrap_or_default()),
        ];
        Self::new(variables, param)
    }

    fn new<const N: usize>(variables: [(&str, String); N], param: &BTreeMap<String, String>) -> Self {
        let mut map: BTreeMap<String, Value> =
            variables.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
        let param: BTreeMap<String, Value> =
            param.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
        map.insert("Param".into(), Value::from(param));
        Self(Value::from(map))
    }

    /// Renders a text. One that cannot be rendered stays as it is, as in Lima.
    pub(crate) fn render(&self, text: &str) -> String {
        if !text.contains("{{") {
            return text.to_owned();
        }
        match Template::new("field").parse(text).and_then(|template| template.execute_to_string(&self.0)) {
            Ok(rendered) => rendered,
            Err(error) => {
                tracing::warn!(%error, text, "a template could not be rendered and is used as it is");
                text.to_owned()
            }
        }
    }
}

/// Returns a warning for every text whose template syntax is wrong.
pub(crate) fn syntax_warnings(document: &Document) -> Vec<String> {
    let mut texts: Vec<(String, &Option<String>)> = vec![("user.home".into(), &document.user.home)];
    for (i, p) in document.provision.iter().enumerate() {
        let fields = [
            ("script", &p.script),
            ("content", &p.content),
            ("expression", &p.expression),
            ("owner", &p.owner),
            ("path", &p.path),
            ("permissions", &p.permissions),
        ];
        texts.extend(fields.map(|(field, text)| (format!("provision[{i}].{field}"), text)));
    }
    for (i, probe) in document.probes.iter().enumerate() {
        texts.push((format!("probes[{i}].script"), &probe.script));
    }
    for (i, mount) in document.mounts.iter().enumerate() {
        texts.push((format!("mounts[{i}].location"), &mount.location));
        texts.push((format!("mounts[{i}].mountPoint"), &mount.mount_point));
    }
    for (i, rule) in document.port_forwards.iter().enumerate() {
        texts.push((format!("portForwards[{i}].guestSocket"), &rule.guest_socket));
        texts.push((format!("portForwards[{i}].hostSocket"), &rule.host_socket));
    }
    let warning = |(field, text): (String, &Option<String>)| {
        let error = Template::new("field").parse(text.as_deref()?).err()?;
        Some(format!("field `{field}` is no template that can be read, and is used as it is: {error}"))
    };
    texts.into_iter().filter_map(warning).collect()
}
