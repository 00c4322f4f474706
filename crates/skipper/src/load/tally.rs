use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Serialize;

use super::histogram::Histogram;

/// Different reasons that are told apart; more are counted together.
const MAX_REASONS: usize = 50;

/// What a user does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    KeepAlive,
    Fresh,
    Http2,
    WebSocket,
    Events,
    Download,
    Upload,
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::KeepAlive, Self::Fresh, Self::Http2, Self::WebSocket, Self::Events, Self::Download, Self::Upload];

    const fn name(self) -> &'static str {
        match self {
            Self::KeepAlive => "keep-alive",
            Self::Fresh => "new-connection",
            Self::Http2 => "http2",
            Self::WebSocket => "websocket",
            Self::Events => "server-sent-events",
            Self::Download => "download",
            Self::Upload => "upload",
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    ok: AtomicU64,
    failed: AtomicU64,
    reconnects: AtomicU64,
    took: Histogram,
}

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    kinds: [Counts; 7],
    reasons: Mutex<BTreeMap<String, u64>>,
    versions: Mutex<BTreeMap<String, u64>>,
}

impl Tally {
    fn of(&self, kind: Kind) -> &Counts {
        &self.kinds[kind as usize]
    }

    pub(super) fn ok(&self, kind: Kind, took: Duration) {
        self.of(kind).ok.fetch_add(1, Ordering::Relaxed);
        self.of(kind).took.record(took);
    }

    pub(super) fn failed(&self, kind: Kind, reason: &str) {
        self.of(kind).failed.fetch_add(1, Ordering::Relaxed);
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let known = reasons.len() < MAX_REASONS;
        let reason = if known { format!("{}: {reason}", kind.name()) } else { "other reasons".into() };
        *reasons.entry(reason).or_default() += 1;
    }

    pub(super) fn reconnected(&self, kind: Kind) {
        self.of(kind).reconnects.fetch_add(1, Ordering::Relaxed);
    }

    /// An answer of that version of the sample application.
    pub(super) fn version(&self, version: &str) {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = versions.get_mut(version) {
            *count += 1;
        } else if versions.len() < MAX_REASONS {
            versions.insert(version.to_owned(), 1);
        }
    }

    /// Users that did not come to an end in time.
    pub(super) fn unfinished(&self, users: usize) {
        let count = u64::try_from(users).unwrap_or(u64::MAX);
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        *reasons.entry("not finished in time".into()).or_default() += count;
    }

    pub(super) fn short_requests(&self) -> u64 {
        [Kind::KeepAlive, Kind::Fresh, Kind::Http2]
            .into_iter()
            .map(|kind| self.of(kind).ok.load(Ordering::Relaxed) + self.of(kind).failed.load(Ordering::Relaxed))
            .sum()
    }

    pub(super) fn report(&self) -> Report {
        let kinds = Kind::ALL.into_iter().filter_map(|kind| {
            let counts = self.of(kind);
            let report = KindReport {
                ok: counts.ok.load(Ordering::Relaxed),
                failed: counts.failed.load(Ordering::Relaxed),
                reconnects: counts.reconnects.load(Ordering::Relaxed),
                p50_us: counts.took.quantile_us(500),
                p99_us: counts.took.quantile_us(990),
                max_us: counts.took.max_us(),
            };
            (report.ok + report.failed > 0).then(|| (kind.name().to_owned(), report))
        });
        Report {
            kinds: kinds.collect(),
            failures: self.reasons.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            versions: self.versions.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// What a load counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// By kind of user; those that did nothing are left out.
    pub(crate) kinds: BTreeMap<String, KindReport>,
    /// How often for which reason; the sum is the number of failures.
    pub(crate) failures: BTreeMap<String, u64>,
    /// Short answers by the version that gave them.
    pub(crate) versions: BTreeMap<String, u64>,
}

/// What one kind of user counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct KindReport {
    /// Answers, messages, events, downloads or uploads that were as they should be.
    pub(crate) ok: u64,
    /// Those that were not.
    pub(crate) failed: u64,
    /// Connections opened again because the other side had closed them between two requests.
    pub(crate) reconnects: u64,
    /// Median time, microseconds.
    pub(crate) p50_us: u64,
    /// 99th percentile, microseconds.
    pub(crate) p99_us: u64,
    /// Longest time, microseconds.
    pub(crate) max_us: u64,
}

impl Report {
    /// Everything that was as it should be.
    #[must_use]
    pub(crate) fn ok(&self) -> u64 {
        self.kinds.values().map(|kind| kind.ok).sum()
    }

    /// Everything that was not.
    #[must_use]
    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |us: u64| format!("{}.{:02}", us / 1000, us % 1000 / 10);
        writeln!(
            f,
            "{:<20} {:>9} {:>7} {:>11} {:>9} {:>9} {:>9}",
            "kind", "ok", "failed", "reconnects", "p50 ms", "p99 ms", "max ms"
        )?;
        for (name, kind) in &self.kinds {
            writeln!(
                f,
                "{name:<20} {:>9} {:>7} {:>11} {:>9} {:>9} {:>9}",
                kind.ok,
                kind.failed,
                kind.reconnects,
                ms(kind.p50_us),
                ms(kind.p99_us),
                ms(kind.max_us)
            )?;
        }
        for (reason, count) in &self.failures {
            writeln!(f, "failed {count} times: {reason}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_each_failure_with_its_reason_and_leaves_idle_kinds_out() {
        let tally = Tally::default();
        tally.ok(Kind::Fresh, Duration::from_millis(2));
        tally.failed(Kind::Fresh, "status 503");
        tally.failed(Kind::Fresh, "status 503");
        tally.unfinished(1);
        let report = tally.report();
        assert_eq!((report.ok(), report.failed()), (1, 3));
        assert_eq!(report.kinds.len(), 1);
        assert_eq!(report.failures["new-connection: status 503"], 2);
        assert_eq!(tally.short_requests(), 3);
    }
}
