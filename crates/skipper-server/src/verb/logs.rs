//! The output of a release's instances, of all applications together.

use futures::{StreamExt as _, stream};
use skipper_core::{
    deployment::Live,
    name::{AppName, ReleaseName, TenantName},
    policy::Action,
    port::{Error as PortError, ErrorKind, LogChunk, LogQuery, RolloutStore as _},
    secret::Blackener,
};

use super::{Caller, find, last_words};
use crate::{
    app::App,
    error::{Code, Error},
};

/// What is wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of one application only.
    pub app: Option<AppName>,
    /// Of one instance only.
    pub instance: Option<u32>,
    /// In pods, of the container of that name only.
    pub container: Option<String>,
    /// Of one revision only: of what runs of it, and of what is kept of it.
    pub revision: Option<u64>,
    /// At most this many of the last lines of each instance.
    pub tail: Option<usize>,
    /// Go on with what comes.
    pub follow: bool,
}

/// One line, or why a deployment's lines cannot be had.
#[derive(Debug)]
pub struct Line {
    /// The application.
    pub app: AppName,
    /// The deployment.
    pub deployment: String,
    /// The line.
    pub chunk: Result<LogChunk, PortError>,
}

/// Opens the logs of everything that runs for the release. Where nothing runs, they are what is kept of the newest revision,
/// if that failed.
///
/// # Errors
///
/// There is no such release, revision or application. A platform that cannot give lines is a [`Line`], so that the others are read.
pub async fn logs(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    name: &ReleaseName,
    wanted: Wanted,
) -> Result<stream::BoxStream<'static, Line>, Error> {
    caller.may(Action::Read, tenant)?;
    let release = find::release(app, tenant, name).await?;
    let mut live = app.store.live_for_release(release.id).await?;
    let kept = match wanted.revision {
        Some(number) => {
            find::revision(app, &release, number).await?;
            if release.serving != Some(number) {
                live.retain(|live| live.deployment.revision == number);
            }
            last_words::kept(app, &release, number).await?
        }
        None if live.is_empty() && !wanted.follow => last_words::kept(app, &release, release.last_revision).await?,
        None => Vec::new(),
    };
    if live.is_empty() && !kept.is_empty() {
        return Ok(last_words::stream(kept, &wanted));
    }
    if let (Some(number), true) = (wanted.revision, live.is_empty()) {
        let message = format!("nothing is kept of what revision {number} of `{name}` wrote");
        return Err(Error::new(Code::RevisionNotFound, message)
            .hint("output goes with the instances; the last lines are kept of a revision that failed"));
    }
    if let Some(only) = &wanted.app {
        let known: Vec<String> = live.iter().map(|live| live.deployment.app.name.to_string()).collect();
        live.retain(|live| live.deployment.app.name == *only);
        if live.is_empty() {
            return Err(Error::new(
                Code::ApplicationNotFound,
                format!("nothing of an application `{only}` runs for release `{name}`"),
            )
            .hint(format!("running: {}", known.join(", "))));
        }
    }
    if let Some(index) = wanted.instance
        && !live.iter().any(|live| live.instances.contains(&index))
    {
        return Err(Error::new(Code::ApplicationNotFound, format!("release `{name}` has no instance {index}"))
            .hint(format!("`skipper status {name}` lists its instances")));
    }
    let opened = futures::future::join_all(live.into_iter().map(|live| open(app, live, &wanted))).await;
    Ok(stream::select_all(opened).boxed())
}

async fn open(app: &App, live: Live, wanted: &Wanted) -> stream::BoxStream<'static, Line> {
    let (application, deployment) = (live.deployment.app.name.clone(), live.deployment.id.to_string());
    let line = move |chunk| Line { app: application.clone(), deployment: deployment.clone(), chunk };
    if let Some(place) = &*app.tended_by.borrow() {
        let elsewhere = PortError::new(
            ErrorKind::Permanent,
            "tended-elsewhere",
            format!("its lines are at the server {place}, which tends it: ask that one"),
        );
        return stream::iter([line(Err(elsewhere))]).boxed();
    }
    let Some(platform) = app.platforms.get(live.deployment.target()) else {
        return stream::empty().boxed();
    };
    let query = LogQuery {
        deployment: live.deployment.id.clone(),
        instance: wanted.instance,
        tail: wanted.tail,
        follow: wanted.follow,
        container: wanted.container.clone(),
    };
    // Without the values nothing could be blackened.
    let blackener = match app.store.secret_values(&live.deployment.tenant, &live.deployment.secrets).await {
        Ok(secrets) => Blackener::new(&secrets),
        Err(error) => {
            let shut = PortError::new(
                ErrorKind::Permanent,
                "secrets-unreadable",
                "its lines are left out: the secrets to be blackened in them cannot be read",
            );
            return stream::iter([line(Err(shut.because(error)))]).boxed();
        }
    };
    match platform.logs(query).await {
        Ok(chunks) => chunks
            .map(move |chunk| line(chunk.map(|chunk| LogChunk { line: blackener.line(chunk.line), ..chunk })))
            .boxed(),
        Err(error) => stream::once(std::future::ready(line(Err(error)))).boxed(),
    }
}
