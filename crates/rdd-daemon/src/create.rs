//! `svc create`: an instance exists from now on.

use rdd_host::instance::Instance;

use crate::settings::{self, CheckArguments, SettingsError};

/// What to save.
#[derive(Clone, Debug)]
pub struct CreateOptions {
    /// Which controllers to run.
    pub controllers: String,
    /// The API's preferred port, if not the usual one.
    pub secure_port: Option<u16>,
    /// The service's verbosity.
    pub verbosity: u8,
    /// Other arguments for the service.
    pub arguments: Vec<String>,
}

/// Why an instance was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The service would refuse them at every start.
    #[error("failed to create {name:?} control plane: its service refuses the arguments: {reason}")]
    Arguments {
        /// The instance.
        name: String,
        /// What the service says.
        reason: String,
    },
    /// Its settings could not be looked at or saved.
    #[error("failed to create {name:?} control plane")]
    Settings {
        /// The instance.
        name: String,
        /// The cause.
        #[source]
        source: SettingsError,
    },
}

/// Creates the instance, unless it exists.
pub fn create(instance: &Instance, options: &CreateOptions, check: CheckArguments) -> Result<(), CreateError> {
    let name = instance.name();
    if exists(instance)? {
        tracing::info!("{name:?} control plane already exists");
        return Ok(());
    }
    let mut args = settings::default_args(instance, &options.arguments);
    args.extend(["--controllers".to_owned(), options.controllers.clone()]);
    // The service takes the last of several, so this one beats the default above.
    if let Some(port) = options.secure_port {
        args.extend(["--secure-port".to_owned(), port.to_string()]);
    }
    args.extend(["-v".to_owned(), options.verbosity.to_string()]);
    save(instance, &args, check)
}

/// Creates the instance with nothing but defaults, unless it exists.
pub(crate) fn create_default(
    instance: &Instance,
    arguments: &[String],
    check: CheckArguments,
) -> Result<(), CreateError> {
    if exists(instance)? {
        return Ok(());
    }
    save(instance, &settings::default_args(instance, arguments), check)
}

fn exists(instance: &Instance) -> Result<bool, CreateError> {
    settings::exists(instance).map_err(|source| CreateError::Settings { name: instance.name().to_owned(), source })
}

fn save(instance: &Instance, args: &[String], check: CheckArguments) -> Result<(), CreateError> {
    let name = instance.name();
    check(args).map_err(|reason| CreateError::Arguments { name: name.to_owned(), reason })?;
    settings::write(instance, args).map_err(|source| CreateError::Settings { name: name.to_owned(), source })?;
    tracing::info!("successfully created {name:?} control plane");
    Ok(())
}
