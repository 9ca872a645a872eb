//! Bringing a machine into being: its directory, then its disks.
//!
//! The directory carries `.preparing` from its birth until the caller has told the world that the
//! machine exists ([`Machine::finish_creation`](crate::Machine::finish_creation)). A directory with
//! that mark is never complete, whatever else is in it.

use std::sync::Arc;

use rdd_host::logs::chain;
use rdd_machine_dir::{CreateError, RemoveError, Standing, create_whole, discard};
use tokio::time::Instant;

use crate::actor::{Actor, LookError};
use crate::images::PrepareError;
use crate::seen::Phase;
use crate::template::TemplateProblem;

/// Why a machine could not be created.
#[derive(Debug, thiserror::Error)]
enum ExistError {
    #[error(transparent)]
    Template(#[from] TemplateProblem),
    #[error(transparent)]
    Create(#[from] CreateError),
    #[error("cannot remove what is left of an earlier attempt")]
    Leftover(#[source] RemoveError),
    #[error(transparent)]
    Look(#[from] LookError),
    #[error("cannot write the template of a machine that has lost it")]
    Heal(#[source] std::io::Error),
    #[error("a machine of that name still runs")]
    Runs,
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error("the work was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl Actor {
    /// Makes the machine and keeps it made until the orders change.
    pub(crate) async fn exist(&mut self, template: Arc<str>) {
        let mut interrupted = std::pin::pin!(self.interrupted());
        loop {
            if let Some((until, error)) = self.crashes.wait(Instant::now()) {
                self.seen.publish(Phase::CreateFailed { error });
                tokio::select! {
                    // Another template, or somebody who put right what was missing: try at once.
                    () = &mut interrupted => return self.crashes.encourage(),
                    () = tokio::time::sleep_until(until) => {}
                }
            }
            let made = tokio::select! {
                () = &mut interrupted => return,
                made = self.create(&template) => made,
            };
            match made {
                Ok(()) => {
                    self.crashes.forget();
                    self.seen.publish(Phase::Created { template });
                    return interrupted.await;
                }
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(machine = %self.dir.name(), error, "create failed");
                    self.crashes.failed(error, None, Instant::now(), &self.config.timing);
                }
            }
        }
    }

    async fn create(&self, template: &Arc<str>) -> Result<(), ExistError> {
        self.seen.publish(Phase::Creating { progress: None });
        let (config, warnings) = self.templates.resolve(self.dir.name(), template)?;
        for warning in warnings {
            tracing::warn!(machine = %self.dir.name(), warning, "template");
        }
        // What an abandoned attempt was still doing is done and can be seen.
        self.on_disk(|| ()).await?;
        if let Some(found) = self.look()? {
            // Complete, whether it runs or not: to start, to stop or to change it is for other orders.
            if found.template.is_some() && !found.preparing {
                return Ok(());
            }
            if found.standing != Standing::Stopped {
                return Err(ExistError::Runs);
            }
            if found.has_disk && !found.preparing {
                // Somebody lost the template of a machine that was complete; its disk is worth more.
                tracing::warn!(machine = %self.dir.name(), "the machine has a disk and no template, which is written anew");
                self.dir.write_template(template).map_err(ExistError::Heal)?;
            } else if found.template.as_deref() != Some(template) {
                self.discard().await?;
            }
        }
        if self.look()?.is_none() {
            let (home, name, text) = (self.config.lima_home.clone(), self.dir.name().clone(), Arc::clone(template));
            self.on_disk(move || create_whole(&home, &name, &text)).await??;
        }
        let seen = &self.seen;
        let progress = |text| seen.publish(Phase::Creating { progress: Some(text) });
        if let Err(error) = self.config.images.prepare(&config, &self.dir, &progress).await {
            // What was downloaded is in the cache; what was never complete is not worth keeping.
            if self.look()?.is_some_and(|found| found.preparing) {
                self.discard().await?;
            }
            return Err(error.into());
        }
        Ok(())
    }

    async fn discard(&self) -> Result<(), ExistError> {
        let dir = self.dir.clone();
        self.on_disk(move || discard(&dir)).await?.map_err(ExistError::Leftover)
    }
}
