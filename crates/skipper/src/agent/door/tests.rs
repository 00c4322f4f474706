use super::*;
use crate::agent::tests::order;

#[test]
fn times_are_reckoned_by_the_servers_clock_alone() {
    // This server believes it is 1999, and a proxy that it is 2026.
    let mut order = order(1, "a", 1);
    let at = |text: &str| text.parse::<Timestamp>().expect("a time");
    order.created_at = at("1999-01-01T00:00:00Z");
    order.deadline = at("1999-01-01T00:10:30Z");
    order.lease.as_mut().expect("leased").expires_at = at("1999-01-01T00:01:30Z");
    let minute = Duration::from_secs(60);
    let told = with_spans(order.clone(), minute, Some(at("2026-11-22T10:00:00Z")));
    assert_eq!((told.lease, told.budget.as_secs()), (minute, 600));
    order.lease = None;
    let unleased = with_spans(order.clone(), minute, Some(at("1999-01-01T00:00:20Z")));
    assert_eq!(unleased.budget.as_secs(), 610);
    assert_eq!(with_spans(order, minute, None).budget.as_secs(), 630);
}
