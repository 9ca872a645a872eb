//! The commands, one file each. The list of all is [`Command`].

mod annotate;
mod api_resources;
mod api_versions;
mod apply;
mod auth;
mod config;
mod create;
mod delete;
mod describe;
mod edit;
mod events;
mod explain;
mod get;
mod label;
mod metadata_pairs;
mod patch;
mod replace;
mod version;
mod wait;
mod wait_condition;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;

/// Every command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Get(get::GetArgs),
    Describe(describe::DescribeArgs),
    Create(create::CreateArgs),
    Apply(apply::ApplyArgs),
    Replace(replace::ReplaceArgs),
    Patch(patch::PatchArgs),
    Edit(edit::EditArgs),
    Delete(delete::DeleteArgs),
    Annotate(annotate::AnnotateArgs),
    Label(label::LabelArgs),
    Wait(wait::WaitArgs),
    #[command(name = "wait-condition")]
    WaitCondition(wait_condition::WaitConditionArgs),
    Events(events::EventsArgs),
    Explain(explain::ExplainArgs),
    #[command(name = "api-resources")]
    ApiResources(api_resources::ApiResourcesArgs),
    #[command(name = "api-versions")]
    ApiVersions(api_versions::ApiVersionsArgs),
    Version(version::VersionArgs),
    Config(config::ConfigArgs),
    Auth(auth::AuthArgs),
}

impl Command {
    /// Runs the command.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Get(args) => get::run(context, &args).await,
            Self::Describe(args) => describe::run(context, &args).await,
            Self::Create(args) => create::run(context, &args).await,
            Self::Apply(args) => apply::run(context, &args).await,
            Self::Replace(args) => replace::run(context, &args).await,
            Self::Patch(args) => patch::run(context, &args).await,
            Self::Edit(args) => edit::run(context, &args).await,
            Self::Delete(args) => delete::run(context, &args).await,
            Self::Annotate(args) => annotate::run(context, &args).await,
            Self::Label(args) => label::run(context, &args).await,
            Self::Wait(args) => wait::run(context, &args).await,
            Self::WaitCondition(args) => wait_condition::run(context, &args).await,
            Self::Events(args) => events::run(context, &args).await,
            Self::Explain(args) => explain::run(context, &args).await,
            Self::ApiResources(args) => api_resources::run(context, &args).await,
            Self::ApiVersions(_) => api_versions::run(context).await,
            Self::Version(args) => version::run(context, &args).await,
            Self::Config(args) => config::run(context, &args),
            Self::Auth(args) => auth::run(context, &args).await,
        }
    }
}
