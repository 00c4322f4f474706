//! A connection that breaks, stalls or is not there, in the middle of each call.

use std::{sync::Arc, time::Duration};

use skipper_core::{
    deployment::Instance,
    port::{ErrorKind, Garbage, LogQuery, Platform, Router as _},
    rollout::plan::Instances,
    secret::SecretValues,
    spec::{Hook, Resource},
    time::{Millis, Timestamp},
};
use skipper_platform::remote::RemoteRouter;
use tokio::time::{Instant, timeout};

use super::{
    asked::{Asked, calls},
    pipe::{Pipe, behind, desk, remote},
    puppet::Puppet,
};
use crate::world::{PATIENCE, deployment, generation};

pub(super) fn asked() -> Asked {
    let deployment = deployment(&["x"]);
    Asked {
        instances: Instances::first(1),
        instance: Instance {
            index: 0,
            addresses: Default::default(),
            handle: "x".to_owned(),
            started_at: Timestamp::default(),
            restarts: 0,
            attributes: Default::default(),
        },
        secrets: SecretValues::new(),
        generation: generation(1),
        resource: Resource { uri: "builtin:sample".to_owned(), sha256: None },
        paths: vec!["/etc/x".to_owned()],
        query: LogQuery {
            deployment: deployment.id.clone(),
            instance: None,
            tail: None,
            follow: true,
            container: None,
        },
        words: vec!["true".to_owned()],
        hook: Hook { command: vec!["true".to_owned()], timeout: Millis::secs(1) },
        id: "x".to_owned(),
        garbage: Garbage::default(),
        last: true,
        deployment,
    }
}

#[tokio::test]
async fn a_call_whose_connection_is_cut_is_unknown_at_once() {
    let puppet = Arc::new(Puppet::stuck());
    let pipe = Pipe::new(Arc::new(desk(Arc::clone(&puppet) as _, None)));
    let far = remote(&behind(Arc::clone(&pipe) as _));
    let asked = asked();
    for (name, call) in calls(&far, &asked, PATIENCE * 10) {
        let cut = async {
            puppet.entered.notified().await;
            pipe.cut();
        };
        let (error, ()) = timeout(PATIENCE, futures::future::join(call, cut)).await.expect(name);
        let error = error.expect_err(name);
        assert_eq!((error.kind(), error.code()), (ErrorKind::Unknown, "node-cut"), "{name}: {}", error.chain());
        assert!(error.to_string().contains("`edge-1`") && error.advice().is_some(), "{name}");
    }
    let cut = async {
        puppet.entered.notified().await;
        pipe.cut();
    };
    let (attempt, ()) = futures::future::join(far.probe(&asked.deployment, &asked.instance), cut).await;
    assert!(!attempt.ok && attempt.detail.contains("was lost"), "{}", attempt.detail);
}

#[tokio::test(start_paused = true)]
async fn a_half_open_connection_costs_no_more_than_the_deadline() {
    let pipe = Pipe::new(Arc::new(desk(Arc::new(Puppet::default()), None)));
    let node = behind(Arc::clone(&pipe) as _);
    let far = remote(&node);
    node.greet(PATIENCE).await.expect("it answers");
    pipe.stall();
    let (asked, short) = (asked(), Duration::from_secs(2));
    for (name, call) in calls(&far, &asked, short) {
        let begun = Instant::now();
        let error = call.await.expect_err(name);
        assert_eq!((error.kind(), error.code()), (ErrorKind::Unknown, "deadline"), "{name}: {}", error.chain());
        // What has no deadline has one of its own.
        let bound =
            if matches!(name, "review" | "logs") { Duration::from_secs(16) } else { Duration::from_millis(2100) };
        assert!(begun.elapsed() <= bound, "{name}: {:?}", begun.elapsed());
    }
    assert!(!far.probe(&asked.deployment, &asked.instance).await.ok);
    assert!(!far.describe().await.reachable);
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_does_not_keep_its_deadline_is_given_up_on_the_node() {
    let puppet = Arc::new(Puppet::stuck());
    let pipe = Pipe::new(Arc::new(desk(Arc::clone(&puppet) as _, None)));
    let far = remote(&behind(pipe));
    let begun = Instant::now();
    let error = far.list(Duration::from_secs(10)).await.expect_err("it is stuck");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unknown, "deadline"));
    assert!(error.to_string().contains("not done after 9500 ms"), "{}", error.chain());
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_node_that_is_away_says_so_and_is_known_all_the_same() {
    let pipe = Pipe::new(Arc::new(desk(Arc::new(Puppet::default()), None)));
    let node = behind(Arc::clone(&pipe) as _);
    let far = remote(&node);
    assert!(far.capabilities().schemes.is_empty(), "nobody has said anything yet");
    let greeting = node.greet(PATIENCE).await.expect("it answers");
    assert_eq!((greeting.release.as_str(), greeting.edge, greeting.platforms.len()), ("1.0", false, 1));
    pipe.connect(false);
    let asked = asked();
    for (name, call) in calls(&far, &asked, PATIENCE) {
        let error = call.await.expect_err(name);
        assert_eq!((error.kind(), error.code()), (ErrorKind::Transient, "node-unreachable"), "{name}");
        assert!(error.advice().is_some_and(|hint| hint.contains("skipper node show")));
    }
    assert!(!far.probe(&asked.deployment, &asked.instance).await.ok);
    let told = far.describe().await;
    assert_eq!((told.name.as_str(), told.kind.as_str(), told.reachable), ("node:edge-1/here", "puppet", false));
    assert_eq!(far.capabilities().schemes, ["builtin"]);
    assert!(far.capabilities().routes, "never by the server's edge");
    assert!(!RemoteRouter::new(node).needs_sync().await, "it cannot be told now");
    pipe.connect(true);
    assert!(far.describe().await.reachable);
}
