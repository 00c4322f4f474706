use std::os::unix::fs::PermissionsExt as _;

use skipper_core::fleet::Outcome;

use super::*;
use crate::agent::{desk::failed, tests::order};

fn facts_of(order: &WorkOrder) -> Facts {
    Facts {
        order: order.id,
        kind: order.kind,
        tenant: order.tenant.clone(),
        generation: order.generation,
        revision: order.revision,
        digest: String::new(),
        budget_ms: 1000,
        request_id: "r".to_owned(),
        correlation_id: "c".to_owned(),
    }
}

fn carried_out(journal: &mut Journal, order: &WorkOrder) {
    journal.keep_order(order).expect("kept");
    journal.write(Entry::Taken(facts_of(order))).expect("written");
    journal.write(Entry::Begun { order: order.id }).expect("written");
    journal.keep_result(order.id, &failed("x".to_owned())).expect("kept");
    assert!(journal.note(Entry::Done { order: order.id, status: Outcome::Failed }));
    journal.drop_order(order.id);
}

#[test]
fn a_torn_tail_is_as_if_it_had_not_been_written() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (first, second) = (order(1, "a", 1), order(2, "b", 1));
    carried_out(&mut Journal::open(dir.path()).expect("opened"), &first);
    let path = dir.path().join("journal");
    let whole = fs::read(&path).expect("there");
    let more = line(&Entry::Taken(facts_of(&second)));
    for torn in 0..more.len() {
        fs::write(&path, [&whole[..], &more[..torn]].concat()).expect("written");
        let mut journal = Journal::open(dir.path()).expect("opened");
        assert_eq!(journal.ledger().get(first.id).expect("known").stage, Stage::Done(Outcome::Failed));
        assert!(journal.ledger().get(second.id).is_none(), "{torn}");
        journal.write(Entry::Taken(facts_of(&second))).expect("written");
        drop(journal);
        let again = Journal::open(dir.path()).expect("opened");
        assert_eq!(again.ledger().get(second.id).expect("known").stage, Stage::Taken, "{torn}");
    }
}

#[test]
fn a_block_that_never_reached_the_disk_spoils_no_other_line() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (first, second) = (order(1, "a", 1), order(2, "b", 1));
    carried_out(&mut Journal::open(dir.path()).expect("opened"), &first);
    let path = dir.path().join("journal");
    let mut bytes = fs::read(&path).expect("there");
    bytes.extend_from_slice(&[0; 100]);
    bytes.push(b'\n');
    bytes.extend(line(&Entry::Taken(facts_of(&second))));
    fs::write(&path, bytes).expect("written");
    let journal = Journal::open(dir.path()).expect("opened");
    assert!(journal.ledger().get(first.id).is_some() && journal.ledger().get(second.id).is_some());
}

#[test]
fn the_journal_stays_short_and_remembers_what_matters() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut journal = Journal::open(dir.path()).expect("opened");
    for number in 1..=2000 {
        let order = order(number, &format!("t{}", number % 7), number);
        carried_out(&mut journal, &order);
        // The last ones the server does not know yet.
        if number <= 1990 {
            assert!(journal.note(Entry::Reported { order: order.id }));
        }
    }
    let length = fs::metadata(dir.path().join("journal")).expect("there").len();
    assert!(length <= 2 * LONG, "{length}");
    drop(journal);
    let journal = Journal::open(dir.path()).expect("opened");
    assert_eq!(journal.ledger().unreported().len(), 10);
    assert_eq!(journal.ledger().decide(&order(1, "t1", 1)), Decision::Stale { seen: 1996 });
    let remembered = order(1985, "t4", 1985);
    assert_eq!(journal.ledger().decide(&remembered), Decision::Repeated);
    let results = fs::read_dir(dir.path().join("results")).expect("a folder").count();
    assert!(results < 2000, "results of what is forgotten go: {results}");
    for entry in fs::read_dir(dir.path().join("results")).expect("a folder") {
        assert_eq!(entry.expect("an entry").metadata().expect("there").permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn what_a_crash_left_behind_is_swept() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let never = order(1, "a", 1);
    let journal = Journal::open(dir.path()).expect("opened");
    journal.keep_order(&never).expect("kept");
    journal.keep_result(never.id, &failed("x".to_owned())).expect("kept");
    drop(journal);
    Journal::open(dir.path()).expect("opened");
    for folder in ["orders", "results"] {
        assert_eq!(fs::read_dir(dir.path().join(folder)).expect("a folder").count(), 0, "{folder}");
    }
}

#[test]
fn no_secret_is_in_the_journal() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    carried_out(&mut Journal::open(dir.path()).expect("opened"), &order(1, "a", 1));
    let text = fs::read_to_string(dir.path().join("journal")).expect("there");
    assert!(text.contains("\"entry\":\"begun\"") && !text.contains("hush-hush"), "{text}");
}
