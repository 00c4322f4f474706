//! The acts in their order, and the clearing away whatever happens.

use std::{process::ExitCode, time::Instant};

use anyhow::Context as _;
use skipper_server::api::own::wire;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    DemoArgs, ask, failed_upgrade,
    found::Found,
    killed_edge, killed_server,
    package::{self, Version},
    rollout,
    stage::{self, Stage, told},
    tell::{Tell, span},
    timeline, upgrade,
};
use crate::{client::Call, surroundings::Surroundings};

/// How a play ended.
enum Ended {
    Held,
    Broke(anyhow::Error),
    Interrupted,
}

/// Plays the demo, or stops an earlier one.
pub(super) async fn play(args: &DemoArgs, surroundings: &Surroundings, tell: &Tell) -> anyhow::Result<ExitCode> {
    if let Some(folder) = &args.stop {
        let stopped = stage::stop(&surroundings.resolve(folder)).await?;
        tell.plain(&format!("Stopped {} processes and removed {}.", stopped.len(), folder.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let began = Instant::now();
    let mut stage = Stage::set(args, surroundings).await?;
    tell.plain(&format!(
        "The Skipper demo: a server, its edge and a sample application run as real processes of this machine, in\n{}. \
         Nothing is installed.",
        stage.folder.display()
    ));
    // Dropping an act in its middle is fine: everything it started is found again by the clearing away.
    let ended = tokio::select! {
        ended = acts(&mut stage, tell) => match ended {
            Ok(()) => Ended::Held,
            Err(error) => Ended::Broke(error),
        },
        _ = interrupt.recv() => Ended::Interrupted,
        _ = terminate.recv() => Ended::Interrupted,
    };
    if args.keep && matches!(ended, Ended::Held) {
        leave(&stage, surroundings, tell);
        return Ok(ExitCode::SUCCESS);
    }
    finish(&mut stage, tell, ended, began).await
}

async fn acts(stage: &mut Stage, tell: &Tell) -> anyhow::Result<()> {
    start(stage, tell).await?;
    upload(stage, tell).await?;
    install(stage, tell).await?;
    upgrade::play(stage, tell).await?;
    failed_upgrade::play(stage, tell).await?;
    roll_back(stage, tell).await?;
    killed_server::play(stage, tell).await?;
    killed_edge::play(stage, tell).await?;
    timeline::play(stage, tell).await
}

async fn start(stage: &mut Stage, tell: &Tell) -> anyhow::Result<()> {
    tell.act("Start the server");
    tell.command(&format!("skipper server --data-dir {} --listen {}", stage.data().display(), stage.api));
    let took = stage.start_server().await?;
    tell.fact(&format!(
        "ready {} after its start, on an empty folder: http://{} (process {})",
        span(took),
        stage.api,
        stage.server_pid().unwrap_or_default()
    ));
    tell.fact(&format!(
        "it started its edge, through which users come, as a process of its own: {}",
        stage.edge_pid()?
    ));
    Ok(())
}

async fn upload(stage: &Stage, tell: &Tell) -> anyhow::Result<()> {
    tell.act("Upload three versions of a package");
    let folder = stage.folder.join("packages");
    for version in Version::ALL {
        let path = version.write(&folder, stage.app.port())?;
        let built = package::build(&path)?;
        tell.command(&format!("skipper package upload {}", path.display()));
        let call = Call::post(&["v1", "packages"]).query("repository", "local").bytes("application/zip", built.bytes);
        let package: wire::PackageView = stage.client.ask(&call).await.map_err(told)?;
        let sha256 = built.sha256.to_string();
        anyhow::ensure!(package.sha256 == Some(sha256), "the server has another digest of {version:?}");
    }
    tell.held("the server has the digests of what was sent");
    Ok(())
}

async fn install(stage: &Stage, tell: &Tell) -> anyhow::Result<()> {
    tell.act("Install version 1");
    tell.command("skipper install hello hello --version 1.0.0");
    let accepted = rollout::install(stage, Version::One.text()).await?;
    let rollout = rollout::succeeded(stage, &accepted.rollout.id).await?;
    rollout::told_steps(tell, &rollout);
    serves(stage, tell, Version::One).await
}

async fn roll_back(stage: &Stage, tell: &Tell) -> anyhow::Result<()> {
    tell.act("Roll back to version 1");
    tell.command("skipper rollback hello 1");
    let accepted = rollout::roll_back(stage, 1).await?;
    let rollout = rollout::succeeded(stage, &accepted.rollout.id).await?;
    rollout::told_steps(tell, &rollout);
    serves(stage, tell, Version::One).await
}

/// Asks through the edge which version serves.
pub(super) async fn serves(stage: &Stage, tell: &Tell, version: Version) -> anyhow::Result<()> {
    let answer = ask::get(stage.app, "/greeting").await.context("ask through the edge")?;
    anyhow::ensure!(
        answer.status == 200 && answer.version == version.text(),
        "http://{}/greeting should answer as version {}, and does as `{}` with status {}",
        stage.app,
        version.text(),
        answer.version,
        answer.status
    );
    tell.held(&format!("http://{}/greeting answers `{}`", stage.app, answer.body));
    Ok(())
}

fn leave(stage: &Stage, surroundings: &Surroundings, tell: &Tell) {
    let skipper = called(surroundings);
    let url = format!("--url http://{}", stage.api);
    tell.plain(&format!("\nEverything goes on running, in {}. Try:", stage.folder.display()));
    for command in [
        format!("curl http://{}/greeting", stage.app),
        format!("{skipper} list {url}"),
        format!("{skipper} status hello {url}"),
        format!("{skipper} history hello {url}"),
        format!("{skipper} upgrade hello hello --version 1.0.0 --set greeting='Hello you' {url}"),
        format!("{skipper} logs hello --follow {url}"),
        format!("{skipper} demo --stop {}", stage.folder.display()),
    ] {
        tell.command(&command);
    }
}

/// How this program is called from where the user stands: by its name if it is found so, else by its path.
fn called(surroundings: &Surroundings) -> String {
    let name = "skipper";
    let Ok(program) = std::env::current_exe() else { return name.to_owned() };
    let folders = surroundings.var("PATH").unwrap_or_default();
    if std::env::split_paths(folders).any(|folder| folder.join(name).exists()) {
        return name.to_owned();
    }
    match program.strip_prefix(&surroundings.working_dir) {
        // A shell looks for a bare name elsewhere.
        Ok(below) => std::path::Path::new(".").join(below).display().to_string(),
        Err(_) => program.display().to_string(),
    }
}

async fn finish(stage: &mut Stage, tell: &Tell, ended: Ended, began: Instant) -> anyhow::Result<ExitCode> {
    if let Ended::Broke(error) = &ended {
        tell.error(&format!("{error:#}"));
        tell.error(&format!("the server's last words:\n{}", stage.last_words()));
    }
    tell.act("Clear away");
    let left = stage.clear().await;
    let clean = match &left {
        Ok(left) => left.is_empty(),
        Err(error) => {
            tell.error(&format!("{error:#}"));
            false
        }
    };
    for Found { pid, command, .. } in left.iter().flatten() {
        tell.error(&format!("process {pid} was left behind and had to be killed: {command}"));
    }
    let running = stage.processes();
    for process in &running {
        tell.error(&format!("process {} is still there: {}", process.pid, process.command));
    }
    if clean && running.is_empty() {
        tell.held("the release is deleted, server and edge have ended, and no process is left");
    }
    match ended {
        Ended::Interrupted => {
            tell.plain("\nInterrupted.");
            Ok(ExitCode::from(130))
        }
        Ended::Held if clean && running.is_empty() => {
            tell.plain(&format!("\nEverything held, in {}.", span(began.elapsed())));
            Ok(ExitCode::SUCCESS)
        }
        Ended::Held | Ended::Broke(_) => {
            tell.plain("\nNot everything held; see above.");
            Ok(ExitCode::FAILURE)
        }
    }
}
