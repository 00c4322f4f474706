use super::{
    Table, print,
    wire::{AppStatus, Info, Page, Release},
};
use crate::{
    client::Call,
    cmd::Context,
    failure::{Done, Exit, Failure},
    render::tame,
};

/// Releases that are deployed or failed, a line for each version.
pub(crate) async fn list(context: &Context, name: Option<&str>) -> Done {
    let mut path = vec!["api", "list"];
    path.extend(name.filter(|name| !name.is_empty()));
    let releases: Vec<Release> = context.client()?.ask(&Call::get(&path)).await?;
    let mut table = Table::new([
        "Name",
        "Version",
        "Last updated",
        "Status",
        "Package Name",
        "Package Version",
        "Platform Name",
        "Platform Status",
    ]);
    for release in releases {
        table.row([
            release.name,
            release.version.to_string(),
            release.info.last_deployed(),
            release.info.status.status_code.clone(),
            release.pkg.metadata.name.unwrap_or_default(),
            release.pkg.metadata.version.unwrap_or_default(),
            release.platform_name.unwrap_or_default(),
            lines(&release.info.status.apps()),
        ]);
    }
    print(context, &[table])
}

/// The versions of a release, the newest first, in the words of 1.0.
pub(crate) async fn history(context: &Context, name: &str, most: u32) -> Done {
    let releases: Vec<Release> =
        context.client()?.ask(&Call::get(&["api", "history", name, &most.to_string()])).await?;
    versions(context, releases)
}

/// The same in the words of 2.x, which tells a rollback from an upgrade.
pub(crate) async fn history_of_second(context: &Context, name: &str, most: u32) -> Done {
    let call = Call::get(&["api", "releases", "search", "findByNameOrderByVersionDesc"])
        .query("name", name)
        .header("accept", "application/json, application/*+json".to_owned());
    let page: Page = context.client()?.ask(&call).await?;
    let read = |item| serde_json::from_value(serde_json::Value::Object(item));
    let releases = page.items().into_iter().take(most as usize).map(read).collect::<Result<Vec<Release>, _>>();
    let releases =
        releases.map_err(|error| Failure::error(format!("the server's answer is not understood: {error}")))?;
    if releases.is_empty() {
        return Err(Failure::new(Exit::NotFound, format!("Release with name '{}' not found", tame(name))));
    }
    versions(context, releases)
}

fn versions(context: &Context, releases: Vec<Release>) -> Done {
    let mut table = Table::new(["Version", "Last updated", "Status", "Package Name", "Package Version", "Description"]);
    for release in releases {
        table.row([
            release.version.to_string(),
            release.info.last_deployed(),
            release.info.status.status_code,
            release.pkg.metadata.name.unwrap_or_default(),
            release.pkg.metadata.version.unwrap_or_default(),
            release.info.description.unwrap_or_default(),
        ]);
    }
    print(context, &[table])
}

/// What a version of a release is doing; of the newest one where none is named.
pub(crate) async fn status(context: &Context, name: &str, version: Option<u64>) -> Done {
    let version = version.map(|version| version.to_string());
    let mut path = vec!["api", "status", name];
    path.extend(version.as_deref());
    let info: Info = context.client()?.ask(&Call::get(&path)).await?;
    let apps = info.status.apps();
    let over = matches!(info.status.status_code.as_str(), "DELETED" | "FAILED");
    let mut told = sentence(&apps, over).to_owned();
    if !apps.is_empty() {
        told.push('\n');
        told.push_str(&lines(&apps));
    }
    let mut table = Table::bare();
    table.row(["Last Deployed".to_owned(), info.first_deployed()]);
    table.row(["Status".to_owned(), info.status.status_code.clone()]);
    table.row(["Platform Status".to_owned(), told]);
    print(context, &[table])
}

/// A manifest as 2.x tells it: within JSON, and so in UTF-8 whatever is in it.
#[derive(serde::Deserialize)]
struct Manifest {
    data: String,
}

/// The manifest of a version; of the newest one where none is named.
pub(crate) async fn manifest(context: &Context, name: &str, version: Option<u64>) -> Result<String, Failure> {
    let version = version.map(|version| version.to_string());
    let mut path = vec!["api", "release", "manifest", name];
    path.extend(version.as_deref());
    let manifest: Manifest = context.client()?.ask(&Call::get(&path)).await?;
    Ok(manifest.data)
}

fn lines(apps: &[AppStatus]) -> String {
    apps.iter().map(AppStatus::line).collect::<Vec<_>>().join("\n")
}

/// What Spring's shell says of all applications together. Of a version that is `over`, what is not there is not coming either.
fn sentence(apps: &[AppStatus], over: bool) -> &'static str {
    let any = |state: &str| apps.iter().any(|app| app.state == state);
    let together = match apps {
        [] => "error",
        [app] if app.state == "unknown" => "undeployed",
        [app] => app.state.as_str(),
        _ if over && apps.iter().all(|app| app.state == "unknown") => "undeployed",
        _ if any("error") => "error",
        _ if any("failed") => "failed",
        _ if any("deploying") => "deploying",
        _ if apps.iter().all(|app| app.state == "deployed") => "deployed",
        _ => "partial",
    };
    match together {
        "deploying" | "partial" => "The applications are being deployed.",
        "deployed" => "All applications have been successfully deployed.",
        "undeployed" => "The applications are known to the system, but is not currently deployed.",
        "failed" => "All apps have failed deployment.",
        "error" => "A system error occurred trying to determine platform status.",
        _ => "The applications are not known to the system.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apps(states: &[&str]) -> Vec<AppStatus> {
        let app = |state: &&str| serde_json::json!({"deploymentId": "r.a-v1", "instances": {}, "state": state});
        states.iter().map(|state| serde_json::from_value(app(state)).expect("a status")).collect()
    }

    #[test]
    fn all_applications_together_have_one_state() {
        for (states, word) in [
            (&["deployed"][..], "successfully"),
            (&["unknown"], "not currently deployed"),
            (&[], "system error"),
            (&["deployed", "error"], "system error"),
            (&["deployed", "failed"], "failed deployment"),
            (&["deployed", "deploying"], "being deployed"),
            (&["deployed", "deployed"], "successfully"),
            (&["unknown", "unknown"], "being deployed"),
        ] {
            assert!(sentence(&apps(states), false).contains(word), "{states:?}");
        }
        assert!(sentence(&apps(&["unknown", "unknown"]), true).contains("not currently deployed"));
        assert!(sentence(&apps(&["deployed", "unknown"]), true).contains("being deployed"));
    }

    #[test]
    fn instances_are_shown_by_their_ids() {
        let app: AppStatus = serde_json::from_value(serde_json::json!({
            "deploymentId": "r.a-v1",
            "instances": {"r.a-v1-0": {"id": "r.a-v1-0", "state": "deployed"}, "r.a-v1-1": {"state": "failed"}},
            "state": "partial",
        }))
        .expect("a status");
        assert_eq!(app.line(), "[r.a-v1], State = [r.a-v1-0=deployed\nr.a-v1-1=failed]");
        assert_eq!(apps(&["unknown"])[0].line(), "[r.a-v1], State = [unknown]");
    }
}
