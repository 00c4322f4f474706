//! Completion of names that exist: releases, revisions, packages, platforms, secrets. Asked from the server while a
//! person waits for the Tab key, so briefly, and silence is an answer too.

mod words;

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clap_complete::{ArgValueCompleter, CompleteEnv, CompletionCandidate, PathCompleter, engine::ValueCompleter as _};
use serde::de::DeserializeOwned;
use skipper_server::api::deploys::wire::StatusView;
use skipper_server::api::own::wire::{
    HistoryPage, PackagePage, PackageView, PlatformList, ReleasePage, ReleaseStatus, RepositoryList, RevisionView,
    SecretList, TokenList,
};

use crate::{
    client::{Call, Client},
    surroundings::Surroundings,
    targets::{self, Connection, TargetsFile},
};
use words::Words;

/// Longest that completion waits for the server. Platforms may have to ask their engines first.
const PATIENCE: Duration = Duration::from_secs(1);

/// Most names offered.
const MOST: u32 = 200;

/// What is being completed. The library hands a completer the word alone, and it takes the whole line to know which
/// server and which release it is about.
static LINE: Mutex<Option<Arc<Line>>> = Mutex::new(None);

struct Line {
    surroundings: Surroundings,
    words: Words,
    /// What holds where the line says nothing about the server.
    connection: Connection,
    /// Revisions are counted as the guide does: without scalings.
    by_guide: bool,
}

/// A version as `/api` counts and tells them.
#[derive(serde::Deserialize)]
struct Version {
    version: u64,
    info: serde_json::Value,
}

fn line() -> Option<Arc<Line>> {
    LINE.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn completing(line: Line) {
    *LINE.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(line));
}

/// Answers the shell if it is the shell that asks (`COMPLETE=bash skipper`); whether it was.
pub(crate) fn answered(surroundings: &Surroundings, args: &[OsString]) -> Result<bool, clap::Error> {
    if surroundings.var("COMPLETE").is_none() {
        return Ok(false);
    }
    completing(Line {
        surroundings: surroundings.clone(),
        words: Words::after_dashes(args),
        connection: Connection::default(),
        by_guide: false,
    });
    CompleteEnv::with_factory(|| by_name(crate::cli::command()))
        .bin("skipper")
        .try_complete(args.iter().cloned(), Some(&surroundings.working_dir))
}

/// What the last of these words could become, by that tree; `args` begin with the program.
pub(crate) fn in_shell(
    surroundings: &Surroundings,
    connection: &Connection,
    tree: clap::Command,
    args: Vec<OsString>,
) -> Vec<String> {
    completing(Line {
        surroundings: surroundings.clone(),
        words: Words::of_line(&args),
        connection: connection.clone(),
        by_guide: true,
    });
    let mut tree = by_name(tree);
    let last = args.len().saturating_sub(1);
    let found = clap_complete::engine::complete(&mut tree, args, last, Some(&surroundings.working_dir));
    let found = found.unwrap_or_default();
    // The library offers what is hidden where nothing else fits.
    let shown = found.into_iter().filter(|candidate| !candidate.is_hide_set());
    shown.filter_map(|candidate| candidate.get_value().to_str().map(str::to_owned)).collect()
}

/// The same commands, whose other names are understood and not offered: of several names the library offers the shortest.
fn by_name(command: clap::Command) -> clap::Command {
    let aliases: Vec<String> = command.get_all_aliases().map(str::to_owned).collect();
    let below: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let command = command.visible_alias(None::<&'static str>).aliases(aliases);
    below.into_iter().fold(command, |command, name| command.mut_subcommand(name, by_name))
}

/// The script that a shell sources.
pub(crate) fn registration(shell: &str, program: &str) -> std::io::Result<String> {
    use clap_complete::env::Shells;
    let shells = Shells::builtins();
    let completer = shells.completer(shell).ok_or_else(|| std::io::Error::other("no such shell"))?;
    let mut script = Vec::new();
    completer.write_registration("COMPLETE", "skipper", "skipper", program, &mut script)?;
    String::from_utf8(script).map_err(std::io::Error::other)
}

/// Names of releases, also of deleted ones where the verb can do something with those.
pub(crate) fn releases() -> ArgValueCompleter {
    completer(|word| async move { named_releases(&word).await })
}

async fn named_releases(word: &str) -> Option<Named> {
    let deleted_too = line()?.words.is_about_deleted();
    let call = Call::get(&["v1", "releases"]).query("limit", MOST).query("q", word);
    let page: ReleasePage = ask(&call.maybe("deleted", deleted_too.then_some(true))).await?;
    Some(page.items.into_iter().map(|release| (release.name, release.package.unwrap_or_default())).collect())
}

/// Numbers of revisions of the release on the line; of versions in the shell. Where the line goes back, of those that it
/// can go back to.
pub(crate) fn revisions() -> ArgValueCompleter {
    completer(|_| async {
        let line = line()?;
        if line.by_guide {
            return version_numbers().await;
        }
        let name = line.words.release()?;
        let page: HistoryPage = ask(&Call::get(&["v1", "releases", &name, "history"]).query("limit", MOST)).await?;
        let shown = page.items.into_iter().filter(|one| {
            // A delete has no number of its own.
            one.verb != "delete" && (!line.words.goes_back() || matches!(one.state.as_str(), "superseded" | "deleted"))
        });
        let told = |one: RevisionView| (one.revision.to_string(), format!("{}, {}", one.state, one.source.text()));
        Some(shown.map(told).collect())
    })
}

/// Numbers of versions of the release on the line, as `/api` counts them.
pub(crate) fn versions() -> ArgValueCompleter {
    completer(|_| version_numbers())
}

async fn version_numbers() -> Option<Named> {
    let line = line()?;
    let name = line.words.release()?;
    let versions: Vec<Version> = ask(&Call::get(&["api", "history", &name, &MOST.to_string()])).await?;
    let told = versions.into_iter().map(|one| {
        let status = one.info.pointer("/status/statusCode").and_then(serde_json::Value::as_str);
        (one.version.to_string(), status.unwrap_or_default().to_owned())
    });
    Some(told.filter(|(_, status)| !line.words.goes_back() || status == "DELETED").collect())
}

/// Names of applications of the release on the line.
pub(crate) fn apps() -> ArgValueCompleter {
    completer(|_| named_apps())
}

async fn named_apps() -> Option<Named> {
    let name = line()?.words.release()?;
    let status: ReleaseStatus = ask(&Call::get(&["v1", "releases", &name])).await?;
    // During a rollout an application is there twice.
    let apps: BTreeMap<String, String> = status.apps.into_iter().map(|app| (app.name, app.resource)).collect();
    Some(apps.into_iter().collect())
}

/// `APP=` for each application of the release on the line that has no count there yet.
pub(crate) fn counts() -> ArgValueCompleter {
    completer(|_| counted_apps())
}

/// What `scale` reads first: a release, or a count where the release is named by an option.
pub(crate) fn scaled() -> ArgValueCompleter {
    completer(|word| async move {
        if line()?.words.names_release() { counted_apps().await } else { named_releases(&word).await }
    })
}

async fn counted_apps() -> Option<Named> {
    let line = line()?;
    let open = named_apps().await?.into_iter().map(|(app, resource)| (format!("{app}="), resource));
    Some(open.filter(|(word, _)| !line.words.has_value_behind(word)).collect())
}

/// Names of packages.
pub(crate) fn packages() -> ArgValueCompleter {
    completer(|word| async move {
        if word.starts_with(['.', '/', '~']) {
            return None;
        }
        let mut packages = all_packages(&word).await?;
        packages.dedup_by(|a, b| a.name == b.name);
        Some(packages.into_iter().map(|package| (package.name, package.description.unwrap_or_default())).collect())
    })
}

/// Versions of the package on the line.
pub(crate) fn package_versions() -> ArgValueCompleter {
    completer(|_| async {
        let name = line()?.words.package()?;
        let packages = all_packages(&name).await?;
        let of_it = packages.into_iter().filter(|package| package.name == name);
        Some(of_it.map(|package| (package.version, package.repository)).collect())
    })
}

/// Names of repositories.
pub(crate) fn repositories() -> ArgValueCompleter {
    completer(|_| async {
        let list: RepositoryList = ask(&Call::get(&["v1", "repositories"])).await?;
        Some(list.items.into_iter().map(|repository| (repository.name, repository.description)).collect())
    })
}

/// Names of platforms.
pub(crate) fn platforms() -> ArgValueCompleter {
    completer(|_| async {
        let list: PlatformList = ask(&Call::get(&["v1", "platforms"])).await?;
        Some(list.items.into_iter().map(|platform| (platform.name, platform.summary)).collect())
    })
}

/// Names of secrets.
pub(crate) fn secrets() -> ArgValueCompleter {
    completer(|_| async {
        let list: SecretList = ask(&Call::get(&["v1", "secrets"])).await?;
        Some(list.items.into_iter().map(|secret| (secret.name, format!("version {}", secret.version))).collect())
    })
}

/// Ids of tokens.
pub(crate) fn tokens() -> ArgValueCompleter {
    completer(|_| async {
        let list: TokenList = ask(&Call::get(&["v1", "tokens"])).await?;
        Some(list.items.into_iter().map(|token| (token.id, format!("{}, {}", token.name, token.role))).collect())
    })
}

/// Names of the apps of slip's configuration.
pub(crate) fn configured() -> ArgValueCompleter {
    completer(|_| async {
        let status: StatusView = ask(&Call::get(&["v1", "status"])).await?;
        let line = |(name, app): (String, skipper_server::api::deploys::wire::AppStatus)| {
            (name, app.tag.map_or(app.status.clone(), |tag| format!("{}, {tag}", app.status)))
        };
        Some(status.apps.into_iter().map(line).collect())
    })
}

/// Ids of previews of the app on the line.
pub(crate) fn previews() -> ArgValueCompleter {
    completer(|_| async {
        let name = line()?.words.release()?;
        let answer: serde_json::Value = ask(&Call::get(&["v1", "previews", &name])).await?;
        let previews = crate::cmd::previews_of(&answer).ok()?;
        Some(previews.into_iter().map(|preview| (preview.preview_id, preview.tag.unwrap_or_default())).collect())
    })
}

/// Keys of secrets of the app on the line.
pub(crate) fn app_secrets() -> ArgValueCompleter {
    completer(|_| async {
        let name = line()?.words.release()?;
        let list: crate::cmd::AppSecrets = ask(&Call::get(&["v1", "apps", &name, "secrets"])).await?;
        Some(list.secrets.into_iter().map(|key| (key, String::new())).collect())
    })
}

/// Names of nodes.
pub(crate) fn nodes() -> ArgValueCompleter {
    completer(|_| async {
        let answer: serde_json::Value = ask(&Call::get(&["v1", "nodes"])).await?;
        Some(named(&answer["nodes"], |node| {
            format!("{} {}", word(&node["spec"]["role"]), word(&node["status"]["state"]))
        }))
    })
}

/// Names of the fleet's tenants.
pub(crate) fn tenants() -> ArgValueCompleter {
    completer(|_| async {
        let answer: serde_json::Value = ask(&Call::get(&["v1", "resources", "tenant"])).await?;
        Some(named(&answer["resources"], |tenant| word(&tenant["status"]["state"]).to_owned()))
    })
}

/// Ids of work orders.
pub(crate) fn orders() -> ArgValueCompleter {
    completer(|_| async {
        let answer: serde_json::Value = ask(&Call::get(&["v1", "work-orders"]).query("limit", MOST)).await?;
        Some(named(&answer["work_orders"], |order| format!("{} {}", word(&order["tenant"]), word(&order["status"]))))
    })
}

/// The ids in a list, each with a word about it.
fn named(list: &serde_json::Value, about: impl Fn(&serde_json::Value) -> String) -> Named {
    let items = list.as_array().into_iter().flatten();
    items.map(|item| (word(&item["id"]).to_owned(), about(item).trim().to_owned())).collect()
}

fn word(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `@FILE`, the scripts of the shell.
pub(crate) fn scripts() -> ArgValueCompleter {
    ArgValueCompleter::new(|word: &OsStr| {
        let Some(path) = word.to_str().and_then(|word| word.strip_prefix('@')) else { return Vec::new() };
        let found = PathCompleter::file().complete(OsStr::new(path));
        let at = |candidate: CompletionCandidate| candidate.add_prefix("@");
        found.into_iter().map(at).collect()
    })
}

/// Names of targets, from the client's own file.
pub(crate) fn targets() -> ArgValueCompleter {
    completer(|_| async {
        let file = TargetsFile::read(&line()?.surroundings).ok()?;
        Some(file.targets.into_iter().map(|(name, entry)| (name, entry.url)).collect())
    })
}

async fn all_packages(query: &str) -> Option<Vec<PackageView>> {
    let page: PackagePage = ask(&Call::get(&["v1", "packages"]).query("limit", MOST).query("q", query)).await?;
    Some(page.items)
}

async fn ask<T: DeserializeOwned>(call: &Call) -> Option<T> {
    let line = line()?;
    let target = targets::resolve(&line.words.connection().over(&line.connection), &line.surroundings).ok()?;
    Client::new(target).ok()?.answering_within(PATIENCE).ask(call).await.ok()
}

type Named = Vec<(String, String)>;

fn completer<F>(names: impl Fn(String) -> F + Send + Sync + 'static) -> ArgValueCompleter
where
    F: Future<Output = Option<Named>>,
{
    ArgValueCompleter::new(move |word: &OsStr| {
        let Some(word) = word.to_str() else { return Vec::new() };
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            return Vec::new();
        };
        let asked = names(word.to_owned());
        let found = runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await.ok().flatten() });
        found
            .unwrap_or_default()
            .into_iter()
            .filter(|(name, _)| name.starts_with(word))
            .map(|(name, help)| {
                let help = help.lines().next().unwrap_or_default().to_owned();
                CompletionCandidate::new(name).help((!help.is_empty()).then(|| help.into()))
            })
            .collect()
    })
}
