//! Counters and histograms of this process, as Prometheus text.
//!
//! Label values come from closed sets (methods, routes of the table, status codes, verbs, outcomes, actions), so that
//! nobody outside can make the series grow.

use std::{collections::BTreeMap, fmt::Write as _, sync::Mutex, time::Duration};

use http::Method;

/// Upper bounds of the buckets in seconds: from a cached read to a slow rollout step.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0];
const POISONED: &str = "no code panics while it holds this lock";

/// What is counted.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<(String, String, u16), Histogram>>,
    store: Mutex<BTreeMap<&'static str, Histogram>>,
    rollouts: Mutex<BTreeMap<(String, String), Histogram>>,
    steps: Mutex<BTreeMap<(String, String), Histogram>>,
}

#[derive(Debug, Clone, Default)]
struct Histogram {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: f64,
}

impl Histogram {
    fn record(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        self.count += 1;
        self.sum += seconds;
        for (bound, bucket) in BUCKETS.iter().zip(&mut self.buckets) {
            *bucket += u64::from(seconds <= *bound);
        }
    }
}

impl Metrics {
    /// Counts a request. `route` is the pattern, not the path.
    pub(crate) fn request(&self, method: &Method, route: Option<&str>, status: u16, took: Duration) {
        let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];
        let method = if known.contains(method) { method.as_str() } else { "other" };
        let key = (method.to_owned(), route.unwrap_or("unmatched").to_owned(), status);
        self.requests.lock().expect(POISONED).entry(key).or_default().record(took);
    }

    /// Counts a call of the store.
    pub(crate) fn store(&self, call: &'static str, took: Duration) {
        self.store.lock().expect(POISONED).entry(call).or_default().record(took);
    }

    /// Counts a rollout that ended.
    pub(crate) fn rollout(&self, verb: &str, outcome: &str, took: Duration) {
        let key = (verb.to_owned(), outcome.to_owned());
        self.rollouts.lock().expect(POISONED).entry(key).or_default().record(took);
    }

    /// Counts a step that ended.
    pub(crate) fn step(&self, action: &str, outcome: &str, took: Duration) {
        let key = (action.to_owned(), outcome.to_owned());
        self.steps.lock().expect(POISONED).entry(key).or_default().record(took);
    }

    /// Everything that is counted here, in the text format of Prometheus.
    #[must_use]
    pub(crate) fn render(&self) -> Text {
        let mut text = Text::default();
        let requests = self.requests.lock().expect(POISONED).clone();
        text.histograms(
            "skipper_http_request_duration_seconds",
            "Time to the answer's head of API requests.",
            requests.iter().map(|((method, route, status), h)| {
                (vec![("method", method.clone()), ("route", route.clone()), ("status", status.to_string())], h)
            }),
        );
        let store = self.store.lock().expect(POISONED).clone();
        text.histograms(
            "skipper_store_duration_seconds",
            "Time of calls to the store.",
            store.iter().map(|(call, h)| (vec![("call", (*call).to_owned())], h)),
        );
        let rollouts = self.rollouts.lock().expect(POISONED).clone();
        text.histograms(
            "skipper_rollout_duration_seconds",
            "Time from accepted to ended of rollouts that ended since the server started.",
            rollouts.iter().map(|((verb, outcome), h)| (vec![("verb", verb.clone()), ("outcome", outcome.clone())], h)),
        );
        let steps = self.steps.lock().expect(POISONED).clone();
        text.histograms(
            "skipper_step_duration_seconds",
            "Time of rollout steps that ended since the server started.",
            steps
                .iter()
                .map(|((action, outcome), h)| (vec![("action", action.clone()), ("outcome", outcome.clone())], h)),
        );
        text
    }
}

/// Prometheus text under construction.
#[derive(Debug, Default)]
pub(crate) struct Text(String);

type Labels = Vec<(&'static str, String)>;

impl Text {
    /// One metric with its samples.
    pub(crate) fn samples(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        self.head(name, kind, help);
        for (labels, value) in samples {
            self.line(name, &labels, value);
        }
    }

    fn histograms<'a>(&mut self, name: &str, help: &str, all: impl Iterator<Item = (Labels, &'a Histogram)>) {
        self.head(name, "histogram", help);
        for (labels, histogram) in all {
            let bounds = BUCKETS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
            let counts = histogram.buckets.iter().copied().chain([histogram.count]);
            for (bound, count) in bounds.zip(counts) {
                let mut with_bound = labels.clone();
                with_bound.push(("le", bound));
                self.line(&format!("{name}_bucket"), &with_bound, count_of(count));
            }
            self.line(&format!("{name}_sum"), &labels, histogram.sum);
            self.line(&format!("{name}_count"), &labels, count_of(histogram.count));
        }
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&'static str, String)], value: f64) {
        self.0.push_str(name);
        if !labels.is_empty() {
            let parts: Vec<String> = labels.iter().map(|(k, v)| format!("{k}=\"{}\"", escape(v))).collect();
            let _ = write!(self.0, "{{{}}}", parts.join(","));
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// The finished text.
    pub(crate) fn finish(self) -> String {
        self.0
    }
}

/// Counters are exact up to 2^53, which takes longer to reach than machines last.
#[expect(clippy::cast_precision_loss, reason = "see above")]
pub(crate) const fn count_of(count: u64) -> f64 {
    count as f64
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_cumulative_buckets_and_escaped_labels() {
        let metrics = Metrics::default();
        metrics.request(&Method::GET, Some("/v1/releases/{name}"), 200, Duration::from_millis(3));
        metrics.request(&Method::from_bytes(b"BREW").expect("method"), None, 405, Duration::from_millis(3));
        metrics.rollout("upgrade", "succeeded", Duration::from_secs(2));
        let mut text = metrics.render();
        text.samples("x", "gauge", "X.", [(vec![("a", "q\"\\\n".to_owned())], 1.0)]);
        let text = text.finish();
        let labels = "method=\"GET\",route=\"/v1/releases/{name}\",status=\"200\"";
        assert!(text.contains(&format!("skipper_http_request_duration_seconds_bucket{{{labels},le=\"0.0025\"}} 0\n")));
        assert!(text.contains(&format!("skipper_http_request_duration_seconds_bucket{{{labels},le=\"0.005\"}} 1\n")));
        assert!(text.contains(&format!("skipper_http_request_duration_seconds_count{{{labels}}} 1\n")));
        assert!(text.contains("method=\"other\",route=\"unmatched\",status=\"405\""));
        assert!(text.contains("skipper_rollout_duration_seconds_sum{verb=\"upgrade\",outcome=\"succeeded\"} 2\n"));
        assert!(text.contains("x{a=\"q\\\"\\\\\\n\"} 1\n"));
    }
}
