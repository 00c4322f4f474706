//! From a package and values to manifest and spec, within the request.

use std::collections::BTreeMap;

use serde_json::Value;
use skipper_core::{
    name::{PlatformName, ReleaseName},
    spec::Spec,
};
use skipper_source::{Finding, Package, RenderOptions, Rendered, UserValues, classic::Counted};

use super::packages::Chosen;
use crate::{
    app::App,
    error::{Code, Error, package_faults},
};

/// Renders for a release's coming revision. `raw` is the text that the values came as, if they did.
pub(super) async fn render(
    app: &App,
    package: &Chosen,
    values: &Value,
    raw: Option<&str>,
    release: &ReleaseName,
    revision: u64,
    platform: Option<&PlatformName>,
) -> Result<Rendered, Error> {
    let platform = platform.unwrap_or(&app.default_platform).clone();
    let (bytes, values, raw) = (package.bytes.clone(), values.clone(), raw.map(str::to_owned));
    let options = RenderOptions { release: release.clone(), revision, platform };
    let label = package.label();
    let called = (package.entry.name.clone(), package.entry.version.clone());
    // A package may hold thousands of files, and templates that take a while.
    let rendering = tokio::task::spawn_blocking(move || {
        let package = Package::from_zip(&bytes)
            .map_err(|wrong| Error::new(Code::PackageInvalid, format!("package {label} cannot be read: {wrong}")))?;
        let values = UserValues { tree: &values, raw: raw.as_deref() };
        let mut rendered = package.render(values, &options, None).map_err(|faults| {
            package_faults(Code::RenderFailed, &format!("package {label} cannot be rendered"), &faults)
                .hint("`skipper package render PATH` shows the same without a server")
        })?;
        let inside = (&rendered.metadata.name, &rendered.metadata.version);
        if inside != (&called.0, &called.1) {
            let message =
                format!("package {label} calls itself {}-{} inside; its repository is believed", inside.0, inside.1);
            rendered.warnings.push(Finding::warning("package-version", message));
        }
        Ok(rendered)
    });
    rendering.await.map_err(Error::internal)?
}

/// Values that came as YAML text; `None` where it says nothing. What only packages of the field can be given (their YAML has
/// other types) is read as they would.
///
/// # Errors
///
/// It cannot be read, or is no map.
pub fn raw_values(raw: Option<&str>) -> Result<Option<Value>, Error> {
    let Some(raw) = raw.filter(|raw| !raw.trim().is_empty()) else { return Ok(None) };
    match skipper_source::values::parse_file("values", raw) {
        Ok(values) => Ok(Some(values)),
        // Adding nothing to it tells what is wrong with it there.
        Err(faults) => match skipper_source::classic::added_values(raw, "") {
            Ok(_) => Ok(Some(skipper_source::classic::values_tree(raw))),
            // Where it is no map both say so, and clients know that sentence.
            Err(theirs) if theirs.to_string().contains("override values") => {
                Err(package_faults(Code::Invalid, "the values cannot be read", &theirs))
            }
            Err(_) => Err(package_faults(Code::Invalid, "the values cannot be read", &faults)),
        },
    }
}

/// A user's values with the numbers of instances that run now, where a package of the field has a place for them; `given` is
/// what of them came with the request.
pub(super) async fn counted(
    package: &Chosen,
    (values, raw): (&Value, Option<&str>),
    given: (Option<Value>, Option<String>),
    running: &Spec,
) -> Result<Counted, Error> {
    let classic = running.applications.iter().filter(|app| app.deployer.is_some());
    let running: BTreeMap<String, u32> = classic.map(|app| (app.name.to_string(), app.replicas)).collect();
    if running.is_empty() {
        return Ok(Counted::default());
    }
    let (bytes, values, raw) = (package.bytes.clone(), values.clone(), raw.map(str::to_owned));
    let counting = tokio::task::spawn_blocking(move || {
        // What is wrong with it is told when it is rendered.
        let package = Package::from_zip(&bytes).ok()?;
        let renderer = package.renderer();
        let Package::Classic(classic) = package else { return None };
        let (tree, text) = (given.0.unwrap_or_default(), given.1);
        let given = UserValues { tree: &tree, raw: text.as_deref() };
        let user = UserValues { tree: &values, raw: raw.as_deref() };
        skipper_source::classic::counted_values(&classic, user, given, &running, renderer).ok()
    });
    Ok(counting.await.map_err(Error::internal)?.unwrap_or_default())
}

/// Values must be an object.
pub(super) fn checked_values(values: Option<Value>) -> Result<Option<Value>, Error> {
    match values {
        None | Some(Value::Null) => Ok(None),
        Some(values @ Value::Object(_)) => Ok(Some(values)),
        Some(_) => Err(Error::new(Code::Invalid, "`values` must be an object")),
    }
}
