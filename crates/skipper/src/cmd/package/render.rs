use std::path::PathBuf;

use clap::ValueHint;
use serde_json::{Value, json};
use skipper_core::name::{PlatformName, ReleaseName};
use skipper_source::RenderOptions;

use super::super::{Context, local, values::ValuesArgs};
use crate::failure::Done;

/// Arguments of `package render`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Needs no server. The manifest alone goes to standard output, warnings to standard error.
With --json: the typed form, as the engine would run it.")]
pub(crate) struct Render {
    /// Folder or zip
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    path: PathBuf,
    #[command(flatten)]
    values: ValuesArgs,
    /// Name of the release in templates [default: the package's]
    #[arg(long, value_name = "NAME")]
    release_name: Option<ReleaseName>,
    /// Number of the revision in templates
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    revision: u64,
    /// Where applications run that name no platform
    #[arg(long, value_name = "PLATFORM", visible_alias = "platform-name", default_value = "local")]
    platform: PlatformName,
}

impl Render {
    pub(super) fn run(self, context: &Context) -> Done {
        let archive = local::read(context, &self.path)?;
        let values = self.values.read(context)?.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        let release = match self.release_name {
            Some(release) => release,
            None => {
                let metadata =
                    skipper_source::metadata(&archive).map_err(|faults| local::faulty(&self.path, &faults))?;
                ReleaseName::new(metadata.name.as_str()).unwrap_or_else(|_| placeholder())
            }
        };
        let options = RenderOptions { release, revision: self.revision, platform: self.platform };
        let rendered =
            skipper_source::render(&archive, &values, &options).map_err(|faults| local::faulty(&self.path, &faults))?;
        local::warnings(context, &rendered.warnings);
        if context.out.json {
            return context.out.json(&json!({
                "package": rendered.metadata.name,
                "version": rendered.metadata.version.to_string(),
                "values": rendered.values,
                "manifest": rendered.manifest,
                "spec": rendered.spec,
            }));
        }
        context.out.text(&rendered.manifest)
    }
}

/// Package names are release names; this is for the day they are not.
fn placeholder() -> ReleaseName {
    ReleaseName::new("release").expect("a plain word is a name")
}
