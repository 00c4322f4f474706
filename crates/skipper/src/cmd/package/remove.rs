use super::super::{Context, confirm};
use crate::{
    client::Call,
    complete,
    failure::{Done, Failure},
    render::tame,
};

/// Arguments of `package remove`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A package that a release serves is not removed. Rollbacks need no package: they use what is stored."
)]
pub(crate) struct Remove {
    /// Package: `name`, `repository/name` or `name@version`
    #[arg(value_name = "PACKAGE", required_unless_present = "package_name", add = complete::packages())]
    package: Option<String>,
    /// Version; required, because only one is removed at a time (with Spring's --package-name: all of them)
    #[arg(value_name = "VERSION", add = complete::package_versions())]
    version: Option<String>,
    /// The same by name: the package
    #[arg(long, value_name = "PACKAGE", hide = true, conflicts_with = "package", add = complete::packages())]
    package_name: Option<String>,
    /// Do not ask; without a terminal nobody is asked
    #[arg(long, short)]
    yes: bool,
}

/// Spring's `package delete` removes all there is of a package.
async fn every_version(context: &Context, name: &str, yes: bool) -> Done {
    if context.surroundings.stdin_is_terminal && context.surroundings.stderr_is_terminal && !context.out.guide {
        confirm::ask(context, &format!("Remove every version of {name}?"), yes)?;
    }
    context.client()?.tell(&Call::delete(&["api", "package", name])).await?;
    if context.out.json {
        return context.out.json(&serde_json::json!({"name": name}));
    }
    context.out.line(&format!("Deleted Package '{}'", tame(name)))
}

impl Remove {
    pub(super) async fn run(self, context: &Context) -> Done {
        let by_spring = self.package_name.is_some() || context.out.guide;
        let word = self.package.or(self.package_name).unwrap_or_default();
        let wanted = super::known(&word, self.version.as_deref())?;
        if by_spring && wanted.version.is_none() && wanted.repository.is_none() {
            return every_version(context, &wanted.name, self.yes).await;
        }
        if wanted.version.is_none() {
            return Err(Failure::usage("say which version is to be removed").hint(format!(
                "skipper package remove {word} VERSION; `skipper package list {} --all-versions` lists them",
                wanted.name
            )));
        }
        let client = context.client()?;
        let found = super::find(client, &wanted).await?;
        let what = format!("{}/{} {}", found.repository, found.name, found.version);
        if context.surroundings.stdin_is_terminal && context.surroundings.stderr_is_terminal && !context.out.guide {
            confirm::ask(context, &format!("Remove {what}?"), self.yes)?;
        }
        client.tell(&Call::delete(&["v1", "packages", &found.repository, &found.name, &found.version])).await?;
        if context.out.json {
            return context.out.json(&found);
        }
        context.out.line(&format!("removed {what}"))
    }
}
