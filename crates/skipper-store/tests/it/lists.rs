use skipper_core::{
    release::{Door, RevisionState},
    rollout::{Phase, Verb},
};
use skipper_store::{ByMetadata, NewIntent};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _, sqlite::SqliteConnectOptions};

use crate::{
    contract,
    samples::{carry_out, cause, intent, name, serving, spec, tenant},
    world::World,
};

contract! {
    releases_are_listed_by_name_and_page
    a_list_shows_what_is_under_way
    what_came_through_a_door_is_listed_by_itself
    a_search_finds_names_and_takes_no_pattern
    releases_are_found_by_the_metadata_of_what_serves
}

async fn releases_are_listed_by_name_and_page(world: &World) {
    // In the order of bytes on both databases, whatever the language of the server.
    for release in ["b", "a-2", "B", "a", "a_1", "a.b", "9"] {
        world.store.intent_create(intent(release, Verb::Install)).await.expect("accepted");
    }
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = world.store.release_list(&tenant(), None, after.as_ref(), 2).await.expect("page");
        let Some(last) = page.last() else { break };
        after = Some(last.release.name.clone());
        seen.extend(page.iter().map(|l| l.release.name.to_string()));
    }
    assert_eq!(seen, ["9", "B", "a", "a-2", "a.b", "a_1", "b"]);
}

async fn what_came_through_a_door_is_listed_by_itself(world: &World) {
    for (release, door) in [
        ("web", Door::Deploys),
        ("web.preview.pr-1", Door::Deploys),
        ("web.preview.pr-2", Door::Deploys),
        ("web.previews", Door::Deploys),
        ("web.preview.other", Door::Releases),
        ("webber.preview.pr-1", Door::Deploys),
    ] {
        let new = NewIntent { door, ..intent(release, Verb::Install) };
        world.store.intent_create(new).await.expect("accepted");
    }
    let gone = NewIntent { door: Door::Deploys, wait_behind: true, ..intent("web.preview.pr-2", Verb::Delete) };
    let open = world.store.rollout_list(None, true, 10, None).await.expect("open");
    assert_eq!(open.len(), 6);
    world.store.intent_create(gone).await.expect("it waits");
    let names = async |prefix: &str| {
        let list = world.store.release_list_of_door(&tenant(), Door::Deploys, prefix).await.expect("list");
        list.into_iter().map(|listed| (listed.release.name.to_string(), listed.open.is_some())).collect::<Vec<_>>()
    };
    assert_eq!(names("").await.len(), 5);
    let previews = ["web.preview.pr-1", "web.preview.pr-2"].map(|name| (name.to_owned(), true));
    assert_eq!(names("web.preview.").await, previews);
}

async fn a_list_shows_what_is_under_way(world: &World) {
    let store = &world.store;
    serving(store, "calm", &spec(&[], &[])).await;
    serving(store, "busy", &spec(&[], &[])).await;
    let open = store.intent_create(intent("busy", Verb::Upgrade)).await.expect("accepted");
    let broken = store.intent_create(intent("broken", Verb::Install)).await.expect("accepted");
    carry_out(store, &broken, &spec(&[], &[]), &Phase::Failed { cause: cause("x") }).await;
    let list = store.release_list(&tenant(), None, None, 10).await.expect("list");
    let short: Vec<_> = list
        .iter()
        .map(|l| (l.release.name.as_str(), l.open.as_ref().map(|o| o.id), l.last_state, l.release.serving))
        .collect();
    assert_eq!(
        short,
        [
            ("broken", None, Some(RevisionState::Failed), None),
            ("busy", Some(open.rollout.id), Some(RevisionState::Pending), Some(1)),
            ("calm", None, Some(RevisionState::Live), Some(1)),
        ]
    );
    let counts = store.counts().await.expect("counts");
    assert_eq!((counts.releases, counts.open_rollouts, counts.deployments), (3, 1, 0));
    assert_eq!(store.rollout_list(None, true, 10, None).await.expect("open").len(), 1);
    assert_eq!(store.rollout_list(None, false, 10, None).await.expect("all").len(), 4);
}

async fn a_search_finds_names_and_takes_no_pattern(world: &World) {
    for release in ["Shop-Web", "shop-db", "blog"] {
        world.store.intent_create(intent(release, Verb::Install)).await.expect("accepted");
    }
    for (q, found) in [("SHOP", 2), ("web", 1), ("%", 0), ("_", 0), ("!", 0), ("o", 3), ("", 3), ("x\0y", 0)] {
        let list = world.store.release_list(&tenant(), Some(q), None, 10).await.expect("list");
        assert_eq!(list.len(), found, "{q:?}");
    }
    let rest = world.store.release_list(&tenant(), Some("shop"), Some(&name("Shop-Web")), 10).await.expect("list");
    assert_eq!(rest.len(), 1);
}

async fn releases_are_found_by_the_metadata_of_what_serves(world: &World) {
    let store = &world.store;
    let said = |kind: &str| {
        let mut spec = spec(&[], &[]);
        spec.metadata =
            [("type".to_owned(), [kind.to_owned()].into()), ("x".repeat(600), ["long".to_owned()].into())].into();
        spec
    };
    for release in ["b", "a", "c"] {
        serving(store, release, &said("demo")).await;
    }
    serving(store, "other", &said("Demo")).await;
    let find = async |key: &str, value: &str, q: Option<&str>, deleted, after: Option<&str>| {
        let by = ByMetadata { key, value, q, deleted };
        let found = store.release_list_by_metadata(&tenant(), by, after.map(name).as_ref(), 2).await.expect("found");
        found.iter().map(|listed| listed.release.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(find("type", "demo", None, false, None).await, ["a", "b"]);
    assert_eq!(find("type", "demo", None, false, Some("b")).await, ["c"]);
    assert_eq!(find("type", "demo", Some("C"), false, None).await, ["c"]);
    assert_eq!(find("name", "web", None, false, Some("b")).await, ["c", "other"], "applications are found by name");
    assert!(find("type", "dem", None, false, None).await.is_empty());
    assert!(find(&"x".repeat(600), "long", None, false, None).await.is_empty(), "too long for an index");
    // A failed upgrade changes nothing, one that succeeds does, and what came before is forgotten with the next one.
    for (kind, end, expected) in [
        ("new", Phase::Failed { cause: cause("x") }, ["b", "c"].as_slice()),
        ("new", Phase::Succeeded, &["c"]),
        ("demo", Phase::Succeeded, &["b", "c"]),
    ] {
        let next = store.intent_create(intent("b", Verb::Upgrade)).await.expect("accepted");
        carry_out(store, &next, &said(kind), &end).await;
        assert_eq!(find("type", "demo", None, false, Some("a")).await, expected, "{kind} {end:?}");
    }
    let rows = world.raw("UPDATE release_metadata SET value = value WHERE name = 'b' AND revision < 3").await;
    assert_eq!(rows, 0, "revisions before the one that served are forgotten");
    let gone = store.intent_create(intent("a", Verb::Delete)).await.expect("accepted");
    carry_out(store, &gone, &said("demo"), &Phase::Succeeded).await;
    assert_eq!(find("type", "demo", None, false, None).await, ["b", "c"]);
    assert_eq!(find("type", "demo", None, true, None).await, ["a", "b"]);
}

/// Tables that grow with the number of releases, revisions, rollouts and events. A statement that scans one of these gets
/// slower every day.
const LARGE: [&str; 8] =
    ["release", "release_metadata", "revision", "rollout", "step", "event", "package", "work_order"];
/// What looks at everything because it was asked to.
const ALLOWED: [&str; 15] = [
    // A search for a part of a word.
    "search LIKE",
    "lower(name) LIKE",
    "package WHERE name LIKE",
    "AS found JOIN package",
    // Pages with numbers: Spring's API has them.
    " OFFSET $",
    // Gauges count by the smallest index there is.
    "SELECT COUNT(*) AS n FROM release",
    "SELECT COUNT(*) AS n FROM rollout",
    "SELECT COUNT(*) AS n FROM live",
    // A handful of rows is sorted faster than an index is kept.
    "FROM live WHERE release_id",
    "FROM route_claim WHERE release_id",
    "FROM repository WHERE kind",
    // The versions of one package.
    "repository.priority, package.num",
    "package.version_key DESC, package.num",
    // People ask how many packages there are.
    "FROM package GROUP BY repository",
    "FROM token ORDER BY",
];

#[tokio::test]
async fn no_statement_scans_or_sorts_a_table_that_grows() {
    let world = World::sqlite().await;
    let mut conn = SqliteConnectOptions::new().filename(world.file()).connect().await.expect("connect");
    let mut faults = Vec::new();
    for (statement, sql) in skipper_store::statements() {
        if ALLOWED.iter().any(|allowed| sql.contains(allowed)) {
            continue;
        }
        let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"))).fetch_all(&mut conn).await;
        for row in plan.unwrap_or_else(|e| panic!("{statement}: {e}: {sql}")) {
            let detail: String = row.get("detail");
            let scans = LARGE.iter().any(|table| {
                // By an index that holds only open rollouts, or in the order of the result, a scan is what is wanted.
                detail.strip_prefix("SCAN ").is_some_and(|rest| rest == *table)
                    && !sql.contains("ORDER BY num")
                    && !sql.contains("ORDER BY seq")
                    && !sql.contains("ORDER BY name, num")
            });
            if scans || detail.contains("TEMP B-TREE") {
                faults.push(format!("{statement}: {detail}: {sql}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    world.done().await;
}
