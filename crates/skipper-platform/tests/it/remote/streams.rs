//! Answers that go on: logs that are read slowly, or not to their end, and word of changes.

use std::{collections::BTreeMap, sync::Arc, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use futures::StreamExt as _;
use skipper_core::port::{ErrorKind, Platform};
use skipper_platform::remote::{Desk, RemotePlatform};
use tokio::time::{sleep, timeout};

use super::{
    cutting::asked,
    pipe::{Direct, Pipe, account, behind, desk, remote},
    puppet::{Endless, Puppet},
};
use crate::world::{PATIENCE, RealClock};

/// Long enough for everything that goes on by itself to have happened.
const QUIET: Duration = Duration::from_millis(300);

fn endless() -> (Arc<Endless>, Arc<Pipe>, RemotePlatform) {
    let endless = Arc::new(Endless::default());
    let puppet = Puppet { endless: Some(Arc::clone(&endless)), ..Puppet::default() };
    let pipe = Pipe::new(Arc::new(desk(Arc::new(puppet), None)));
    let far = remote(&behind(Arc::clone(&pipe) as _));
    (endless, pipe, far)
}

#[tokio::test]
async fn whoever_reads_slowly_makes_the_node_wait_and_whoever_stops_ends_it_there() {
    let (endless, _pipe, far) = endless();
    let mut lines = far.logs(asked().query).await.expect("there is a log");
    for number in 0..10 {
        let line = lines.next().await.expect("it goes on").expect("it can be read").line;
        assert_eq!(line, format!("{number:0>1000}"));
    }
    let mut taken = 0;
    // What is on its way fills up, and then nothing is taken any more.
    while taken != endless.taken.load(Ordering::SeqCst) {
        taken = endless.taken.load(Ordering::SeqCst);
        assert!(taken < 10_000, "as much as the connection holds, not {taken} lines");
        sleep(QUIET).await;
    }
    assert!(far.list(PATIENCE).await.expect("others go on meanwhile").is_empty());
    for number in 10..20_000 {
        let line = lines.next().await.expect("it goes on").expect("it can be read").line;
        assert_eq!(line, format!("{number:0>1000}"), "none is lost");
    }
    drop(lines);
    timeout(PATIENCE, endless.ended.notified()).await.expect("it ends on the node");
}

#[tokio::test]
async fn a_log_that_is_cut_says_so() {
    let (endless, pipe, far) = endless();
    let mut lines = far.logs(asked().query).await.expect("there is a log");
    lines.next().await.expect("it goes on").expect("it can be read");
    pipe.cut();
    let error = loop {
        match timeout(PATIENCE, lines.next()).await.expect("nothing hangs").expect("it does not just end") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unknown, "node-cut"), "{}", error.chain());
    assert!(lines.next().await.is_none());
    timeout(PATIENCE, endless.ended.notified()).await.expect("it ends on the node");
}

#[tokio::test]
async fn a_log_ends_by_its_end_or_by_an_error() {
    let line = r#"{"line": {"at": 0, "instance": 0, "stream": "stdout", "line": "x"}}"#;
    let cases = [
        (format!("{line}\n\"end\"\nignored"), None),
        (format!("{line}\n"), Some("node-cut")),
        (format!("{line}\n\"e"), Some("node-cut")),
        (
            format!("{line}\n{{\"error\": {{\"kind\": \"transient\", \"code\": \"engine-down\"}}}}\n"),
            Some("engine-down"),
        ),
    ];
    for (answer, expected) in cases {
        let desk = desk(Arc::new(Puppet::default()), None);
        let far = remote(&behind(Arc::new(Direct { desk, instead: Some(("logs", 200, vec![Bytes::from(answer)])) })));
        let all: Vec<_> = far.logs(asked().query).await.expect("it begins").collect().await;
        assert!(all[0].as_ref().is_ok_and(|chunk| chunk.line == "x"));
        let last =
            all.get(1).map(|last| last.as_ref().map_err(skipper_core::port::Error::code).expect_err("no second line"));
        assert_eq!(last, expected);
    }
}

/// Two accounts of one node.
fn two() -> ([Arc<Puppet>; 2], Arc<Pipe>, [RemotePlatform; 2]) {
    let puppets = [Arc::new(Puppet::default()), Arc::new(Puppet::default())];
    let names = ["docker", "local"].map(account);
    let shared = puppets.iter().map(|puppet| -> Arc<dyn Platform> { Arc::clone(puppet) as _ });
    let accounts: BTreeMap<_, _> = names.clone().into_iter().zip(shared).collect();
    let pipe = Pipe::new(Arc::new(Desk::new("1.0", Arc::new(RealClock), accounts, None)));
    let node = behind(Arc::clone(&pipe) as _);
    let far = names.map(|name| RemotePlatform::new(Arc::clone(&node), name));
    (puppets, pipe, far)
}

async fn is_quiet(platform: &RemotePlatform) -> bool {
    timeout(QUIET, platform.changed()).await.is_err()
}

async fn tells(platform: &RemotePlatform) {
    timeout(PATIENCE, platform.changed()).await.expect("it tells");
}

#[tokio::test]
async fn changes_are_heard_by_all_who_wait_over_one_call_and_by_nobody_else() {
    let ([docker, local], pipe, [far_docker, far_local]) = two();
    sleep(QUIET).await;
    assert_eq!(pipe.sent.load(Ordering::SeqCst), 0, "a node that nobody waits for is asked nothing");
    tells(&far_docker).await;
    assert!(is_quiet(&far_docker).await, "that the stream began is told once");
    let both = futures::future::join(tells(&far_docker), tells(&far_docker));
    let change = async {
        sleep(QUIET).await;
        docker.change.notify_one();
    };
    futures::future::join(both, change).await;
    let _ = timeout(QUIET, far_local.changed()).await;
    assert!(is_quiet(&far_local).await, "nothing has changed there");
    // Nobody waits now: it is news for the next who does.
    local.change.notify_one();
    docker.change.notify_one();
    sleep(QUIET).await;
    tells(&far_local).await;
    tells(&far_docker).await;
    assert!(is_quiet(&far_docker).await && is_quiet(&far_local).await);
    assert_eq!(pipe.sent.load(Ordering::SeqCst), 1, "all over one call");
}

#[tokio::test]
async fn a_platform_that_changes_all_the_time_is_told_of_now_and_then() {
    let ([docker, _], _pipe, [far, _]) = two();
    tells(&far).await;
    let noise = async {
        loop {
            docker.change.notify_one();
            tokio::task::yield_now().await;
        }
    };
    let mut heard = 0;
    let listening = async {
        loop {
            far.changed().await;
            heard += 1;
        }
    };
    let _ = timeout(Duration::from_secs(1), futures::future::join(noise, listening)).await;
    assert!((2..=22).contains(&heard), "{heard} in a second");
}

#[tokio::test]
async fn a_lost_connection_is_a_change_and_so_is_a_new_one() {
    let ([docker, _], pipe, [far, _]) = two();
    tells(&far).await;
    let lost = async {
        sleep(QUIET).await;
        pipe.connect(false);
    };
    futures::future::join(tells(&far), lost).await;
    assert!(is_quiet(&far).await, "nothing is heard of a node that is away");
    let back = async {
        sleep(QUIET).await;
        pipe.connect(true);
    };
    futures::future::join(tells(&far), back).await;
    docker.change.notify_one();
    tells(&far).await;
}
