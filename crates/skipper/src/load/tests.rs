use tokio_util::sync::CancellationToken;

use super::*;
use crate::sample;

fn target(address: SocketAddr) -> Target {
    Target { address, host: address.to_string(), path: "/greeting".into() }
}

fn everybody() -> Mix {
    Mix {
        keep_alive: 2,
        fresh: 1,
        http2: 1,
        websockets: 1,
        events: 1,
        downloads: 1,
        uploads: 1,
        download_bytes: 300_000,
        download_rate: 0,
        upload_bytes: 300_000,
        ..Mix::default()
    }
}

/// Waits until `seen` holds.
async fn until(load: &Load, seen: impl Fn(&Load) -> bool) {
    let look = async {
        while !seen(load) {
            time::sleep(Duration::from_millis(2)).await;
        }
    };
    time::timeout(Duration::from_secs(20), look).await.expect("it happens long before that");
}

#[tokio::test]
async fn users_of_every_kind_find_nothing_wrong_with_a_sound_application() {
    let stop = CancellationToken::new();
    let (address, tasks) = sample::serve_for_test(&["--sample.version=7"], stop.clone().cancelled_owned()).await;
    let load = Load::start(target(address), everybody());
    until(&load, |load| load.so_far().kinds.len() == 7).await;
    let report = load.finish(Duration::from_secs(20)).await;
    assert_eq!(report.failures, std::collections::BTreeMap::new());
    assert_eq!(report.versions.keys().collect::<Vec<_>>(), ["7"]);
    stop.cancel();
    tasks.wait().await;
}

#[tokio::test]
async fn answers_with_an_error_status_are_counted_with_their_reason() {
    let (address, _tasks) = sample::serve_for_test(&["--sample.fail-percent=50"], std::future::pending()).await;
    let load = Load::start(target(address), Mix { keep_alive: 1, requests: Some(100), ..Mix::default() });
    load.used_up().await;
    let report = load.finish(Duration::from_secs(20)).await;
    assert_eq!((report.ok(), report.failed()), (50, 50));
    assert_eq!(report.failures["keep-alive: status 500"], 50);
}

#[tokio::test]
async fn a_number_of_requests_is_used_up_although_a_stream_goes_on() {
    let (address, _tasks) = sample::serve_for_test(&[], std::future::pending()).await;
    let mix = Mix { keep_alive: 2, websockets: 1, requests: Some(50), ..Mix::default() };
    let load = Load::start(target(address), mix);
    time::timeout(Duration::from_secs(20), load.used_up()).await.expect("the requests are made");
    let report = load.finish(Duration::from_secs(20)).await;
    assert_eq!(report.kinds["keep-alive"].ok, 50);
    assert_eq!(report.failed(), 0);
}

#[tokio::test]
async fn an_application_that_is_told_to_stop_ends_its_streams_within_its_grace() {
    let stop = CancellationToken::new();
    let (address, tasks) = sample::serve_for_test(&[], stop.clone().cancelled_owned()).await;
    let load = Load::start(target(address), Mix { websockets: 1, events: 1, ..Mix::default() });
    until(&load, |load| load.so_far().kinds.len() == 2).await;
    stop.cancel();
    time::timeout(Duration::from_secs(4), tasks.wait()).await.expect("it stops although streams were open");
    until(&load, |load| load.so_far().failures.contains_key("websocket: closed by the server")).await;
    let report = load.finish(Duration::from_secs(20)).await;
    assert!(report.failures.contains_key("server-sent-events: the stream ended"), "{:?}", report.failures);
}

#[tokio::test]
async fn a_user_who_is_never_answered_is_counted_as_not_finished() {
    let (address, _tasks) = sample::serve_for_test(&["--sample.hang"], std::future::pending()).await;
    let load = Load::start(target(address), Mix { keep_alive: 1, ..Mix::default() });
    until(&load, |load| load.run.begun.load(Ordering::Relaxed) == 1).await;
    let report = load.finish(Duration::from_millis(50)).await;
    assert_eq!(report.failures["not finished in time"], 1);
}
