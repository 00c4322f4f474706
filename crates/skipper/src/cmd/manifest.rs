use skipper_server::api::own::wire::RevisionDetail;

use super::{
    Context,
    release_arg::{self, ReleaseArg, Which},
};
use crate::{
    client::Call,
    complete,
    failure::{Done, Exit, Failure},
    guide,
    render::tame,
};

/// Arguments of `manifest`.
#[derive(Debug, clap::Args)]
pub(crate) struct Manifest {
    #[command(flatten)]
    of: Of,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// The same
    Get(Of),
}

/// Arguments of `get`.
#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// See `skipper manifest`
    Manifest(Of),
}

/// Which one.
#[derive(Debug, clap::Args)]
pub(crate) struct Of {
    #[command(flatten)]
    release: ReleaseArg,
    /// Revision [default: the one that serves, else the newest]
    #[arg(value_name = "REVISION", add = complete::revisions())]
    revision: Option<u64>,
    /// Version, as Spring's shell counts them: without scalings
    #[arg(long, value_name = "VERSION", hide = true, conflicts_with = "revision", value_parser = release_arg::version, allow_negative_numbers = true, add = complete::versions())]
    release_version: Option<u64>,
}

impl Manifest {
    pub(super) async fn run(self, context: &Context) -> Done {
        match self.verb {
            Some(Verb::Get(of)) => of.print(context).await,
            None => self.of.print(context).await,
        }
    }
}

impl Get {
    pub(super) async fn run(self, context: &Context) -> Done {
        let What::Manifest(of) = self.what;
        of.print(context).await
    }
}

impl Of {
    async fn print(self, context: &Context) -> Done {
        self.found(context).await.map_err(|failure| {
            let told = failure.message.starts_with("Release with name");
            if !context.out.guide || failure.exit != Exit::NotFound || told {
                return failure;
            }
            Failure { message: format!("Release with name '{}' not found", tame(self.release.name())), ..failure }
        })
    }

    async fn found(&self, context: &Context) -> Done {
        let client = context.client()?;
        let name = self.release.name();
        if context.out.guide && !context.out.json {
            let version = self.revision.or(self.release_version).filter(|version| *version != 0);
            return print(context, &guide::manifest(context, name, version).await?);
        }
        let number = match Which::of(context, self.revision, self.release_version).segment() {
            Some(number) => number,
            None => super::status::newest(client, name).await?.to_string(),
        };
        if context.out.json {
            let detail: RevisionDetail =
                client.ask(&Call::get(&["v1", "releases", name, "revisions", &number])).await?;
            return context.out.json(&detail);
        }
        let call = Call::get(&["v1", "releases", name, "revisions", &number, "manifest"]);
        print(context, &client.ask_text(&call).await?)
    }
}

fn print(context: &Context, manifest: &str) -> Done {
    context.out.text(manifest)?;
    if manifest.ends_with('\n') { Ok(()) } else { context.out.text("\n") }
}
