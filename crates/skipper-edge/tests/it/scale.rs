//! Ten thousand routes cost what ten do.

use std::time::{Duration, Instant};

use skipper_core::{
    generation::Generation,
    port::Router as _,
    route::{Listener, Service},
};

use crate::support::{Fixture, Upstream, get, key, service, to};

fn numbered(number: u32, one: &Upstream) -> Service {
    let id = format!("0198c3f0-0000-7000-8001-{number:012x}").parse().expect("uuid");
    let host = format!("app-{number}.example.org");
    let mut service = to(1, one);
    service.id.release = id;
    service.label = format!("default/app-{number}/web");
    service.routes = [("http".to_owned(), vec![key(Listener::Http, Some(&host), "/")])].into();
    service
}

fn percentile(mut times: Vec<Duration>, share: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * share / 100).min(times.len() - 1)]
}

/// Shifts one service back and forth, and gives the median over the control socket.
async fn shift_time(edge: &Fixture, one: &Upstream, two: &Upstream) -> Duration {
    let mut times = Vec::new();
    for turn in 0..200_u64 {
        let upstream = if turn % 2 == 0 { one } else { two };
        let generation = Generation { epoch: 2, counter: turn };
        let service = Service { generation, backends: to(1, upstream).backends, ..numbered(5, one) };
        let began = Instant::now();
        edge.router.set(&service).await.expect("set");
        times.push(began.elapsed());
    }
    percentile(times, 50)
}

#[tokio::test]
async fn a_shift_is_as_quick_at_ten_thousand_routes_as_at_ten() {
    let edge = Fixture::start();
    let (one, two) = (Upstream::start("one").await, Upstream::start("two").await);
    let some: Vec<Service> = (0..10).map(|number| numbered(number, &one)).collect();
    edge.router.sync(&some).await.expect("synced");
    let few = shift_time(&edge, &one, &two).await;
    let all: Vec<Service> = (0..10_000).map(|number| numbered(number, &one)).collect();
    let began = Instant::now();
    edge.router.sync(&all).await.expect("synced");
    println!("a sync of 10,000 services took {:?}", began.elapsed());
    // Not while the snapshot of the sync is being written: two cores, one of them busy.
    tokio::time::sleep(Duration::from_secs(2)).await;
    // Generations of the first round are higher, so these go on from there.
    let mut times = Vec::new();
    for turn in 0..200_u64 {
        let upstream = if turn % 2 == 0 { &one } else { &two };
        let generation = Generation { epoch: 3, counter: turn };
        let service = Service { generation, backends: to(1, upstream).backends, ..numbered(7_777, &one) };
        let began = Instant::now();
        edge.router.set(&service).await.expect("set");
        times.push(began.elapsed());
    }
    let many = percentile(times, 50);
    // A new route takes the longer way through the table.
    let mut times = Vec::new();
    for number in 10_000..10_100 {
        let began = Instant::now();
        edge.router.set(&numbered(number, &one)).await.expect("set");
        times.push(began.elapsed());
    }
    let added = percentile(times, 50);
    println!("a shift takes {few:?} at 10 routes and {many:?} at 10,000; a new route {added:?}");
    // Unoptimised, on a busy machine, and still an order below what a rebuilt table of 10,000 would take.
    for took in [few, many, added] {
        assert!(took < Duration::from_millis(5), "{took:?}");
    }
    let at = edge.address(Listener::Http).await;
    assert_eq!(get(at, "app-9999.example.org", "/x").await.text(), "one");
    assert_eq!(get(at, "app-10500.example.org", "/x").await.status, 404);
    let _ = service(1);
    edge.end();
}
