//! Answers that go on: log lines, and that something changed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, stream, stream::FuturesUnordered};
use skipper_core::{
    name::PlatformName,
    port::{Error, ErrorKind, LogQuery, Platform},
};

use crate::remote::{
    Reply,
    message::{Ask, Change, Fault, LogLine, line},
};

/// Lines that are there already are sent together, but no more than this many: each may have 64 KiB.
const TOGETHER: usize = 32;
/// Least time between two lines that tell of the same account. What changes in between is told by the next one.
const PAUSE: Duration = Duration::from_millis(50);

/// Log lines, for as long as they are read.
pub(super) async fn logs(platform: &dyn Platform, ask: Ask<LogQuery>) -> Reply {
    let deadline = ask.deadline();
    let lines = match tokio::time::timeout(deadline, platform.logs(ask.with)).await {
        Ok(Ok(lines)) => lines,
        Ok(Err(error)) => return Reply::refused(&error),
        Err(_) => {
            let message = format!("no log after {} ms", deadline.as_millis());
            return Reply::refused(&Error::new(ErrorKind::Unknown, "deadline", message));
        }
    };
    let lines = lines.map(|line| match line {
        Ok(chunk) => LogLine::Line(chunk),
        Err(error) => LogLine::Error(Fault::of(&error)),
    });
    let end = stream::once(async { LogLine::End });
    Reply::stream(lines.chain(end).ready_chunks(TOGETHER).map(|lines| {
        let mut bytes = Vec::new();
        for one in &lines {
            line(one, &mut bytes);
        }
        Bytes::from(bytes)
    }))
}

/// A line whenever something may have changed on an account, for as long as they are read.
pub(super) fn changes(platforms: &BTreeMap<PlatformName, Arc<dyn Platform>>) -> Reply {
    let watch = |name: PlatformName, platform: Arc<dyn Platform>, pause: Duration| async move {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        platform.changed().await;
        (name, platform)
    };
    let all = platforms.iter().map(|(name, platform)| watch(name.clone(), Arc::clone(platform), Duration::ZERO));
    let all: FuturesUnordered<_> = all.collect();
    Reply::stream(stream::unfold(all, move |mut all| async move {
        if all.is_empty() {
            // Nothing ever changes where there is nothing; that it ended would be read as news.
            std::future::pending::<()>().await;
        }
        let (name, platform) = all.next().await?;
        let mut bytes = Vec::new();
        line(&Change { platform: name.as_str().to_owned() }, &mut bytes);
        all.push(watch(name, platform, PAUSE));
        Some((Bytes::from(bytes), all))
    }))
}
