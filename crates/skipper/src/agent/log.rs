//! The agent's log. As JSON a line has the keys that the fleet's logs have: `ts`, `level`, `msg`, `node`, and `work_order`, `tenant`,
//! `request_id`, `correlation_id` where it is about an order.

use std::{fmt, io};

use serde_json::{Map, Value};
use skipper_core::{name::NodeName, port::Clock as _};
use skipper_server::{
    config::{LogConfig, LogFormat},
    telemetry,
};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        FmtContext, FormatEvent, FormattedFields,
        format::{JsonFields, Writer},
    },
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

use crate::world::SystemClock;

/// Starts logging.
///
/// # Errors
///
/// A sentence when the level is no filter, or something logs already.
pub(super) fn init(config: &LogConfig, node: &NodeName) -> Result<(), String> {
    if config.format == LogFormat::Text {
        return telemetry::init(config);
    }
    let filter = EnvFilter::try_new(&config.level)
        .map_err(|cause| format!("`{}` is not a level or filter: {cause}", config.level))?;
    // At `trace` it writes down whole requests, and with them the secrets of a container.
    let quiet = "bollard=info".parse().map_err(|cause| format!("quieten the engine's client: {cause}"))?;
    let layer = tracing_subscriber::fmt::layer()
        .fmt_fields(JsonFields::new())
        .event_format(Flat { node: node.to_string() })
        .with_writer(io::stderr);
    tracing_subscriber::registry()
        .with(filter.add_directive(quiet))
        .with(layer)
        .try_init()
        .map_err(|cause| format!("start logging: {cause}"))
}

/// One object a line, the fields of its spans among its own.
struct Flat {
    node: String,
}

impl<S> FormatEvent<S, JsonFields> for Flat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(&self, on: &FmtContext<'_, S, JsonFields>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Line(Map::new());
        let now = jiff::Timestamp::from_microsecond(SystemClock.now().as_micros()).unwrap_or_default();
        line.set("ts", now.to_string());
        line.set("level", event.metadata().level().as_str().to_lowercase());
        line.set("msg", "");
        line.set("node", self.node.as_str());
        for span in on.event_scope().into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonFields>>();
            if let Some(Ok(Value::Object(fields))) = fields.map(|fields| serde_json::from_str(&fields.fields)) {
                line.0.extend(fields);
            }
        }
        event.record(&mut line);
        let text = serde_json::to_string(&line.0).map_err(|_| fmt::Error)?;
        writeln!(out, "{text}")
    }
}

struct Line(Map<String, Value>);

impl Line {
    fn set(&mut self, name: &str, value: impl Into<Value>) {
        let name = if name == "message" { "msg" } else { name };
        self.0.insert(name.to_owned(), value.into());
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field.name(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::agent::state::lock;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            lock(&self.0).extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_about_an_order_bears_its_ids() {
        let kept = Kept::default();
        let into = kept.clone();
        let layer = tracing_subscriber::fmt::layer()
            .fmt_fields(JsonFields::new())
            .event_format(Flat { node: "host-1".to_owned() })
            .with_writer(move || into.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let span = tracing::info_span!("order", work_order = "wo_1", tenant = "a", request_id = %"r", correlation_id = %"c");
            span.in_scope(|| tracing::warn!(duration_ms = 7_u64, "it is {}", "done"));
        });
        let line: Value = serde_json::from_slice(&lock(&kept.0)).expect("JSON");
        for (key, value) in
            [("msg", "it is done"), ("level", "warn"), ("work_order", "wo_1"), ("tenant", "a"), ("node", "host-1")]
        {
            assert_eq!(line[key], value, "{line}");
        }
        assert_eq!(
            (&line["request_id"], &line["correlation_id"], &line["duration_ms"]),
            (&"r".into(), &"c".into(), &7.into())
        );
        assert!(line["ts"].as_str().is_some_and(|ts| ts.ends_with('Z')), "{line}");
    }
}
