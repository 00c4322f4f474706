use std::time::Duration;

use serde_json::json;
use skipper_core::{
    Sha256,
    deployment::DeploymentId,
    fleet::{OrderKind, OrderStatus, Outcome, Verdict},
    id::{OrderId, ReleaseId},
    name::{NodeName, TenantName},
    secret::SecretVersions,
};
use skipper_store::{Answered, Begun, Error, NewOrder, Order, OrderFilter, Renewed, Store, StoredAnswer, TokenSecret};
use uuid::Uuid;

use crate::{
    contract,
    samples::{provenance, tenant},
    world::World,
};

contract! {
    a_nodes_token_lets_its_agent_in_until_it_is_replaced_or_revoked
    an_enrolment_is_worth_one_token
    the_answer_to_an_enrolment_is_kept_with_what_it_did
    an_order_is_handed_out_once_until_its_lease_runs_out
    only_the_present_holder_reports_and_a_repeated_report_changes_nothing
    an_order_is_made_once_for_a_deployment
    what_nobody_carries_out_expires
    a_resource_is_stored_once_and_shown_to_its_tenant
}

const LEASE: Duration = Duration::from_secs(60);

fn node() -> NodeName {
    NodeName::new("host-1").expect("a name")
}

async fn registered(store: &Store) -> NodeName {
    store.node_put(&node(), &json!({"role": "worker"}), &provenance()).await.expect("registered");
    node()
}

pub(crate) fn order(world: &World, deployment: &str, ready: bool) -> NewOrder {
    NewOrder {
        kind: OrderKind::DeployService,
        tenant: tenant(),
        node: node(),
        release: ReleaseId::from_uuid(Uuid::from_u128(1)),
        deployment: DeploymentId::from_stored(deployment),
        revision: 1,
        deadline: world.config.clock.now() + Duration::from_secs(600),
        idempotency_key: Some("k".into()),
        provenance: provenance(),
        desired: json!({"files": {}}),
        secrets: SecretVersions::default(),
        ready,
    }
}

async fn take(store: &Store) -> Option<Order> {
    store.order_take(&node(), "agent", LEASE).await.expect("no error")
}

async fn report(store: &Store, order: &Order, generation: Option<u64>, outcome: Outcome) -> Verdict {
    let told = store.order_report(order.id, &node(), generation, outcome, &json!({"status": outcome})).await;
    told.expect("no error").expect("its order").0
}

async fn a_nodes_token_lets_its_agent_in_until_it_is_replaced_or_revoked(world: &World) {
    let store = &world.store;
    let lost = store.node_token_create(&node(), None, Duration::ZERO, &provenance()).await;
    assert!(matches!(lost, Err(Error::NotFound { .. })), "{lost:?}");
    let node = registered(store).await;
    let first = store.node_token_create(&node, None, Duration::ZERO, &provenance()).await.expect("made");
    assert_eq!(store.node_authenticate(first.expose()).await.expect("no error"), Some(node.clone()));
    let grace = Duration::from_secs(30);
    let second = store.node_token_create(&node, Some("chosen-by-people".into()), grace, &provenance()).await;
    assert_eq!(second.expect("made").expose(), "chosen-by-people");
    for token in [first.expose(), "chosen-by-people"] {
        assert_eq!(
            store.node_authenticate(token).await.expect("no error"),
            Some(node.clone()),
            "both within the grace"
        );
    }
    world.pass(grace).await;
    assert_eq!(store.node_authenticate(first.expose()).await.expect("no error"), None);
    store.node_tokens_revoke(&node, &provenance()).await.expect("revoked");
    assert_eq!(store.node_authenticate("chosen-by-people").await.expect("no error"), None);
    for bad in ["short", "with space in it", &"x".repeat(600)] {
        let refused = store.node_token_create(&node, Some(bad.to_owned()), Duration::ZERO, &provenance()).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{bad}");
    }
    store.node_remove(&node, &provenance()).await.expect("removed");
    assert_eq!(store.node_get(&node).await.expect("no error"), None);
}

async fn an_enrolment_is_worth_one_token(world: &World) {
    let store = &world.store;
    let node = registered(store).await;
    let (enrolment, _) = store.node_enrolment_create(&node, LEASE, &provenance()).await.expect("made");
    assert_eq!(store.node_authenticate(enrolment.expose()).await.expect("no error"), None, "it is no token itself");
    let other = NodeName::new("host-2").expect("a name");
    assert!(store.node_enrol(enrolment.expose(), &other, &provenance(), None).await.expect("no error").is_none());
    let token =
        store.node_enrol(enrolment.expose(), &node, &provenance(), None).await.expect("no error").expect("a token");
    assert_eq!(store.node_authenticate(token.expose()).await.expect("no error"), Some(node.clone()));
    assert!(
        store.node_enrol(enrolment.expose(), &node, &provenance(), None).await.expect("no error").is_none(),
        "once"
    );
    let (late, _) = store.node_enrolment_create(&node, LEASE, &provenance()).await.expect("made");
    world.pass(LEASE).await;
    assert!(store.node_enrol(late.expose(), &node, &provenance(), None).await.expect("no error").is_none(), "too late");
    assert_eq!(store.node_enrolment_of(late.expose()).await.expect("no error"), Some(node));
    assert_eq!(store.node_enrolment_of(token.expose()).await.expect("no error"), None, "that is something else");
}

async fn the_answer_to_an_enrolment_is_kept_with_what_it_did(world: &World) {
    let store = &world.store;
    let node = registered(store).await;
    let (enrolment, _) = store.node_enrolment_create(&node, LEASE, &provenance()).await.expect("made");
    let begin = async || store.idempotency_begin(&tenant(), "enrolment", "k", Sha256::of(b"one"), LEASE).await;
    let Ok(Begun::New(key)) = begin().await else { panic!("new") };
    let answer =
        |token: &TokenSecret| StoredAnswer { status: 200, headers: vec![], body: token.expose().as_bytes().to_vec() };
    let answered = Answered { key: &key, answer: &answer };
    let token = store.node_enrol(enrolment.expose(), &node, &provenance(), Some(answered)).await.expect("no error");
    // The server dies before it has said anything.
    match begin().await {
        Ok(Begun::Done(done)) => assert_eq!(done, answer(&token.expect("a token"))),
        other => panic!("{other:?}"),
    }
}

async fn an_order_is_handed_out_once_until_its_lease_runs_out(world: &World) {
    let store = &world.store;
    registered(store).await;
    let made = store.order_ensure(order(world, "web-r1", false), true).await.expect("made");
    assert_eq!(take(store).await, None, "its turn has not come");
    let same = store.order_ensure(order(world, "web-r1", true), true).await.expect("there");
    assert_eq!((same.id, same.ready), (made.id, true));
    let first = take(store).await.expect("an order");
    assert_eq!((first.id, first.status, first.generation), (made.id, OrderStatus::Active, 1));
    assert_eq!(take(store).await, None, "somebody has it");
    world.pass(LEASE / 2).await;
    let stranger = OrderId::from_uuid(Uuid::from_u128(9));
    let Renewed { lost, let_go } =
        store.orders_renew(&node(), Some(&[made.id, stranger]), LEASE).await.expect("renewed");
    assert!(!let_go);
    assert_eq!(lost, [stranger]);
    world.pass(LEASE / 2).await;
    assert_eq!(take(store).await, None, "it was renewed");
    world.pass(LEASE).await;
    assert_eq!(store.orders_unheld().await.expect("listed"), [node()]);
    let again = take(store).await.expect("its holder is gone");
    assert_eq!((again.id, again.generation), (made.id, 2));
    store.orders_renew(&node(), Some(&[]), LEASE).await.expect("renewed");
    assert_eq!(take(store).await, None, "it may still be on its way to its holder");
    world.pass(Duration::from_secs(6)).await;
    store.orders_renew(&node(), Some(&[]), LEASE).await.expect("renewed");
    let lost = take(store).await.expect("it never came there");
    assert_eq!((lost.id, lost.generation), (made.id, 3));
}

async fn only_the_present_holder_reports_and_a_repeated_report_changes_nothing(world: &World) {
    let store = &world.store;
    registered(store).await;
    let made = store.order_ensure(order(world, "web-r1", true), true).await.expect("made");
    assert_eq!(report(store, &made, None, Outcome::Succeeded).await, Verdict::Stale, "nobody has taken it");
    take(store).await.expect("taken");
    world.pass(LEASE).await;
    take(store).await.expect("taken again");
    assert_eq!(report(store, &made, Some(1), Outcome::Succeeded).await, Verdict::Stale);
    assert_eq!(report(store, &made, Some(2), Outcome::Failed).await, Verdict::Take);
    let events = world.number("SELECT COUNT(*) FROM event").await;
    assert_eq!(report(store, &made, Some(2), Outcome::Failed).await, Verdict::Repeated);
    assert_eq!(report(store, &made, Some(2), Outcome::Succeeded).await, Verdict::Ended);
    assert_eq!(world.number("SELECT COUNT(*) FROM event").await, events);
    let other = NodeName::new("host-2").expect("a name");
    let foreign = store.order_report(made.id, &other, Some(2), Outcome::Failed, &json!({})).await.expect("no error");
    assert_eq!(foreign, None);
    let kept = store.order_get(made.id).await.expect("no error").expect("there");
    assert_eq!((kept.status, kept.result), (OrderStatus::Failed, Some(json!({"status": "failed"}))));
}

async fn an_order_is_made_once_for_a_deployment(world: &World) {
    let store = &world.store;
    registered(store).await;
    let first = store.order_ensure(order(world, "web-r1", true), true).await.expect("made");
    take(store).await.expect("taken");
    assert_eq!(report(store, &first, Some(1), Outcome::Succeeded).await, Verdict::Take);
    let again = store.order_ensure(order(world, "web-r1", true), true).await.expect("there");
    assert_eq!(again.id, first.id, "the node has it");
    let second = store.order_ensure(order(world, "web-r2", true), true).await.expect("made");
    let back = store.order_ensure(order(world, "web-r1", true), true).await.expect("there");
    assert_eq!(back.id, first.id, "nobody took what came between");
    let second = store.order_get(second.id).await.expect("no error").expect("there");
    assert_eq!(second.status, OrderStatus::Superseded, "and nobody is to take it any more");
    let third = store.order_ensure(order(world, "web-r2", true), true).await.expect("made");
    take(store).await.expect("taken");
    let back = store.order_ensure(order(world, "web-r1", true), true).await.expect("made");
    assert_ne!(back.id, first.id, "the node may have the other one");
    let healed = store.order_ensure(order(world, "web-r1", true), false).await.expect("there");
    assert_eq!(healed.id, back.id, "it is still on its way");
    let list = store.order_list(OrderFilter { node: Some(&node()), limit: 10, ..OrderFilter::default() }).await;
    let ids: Vec<_> = list.expect("listed").iter().map(|order| order.id).collect();
    assert_eq!(ids, [back.id, third.id, second.id, first.id]);
    let nobody = TenantName::new("nobody").expect("a name");
    let none = OrderFilter { tenant: Some(&nobody), limit: 10, ..OrderFilter::default() };
    assert_eq!(store.order_list(none).await.expect("listed"), []);
}

async fn what_nobody_carries_out_expires(world: &World) {
    let store = &world.store;
    registered(store).await;
    let made = store.order_ensure(order(world, "web-r1", true), true).await.expect("made");
    let unready = store.order_ensure(order(world, "web-r2", false), true).await.expect("made");
    let long_ago = world.config.clock.now() - Duration::from_secs(3600);
    assert_eq!(store.orders_tidy(long_ago, long_ago).await.expect("tidied"), []);
    let later = world.config.clock.now() + Duration::from_secs(1);
    assert_eq!(store.orders_tidy(later, long_ago).await.expect("tidied"), []);
    let forsaken = store.order_get(unready.id).await.expect("no error").expect("there");
    assert_eq!(forsaken.status, OrderStatus::Superseded, "there is no rollout that it could belong to");
    world.pass(Duration::from_secs(600)).await;
    assert_eq!(take(store).await, None, "too late");
    let expired = store.orders_tidy(long_ago, long_ago).await.expect("tidied");
    assert_eq!(expired.iter().map(|order| order.id).collect::<Vec<_>>(), [made.id]);
    assert_eq!(report(store, &made, None, Outcome::Succeeded).await, Verdict::Ended);
}

async fn a_resource_is_stored_once_and_shown_to_its_tenant(world: &World) {
    let store = &world.store;
    let put = |spec: i64| {
        let spec = json!({"n": spec});
        async move { store.resource_put("tenant", "acme", &tenant(), &spec, &provenance()).await.expect("stored") }
    };
    assert_eq!((put(1).await.1, put(1).await.1, put(2).await.1), (true, false, true));
    store.resource_status("tenant", "acme", &json!({"state": "x"})).await.expect("stored");
    let there = store.resource_get("tenant", "acme").await.expect("no error").expect("there");
    assert_eq!((there.spec, there.status, there.row_version), (json!({"n": 2}), Some(json!({"state": "x"})), 2));
    store.resource_remove("tenant", "acme", &provenance()).await.expect("removed");
    let gone = store.resource_remove("tenant", "acme", &provenance()).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
}
