//! From the text of a template to a configuration that a driver of this host can run.

use std::path::PathBuf;
use std::sync::Arc;

use rdd_host::logs::chain;
use rdd_machine::{Driver, MachineConfig, MachineName};
use rdd_machine_dir::{MachineDir, PathTooLong};
use rdd_template::HostFacts;

/// What is wrong with a template, in the words that the API shows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateProblem {
    /// The text is no template.
    #[error("failed to parse template: {0}")]
    Parse(String),
    /// Values are wrong, or impossible on this host; one line each.
    #[error("failed to validate template: {0}")]
    Invalid(String),
    /// The name leaves no room for socket paths.
    #[error(transparent)]
    TooLong(#[from] PathTooLong),
}

/// Reads templates for this host.
#[derive(Clone)]
pub struct Templates {
    lima_home: PathBuf,
    host: HostFacts,
    drivers: Arc<[Arc<dyn Driver>]>,
}

impl std::fmt::Debug for Templates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Templates").field("lima_home", &self.lima_home).finish_non_exhaustive()
    }
}

impl Templates {
    pub(crate) fn new(lima_home: PathBuf, host: HostFacts, drivers: &[Arc<dyn Driver>]) -> Self {
        Self { lima_home, host, drivers: drivers.into() }
    }

    /// Resolves a template for a machine, after checking it and asking the driver.
    ///
    /// Returns the configuration and what is odd but no error.
    pub fn resolve(&self, name: &MachineName, text: &str) -> Result<(MachineConfig, Vec<String>), TemplateProblem> {
        let dir = MachineDir::new(&self.lima_home, name);
        dir.check_length()?;
        let template = rdd_template::parse(text).map_err(|e| TemplateProblem::Parse(chain(&e)))?;
        let config = template.resolve(name, dir.path(), &self.host).map_err(|e| TemplateProblem::Invalid(chain(&e)))?;
        let Some(driver) = self.driver(&config.vm_type) else {
            let known: Vec<_> = self.drivers.iter().map(|d| d.vm_type()).collect();
            let text = format!("field `vmType` must be one of {known:?} on this host, got {:?}", config.vm_type);
            return Err(TemplateProblem::Invalid(text));
        };
        let problems: Vec<_> =
            driver.check(&config).into_iter().map(|p| format!("field `{}`: {}", p.field, p.message)).collect();
        if !problems.is_empty() {
            return Err(TemplateProblem::Invalid(problems.join("\n")));
        }
        let warnings = template.warnings().to_vec();
        Ok((config, warnings))
    }

    /// Returns the driver of a VM type.
    pub fn driver(&self, vm_type: &str) -> Option<Arc<dyn Driver>> {
        self.drivers.iter().find(|d| d.vm_type() == vm_type).cloned()
    }

    /// Returns the drivers that may hold a machine's VM, with what they need to find it. If the
    /// machine's own template cannot be read, that is every driver: a VM must be found even then.
    pub(crate) fn holders(&self, dir: &MachineDir) -> Vec<(Arc<dyn Driver>, MachineConfig)> {
        let known = dir.read_template().ok().and_then(|text| {
            let template = rdd_template::parse(&text).ok()?;
            let config = template.resolve(dir.name(), dir.path(), &self.host).ok()?;
            Some((self.driver(&config.vm_type)?, config))
        });
        match known {
            Some(holder) => vec![holder],
            None => {
                let mut drivers = self.drivers.to_vec();
                // A hint where to look first, and no more: the VM itself is found by its lock.
                drivers.sort_by_key(|d| !dir.driver_pid(d.vm_type()).exists());
                let holder = |d: Arc<dyn Driver>| {
                    let config = MachineConfig::new(dir.name().clone(), dir.path().to_owned(), d.vm_type());
                    (d, config)
                };
                drivers.into_iter().map(holder).collect()
            }
        }
    }
}
