//! What the server says of itself.

use std::time::Duration;

use skipper_core::port::Clock as _;
use skipper_edge::AcmeInfo;
use skipper_server::{
    api::deploys::wire::{AppStatus, StatusView},
    api::own::wire::{CaddyView, EdgeView, Health, PlatformList, Ready, ReleasePage},
    edge::EdgeState,
};

use super::{super::Context, Finding};
use crate::{
    client::{Call, Client},
    failure::{Exit, Failure},
    targets::{self, Connection},
    world::SystemClock,
};

/// Seconds that two clocks may be apart; signatures are good for five minutes.
const SKEW: i64 = 30;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn look(connection: &Connection, context: &Context, findings: &mut Vec<Finding>) {
    let resolved = targets::resolve(connection, &context.surroundings).and_then(Client::new);
    let client = match resolved {
        Ok(client) => client.answering_within(PATIENCE),
        Err(failure) => return findings.push(broken("server", failure)),
    };
    match client.ask::<Health>(&Call::get(&["healthz"])).await {
        Ok(health) => {
            findings.push(version(&client, &health));
            findings.extend(skew(&client).await);
        }
        Err(failure) => return findings.push(broken("server", failure)),
    }
    match client.open_once(&Call::get(&["readyz"]), &[]).await {
        // 503 has the same body, which says what is not ready.
        Ok(response) => match response.json::<Ready>().await {
            Ok(ready) => {
                findings.extend(ready.parts.into_iter().filter_map(|(part, state)| part_finding(&part, &state)));
            }
            Err(error) => findings.push(Finding::warning("ready", error.to_string(), "is this a Skipper server?")),
        },
        Err(lost) => findings.push(broken("ready", client.lost(&lost))),
    }
    match client.ask::<ReleasePage>(&Call::get(&["v1", "releases"]).query("limit", 1)).await {
        Ok(_) => findings.push(Finding::ok("access", "this client is let in")),
        Err(failure) if failure.exit == Exit::Auth => return findings.push(broken("access", failure)),
        Err(failure) => findings.push(broken("access", failure)),
    }
    match client.ask::<PlatformList>(&Call::get(&["v1", "platforms"])).await {
        Ok(list) => list.items.iter().for_each(|platform| {
            findings.push(if platform.reachable {
                Finding::ok("platform", format!("{} ({}): {}", platform.name, platform.kind, platform.summary))
            } else {
                let detail = format!("{} ({}) does not answer: {}", platform.name, platform.kind, platform.summary);
                Finding::broken("platform", detail, "look at the server's log, and at the platform itself")
            });
            let limits = ["memory-limits", "cpu-limits"].map(|limit| platform.capabilities.iter().any(|c| c == limit));
            if platform.reachable && limits.contains(&false) {
                findings.push(Finding::warning(
                    "limits",
                    format!("{} cannot limit memory and CPU; packages that ask for limits are refused", platform.name),
                    "give the server a delegated cgroup (systemd: Delegate=yes)",
                ));
            }
        }),
        Err(failure) => findings.push(broken("platform", failure)),
    }
    match client.ask::<EdgeView>(&Call::get(&["v1", "edge"])).await {
        Ok(edge) if edge.reachable => {
            findings.push(Finding::ok("edge", "the server reaches it"));
            findings.extend(certificates(&edge));
            findings.extend(edge.caddy.iter().flat_map(caddy_findings));
        }
        Ok(edge) => {
            findings.extend(edge.caddy.iter().flat_map(caddy_findings));
            let why = edge.error.unwrap_or_else(|| "no reason given".to_owned());
            findings.push(Finding::broken(
                "edge",
                format!("the server does not reach it: {why}"),
                "look at edge/edge.log in the data directory; `skipper edge` starts one by hand",
            ));
        }
        Err(failure) => findings.push(broken("edge", failure)),
    }
    // Whoever may not read it was told so above.
    match client.ask::<StatusView>(&Call::get(&["v1", "status"])).await {
        Ok(status) => findings.extend(status.apps.iter().flat_map(|(name, app)| app_findings(name, app))),
        Err(failure) if matches!(failure.exit, Exit::Auth | Exit::NotFound) => {}
        Err(failure) => findings.push(broken("app", failure)),
    }
}

/// What is wrong with what runs of an app, and with its file as the server sees it.
fn app_findings(name: &str, app: &AppStatus) -> Vec<Finding> {
    let mut found = Vec::new();
    let see = format!("look at `skipper status {name}` and `skipper logs {name}`");
    let of_deploy = || app.last_deploy.as_ref().and_then(|deploy| deploy.error.clone());
    match app.status.as_str() {
        "degraded" => {
            let detail = app.detail.as_deref().unwrap_or("it does not run as it should");
            found.push(Finding::broken("app", format!("{name} is degraded: {detail}"), see));
        }
        "failed" => {
            let why = of_deploy().unwrap_or_else(|| "no reason given".to_owned());
            found.push(Finding::broken("app", format!("{name} does not run, its deploy failed: {why}"), see));
        }
        "running" if app.last_deploy.as_ref().is_some_and(|deploy| deploy.status == "failed") => {
            let (tag, why) = (app.tag.as_deref().unwrap_or("?"), of_deploy().unwrap_or_default());
            found.push(Finding::warning("app", format!("{name} runs {tag}; its newest deploy failed: {why}"), see));
        }
        _ => {}
    }
    let faults = app.faults.iter();
    found.extend(faults.map(|fault| Finding::broken("app", format!("{name}: {fault}"), "mend its file")));
    found
}

/// How far the clocks of both sides are apart: signatures carry times, and are refused when these are off.
async fn skew(client: &Client) -> Option<Finding> {
    let response = client.open_once(&Call::get(&["healthz"]), &[]).await.ok()?;
    let date = response.headers().get(reqwest::header::DATE)?.to_str().ok()?;
    let theirs = jiff::fmt::rfc2822::parse(date).ok()?.timestamp().as_second();
    let apart = (SystemClock.now().as_micros() / 1_000_000 - theirs).abs();
    (apart > SKEW).then(|| {
        let detail = format!("the clocks of this machine and of the server are {apart} s apart");
        Finding::warning("clock", detail, "set both by the network: timedatectl set-ntp true")
    })
}

/// What the edge orders itself: one line when all is well, one for each name that is not.
fn certificates(edge: &EdgeView) -> Vec<Finding> {
    let acme = edge.status.get("acme").and_then(|acme| serde_json::from_value::<AcmeInfo>(acme.clone()).ok());
    let Some(acme) = acme else { return Vec::new() };
    let state = EdgeState { acme: Some(acme.clone()), ..EdgeState::default() };
    let troubles: Vec<String> =
        acme.certificates.iter().filter_map(|certificate| state.certificate_trouble(&certificate.host)).collect();
    if troubles.is_empty() {
        let waiting = if acme.pending == 0 { String::new() } else { format!(", {} awaited", acme.pending) };
        return vec![Finding::ok("certificates", format!("{} from {}{waiting}", acme.valid, acme.directory))];
    }
    let advice =
        "does the name lead here, and do ports 80 and 443 of it reach the edge? SIGHUP makes the edge try at once";
    troubles.into_iter().map(|trouble| Finding::warning("certificates", trouble, advice)).collect()
}

/// Caddy itself, and each host name that it does not lead to the edge.
fn caddy_findings(caddy: &CaddyView) -> Vec<Finding> {
    let mut findings = vec![match (caddy.health.as_str(), &caddy.cause) {
        ("ok", _) => Finding::ok("caddy", format!("{} leads {} host names to the edge", caddy.admin, caddy.hosts)),
        ("unknown", _) => Finding::ok("caddy", format!("{} is being asked", caddy.admin)),
        (_, cause) => {
            let cause = cause.as_deref().unwrap_or("no reason given");
            let advice = caddy.advice.as_deref().unwrap_or("look at the server's log");
            Finding::warning("caddy", format!("{}, since {}: {cause}", caddy.admin, caddy.since), advice)
        }
    }];
    findings.extend(caddy.left.iter().map(|left| {
        let (why, advice) = left.why.split_once("; ").unwrap_or((&left.why, "look at Caddy's configuration"));
        Finding::warning("host name", format!("{}: {why}", left.host), advice)
    }));
    findings
}

fn version(client: &Client, health: &Health) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    let detail = format!("{} answers, version {}", client.url(), health.version);
    if health.version == own {
        return Finding::ok("server", detail);
    }
    Finding::warning("server", detail, format!("this client is version {own}; use the same where you can"))
}

fn part_finding(part: &str, state: &str) -> Option<Finding> {
    let check = match part {
        "store" => "store",
        "edge" => "edge ready",
        "engine" => "engine",
        // Told in full further below, and no reason to call anything broken.
        "caddy" | "certificates" => return None,
        _ => "ready",
    };
    let detail = if check == "ready" { format!("{part}: {state}") } else { state.to_owned() };
    Some(if state == "ok" {
        Finding::ok(check, detail)
    } else {
        Finding::broken(check, detail, "look at the server's log")
    })
}

fn broken(check: &'static str, failure: Failure) -> Finding {
    Finding { state: super::State::Broken, advice: failure.hint, ..Finding::ok(check, failure.message) }
}
