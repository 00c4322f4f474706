use std::path::PathBuf;

use clap::{
    ValueHint,
    builder::{PossibleValuesParser, TypedValueParser},
};
use serde_json::{Value, json};
use skipper_core::name::{PlatformName, ReleaseName};
use skipper_source::{RenderOptions, Renderer, UserValues};

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
    /// Render it that way [default: as its apiVersion asks for]
    #[arg(long, value_name = "RENDERER", value_parser = renderer())]
    renderer: Option<Renderer>,
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

/// The names, for help and completion.
fn renderer() -> impl TypedValueParser<Value = Renderer> {
    PossibleValuesParser::new(Renderer::ALL.map(Renderer::as_str)).try_map(|name| name.parse::<Renderer>())
}

impl Render {
    pub(super) fn run(self, context: &Context) -> Done {
        let package = local::read(context, &self.path, self.renderer)?.package;
        let given = self.values.read(context)?;
        let (tree, raw) = given.map_or((Value::Null, None), |given| (given.values, given.text));
        let release = match self.release_name {
            Some(release) => release,
            None => {
                let metadata = package.metadata().map_err(|faults| local::faulty(&self.path, &faults))?;
                ReleaseName::new(metadata.name.as_str()).unwrap_or_else(|_| placeholder())
            }
        };
        let options = RenderOptions { release, revision: self.revision, platform: self.platform };
        let values = UserValues { tree: &tree, raw: raw.as_deref() };
        let faulty = |faults| local::faulty(&self.path, &faults);
        if context.out.json {
            let rendered = package.render(values, &options, self.renderer).map_err(faulty)?;
            local::warnings(context, &rendered.warnings);
            return context.out.json(&json!({
                "package": rendered.metadata.name,
                "version": rendered.metadata.version,
                "values": rendered.values,
                "manifest": rendered.manifest,
                "spec": rendered.spec,
            }));
        }
        let (manifest, warnings) = package.manifest(values, &options, self.renderer).map_err(faulty)?;
        local::warnings(context, &warnings);
        context.out.text(&manifest)
    }
}

/// Package names are release names; this is for the day they are not.
fn placeholder() -> ReleaseName {
    ReleaseName::new("release").expect("a plain word is a name")
}
