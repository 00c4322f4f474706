//! `[health]` of an app and of an image.

use skipper_core::time::Millis;

use super::{units, value};
use crate::{
    fields::{Field, Fields},
    yaml::shorten,
};

/// What one file says of health; `None` where it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthKeys {
    /// Path and query that are asked by HTTP.
    pub path: Option<String>,
    /// Statuses that count as healthy.
    pub expect_status: Option<Vec<(u16, u16)>>,
    /// An open port is enough.
    pub tcp: Option<bool>,
    /// A command that is run in the container.
    pub command: Option<Vec<String>>,
    /// Pause between two attempts.
    pub interval: Option<Millis>,
    /// Longest one attempt may take.
    pub timeout: Option<Millis>,
    /// Failures in a row that make it unhealthy.
    pub retries: Option<u32>,
    /// Successes in a row that make it healthy.
    pub successes: Option<u32>,
    /// Time in which failures do not count.
    pub start_period: Option<Millis>,
    /// In a pod, the container that is asked.
    pub container: Option<String>,
}

/// What holds when both files were heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthSettings {
    /// As [`HealthKeys`]; where nothing is asked for, an app is healthy when its port is open, or, without one, when it runs.
    pub path: Option<String>,
    /// Statuses that count as healthy; 200 to 399 unless somebody says otherwise.
    pub expect_status: Vec<(u16, u16)>,
    /// An open port is enough; `false`: not even that is asked for.
    pub tcp: Option<bool>,
    /// A command that is run in the container.
    pub command: Option<Vec<String>>,
    /// Pause between two attempts; 2 s.
    pub interval: Millis,
    /// Longest one attempt may take; 5 s.
    pub timeout: Millis,
    /// Failures in a row that make it unhealthy; 5.
    pub retries: u32,
    /// Successes in a row that make it healthy; 1.
    pub successes: u32,
    /// Time in which failures do not count; 10 s. A grace and no wait: the first success counts.
    pub start_period: Millis,
    /// In a pod, the container that is asked.
    pub container: Option<String>,
}

/// Shortest pause between two attempts.
const MIN_INTERVAL: Millis = Millis(10);

/// Reads the table; `container` where the file knows of pods.
pub(super) fn read(fields: Option<Fields<'_>>) -> HealthKeys {
    let Some(mut fields) = fields else { return HealthKeys::default() };
    let path = fields.get("path").and_then(|field| path(&field));
    let expect_status = fields.get("expect_status").and_then(|field| field.parsed(|text| units::parse_statuses(&text)));
    let tcp = value::truth(&mut fields, "tcp");
    let command = fields.get("command").and_then(|field| command(&field));
    let interval = interval(&mut fields);
    let timeout = value::bound(&mut fields, "timeout");
    let retries = fields.get("retries").and_then(|field| field.whole32(1, 100_000));
    let successes = fields.get("successes").and_then(|field| field.whole32(1, 1000));
    let start_period = value::duration(&mut fields, "start_period");
    let container = fields.get("container").and_then(|field| value::container(&field));
    if [path.is_some(), tcp == Some(true), command.is_some()].into_iter().filter(|asked| *asked).count() > 1 {
        fields.field.error("value-invalid", "`path`, `tcp` and `command` exclude each other");
    }
    fields.finish();
    HealthKeys { path, expect_status, tcp, command, interval, timeout, retries, successes, start_period, container }
}

fn interval(fields: &mut Fields<'_>) -> Option<Millis> {
    let field = fields.get("interval")?;
    let span = field.parsed(|text| units::parse_duration(&text))?;
    if span < MIN_INTERVAL {
        field.error("value-invalid", "must be at least 10ms");
        return None;
    }
    Some(span)
}

fn path(field: &Field<'_>) -> Option<String> {
    let path = value::plain(field, 2048)?;
    if !path.starts_with('/') || path.chars().any(|c| c.is_control() || c == ' ' || c == '#') {
        let message = format!("`{}` is not a path", shorten(&path));
        field.error_hint("value-invalid", message, "it starts with `/` and has neither white space nor `#`");
        return None;
    }
    Some(path)
}

/// A list of words, or a line for the shell.
fn command(field: &Field<'_>) -> Option<Vec<String>> {
    if value::is_list(field) {
        let words = field.texts(100, 4096);
        if words.first().is_none_or(String::is_empty) {
            field.error("value-invalid", "must name a program");
            return None;
        }
        return Some(words);
    }
    field.short_text(4096).map(shell)
}

/// A line as the shell of the image runs it.
pub(super) fn shell(line: String) -> Vec<String> {
    vec!["/bin/sh".to_owned(), "-c".to_owned(), line]
}

impl HealthSettings {
    /// The server is heard before the image, key by key. What is asked goes together: who names a path, TCP or a command
    /// names the question.
    pub(super) fn of(server: &HealthKeys, repo: &HealthKeys) -> Self {
        let asks = |keys: &HealthKeys| keys.path.is_some() || keys.tcp == Some(true) || keys.command.is_some();
        let question = if asks(server) || server.tcp == Some(false) { server } else { repo };
        Self {
            path: question.path.clone(),
            tcp: question.tcp,
            command: question.command.clone(),
            expect_status: server
                .expect_status
                .clone()
                .or_else(|| repo.expect_status.clone())
                .unwrap_or_else(|| vec![(200, 399)]),
            interval: server.interval.or(repo.interval).unwrap_or(Millis::secs(2)),
            timeout: server.timeout.or(repo.timeout).unwrap_or(Millis::secs(5)),
            retries: server.retries.or(repo.retries).unwrap_or(5),
            successes: server.successes.or(repo.successes).unwrap_or(1),
            start_period: server.start_period.or(repo.start_period).unwrap_or(Millis::secs(10)),
            container: server.container.clone().or_else(|| repo.container.clone()),
        }
    }
}
