//! An other side of another release, or one that cannot be trusted.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use skipper_core::{
    name::{AppName, PlatformName, SecretName},
    port::{Error, ErrorKind, Platform, Router as _},
    secret::{SecretValue, SecretValues},
    spec::{Application, SecretUse, Target},
};
use skipper_platform::remote::{Desk, MAX_REQUEST, RemotePlatform, RemoteRouter, Reply};

use super::{
    asked::calls,
    cutting::asked,
    pipe::{Direct, account, behind, desk, remote},
    puppet::{Answers, Puppet},
};
use crate::world::{PATIENCE, RealClock};

/// What the desk answers to that, as status and document.
async fn said(desk: &Desk, path: &str, body: &Value) -> (u16, Value) {
    let Reply { status, body } = desk.answer(path, Bytes::from(body.to_string())).await;
    let pieces: Vec<Bytes> = body.try_collect().await.expect("it is whole");
    (status, serde_json::from_slice(&pieces.concat()).expect("it is JSON"))
}

#[tokio::test]
async fn a_desk_answers_servers_of_other_releases() {
    let desk = desk(Arc::new(Puppet::default()), None);
    let newer = json!({"v": 1, "deadline_ms": 1000, "trace": "x", "with": {"newer": true}});
    assert_eq!(said(&desk, "/platforms/here/list", &newer).await, (200, json!([])));
    let other = json!({"v": 2, "with": {"shape": "unknown"}});
    for path in ["/platforms/here/list", "/platforms/here/launch", "/platforms"] {
        let (status, fault) = said(&desk, path, &other).await;
        assert_eq!((status, &fault["code"], &fault["hint"]), (400, &json!("link-version"), &json!("update the agent")));
    }
    let plain = json!({"v": 1, "with": {}});
    for path in ["/platforms/here/fly", "/router", "/", "", "/platforms/here/list/x", "/else"] {
        let (status, fault) = said(&desk, path, &plain).await;
        assert_eq!(
            (status, &fault["code"], &fault["kind"]),
            (404, &json!("unknown-method"), &json!("permanent")),
            "{path}"
        );
        assert!(
            fault["hint"].as_str().is_some_and(|hint| hint.contains("older than this server: update it")),
            "{path}"
        );
    }
    let (status, fault) = said(&desk, "/platforms/gone/list", &plain).await;
    assert_eq!((status, &fault["code"]), (404, &json!("platform-unknown")));
    assert!(fault["message"].as_str().is_some_and(|message| message.contains("it has here")));
    let far = RemoteRouter::new(behind(Arc::new(Direct { desk, instead: None })));
    let error = far.check(&[]).await.expect_err("there is no edge");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Permanent, "no-edge"));
}

#[tokio::test]
async fn a_server_tells_which_side_is_to_be_updated() {
    let greeting = |oldest: u32, newest: u32| json!({"oldest": oldest, "newest": newest, "release": "9", "at": 0, "platforms": {}, "edge": true, "more": []});
    for (oldest, newest, expected) in
        [(2, 9, Some("update this server")), (0, 0, Some("update the agent")), (0, 9, None)]
    {
        let answer = Bytes::from(greeting(oldest, newest).to_string());
        let desk = desk(Arc::new(Puppet::default()), None);
        let node = behind(Arc::new(Direct { desk, instead: Some(("/platforms", 200, vec![answer])) }));
        match (node.greet(PATIENCE).await, expected) {
            (Ok(known), None) => assert!(known.edge && node.known().is_some()),
            (Err(error), Some(hint)) => {
                assert_eq!((error.code(), error.advice()), ("link-version", Some(hint)));
                assert_eq!(node.known(), None);
            }
            (greeted, _) => panic!("{oldest} to {newest}: {greeted:?}"),
        }
    }
}

/// The error of that call, where the node answers so.
async fn error_of(name: &'static str, status: u16, pieces: Vec<Bytes>) -> Error {
    let desk = desk(Arc::new(Puppet::default()), None);
    let far = remote(&behind(Arc::new(Direct { desk, instead: Some((name, status, pieces)) })));
    let asked = asked();
    let call = calls(&far, &asked, PATIENCE).into_iter().find(|(known, _)| *known == name).expect("a method");
    call.1.await.expect_err("that is no answer")
}

#[tokio::test]
async fn answers_that_are_none_are_unknown() {
    let wrong = [
        ("observe", 200, "[]"),
        ("observe", 200, "{"),
        ("observe", 200, ""),
        ("observe", 502, "<html>"),
        ("observe", 404, ""),
        ("launch", 200, "[]"),
        ("launch", 200, r#"[{"index": 3, "addresses": {}, "handle": "x", "started_at": 0}]"#),
        ("list", 200, r#"{"error": "no"}"#),
        ("logs", 200, "{\"nothing\": 1}\n"),
    ];
    for (name, status, answer) in wrong {
        let error = error_of(name, status, vec![Bytes::from(answer)]).await;
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Unknown, "node-answer"),
            "{name} {answer}: {}",
            error.chain()
        );
        assert!(error.to_string().contains("`edge-1`"));
    }
    let error = error_of("observe", 422, vec![Bytes::from(r#"{"kind": "odd", "code": "A B", "message": "m"}"#)]).await;
    assert_eq!(
        (error.kind(), error.code(), error.chain().as_str()),
        (ErrorKind::Unknown, "node-refused", "node `edge-1`: m")
    );
}

#[tokio::test]
async fn answers_that_are_too_long_are_given_up() {
    let piece = Bytes::from(vec![b' '; 1 << 20]);
    for (name, status) in [("observe", 200), ("list", 200), ("exec", 200), ("retire", 422), ("logs", 200)] {
        let error = error_of(name, status, vec![piece.clone(); 100]).await;
        assert_eq!((error.kind(), error.code()), (ErrorKind::Unknown, "answer-too-large"), "{name}");
    }
    let long = Answers {
        ran: skipper_core::port::ExecOutput { code: Some(0), output: "\u{1}ä".repeat(1 << 19) },
        ..Answers::default()
    };
    let desk = desk(Arc::new(Puppet::answering(long)), None);
    let far = remote(&behind(Arc::new(Direct { desk, instead: None })));
    let asked = asked();
    let ran = far.exec(&asked.deployment, 0.into(), &asked.words, PATIENCE).await.expect("it ran");
    assert!((1 << 20) - ran.output.len() < 2, "{}", ran.output.len());
}

#[tokio::test]
async fn a_request_that_is_too_long_is_not_sent_and_not_taken() {
    let puppet = Arc::new(Puppet::default());
    let there = desk(Arc::clone(&puppet) as _, None);
    let long = Bytes::from(vec![b' '; MAX_REQUEST + 1]);
    let reply = there.answer("/platforms/here/list", long).await;
    assert_eq!(reply.status, 400);
    let far = remote(&behind(Arc::new(Direct { desk: there, instead: None })));
    let mut asked = asked();
    asked.deployment.app.args = vec!["x".repeat(MAX_REQUEST)];
    let error = far.observe(&asked.deployment, asked.instances, PATIENCE).await.expect_err("it is too long");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Permanent, "request-too-large"));
    assert_eq!(*puppet.heard(), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_node_may_not_decide_it_does_not() {
    type Twist = fn(&mut Application);
    let twists: [(&str, Twist); 6] = [
        ("other name", |app| app.name = AppName::new("other").expect("valid")),
        ("other secrets", |app| {
            let secret = SecretName::new("root-password").expect("valid");
            app.secrets.push(SecretUse::Env { secret, var: "X".to_owned() });
        }),
        ("other dependencies", |app| app.depends_on.push(AppName::new("db").expect("valid"))),
        ("which it does not have", |app| app.target = Target(PlatformName::new("local").expect("valid"))),
        ("which it does not have", |app| app.target = Target(PlatformName::new("node:other/here").expect("valid"))),
        ("another digest", |app| app.resource.sha256 = Some(skipper_core::Sha256::of(b"else"))),
    ];
    for (words, twist) in twists {
        let puppet = Puppet { twist: Some(twist), ..Puppet::default() };
        let node = behind(Arc::new(Direct { desk: desk(Arc::new(puppet), None), instead: None }));
        node.greet(PATIENCE).await.expect("it answers");
        let mut asked = asked().deployment.app;
        asked.resource.sha256 = Some(skipper_core::Sha256::of(b"this"));
        let before = asked.clone();
        let error = remote(&node).pin(&mut asked, PATIENCE).await.expect_err(words);
        assert!(error.code() == "node-answer" && error.chain().contains(words), "{words}: {}", error.chain());
        if !words.contains("digest") {
            let error = remote(&node).review(&mut asked).await.expect_err(words);
            assert!(error.chain().contains(words), "{words}: {}", error.chain());
        }
        assert_eq!(asked, before, "nothing was taken over");
    }
}

#[tokio::test]
async fn an_application_goes_to_another_account_of_the_same_node() {
    let give: fn(&mut Application) = |app| app.target = Target(PlatformName::new("docker").expect("valid"));
    let giving: Arc<dyn Platform> = Arc::new(Puppet { twist: Some(give), ..Puppet::default() });
    let accounts = BTreeMap::from([(account("here"), giving), (account("docker"), Arc::new(Puppet::default()) as _)]);
    let desk = Desk::new("1.0", Arc::new(RealClock), accounts, None);
    let node = behind(Arc::new(Direct { desk, instead: None }));
    node.greet(PATIENCE).await.expect("it answers");
    let mut app = asked().deployment.app;
    app.target = Target(PlatformName::new("node:edge-1/here").expect("valid"));
    RemotePlatform::new(Arc::clone(&node), account("here")).review(&mut app).await.expect("it may");
    assert_eq!(app.target.0.as_str(), "node:edge-1/docker");
}

#[tokio::test]
async fn a_secret_is_in_no_error_and_in_nothing_that_is_shown() {
    let clear = "hunter-2024-prod";
    let there = desk(Arc::new(Puppet::default()), None);
    // Where a number is expected, a parser's error would show what is there instead.
    for with in [json!({"deployment": clear, "secrets": {"key": clear}}), json!({"secrets": clear}), json!(clear)] {
        for path in ["/platforms/here/launch", "/platforms/here/run_hook", "/platforms/here/observe"] {
            let (status, fault) = said(&there, path, &json!({"v": 1, "with": with})).await;
            assert_eq!(status, 400);
            assert!(!fault.to_string().contains(clear), "{fault}");
        }
    }
    let node = behind(Arc::new(Direct { desk: there, instead: None }));
    let far = remote(&node);
    let mut asked = asked();
    asked.secrets = SecretValues::from([(SecretName::new("key").expect("valid"), SecretValue::new(clear.to_owned()))]);
    for (name, call) in calls(&far, &asked, PATIENCE) {
        let outcome = call.await.map_err(|error| format!("{} {error:?}", error.chain()));
        assert!(!format!("{outcome:?}").contains(clear), "{name}");
    }
    assert!(!format!("{far:?} {node:?} {asked:?}").contains(clear));
}
