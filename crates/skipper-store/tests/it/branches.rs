use std::time::Duration;

use skipper_core::{
    port::Clock as _,
    rollout::{Phase, Verb},
};
use skipper_store::{NewIntent, Store};

use crate::{
    contract,
    samples::{carry_out, intent, serving, spec},
    world::World,
};

contract! {
    a_branch_is_the_releases_until_that_is_gone
    what_cannot_be_removed_is_due_again_later
}

async fn due(store: &Store) -> Vec<String> {
    store.branches_due(10).await.expect("read").into_iter().map(|branch| branch.name).collect()
}

async fn a_branch_is_the_releases_until_that_is_gone(world: &World) {
    let store = &world.store;
    let release = serving(store, "web", &spec(&[], &[])).await;
    let ask =
        async |project: &str, name: &str| store.branch_ask(release.id, "neon", project, name).await.expect("noted");
    let first = ask("p1", "first").await;
    assert_eq!((first.name.as_str(), first.remote.as_deref()), ("first", None));
    store.branch_made("first", "br-1").await.expect("noted");
    world.pass(Duration::from_secs(5)).await;
    let again = ask("p1", "second").await;
    assert_eq!((again.name.as_str(), again.remote.as_deref()), ("first", Some("br-1")));
    assert!(again.asked_at > first.asked_at);
    assert_eq!(due(store).await, Vec::<String>::new());
    assert_eq!(ask("p2", "elsewhere").await.name, "elsewhere");
    assert_eq!(due(store).await, ["first"], "nobody needs what is in the other project");
    store.branch_forget("elsewhere").await.expect("nothing happens");
    store.branch_forget("first").await.expect("removed");

    // An install that waits behind the delete gets a branch of its own.
    let delete = store.intent_create(intent("web", Verb::Delete)).await.expect("accepted");
    let waits = NewIntent { wait_behind: true, ..intent("web", Verb::Upgrade) };
    store.intent_create(waits).await.expect("it waits");
    carry_out(store, &delete, &spec(&[], &[]), &Phase::Succeeded).await;
    assert_eq!(due(store).await, ["elsewhere"]);
    assert_eq!(ask("p2", "anew").await.name, "anew");
    assert_eq!(due(store).await, ["elsewhere"]);
}

async fn what_cannot_be_removed_is_due_again_later(world: &World) {
    let store = &world.store;
    let release = serving(store, "web", &spec(&[], &[])).await;
    store.branch_ask(release.id, "neon", "p", "one").await.expect("noted");
    let delete = store.intent_create(intent("web", Verb::Delete)).await.expect("accepted");
    carry_out(store, &delete, &spec(&[], &[]), &Phase::Succeeded).await;
    assert_eq!(due(store).await, ["one"]);
    store.branch_later("one", world.clock.now() + Duration::from_secs(60)).await.expect("noted");
    assert_eq!(due(store).await, Vec::<String>::new());
    world.pass(Duration::from_secs(61)).await;
    let late = store.branches_due(10).await.expect("read");
    assert_eq!((late[0].name.as_str(), late[0].attempts), ("one", 1));
    store.branch_forget("one").await.expect("removed");
    assert_eq!(due(store).await, Vec::<String>::new());
}
