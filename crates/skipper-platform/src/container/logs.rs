//! Reading what containers print. The engine keeps it; each line comes with the time at which the engine read it.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bollard::{container::LogOutput, errors::Error as Said, query_parameters::LogsOptionsBuilder};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use skipper_core::{
    BoxStream,
    deployment::DeploymentId,
    port::{Error, ErrorKind, LogChunk, LogQuery, LogStreamKind},
    time::Timestamp,
};

use super::{
    account::Account,
    fault, labels, list,
    look::{Looked, look, time},
    pod,
};
use crate::local::keeper::LINE_BYTES;

/// Between two looks whether a container runs again whose output is followed.
const AGAIN: Duration = Duration::from_millis(500);

pub(crate) type Lines = BoxStream<'static, Result<LogChunk, Error>>;

/// The lines a query asks for.
pub(super) async fn of_deployment(account: &Arc<Account>, query: LogQuery) -> Result<Lines, Error> {
    let missing = |what: String| Error::new(ErrorKind::NotFound, "no-logs", what);
    let mut here = instances(account, &query.deployment).await?;
    if here.is_empty() {
        return Err(missing(format!("deployment {} is not here; its logs went with it", query.deployment)));
    }
    if let Some(only) = query.instance {
        here.retain(|one| one.index == only);
        if here.is_empty() {
            return Err(missing(format!("{} has no instance {only}", query.deployment)));
        }
    }
    if let Some(container) = &query.container {
        let known: BTreeSet<String> = here.iter().filter_map(|one| one.part.clone()).collect();
        here.retain(|one| one.part.as_ref() == Some(container));
        if here.is_empty() {
            let container: String = container.chars().take(100).collect();
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            let error = missing(format!("{} has no container `{container}`", query.deployment));
            return Err(if known.is_empty() { error } else { error.hint(format!("its containers are: {known}")) });
        }
    }
    // Each container of a pod has a tail of its own; together they may not be longer than one.
    let longest = query.tail.filter(|_| !query.follow && here.iter().any(|one| one.part.is_some()));
    let named = here.into_iter().map(|one| (one.index, one.name));
    let lines = of_named(account, named, query.tail, query.follow).await?;
    match longest {
        Some(longest) => Ok(Box::pin(stream::iter(last_of_each(lines, longest).await))),
        None => Ok(lines),
    }
}

/// The lines of containers that are given by name or id, each with the index that its lines get: in the order of their times,
/// or as they come where they are followed.
pub(crate) async fn of_named(
    account: &Arc<Account>,
    containers: impl IntoIterator<Item = (u32, String)> + Send,
    tail: Option<usize>,
    follow: bool,
) -> Result<Lines, Error> {
    let mut all = Vec::new();
    for (index, name) in containers.into_iter().collect::<Vec<_>>() {
        let reading = Reading { account: Arc::clone(account), name, index, tail, since: None, passed: 0 };
        all.push(if follow { reading.follow().await? } else { reading.once().await? });
    }
    if follow { Ok(Box::pin(stream::select_all(all))) } else { Ok(Box::pin(merge(all))) }
}

/// The last lines of each instance, in their order.
async fn last_of_each(
    lines: impl Stream<Item = Result<LogChunk, Error>> + Send,
    longest: usize,
) -> Vec<Result<LogChunk, Error>> {
    let lines: Vec<_> = lines.collect().await;
    let mut left: HashMap<u32, usize> = HashMap::new();
    let mut last: Vec<_> = lines
        .into_iter()
        .rev()
        .filter(|line| {
            let Ok(chunk) = line else { return true };
            let left = left.entry(chunk.instance).or_insert(longest);
            let counts = *left > 0;
            *left = left.saturating_sub(1);
            counts
        })
        .collect();
    last.reverse();
    last
}

/// The last lines of one container.
pub(super) async fn of_container(account: &Arc<Account>, id: &str, tail: Option<usize>) -> Result<Lines, Error> {
    Reading { account: Arc::clone(account), name: id.to_owned(), index: 0, tail, since: None, passed: 0 }.once().await
}

/// A container of a deployment.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Here {
    index: u32,
    name: String,
    /// What it is called in its pod.
    part: Option<String>,
}

/// A deployment's containers by index.
async fn instances(account: &Account, id: &DeploymentId) -> Result<Vec<Here>, Error> {
    let listed = list::of_deployment(account, id).await?;
    let mut found: Vec<Here> = listed
        .into_iter()
        .filter_map(|one| {
            let index = one.labels.as_ref()?.get(labels::INDEX)?.parse().ok()?;
            let instance = labels::instance_name(id, index);
            let names = one.names.unwrap_or_default();
            let prefix = format!("/{instance}-");
            let part = names.iter().find_map(|name| name.strip_prefix(&prefix)).map(str::to_owned);
            let name = part.as_ref().map_or_else(|| instance.clone(), |part| pod::part_name(&instance, part));
            Some(Here { index, name, part })
        })
        .collect();
    found.sort_unstable();
    Ok(found)
}

/// Several logs by time; each is in order already.
fn merge(logs: Vec<Lines>) -> impl Stream<Item = Result<LogChunk, Error>> + Send {
    let logs: Vec<_> = logs.into_iter().map(|log| Box::pin(log.peekable())).collect();
    stream::unfold(logs, |mut logs| async move {
        let mut first: Option<(usize, Timestamp)> = None;
        let mut at = 0;
        while at < logs.len() {
            let stands = match logs[at].as_mut().peek().await {
                None => {
                    drop(logs.swap_remove(at));
                    // Another one has its place now; who was first may have been that.
                    first = first.filter(|(which, _)| *which < logs.len());
                    continue;
                }
                Some(Ok(chunk)) => chunk.at,
                // Told at once.
                Some(Err(_)) => Timestamp::default(),
            };
            if first.is_none_or(|(_, time)| stands < time) {
                first = Some((at, stands));
            }
            at += 1;
        }
        let (which, _) = first?;
        let next = logs[which].next().await?;
        Some((next, logs))
    })
}

/// Where reading stands in one container's output.
struct Reading {
    account: Arc<Account>,
    name: String,
    index: u32,
    tail: Option<usize>,
    /// The second of the last line that was handed over, and how many were of that second: engines know no finer beginning.
    since: Option<(i64, usize)>,
    /// Lines of that second that are still to be passed over, since they were handed over before.
    passed: usize,
}

type Raw = Pin<Box<dyn Stream<Item = Result<LogOutput, Said>> + Send>>;

impl Reading {
    async fn open(&self, follow: bool) -> Result<Raw, Error> {
        let engine = self.account.engine().await?;
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).timestamps(true).follow(follow);
        let options = match (self.since, self.tail) {
            (Some((second, _)), _) => options.since(i32::try_from(second).unwrap_or_default()),
            (None, Some(lines)) => options.tail(&lines.to_string()),
            (None, None) => options.tail("all"),
        };
        Ok(Box::pin(engine.logs(&self.name, Some(options.build()))))
    }

    /// Everything that is there now.
    async fn once(self) -> Result<Lines, Error> {
        let raw = self.open(false).await?;
        Ok(Box::pin(lines(Arc::clone(&self.account), self.index, raw)))
    }

    /// Also what comes, across restarts, until the container is gone.
    async fn follow(self) -> Result<Lines, Error> {
        let raw = self.open(true).await?;
        let current: Lines = Box::pin(lines(Arc::clone(&self.account), self.index, raw));
        Ok(Box::pin(stream::unfold((self, Some(current)), |(mut reading, mut current)| async move {
            loop {
                let open = current.as_mut()?;
                match open.next().await {
                    Some(Ok(chunk)) => {
                        if reading.is_known(&chunk) {
                            continue;
                        }
                        return Some((Ok(chunk), (reading, current)));
                    }
                    Some(Err(error)) => return Some((Err(error), (reading, None))),
                    None => match reading.reopen().await {
                        Ok(Some(again)) => current = Some(again),
                        Ok(None) => return None,
                        Err(error) => return Some((Err(error), (reading, None))),
                    },
                }
            }
        })))
    }

    /// Counts a line, unless it was handed over before the stream was opened again.
    fn is_known(&mut self, chunk: &LogChunk) -> bool {
        let second = chunk.at.as_micros().div_euclid(1_000_000);
        match &mut self.since {
            Some((last, _)) if *last == second && self.passed > 0 => {
                self.passed -= 1;
                return true;
            }
            Some((last, count)) if *last == second => *count += 1,
            since => *since = Some((second, 1)),
        }
        self.passed = 0;
        false
    }

    /// Waits until the container runs again; `None` when it is gone.
    async fn reopen(&mut self) -> Result<Option<Lines>, Error> {
        loop {
            match look(&self.account, &self.name).await? {
                Looked::Absent => return Ok(None),
                Looked::Running(_) => {
                    self.passed = self.since.map_or(0, |(_, count)| count);
                    let raw = self.open(true).await?;
                    return Ok(Some(Box::pin(lines(Arc::clone(&self.account), self.index, raw))));
                }
                _ => tokio::time::sleep(AGAIN).await,
            }
        }
    }
}

/// What is half read of each of the two streams.
#[derive(Default)]
struct Halves {
    out: Option<(Timestamp, Vec<u8>)>,
    err: Option<(Timestamp, Vec<u8>)>,
    ready: VecDeque<LogChunk>,
    ended: bool,
}

/// Frames of the engine as lines.
fn lines(account: Arc<Account>, instance: u32, raw: Raw) -> impl Stream<Item = Result<LogChunk, Error>> + Send {
    stream::unfold((account, raw, Halves::default()), move |(account, mut raw, mut halves)| async move {
        loop {
            if let Some(chunk) = halves.ready.pop_front() {
                return Some((Ok(chunk), (account, raw, halves)));
            }
            if halves.ended {
                return None;
            }
            match raw.next().await {
                Some(Ok(LogOutput::StdErr { message })) => halves.take(LogStreamKind::Stderr, &message, instance),
                Some(Ok(LogOutput::StdOut { message } | LogOutput::Console { message })) => {
                    halves.take(LogStreamKind::Stdout, &message, instance);
                }
                Some(Ok(LogOutput::StdIn { .. })) => {}
                Some(Err(said)) if fault::is_missing(&said) => halves.end(instance),
                // What was printed last may be cut off with its container.
                Some(Err(said)) if fault::status(&said).is_none() && !fault::is_down(&said) => halves.end(instance),
                Some(Err(said)) => {
                    halves.ended = true;
                    return Some((Err(account.failed("read the logs", said)), (account, raw, halves)));
                }
                None => halves.end(instance),
            }
        }
    })
}

impl Halves {
    /// A frame: each line begins with its time. A long line comes in several frames, each with a time.
    fn take(&mut self, stream: LogStreamKind, message: &Bytes, instance: u32) {
        for piece in message.split_inclusive(|byte| *byte == b'\n') {
            let Some((at, text)) = stamped(piece) else { continue };
            let (text, whole) = match text.strip_suffix(b"\n") {
                Some(text) => (text.strip_suffix(b"\r").unwrap_or(text), true),
                None => (text, false),
            };
            let half = match stream {
                LogStreamKind::Stdout => &mut self.out,
                LogStreamKind::Stderr => &mut self.err,
            };
            let (at, mut line) = half.take().unwrap_or_else(|| (at, Vec::new()));
            let room = LINE_BYTES.saturating_sub(line.len());
            line.extend_from_slice(&text[..text.len().min(room)]);
            if whole {
                self.ready.push_back(chunk(at, instance, stream, &line));
            } else {
                *half = Some((at, line));
            }
        }
    }

    /// The last line may have no end.
    fn end(&mut self, instance: u32) {
        let out = self.out.take().map(|(at, line)| chunk(at, instance, LogStreamKind::Stdout, &line));
        let err = self.err.take().map(|(at, line)| chunk(at, instance, LogStreamKind::Stderr, &line));
        self.ready.extend(out.into_iter().chain(err));
        self.ended = true;
    }
}

fn chunk(at: Timestamp, instance: u32, stream: LogStreamKind, line: &[u8]) -> LogChunk {
    LogChunk { at, instance, stream, line: String::from_utf8_lossy(line).into_owned() }
}

/// Takes the time off a line.
fn stamped(piece: &[u8]) -> Option<(Timestamp, &[u8])> {
    let space = piece.iter().position(|byte| *byte == b' ')?;
    let at = time(std::str::from_utf8(&piece[..space]).ok()?)?;
    Some((at, &piece[space + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_come_in_pieces_are_put_together() {
        let mut halves = Halves::default();
        let stamp = "2026-01-01T00:00:00.5Z ";
        let mut take = |stream, text: &str| halves.take(stream, &Bytes::from(text.replace('@', stamp)), 3);
        take(LogStreamKind::Stdout, "@a long ");
        take(LogStreamKind::Stderr, "@other\r\n");
        take(LogStreamKind::Stdout, "@line\n@next\n@unfinished");
        halves.end(3);
        let lines: Vec<_> = halves.ready.iter().map(|chunk| (chunk.stream, chunk.line.as_str())).collect();
        let (out, err) = (LogStreamKind::Stdout, LogStreamKind::Stderr);
        assert_eq!(lines, [(err, "other"), (out, "a long line"), (out, "next"), (out, "unfinished")]);
        assert!(halves.ready.iter().all(|chunk| chunk.instance == 3 && chunk.at.as_micros() % 1_000_000 == 500_000));
    }
}
