use std::fmt::Write as _;

use crate::table::Deployment;

/// Bounds of the exported buckets, in microseconds: fewer than the histogram has, since each costs a series for each
/// deployment.
const BOUNDS: [u64; 12] =
    [1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000];

/// A page of metrics in Prometheus' text format.
#[derive(Debug, Default)]
pub(crate) struct Page {
    text: String,
}

impl Page {
    /// A number of the edge as a whole; a name that ends in `_total` is a counter.
    pub(crate) fn number(&mut self, name: &str, help: &str, value: u64) {
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        self.header(name, help, kind);
        let _ = writeln!(self.text, "skipper_edge_{name} {value}");
    }

    /// When the certificates end that this edge ordered itself, by host.
    pub(crate) fn certificates<'a>(&mut self, ends: impl Iterator<Item = (&'a str, u64)>) {
        self.header("certificate_expires_seconds", "When a certificate ends, in seconds since 1970.", "gauge");
        for (host, until) in ends {
            let _ =
                writeln!(self.text, "skipper_edge_certificate_expires_seconds{{host=\"{}\"}} {until}", escape(host));
        }
    }

    fn header(&mut self, name: &str, help: &str, kind: &str) {
        let _ = writeln!(self.text, "# HELP skipper_edge_{name} {help}\n# TYPE skipper_edge_{name} {kind}");
    }

    /// The counters of all deployments, each with its requests in flight.
    pub(crate) fn deployments(&mut self, all: &[(&Deployment, u64)]) {
        let labels = |deployment: &Deployment| {
            format!("deployment=\"{}\",revision=\"{}\"", escape(&deployment.id), deployment.revision)
        };
        self.header("requests_total", "Requests that began, by deployment.", "counter");
        for (deployment, _) in all {
            let _ = writeln!(
                self.text,
                "skipper_edge_requests_total{{{}}} {}",
                labels(deployment),
                deployment.counters.requests()
            );
        }
        self.header("errors_total", "Answers of 500 to 599 and requests not answered, by deployment.", "counter");
        for (deployment, _) in all {
            let _ = writeln!(
                self.text,
                "skipper_edge_errors_total{{{}}} {}",
                labels(deployment),
                deployment.counters.errors()
            );
        }
        self.header("in_flight", "Requests in flight, open tunnels included, by deployment.", "gauge");
        for (deployment, in_flight) in all {
            let _ = writeln!(self.text, "skipper_edge_in_flight{{{}}} {in_flight}", labels(deployment));
        }
        self.header("response_seconds", "Time to the answer's head, by deployment.", "histogram");
        for (deployment, _) in all {
            let Some(latency) = deployment.counters.latency() else { continue };
            let labels = labels(deployment);
            for bound in BOUNDS {
                let (le, count) = (std::time::Duration::from_micros(bound).as_secs_f64(), latency.below(bound));
                let _ = writeln!(self.text, "skipper_edge_response_seconds_bucket{{{labels},le=\"{le}\"}} {count}");
            }
            let count = latency.count();
            let _ = writeln!(self.text, "skipper_edge_response_seconds_bucket{{{labels},le=\"+Inf\"}} {count}");
            let _ = writeln!(self.text, "skipper_edge_response_seconds_sum{{{labels}}} {}", latency.sum_seconds());
            let _ = writeln!(self.text, "skipper_edge_response_seconds_count{{{labels}}} {count}");
        }
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
