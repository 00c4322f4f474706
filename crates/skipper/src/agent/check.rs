//! `skipper agent --check`: everything that an agent needs, from the outside in.

use std::{path::Path, sync::Arc, time::Duration};

use serde::Serialize;
use skipper_core::port::Clock as _;
use skipper_source::fleet::Heartbeat;

use super::{
    compose::Compose,
    disk,
    door::{Door, Fault, Health},
    hands::Hands as _,
    settings::Settings,
    token::Token,
};
use crate::{
    cmd::Context,
    failure::{Done, Exit, Failure},
    world::SystemClock,
};

/// Clocks that differ more than this make logs hard to read; nothing else depends on them.
const SKEW: Duration = Duration::from_secs(60);

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warning,
    Broken,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Found {
    check: &'static str,
    state: State,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Found {
    fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, state: State::Ok, detail: detail.into(), advice: None }
    }

    fn warning(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, state: State::Warning, detail: detail.into(), advice: Some(advice.into()) }
    }

    fn broken(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { state: State::Broken, ..Self::warning(check, detail, advice) }
    }
}

/// Looks, and tells.
///
/// # Errors
///
/// Something is wrong; all of it has been told.
pub(super) fn run(settings: &Settings, context: &Context) -> Done {
    let found = super::runtime()?.block_on(look(settings));
    if context.out.json {
        context
            .out
            .json(&serde_json::json!({"node": settings.node, "server": settings.url.as_str(), "items": found}))?;
    } else {
        for Found { check, state, detail, advice } in &found {
            let word = match state {
                State::Ok => "ok",
                State::Warning => "warning",
                State::Broken => "broken",
            };
            context.out.line(&format!("{word:<8} {check}: {detail}"))?;
            if let Some(advice) = advice {
                context.out.line(&format!("{:<8} {advice}", ""))?;
            }
        }
    }
    if found.iter().all(|found| found.state != State::Broken) { Ok(()) } else { Err(Failure::quiet(Exit::Error)) }
}

async fn look(settings: &Settings) -> Vec<Found> {
    let mut found = server(settings).await;
    let hands = Compose::new(settings);
    for need in hands.needs().await {
        found.push(match need.found {
            Ok(detail) => Found::ok(need.name, detail),
            Err((detail, advice)) => Found::broken(need.name, detail, advice),
        });
    }
    found.push(folder("folder of projects", &settings.base_dir, "SKIPPY_COMPOSE_BASE_DIR"));
    for warning in hands.warnings().await {
        found.push(Found::warning("path on the host", warning, "mount it at the same path on both sides"));
    }
    found.push(folder("folder of the agent", &settings.dir, "DATA_DIR"));
    found.extend(room(&settings.dir));
    found.push(process(&settings.dir));
    found
}

async fn server(settings: &Settings) -> Vec<Found> {
    let token = match Token::open(settings.token.clone(), &settings.dir) {
        Ok(token) => Arc::new(token),
        Err(why) => return vec![Found::broken("token", why, "see `skipper node rotate-token`")],
    };
    let is_for_enrolment = token.is_for_enrolment();
    let door = match Door::new(settings, token, String::new()) {
        Ok(door) => door,
        Err(why) => return vec![Found::broken("TLS", why, "mend the file that is named")],
    };
    let mut found = Vec::new();
    let advice = "mend SKIPPER_URL, start the server, or let this machine through to it; for a certificate of your own authority SKIPPER_CA_FILE";
    match door.health().await {
        Ok(Health { status: 200, date }) => {
            found.push(Found::ok("server", settings.url.to_string()));
            found.extend(date.map(time));
        }
        Ok(Health { status, .. }) => {
            found.push(Found::broken("server", format!("{} answers {status} at /v1/health", settings.url), advice));
            return found;
        }
        Err(fault) => {
            found.push(Found::broken("server", format!("{}: {fault}", settings.url), advice));
            return found;
        }
    }
    if settings.url.scheme() == "https" {
        found.push(Found::ok("TLS", "the server's certificate is vouched for"));
    } else if !crate::cmd::is_loopback(settings.url.as_str()) {
        let why = "tokens and secrets go over the network unencrypted";
        found.push(Found::warning("TLS", why, "give the server a certificate and write https:// in SKIPPER_URL"));
    }
    if is_for_enrolment {
        found.push(Found::ok("token", "one for enrolment; the agent exchanges it when it starts"));
        return found;
    }
    // Without a name and without orders: it renews nothing, and is nobody's second agent.
    let heartbeat = Heartbeat { orders: Some(Vec::new()), ..Heartbeat::default() };
    found.push(match door.beat(&heartbeat).await {
        Ok(_) => Found::ok("token", format!("the server knows this as node {}", settings.node)),
        Err(Fault::Protocol(why)) => Found::broken("protocol", why, "server and agent must share one version of it"),
        Err(fault) => Found::broken("token", fault.to_string(), "`skipper node show` lists what the server knows"),
    });
    found
}

fn time(there: jiff::Timestamp) -> Found {
    let here = SystemClock.now().as_micros();
    let apart = Duration::from_micros(here.abs_diff(there.as_microsecond()));
    if apart <= SKEW {
        return Found::ok("time of day", "as the server's");
    }
    let detail = format!(
        "{} apart from the server's; orders do not depend on it, logs and certificates do",
        crate::render::lasted(apart)
    );
    Found::warning("time of day", detail, "let the network set the clock: `timedatectl set-ntp true`")
}

fn folder(check: &'static str, path: &Path, name: &str) -> Found {
    let shown = path.display();
    let tried = disk::make_dir(path).and_then(|()| tempfile::tempfile_in(path));
    match tried {
        Ok(_) => Found::ok(check, shown.to_string()),
        Err(error) => Found::broken(
            check,
            format!("{shown}: {error}"),
            format!("let this user write there, or name another with {name}"),
        ),
    }
}

fn room(path: &Path) -> Option<Found> {
    let free = disk::free(path)?;
    Some(match disk::too_full(path) {
        None => Found::ok("disk", format!("{} MiB free", free >> 20)),
        Some(why) => Found::broken("disk", why, "make room; no order is taken until then"),
    })
}

fn process(dir: &Path) -> Found {
    match disk::lock(dir, Duration::ZERO) {
        Ok(_) => Found::ok("process", "no agent runs on this folder"),
        // The check is often made beside the agent that is in doubt.
        Err(why) => Found::ok("process", why.split(';').next().unwrap_or_default().to_owned()),
    }
}
