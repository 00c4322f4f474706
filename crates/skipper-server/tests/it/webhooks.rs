//! The form of Standard Webhooks, and what whoever sent one can see of its deploy.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Method;
use serde_json::{Value, json};
use skipper_core::port::Clock as _;

use crate::{
    deploys::{GLOBAL, OWN, ended, error, machine, read, signed, told},
    fixture::{Answer, Ask, Server},
    streams::Stream,
};

/// A message, as somebody sends it.
#[derive(Clone)]
struct Message {
    key: Vec<u8>,
    id: &'static str,
    /// Seconds from the server's time.
    at: i64,
    body: Value,
}

impl Message {
    fn new(id: &'static str, app: &str, tag: &str) -> Self {
        Self { key: GLOBAL.into(), id, at: 0, body: json!({"app": app, "tag": tag}) }
    }

    fn ask(&self, server: &Server) -> Ask {
        let at = server.machine.clock.now().as_micros() / 1_000_000 + self.at;
        let body = self.body.to_string();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&self.key).expect("any length");
        mac.update(format!("{}.{at}.{body}", self.id).as_bytes());
        let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
        let mut ask = Ask::new(Method::POST, "/v1/deploy")
            .header("webhook-id", self.id)
            .header("webhook-timestamp", &at.to_string())
            .header("webhook-signature", &format!("v1a,AAAA v1,bm9uZQ== v1,{signature}"));
        ask.body = body.into_bytes();
        ask.peer = Some("203.0.113.7:40000".parse().expect("an address"));
        ask
    }

    async fn send(&self, server: &Server) -> Answer {
        server.send(self.ask(server)).await
    }

    async fn accepted(&self, server: &Server) -> Value {
        let answer = self.send(server).await;
        assert_eq!(answer.status.as_u16(), 202, "{}", answer.text());
        answer.read()
    }
}

#[tokio::test]
async fn a_signed_message_deploys_within_five_minutes_of_its_time() {
    let server = machine().boot().await;
    let good = Message::new("msg_1", "web", "v1");
    for at in [-310, 310] {
        let (status, text) = error(&Message { at, ..good.clone() }.send(&server).await);
        assert!(status == 401 && text.contains("five minutes"), "{status} {text}");
    }
    let refused = told(401, "invalid signature");
    assert_eq!(error(&Message { key: b"another".to_vec(), ..good.clone() }.send(&server).await), refused);
    assert_eq!(error(&Message::new("msg_1", "shop", "v1").send(&server).await), refused, "it has a key of its own");
    assert_eq!(
        error(&Message { key: b"other".to_vec(), ..Message::new("a", "none", "v1") }.send(&server).await),
        refused
    );
    for (name, value) in [("webhook-id", "msg_2"), ("webhook-timestamp", "1767225601")] {
        assert_eq!(error(&server.send(good.ask(&server).header(name, value)).await), refused, "{name} is signed too");
    }
    let mut less = good.ask(&server);
    less.headers.retain(|(name, _)| *name != "webhook-timestamp");
    assert_eq!(error(&server.send(less).await), told(401, "missing webhook-timestamp header"));
    let accepted = Message { at: -290, ..good.clone() }.accepted(&server).await;
    assert_eq!(ended(&server, &accepted).await["status"], "completed");
    Message { at: 290, key: OWN.into(), ..Message::new("msg_1", "shop", "v1") }.accepted(&server).await;
}

#[tokio::test]
async fn a_message_that_is_sent_again_is_answered_as_the_first_was() {
    let server = machine().boot().await;
    let first = Message { at: -60, ..Message::new("msg_1", "web", "v1") };
    let accepted = first.accepted(&server).await;
    ended(&server, &accepted).await;
    let again = Message { at: 0, ..first.clone() };
    assert_eq!(again.accepted(&server).await, accepted, "an attempt is signed anew under the same id");
    let server = server.reboot().await;
    server.machine.clock.advance(Duration::from_secs(20 * 60));
    assert_eq!(again.accepted(&server).await, accepted, "for longer than the tolerance");
    let other = Message { body: json!({"app": "web", "tag": "v2"}), ..again.clone() }.send(&server).await;
    assert_eq!(other.status.as_u16(), 422, "an id stands for one body: {}", other.text());
    let next = Message::new("msg_2", "web", "v1").accepted(&server).await;
    assert_ne!(next["deploy_id"], accepted["deploy_id"], "another id is another delivery of the same body");
}

#[tokio::test]
async fn what_was_signed_earlier_does_not_take_the_place_of_what_was_signed_later() {
    let server = machine().boot().await;
    let newer = Message { at: -10, ..Message::new("msg_2", "web", "v2") }.accepted(&server).await;
    ended(&server, &newer).await;
    let late = Message { at: -40, ..Message::new("msg_1", "web", "v1") };
    let (status, text) = error(&late.send(&server).await);
    assert!(status == 409 && text.contains("signed before"), "{status} {text}");
    Message { at: -30, ..Message::new("msg_3", "web", "v2") }.accepted(&server).await;
    let forced = Message { body: json!({"app": "web", "tag": "v1", "force": true}), ..late };
    ended(&server, &forced.accepted(&server).await).await;
    assert_eq!(read(&server, "/v1/status").await["apps"]["web"]["tag"], "v1");
    let back = Message { at: 5, ..Message::new("msg_4", "web", "v2") }.accepted(&server).await;
    assert_eq!(ended(&server, &back).await["status"], "completed", "an old tag that is signed anew is wanted again");
}

#[tokio::test]
async fn of_messages_that_come_at_once_the_one_signed_last_stays() {
    let server = machine().boot().await;
    let messages: Vec<_> = ["a", "b", "c", "d", "e", "f", "g", "h"]
        .iter()
        .zip([3, 7, 1, 8, 2, 6, 4, 5])
        .map(|(id, at)| Message { at, ..Message::new(id, "web", &format!("v{at}")) })
        .collect();
    let answers = futures::future::join_all(messages.iter().map(|message| message.send(&server))).await;
    assert!(answers.iter().all(|answer| matches!(answer.status.as_u16(), 202 | 409)));
    let last = answers.iter().zip(&messages).find(|(_, message)| message.at == 8).expect("it was sent").0;
    assert_eq!(ended(&server, &last.read()).await["status"], "completed");
    let status = read(&server, "/v1/status").await;
    assert_eq!(status["apps"]["web"]["tag"], "v8", "{status}");
}

#[tokio::test]
async fn bodies_are_bounded_before_anybody_knows_who_sent_them() {
    let server = machine().boot().await;
    let padded = |length: usize| {
        let body = json!({"app": "web", "tag": "v1", "more": ""}).to_string();
        let at = body.len() - 2;
        format!("{}{}{}", &body[..at], "x".repeat(length - body.len()), &body[at..])
    };
    let answer = server.send(signed(GLOBAL, &padded(64 << 10))).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.text());
    assert_eq!(server.send(signed(GLOBAL, &padded((64 << 10) + 1))).await.status.as_u16(), 413);
    let deep = format!(r#"{{"app":"web","tag":"v1","more":{}{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
    let (status, text) = error(&server.send(signed("another", &deep)).await);
    assert!(status == 400 && text.contains("nested deeper"), "{status} {text}");
}

#[tokio::test]
async fn whoever_deployed_can_watch_that_deploy_and_nothing_else() {
    let server = machine().boot().await;
    let accepted = Message::new("msg_1", "web", "v1").accepted(&server).await;
    let other = Message::new("msg_2", "web", "v2").accepted(&server).await;
    let url = accepted["status_url"].as_str().expect("a URL");
    let target = url.strip_prefix("http://localhost:7577").expect("where it was sent to");
    let (path, ticket) = target.split_once("?token=").expect("a token");
    let stranger = |uri: &str| Ask { peer: Some("203.0.113.7:40000".parse().expect("an address")), ..Ask::get(uri) };
    ended(&server, &accepted).await;
    let view: Value = server.send(stranger(target)).await.ok();
    assert_eq!((&view["deploy_id"], &view["status"]), (&accepted["deploy_id"], &json!("completed")));
    let view: Value = server.send(stranger(path).token(ticket)).await.ok();
    assert_eq!(view["deploy_id"], accepted["deploy_id"]);
    let elsewhere = format!("/v1/deploys/{}", other["deploy_id"].as_str().expect("an id"));
    for refused in [
        stranger(path),
        stranger(&format!("{path}?token=")),
        stranger(&format!("{path}?token=dps_")),
        stranger(&format!("{target}A")),
        stranger(&format!("{elsewhere}?token={ticket}")),
        stranger(&elsewhere).token(ticket),
        stranger("/v1/deploys").token(ticket),
        stranger("/v1/status").token(ticket),
        stranger("/v1/apps/web").token(ticket),
        stranger("/v1/deploys/dep_00000000000000000000000000").token(ticket),
    ] {
        let uri = refused.uri.clone();
        assert_eq!(server.send(refused).await.status.as_u16(), 401, "{uri}");
    }
    let server = server.reboot().await;
    assert!(server.send(stranger(target)).await.status.is_success(), "it outlasts the server");
}

#[tokio::test]
async fn the_address_of_a_deploy_is_the_one_its_sender_knows() {
    let server = machine().boot().await;
    let ask = Message::new("msg_1", "web", "v1").ask(&server);
    let ask = ask.header("host", "deploy.example.org").header("x-forwarded-proto", "https");
    let accepted: Value = server.send(ask).await.ok();
    let url = accepted["status_url"].as_str().expect("a URL");
    assert!(url.starts_with("https://deploy.example.org/v1/deploys/dep_"), "{url}");
    let ask = Message::new("msg_2", "web", "v2").ask(&server).header("host", "user@evil.example");
    let accepted: Value = server.send(ask).await.ok();
    assert!(accepted["status_url"].as_str().is_some_and(|url| url.starts_with("/v1/deploys/dep_")), "{accepted}");
}

#[tokio::test]
async fn a_deploy_tells_what_happened_and_is_watched_as_it_happens() {
    let server = machine().boot().await;
    let accepted = Message::new("msg_1", "web", "v1").accepted(&server).await;
    let target =
        accepted["status_url"].as_str().and_then(|url| url.strip_prefix("http://localhost:7577")).expect("a URL");
    let watched = |last: Option<&str>| {
        let ask = Ask::get(target).header("accept", "text/event-stream");
        last.map_or(ask.clone(), |last| ask.header("last-event-id", last))
    };
    let mut stream = Stream::open(&server, watched(None)).await;
    let mut seen = Vec::new();
    while let Some(message) = stream.next().await {
        seen.push(message);
    }
    let end = seen.pop().expect("it ends");
    assert_eq!((end.kind.as_str(), end.id.as_deref()), ("end", Some("end")));
    assert_eq!((&end.data["status"], &end.data["tag"]), (&json!("completed"), &json!("v1")));
    let kinds: Vec<&str> = seen.iter().map(|message| message.kind.as_str()).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"rollout.accepted"), Some(&"release.installed")), "{kinds:?}");
    assert!(
        seen.iter().any(|message| message.data["step"] == "launch" && message.data["container"] == "web"),
        "{seen:?}"
    );
    let view: Value = server.send(Ask::get(target)).await.ok();
    let events = view["events"].as_array().expect("events");
    assert_eq!(events.iter().collect::<Vec<_>>(), seen.iter().map(|message| &message.data).collect::<Vec<_>>());
    let list = read(&server, "/v1/deploys").await;
    assert_eq!(list["deploys"][0]["events"], Value::Null, "a list is short");

    let third = seen[2].id.as_deref().expect("an id");
    let mut resumed = Stream::open(&server, watched(Some(third))).await;
    assert_eq!(resumed.next().await.expect("more").id, seen[3].id, "it goes on after the last that was seen");
    assert_eq!(server.send(watched(Some("end"))).await.status.as_u16(), 204, "clients need not ask again");
    assert_eq!(server.send(watched(Some("x"))).await.status.as_u16(), 400);
}
