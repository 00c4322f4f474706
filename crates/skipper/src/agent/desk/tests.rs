use super::*;
use crate::agent::tests::order;

fn handed(number: u64, tenant: &str, generation: u64) -> Handed {
    let span = Duration::from_secs(60);
    Handed { order: order(number, tenant, generation), lease: span, budget: span * 60 }
}

fn desk() -> (tempfile::TempDir, Desk) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let desk = Desk::open(dir.path(), Instant::now()).expect("a journal");
    (dir, desk)
}

#[tokio::test(start_paused = true)]
async fn an_order_whose_lease_ran_out_is_given_back_and_may_come_again() {
    let (_dir, mut desk) = desk();
    let first = handed(1, "a", 1);
    desk.receive(&first, Instant::now()).expect("taken");
    tokio::time::advance(Duration::from_secs(61)).await;
    assert!(desk.start(Instant::now()).is_empty());
    assert!(desk.named().is_empty() && desk.untold().is_empty());
    assert_eq!(desk.receive(&handed(1, "a", 2), Instant::now()).expect("taken"), Received::Taken);
    assert_eq!(desk.start(Instant::now()), [first.order.id]);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_renews_the_lease_of_what_waits() {
    let (_dir, mut desk) = desk();
    let first = handed(1, "a", 1);
    desk.receive(&first, Instant::now()).expect("taken");
    tokio::time::advance(Duration::from_secs(50)).await;
    desk.heard(&desk.named(), &[], Instant::now() + Duration::from_secs(60));
    tokio::time::advance(Duration::from_secs(50)).await;
    assert_eq!(desk.start(Instant::now()), [first.order.id]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passed_before_the_order_began_ends_it() {
    let (_dir, mut desk) = desk();
    let first = Handed { budget: Duration::from_secs(10), ..handed(1, "a", 1) };
    desk.receive(&first, Instant::now()).expect("taken");
    tokio::time::advance(Duration::from_secs(11)).await;
    assert!(desk.start(Instant::now()).is_empty());
    let told = desk.telling(first.order.id).expect("to be told");
    assert!(told.report.result.expect("a result").summary.contains("deadline"));
}

#[tokio::test(start_paused = true)]
async fn no_more_than_four_tenants_are_served_at_a_time() {
    let (_dir, mut desk) = desk();
    for number in 1..=6 {
        desk.receive(&handed(number, &format!("t{number}"), 1), Instant::now()).expect("taken");
    }
    let started = desk.start(Instant::now());
    assert_eq!(started.len(), SIDE_BY_SIDE);
    assert!(desk.start(Instant::now()).is_empty());
    desk.end(started[0], failed("x".to_owned()));
    assert_eq!(desk.start(Instant::now()).len(), 1);
    assert!(desk.has_room());
}

#[tokio::test(start_paused = true)]
async fn an_order_in_hand_that_comes_again_is_told_of_under_the_later_generation() {
    let (_dir, mut desk) = desk();
    let first = handed(1, "a", 3);
    desk.receive(&first, Instant::now()).expect("taken");
    assert_eq!(desk.start(Instant::now()), [first.order.id]);
    desk.begin(first.order.id).expect("begun").expect("there");
    assert_eq!(desk.receive(&handed(1, "a", 5), Instant::now()).expect("known"), Received::Known);
    assert_eq!(desk.receive(&handed(1, "a", 4), Instant::now()).expect("known"), Received::Known);
    assert!(desk.start(Instant::now()).is_empty(), "it is under way");
    desk.end(first.order.id, failed("x".to_owned()));
    assert_eq!(desk.telling(first.order.id).expect("to be told").report.generation, Some(5));
    // A report that was on its way under the number before does not count.
    desk.told(first.order.id, Some(3));
    assert_eq!(desk.untold(), [first.order.id]);
    desk.told(first.order.id, Some(5));
    assert!(desk.untold().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_had_begun_before_a_crash_gives_way_to_a_newer_order() {
    let (dir, mut desk) = desk();
    let first = handed(1, "a", 1);
    desk.receive(&first, Instant::now()).expect("taken");
    desk.start(Instant::now());
    desk.begin(first.order.id).expect("begun").expect("there");
    drop(desk);
    let mut desk = Desk::open(dir.path(), Instant::now()).expect("a journal");
    assert_eq!(desk.begun(), 1);
    let second = handed(2, "a", 2);
    desk.receive(&second, Instant::now()).expect("taken");
    assert_eq!(desk.start(Instant::now()), [second.order.id]);
    assert_eq!(desk.untold(), [first.order.id]);
}
