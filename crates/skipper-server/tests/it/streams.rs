use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value, json};
use skipper_server::api::own::wire::{Accepted, EventView, LogLine, RolloutView, VerifyView};
use tower::ServiceExt as _;

use crate::fixture::{Ask, Server};

/// A server-sent event, as far as tests look at it.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) id: Option<String>,
    pub(crate) kind: String,
    pub(crate) data: Value,
}

pub(crate) struct Stream {
    body: axum::body::BodyDataStream,
    text: String,
}

impl Stream {
    pub(crate) async fn open(server: &Server, ask: Ask) -> Self {
        let response = server.service.clone().oneshot(ask.request()).await.expect("a router never fails");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    pub(crate) async fn next(&mut self) -> Option<Message> {
        let reading = async {
            loop {
                if let Some(end) = self.text.find("\n\n") {
                    let block: String = self.text.drain(..end + 2).collect();
                    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                    if let Some(data) = field("data: ") {
                        let data = serde_json::from_str(&data).expect("JSON");
                        return Some(Message { id: field("id: "), kind: field("event: ").unwrap_or_default(), data });
                    }
                    continue;
                }
                let bytes = self.body.next().await?.expect("a body never fails");
                self.text.push_str(std::str::from_utf8(&bytes).expect("UTF-8"));
            }
        };
        tokio::time::timeout(Duration::from_secs(20), reading).await.expect("in time")
    }
}

#[tokio::test]
async fn a_rollout_is_streamed_at_each_change_until_it_is_final() {
    let server = Server::serving().await;
    let up = json!({"package": {"name": "hello", "version": "2.0.0"}});
    let up: Accepted = server.post("/v1/releases/web/upgrade", &up).await.ok();
    let mut stream = Stream::open(&server, Ask::get(&format!("/v1/rollouts/{}/stream", up.rollout.id))).await;
    let mut last: Option<RolloutView> = None;
    while let Some(message) = stream.next().await {
        assert_eq!(message.kind, "rollout");
        let view: RolloutView = serde_json::from_value(message.data).expect("a rollout");
        assert!(last.as_ref().is_none_or(|last| !last.finished), "nothing comes after the end");
        last = Some(view);
    }
    let last = last.expect("at least one");
    assert_eq!(last.phase, "succeeded");
    assert!(last.steps.iter().all(|step| step.state == "done"), "{:?}", last.steps);
}

#[tokio::test]
async fn the_stream_of_events_goes_on_where_the_reader_stopped() {
    let server = Server::serving().await;
    let mut stream = Stream::open(&server, Ask::get("/v1/events/stream?after=0")).await;
    let first = stream.next().await.expect("an event");
    let second = stream.next().await.expect("an event");
    assert_eq!((first.id.as_deref(), second.id.as_deref()), (Some("1"), Some("2")));
    let event: EventView = serde_json::from_value(second.data).expect("an event");
    assert_eq!(event.kind, second.kind);
    drop(stream);
    let resumed = Ask::get("/v1/events/stream?after=0").header("last-event-id", "2");
    let mut stream = Stream::open(&server, resumed).await;
    assert_eq!(stream.next().await.expect("an event").id.as_deref(), Some("3"));
    // Only what comes from now on, of one release.
    let mut fresh = Stream::open(&server, Ask::get("/v1/events/stream?release=web")).await;
    server.post("/v1/releases/web/scale", &json!({"replicas": {"web": 2}})).await.ok::<Accepted>();
    let next = fresh.next().await.expect("an event");
    assert_eq!((next.kind.as_str(), next.data["release"].as_str()), ("rollout.accepted", Some("web")));
}

#[tokio::test]
async fn streams_end_when_the_server_stops() {
    let server = Server::start().await;
    let mut stream = Stream::open(&server, Ask::get("/v1/events/stream")).await;
    server.app.stop.cancel();
    assert!(stream.next().await.is_none());
    let refused = server.post("/v1/releases", &json!({"name": "x", "package": {"name": "y"}})).await;
    refused.problem("shutting-down");
    assert!(refused.header("retry-after").is_some());
}

#[tokio::test]
async fn the_chain_of_events_can_be_verified() {
    let server = Server::serving().await;
    let view: VerifyView = server.get("/v1/events/verify").await.ok();
    assert!(view.intact && view.events > 5 && view.head.len() == 64, "{view:?}");
}

#[tokio::test]
async fn logs_come_as_one_document_a_line() {
    let server = Server::serving().await;
    let answer = server.get("/v1/releases/web/logs?tail=5").await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<LogLine> = answer.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.iter().all(|line| line.app == "web"), "{lines:?}");
    server.get("/v1/releases/web/logs?app=db").await.problem("application-not-found");
}
