use std::time::Duration;

use skipper_server::api::own::wire::{Accepted, PlanRequest, UpgradeRequest};

use super::{
    Context,
    expression::{self, millis},
    follow::WaitArgs,
    package_arg, plan,
    release_arg::ReleaseArg,
    values::{Given, ValuesArgs},
};
use crate::{
    client::Call,
    complete,
    failure::{Done, Failure},
};

/// Arguments of `upgrade`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  skipper upgrade hello helloworld --package-version 1.0.1
  skipper upgrade hello --set greeting=Hi --reuse-values
  skipper upgrade shop ./shop --wait --timeout 5m
Without values those of the serving revision are kept; with values they are forgotten, unless --reuse-values says to put
the new ones over them. The old revision serves until the new one is healthy, and again if that one fails. A release that
was deleted is installed.")]
pub(crate) struct Upgrade {
    #[command(flatten)]
    release: ReleaseArg,
    /// Package: a name, `repository/name`, `name@version`, or a path [default: the one that serves]
    #[arg(value_name = "PACKAGE", add = complete::packages(), value_hint = clap::ValueHint::AnyPath)]
    package: Option<String>,
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
    /// Put the values given here over those of the serving revision
    #[arg(long, visible_alias = "reuse-properties", help_heading = "Values", conflicts_with = "reset_values")]
    reuse_values: bool,
    /// Forget the values of the serving revision
    #[arg(long, help_heading = "Values")]
    reset_values: bool,
    /// Roll out even if nothing differs; with Spring's options, and in the shell, all applications are launched anew
    #[arg(long)]
    force: bool,
    /// With --force: launch these applications anew, and no others that did not change
    #[arg(long, value_name = "APP,…", value_delimiter = ',', add = complete::apps())]
    app_names: Vec<String>,
    /// Undo the upgrade if it is not healthy in that time, as PT5M, 5m or 300000
    #[arg(long, value_name = "DURATION", value_parser = expression::parse, allow_hyphen_values = true)]
    timeout_expression: Option<Duration>,
    /// Where applications run that name no platform [default: as before]
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
    /// Whether it is `release upgrade`, which adds values as the server of 2.x does.
    #[arg(skip)]
    is_second: bool,
}

impl Upgrade {
    /// As `release upgrade`.
    pub(super) const fn of_second(mut self) -> Self {
        self.is_second = true;
        self
    }

    pub(super) async fn run(self, context: &Context) -> Done {
        if !self.app_names.is_empty() && !self.force {
            return Err(Failure::usage("App names can be used only when the stream update is forced.")
                .hint("add --force to launch these applications anew"));
        }
        if self.dry_run {
            return self.plan(context).await;
        }
        let request = self.request(context).await?;
        let call = Call::post(&["v1", "releases", self.release.name(), "upgrade"]).json(&request);
        let accepted: Accepted = context.client()?.ask(&call).await?;
        self.wait.by_default(self.release.is_spring()).settle(context, "upgrade", accepted).await
    }

    pub(super) async fn plan(self, context: &Context) -> Done {
        let values = self.values.read(context)?.map(|given| given.values);
        let given = values.is_some();
        let (version, repository) = (self.package_version.as_deref(), self.repository.as_deref());
        let (package, archive) = match self.word()? {
            Some(word) => package_arg::for_plan(context, word, version, repository)?,
            None => (None, None),
        };
        let request = PlanRequest {
            verb: "upgrade".into(),
            name: self.release.name().into(),
            package,
            archive,
            values,
            reuse_values: self.reuse_values,
            reset_values: self.reset_values || self.forgets(given),
            additive: self.adds(context, given),
            force: self.force,
            apps: self.app_names.clone(),
            relaunch: self.relaunches(context),
            platform: self.platform.clone(),
            ..PlanRequest::default()
        };
        plan::show(context, &request).await
    }

    /// Spring's upgrade begins with nothing but what it is given.
    const fn forgets(&self, given: bool) -> bool {
        self.release.is_spring() && !given && !self.reuse_values
    }

    /// That of 2.x puts it over what was given before: in the shell, and for who writes as Spring's people do.
    const fn adds(&self, context: &Context, given: bool) -> bool {
        self.is_second
            && (self.release.is_spring() || context.out.guide)
            && given
            && !self.reuse_values
            && !self.reset_values
    }

    /// Where Spring's people force an upgrade, all its applications are launched anew.
    const fn relaunches(&self, context: &Context) -> bool {
        self.force && self.app_names.is_empty() && (self.release.is_spring() || context.out.guide)
    }

    fn word(&self) -> Result<Option<&str>, Failure> {
        let word = self.package.as_deref().or(self.package_name.as_deref());
        if word.is_none() && (self.package_version.is_some() || self.repository.is_some()) {
            return Err(Failure::usage("--package-version and --repository need a PACKAGE to be about")
                .hint(format!("skipper upgrade {} PACKAGE --package-version …", self.release.name())));
        }
        Ok(word)
    }

    async fn request(&self, context: &Context) -> Result<UpgradeRequest, Failure> {
        let (values, values_text) = self.values.read(context)?.map_or((None, None), Given::into_parts);
        let (version, repository) = (self.package_version.as_deref(), self.repository.as_deref());
        let package = match self.word()? {
            Some(word) => Some(package_arg::resolve(context, word, version, repository).await?),
            None => None,
        };
        let given = values.is_some() || values_text.is_some();
        Ok(UpgradeRequest {
            package,
            values,
            values_text,
            reuse_values: self.reuse_values,
            reset_values: self.reset_values || self.forgets(given),
            additive: self.adds(context, given),
            force: self.force,
            apps: self.app_names.clone(),
            relaunch: self.relaunches(context),
            timeout_ms: self.timeout_expression.map(millis),
            platform: self.platform.clone(),
            description: self.description.clone(),
            require_plan: self.require_plan.clone(),
        })
    }
}
