use skipper_server::api::own::wire::{Accepted, InstallRequest, PlanRequest};

use super::{
    Context,
    follow::WaitArgs,
    package_arg, plan,
    values::{Given, ValuesArgs},
};
use crate::{
    client::Call,
    complete,
    failure::{Done, Failure},
};

/// Arguments of `install`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  skipper install hello helloworld
  skipper install hello helloworld --package-version 1.0.0 --set greeting=Hi --wait
  skipper install shop ./shop --file prod.yml --dry-run
A path is a package on this machine: it is zipped and uploaded to the local repository first, and stays there.")]
pub(crate) struct Install {
    /// What the release is to be called
    #[arg(value_name = "NAME", required_unless_present = "release_name")]
    name: Option<String>,
    /// Package: a name, `repository/name`, `name@version`, or the path of a folder or zip
    #[arg(value_name = "PACKAGE", required_unless_present = "package_name", add = complete::packages(), value_hint = clap::ValueHint::AnyPath)]
    package: Option<String>,
    /// The same by name: what the release is to be called
    #[arg(long, value_name = "NAME", hide = true, conflicts_with = "name")]
    release_name: Option<String>,
    /// The same by name: the package
    #[arg(long, value_name = "PACKAGE", hide = true, conflicts_with = "package", add = complete::packages())]
    package_name: Option<String>,
    /// Version of the package [default: the newest]
    #[arg(long, value_name = "VERSION", visible_alias = "version", add = complete::package_versions())]
    package_version: Option<String>,
    /// Repository of the package [default: the first that has it]
    #[arg(long, value_name = "REPOSITORY", add = complete::repositories())]
    repository: Option<String>,
    #[command(flatten)]
    values: ValuesArgs,
    /// Where applications run that name no platform [default: the server's choice]
    #[arg(long, value_name = "PLATFORM", visible_alias = "platform-name", add = complete::platforms())]
    platform: Option<String>,
    /// Free text for the history
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Only if the plan still has this hash
    #[arg(long, value_name = "HASH", conflicts_with = "dry_run")]
    require_plan: Option<String>,
    /// Show the plan and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Install {
    pub(super) async fn run(self, context: &Context) -> Done {
        if self.dry_run {
            return self.plan(context).await;
        }
        let request = self.request(context).await?;
        let asked = context.client()?.ask(&Call::post(&["v1", "releases"]).json(&request)).await;
        let accepted: Accepted = asked.map_err(|failure| package_arg::or_folder(context, self.word(), failure))?;
        self.wait.by_default(self.release_name.is_some()).settle(context, "install", accepted).await
    }

    pub(super) async fn plan(self, context: &Context) -> Done {
        let (version, repository) = (self.package_version.as_deref(), self.repository.as_deref());
        let values = self.values.read(context)?.map(|given| given.values);
        let (package, archive) = package_arg::for_plan(context, self.word(), version, repository)?;
        let request = PlanRequest {
            verb: "install".into(),
            name: self.release(),
            package,
            archive,
            values,
            platform: self.platform.clone(),
            ..PlanRequest::default()
        };
        plan::show(context, &request).await.map_err(|failure| package_arg::or_folder(context, self.word(), failure))
    }

    fn release(&self) -> String {
        self.name.clone().or_else(|| self.release_name.clone()).unwrap_or_default()
    }

    fn word(&self) -> &str {
        self.package.as_deref().or(self.package_name.as_deref()).unwrap_or_default()
    }

    async fn request(&self, context: &Context) -> Result<InstallRequest, Failure> {
        let (values, values_text) = self.values.read(context)?.map_or((None, None), Given::into_parts);
        let package =
            package_arg::resolve(context, self.word(), self.package_version.as_deref(), self.repository.as_deref())
                .await?;
        Ok(InstallRequest {
            name: self.release(),
            package,
            values,
            values_text,
            platform: self.platform.clone(),
            description: self.description.clone(),
            require_plan: self.require_plan.clone(),
        })
    }
}
