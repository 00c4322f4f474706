use std::time::Duration;

use skipper_core::{id::RolloutId, port::Clock as _, time::Timestamp};
use skipper_store::{Callback, CallbackNote, Store, Told};
use uuid::Uuid;

use crate::{contract, samples::name, world::World};

contract! {
    what_is_noted_is_told_once_and_in_order
    what_a_dead_server_began_to_tell_is_told_again
    what_ran_before_is_told_to_be_inactive
    what_fails_is_due_later_and_given_up_at_last
}

fn told(state: &str, seq: u64) -> Told {
    Told { state: state.into(), seq, at: Timestamp::from_micros(5) }
}

fn note(rollout: u128, state: &str, seq: u64) -> CallbackNote {
    CallbackNote {
        rollout: RolloutId::from_uuid(Uuid::from_u128(rollout)),
        release: name("web"),
        target: "github".into(),
        told: Some(told(state, seq)),
        takes_over: state == "success",
        inactive: "inactive",
    }
}

async fn due(store: &Store) -> Vec<Callback> {
    store.callbacks_due(10).await.expect("read")
}

async fn what_is_noted_is_told_once_and_in_order(world: &World) {
    let store = &world.store;
    assert_eq!(store.callbacks_cursor().await.expect("read"), None);
    assert!(store.callbacks_note(None, 7, &[]).await.expect("noted"));
    assert!(!store.callbacks_note(None, 9, &[note(1, "x", 1)]).await.expect("nothing"), "there is a cursor");
    assert!(!store.callbacks_note(Some(6), 9, &[note(1, "x", 1)]).await.expect("nothing"), "somebody else was faster");
    assert_eq!(store.callbacks_next().await.expect("read"), None);
    let notes = [note(1, "in_progress", 8), note(1, "success", 9)];
    assert!(store.callbacks_note(Some(7), 9, &notes).await.expect("noted"));
    assert_eq!(store.callbacks_cursor().await.expect("read"), Some(9));
    assert!(store.callbacks_next().await.expect("read").is_some());
    let mut claimed = due(store).await;
    assert_eq!(claimed[0].pending, [told("in_progress", 8), told("success", 9)]);
    assert_eq!(due(store).await, [], "it is claimed");
    claimed[0].remote = Some("17".into());
    store.callbacks_settle(&claimed[0], 1, None, false).await.expect("settled");
    let rest = due(store).await;
    assert_eq!((rest[0].pending.as_slice(), rest[0].remote.as_deref()), (&[told("success", 9)][..], Some("17")));
    store.callbacks_settle(&rest[0], 1, None, false).await.expect("settled");
    assert_eq!((due(store).await, store.callbacks_next().await.expect("read")), (vec![], None));
}

async fn what_a_dead_server_began_to_tell_is_told_again(world: &World) {
    let store = &world.store;
    store.callbacks_note(None, 1, &[note(1, "failure", 1)]).await.expect("noted");
    let dead = due(store).await;
    let restarted = world.another().await;
    assert_eq!(due(&restarted).await, []);
    world.pass(Duration::from_secs(61)).await;
    let again = due(&restarted).await;
    assert_eq!(again[0].pending, dead[0].pending);
    store.callbacks_settle(&dead[0], 1, None, false).await.expect("no error");
    restarted.callbacks_settle(&again[0], 0, None, false).await.expect("settled");
    assert_eq!(due(&restarted).await[0].pending, [told("failure", 1)], "the dead one's word does not count");
    restarted.close().await;
}

async fn what_ran_before_is_told_to_be_inactive(world: &World) {
    let store = &world.store;
    store.callbacks_note(None, 1, &[note(1, "success", 1)]).await.expect("noted");
    let first = due(store).await;
    store.callbacks_settle(&first[0], 1, None, false).await.expect("settled");
    store.callbacks_note(Some(1), 2, &[note(2, "failure", 2)]).await.expect("noted");
    store.callbacks_note(Some(2), 3, &[note(3, "success", 3)]).await.expect("noted");
    let mut now: Vec<_> = due(store).await.into_iter().map(|one| (one.rollout, one.pending)).collect();
    now.sort_by_key(|(rollout, _)| *rollout);
    let id = |n| RolloutId::from_uuid(Uuid::from_u128(n));
    let expected =
        [(id(1), vec![told("inactive", 3)]), (id(2), vec![told("failure", 2)]), (id(3), vec![told("success", 3)])];
    assert_eq!(now, expected);
}

async fn what_fails_is_due_later_and_given_up_at_last(world: &World) {
    let store = &world.store;
    store.callbacks_note(None, 1, &[note(1, "failure", 1)]).await.expect("noted");
    let later = world.clock.now() + Duration::from_secs(300);
    store.callbacks_settle(&due(store).await[0], 0, Some(later), false).await.expect("settled");
    assert_eq!(store.callbacks_next().await.expect("read"), Some(later));
    assert_eq!(due(store).await, []);
    world.pass(Duration::from_secs(301)).await;
    let again = due(store).await;
    assert_eq!((again[0].attempts, again[0].pending.len()), (1, 1));
    store.callbacks_note(Some(1), 2, &[note(1, "inactive", 2)]).await.expect("noted");
    store.callbacks_settle(&again[0], 0, None, true).await.expect("settled");
    assert_eq!(due(store).await[0].pending, [told("inactive", 2)], "what came meanwhile is still told");
}
