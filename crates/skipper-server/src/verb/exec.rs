//! Runs a command beside an application: in its environment, or in its container.

use std::time::Duration;

use skipper_core::{
    event::NewEvent,
    name::{AppName, ReleaseName, TenantName},
    policy::Action,
    port::{ErrorKind, Inside, RolloutStore as _},
    secret::Blackener,
};

use super::{Caller, find};
use crate::{
    app::App,
    error::{Code, Error},
};

/// Longest that a command may take, and how long it may where nobody says.
pub const LONGEST: Duration = Duration::from_secs(600);
/// Words of a command, and bytes of all of them.
const MOST: (usize, usize) = (256, 64 << 10);
/// What is kept of the time that a request may take, for its answer.
const ANSWER: Duration = Duration::from_secs(1);

/// What is to be run, and where.
#[derive(Debug, Clone)]
pub struct Exec {
    /// Of which application; of the only one when absent.
    pub app: Option<AppName>,
    /// In which instance; in the first when absent.
    pub instance: Option<u32>,
    /// In which container of a pod or service of a project; in the main one when absent.
    pub container: Option<String>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// How long it may take.
    pub within: Option<Duration>,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// The application.
    pub app: AppName,
    /// The deployment.
    pub deployment: String,
    /// Which instance.
    pub instance: u32,
    /// Exit status; `None` when killed by a signal.
    pub code: Option<i32>,
    /// Output and error output, at most 1 MiB; secrets of the application are blackened.
    pub output: String,
}

/// Runs a command in an instance of what serves. That it was run, and by whom, is an event; what it was told is not.
///
/// # Errors
///
/// Nothing serves; there is no such application or instance; the platform cannot run it, or not in time.
///
/// # Cancel safety
///
/// What has begun goes on until it ends or its time is over.
pub async fn exec(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    name: &ReleaseName,
    wanted: Exec,
) -> Result<Executed, Error> {
    caller.may(Action::Deploy, tenant)?;
    let Exec { app: only, instance, container, command, within } = wanted;
    let bytes: usize = command.iter().map(String::len).sum();
    if command.first().is_none_or(String::is_empty) || command.len() > MOST.0 || bytes > MOST.1 {
        let rule = format!("`command`: a program and its arguments, at most {} words and {} KiB", MOST.0, MOST.1 >> 10);
        return Err(Error::new(Code::Invalid, rule));
    }
    if command.iter().any(|word| word.contains('\0')) {
        return Err(Error::new(Code::Invalid, "`command`: a word holds a NUL"));
    }
    let (release, serving) = find::serving(app, tenant, name).await?;
    let mut live = app.store.live_for_release(release.id).await?;
    live.retain(|live| live.deployment.revision == serving.number);
    let known: Vec<String> = live.iter().map(|live| live.deployment.app.name.to_string()).collect();
    live.retain(|live| only.as_ref().is_none_or(|only| *only == live.deployment.app.name));
    let live = match live.as_slice() {
        [one] => one,
        [] => {
            let what = only.map_or_else(|| "nothing".to_owned(), |only| format!("nothing of an application `{only}`"));
            return Err(Error::new(Code::ApplicationNotFound, format!("{what} runs for release `{name}`"))
                .hint(format!("running: {}", known.join(", "))));
        }
        _ => {
            let what = format!("release `{name}` has several applications, and `app` names none");
            return Err(Error::new(Code::Invalid, what).hint(format!("name one of {}", known.join(", "))));
        }
    };
    let index = instance.or_else(|| live.instances.iter().min().copied()).unwrap_or_default();
    if !live.instances.contains(&index) {
        return Err(Error::new(Code::ApplicationNotFound, format!("release `{name}` has no instance {index}"))
            .hint(format!("`skipper status {name}` lists its instances")));
    }
    if let Some(place) = &*app.tended_by.borrow() {
        return Err(Error::new(Code::Conflict, format!("it is tended by the server {place}")).hint("ask that server"));
    }
    let deployment = &live.deployment;
    app.tenant_platforms.permit(caller.actor(), deployment.target())?;
    let Some(platform) = app.platforms.get(deployment.target()) else {
        let what = format!("platform `{}` is not configured any more", deployment.target());
        return Err(Error::new(Code::PlatformNotFound, what));
    };
    let secrets = app.store.secret_values(&deployment.tenant, &deployment.secrets).await.map_err(|error| {
        Error::new(Code::StoreUnavailable, format!("secrets to be blackened cannot be read: {}", error.chain()))
    })?;
    let blackener = Blackener::new(&secrets);
    // It is known before it happens: a server that dies in between has not done it in silence.
    let told = NewEvent {
        kind: "release.exec".to_owned(),
        tenant: Some(tenant.clone()),
        release: Some(name.clone()),
        revision: Some(serving.number),
        rollout: None,
        provenance: caller.provenance.clone(),
        data: serde_json::json!({"deployment": deployment.id, "app": deployment.app.name, "instance": index}),
    };
    app.store.tell(vec![told]).await.map_err(Error::internal)?;
    let most = app.limits.request_timeout.saturating_sub(ANSWER).min(LONGEST);
    let inside = Inside { instance: index, container: container.as_deref() };
    let done = platform.exec(deployment, inside, &command, within.unwrap_or(most).min(most)).await;
    let done = done.map_err(|error| {
        let code = match error.kind() {
            ErrorKind::NotFound => Code::ApplicationNotFound,
            _ => Code::PlatformFailed,
        };
        let mapped = Error::new(code, error.chain());
        match error.advice() {
            Some(hint) => mapped.hint(hint.to_owned()),
            None => mapped,
        }
    })?;
    Ok(Executed {
        app: deployment.app.name.clone(),
        deployment: deployment.id.to_string(),
        instance: index,
        code: done.code,
        output: blackener.line(done.output),
    })
}
