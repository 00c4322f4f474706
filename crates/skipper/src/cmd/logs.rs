use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use skipper_core::{port::Clock as _, time::Timestamp};
use skipper_server::api::own::wire::{LogLine, ReleaseStatus};

use super::{Context, release_arg::ReleaseArg};
use crate::{
    client::{Call, LineStream, pause},
    complete,
    failure::{Done, Failure},
    render::{Style, parse_span, tame, time_of_day},
    world::SystemClock,
};

/// Arguments of `logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
With --json each line is a document: {\"at\", \"app\", \"deployment\", \"instance\", \"stream\", \"line\"}.")]
pub(crate) struct Logs {
    #[command(flatten)]
    release: ReleaseArg,
    /// Go on with what is written from now
    #[arg(long, short, conflicts_with = "revision")]
    follow: bool,
    /// At most this many of the last lines of each instance
    #[arg(long, short = 'n', value_name = "NUMBER")]
    tail: Option<u32>,
    /// Only what was written in this time, as 10m or 2h
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    since: Option<Duration>,
    /// Only this application
    #[arg(long, value_name = "APP", add = complete::apps())]
    app: Option<String>,
    /// Only this instance
    #[arg(long, value_name = "INDEX")]
    instance: Option<u32>,
    /// In a pod, only this container
    #[arg(long, value_name = "NAME", conflicts_with = "revision")]
    container: Option<String>,
    /// Only this revision: of one that failed, the lines that it wrote last
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u64>,
    /// With the time of each line
    #[arg(long, short)]
    timestamps: bool,
}

/// How often a broken stream is taken up again before the server counts as gone: about two minutes.
const TRIES: u32 = 45;

/// Lines of each instance asked for when a stream is taken up again; those seen already are left out.
const OVERLAP: u32 = 1000;

impl Logs {
    pub(super) async fn run(self, context: &Context) -> Done {
        let client = context.client()?;
        let labelled = self.needs_labels(context).await?;
        let (mut seen, mut tries, mut tail) = (Seen::default(), 0, self.tail);
        let since = self.since.map(|span| SystemClock.now() - span);
        loop {
            let call = Call::get(&["v1", "releases", self.release.name(), "logs"])
                .maybe("follow", self.follow.then_some(true))
                .maybe("tail", tail)
                .maybe("app", self.app.as_deref())
                .maybe("instance", self.instance)
                .maybe("container", self.container.as_deref())
                .maybe("revision", self.revision);
            match client.open_once(&call, &[]).await {
                Ok(response) => {
                    let mut lines = LineStream::new(client.checked(response).await?);
                    loop {
                        match lines.next().await {
                            Ok(Some(text)) => {
                                tries = 0;
                                self.show(context, &text, labelled, since, &mut seen)?;
                            }
                            Ok(None) if !self.follow => return Ok(()),
                            Err(error) if !self.follow => {
                                return Err(Failure::error(format!("the stream of lines broke: {error}")));
                            }
                            Ok(None) | Err(_) => break,
                        }
                    }
                }
                Err(lost) if !self.follow || tries >= TRIES => return Err(client.lost(&lost)),
                Err(_) if tries == 0 => context.out.note("the server does not answer; waiting for it to come back"),
                Err(_) => {}
            }
            tail = Some(OVERLAP);
            seen.again();
            tries += 1;
            tokio::time::sleep(pause(tries)).await;
        }
    }

    /// Lines are labelled where they may come from more than one place.
    async fn needs_labels(&self, context: &Context) -> Result<bool, Failure> {
        if context.out.json || (self.app.is_some() && self.instance.is_some()) {
            return Ok(false);
        }
        let status: ReleaseStatus = context.client()?.ask(&Call::get(&["v1", "releases", self.release.name()])).await?;
        Ok(!matches!(status.apps.as_slice(), [only] if only.replicas <= 1))
    }

    fn show(&self, context: &Context, text: &str, labelled: bool, since: Option<Timestamp>, seen: &mut Seen) -> Done {
        if text.is_empty() {
            return Ok(());
        }
        let Ok(line) = serde_json::from_str::<LogLine>(text) else {
            return Err(Failure::error(format!("the server sent a line that is not understood: {}", tame(text))));
        };
        let out = &context.out;
        if line.stream == "skipper" {
            if out.json {
                return out.json_line(&line);
            }
            out.note(&format!("[{}] {}", tame(&line.app), tame(&line.line)));
            return Ok(());
        }
        if seen.had(&line) || since.is_some_and(|since| is_before(&line.at, since)) {
            return Ok(());
        }
        if out.json {
            return out.json_line(&line);
        }
        let mut shown = String::new();
        if self.timestamps {
            shown.push_str(&out.paint.style(Style::Dim, &format!("{} ", time_of_day(&line.at))));
        }
        if labelled {
            let label = tame(&format!("{}/{} | ", line.app, line.instance));
            shown.push_str(&out.paint.style(Style::Busy, &label));
        }
        // A file gets the bytes that were written; a terminal is not to be steered by them.
        shown.push_str(&if out.interactive { tame_but_colours(&line.line) } else { line.line });
        out.line(&shown)
    }
}

/// Whether a line is older than that. One whose time is not understood is not.
fn is_before(at: &str, since: Timestamp) -> bool {
    at.parse::<jiff::Timestamp>().is_ok_and(|at| at.as_microsecond() < since.as_micros())
}

/// Which lines were shown, for a stream that is taken up again.
#[derive(Debug, Default)]
struct Seen {
    newest: BTreeMap<(String, u32), (String, BTreeSet<String>)>,
    checking: bool,
}

impl Seen {
    /// From now on lines may come a second time.
    fn again(&mut self) {
        self.checking = true;
    }

    /// Notes the line; whether it was shown before.
    fn had(&mut self, line: &LogLine) -> bool {
        let entry = self.newest.entry((line.deployment.clone(), line.instance)).or_default();
        match line.at.cmp(&entry.0) {
            std::cmp::Ordering::Less => return self.checking,
            std::cmp::Ordering::Equal => return !entry.1.insert(line.line.clone()) && self.checking,
            std::cmp::Ordering::Greater => {}
        }
        entry.0.clone_from(&line.at);
        entry.1 = BTreeSet::from([line.line.clone()]);
        false
    }
}

/// Applications may colour their lines; nothing else of what they write is obeyed.
fn tame_but_colours(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut coloured) = (text, false);
    while let Some(start) = rest.find('\x1b') {
        out.push_str(&tame(&rest[..start]));
        let after = &rest[start + 1..];
        let end = after.strip_prefix('[').and_then(|codes| codes.find(|c: char| !c.is_ascii_digit() && c != ';'));
        match end {
            Some(end) if after[1 + end..].starts_with('m') => {
                out.push_str(&rest[start..start + 3 + end]);
                rest = &rest[start + 3 + end..];
                coloured = true;
            }
            _ => {
                out.push_str("\\u{1b}");
                rest = after;
            }
        }
    }
    out.push_str(&tame(rest));
    if coloured { out + "\x1b[0m" } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: &str, text: &str) -> LogLine {
        LogLine {
            at: at.into(),
            app: "web".into(),
            deployment: "d".into(),
            instance: 0,
            stream: "stdout".into(),
            line: text.into(),
        }
    }

    #[test]
    fn a_stream_that_is_taken_up_again_shows_no_line_twice_and_loses_none() {
        let mut seen = Seen::default();
        assert!([("1", "a"), ("2", "b"), ("2", "b")].iter().all(|(at, text)| !seen.had(&line(at, text))));
        seen.again();
        let again = [("1", "a"), ("2", "b"), ("2", "c"), ("3", "d")].map(|(at, text)| seen.had(&line(at, text)));
        assert_eq!(again, [true, true, false, false]);
    }

    #[test]
    fn colours_pass_and_nothing_else_steers_the_terminal() {
        assert_eq!(tame_but_colours("\x1b[1;31mred\x1b[0m"), "\x1b[1;31mred\x1b[0m\x1b[0m");
        assert_eq!(tame_but_colours("a\x1b[2Jb\x1b]0;x\x07"), "a\\u{1b}[2Jb\\u{1b}]0;x\\u{7}");
        assert_eq!(tame_but_colours("ü\x1b"), "ü\\u{1b}");
    }
}
