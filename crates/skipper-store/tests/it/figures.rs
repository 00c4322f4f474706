//! How long things take. Not part of the test run: `cargo test -p skipper-store --test it figures -- --ignored --nocapture`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use skipper_core::{
    Sha256,
    fleet::Outcome,
    name::{NodeName, PackageName, RepositoryName},
    port::RolloutStore as _,
    rollout::{StepState, Verb},
};
use skipper_store::{
    Change, Claim, IndexRow, IntentAccepted, NewIntent, NewOrder, NewRepository, Once, PackageFilter, RepositoryKind,
    Store, StoredAnswer, Words,
};

use crate::{
    fleet::order,
    samples::{self, TTL, intent, note, provenance, serving, spec, tenant},
    world::World,
};

struct Times(Vec<Duration>);

impl Times {
    async fn of(times: usize, mut call: impl AsyncFnMut(usize)) -> Self {
        let mut all = Vec::with_capacity(times);
        for n in 0..times {
            let begin = Instant::now();
            call(n).await;
            all.push(begin.elapsed());
        }
        all.sort_unstable();
        Self(all)
    }

    fn show(&self, what: &str) {
        let at = |share: f64| self.0[((self.0.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
        println!(
            "{what:<46} best {:8.3} ms   p50 {:8.3} ms   p99 {:8.3} ms   n {}",
            at(0.0),
            at(0.5),
            at(0.99),
            self.0.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute and proves nothing"]
async fn figures() {
    let world = World::sqlite().await;
    let store = &world.store;
    let accepted = Times::of(500, async |n| {
        store.intent_create(intent(&format!("new-{n}"), Verb::Install)).await.expect("accepted");
    });
    accepted.await.show("accept an intent, synced");

    let web = serving(store, "web", &spec(&[], &[])).await;
    for (count, from) in [(100, 0), (10_000, 100), (90_000, 10_100)] {
        world
            .raw(&format!(
                "WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {}) \
                 INSERT INTO release (id, tenant, name, door, serving, last_revision, created_at, updated_at) \
                 SELECT printf('00000000-0000-7000-8000-%012d', i), 'other', 'r-' || printf('%06d', i), 'releases', NULL, 0, 0, 0 FROM n",
                from + count - 1
            ))
            .await;
        let list = Times::of(200, async |_| {
            store
                .release_list(&skipper_core::name::TenantName::new("other").expect("a name"), None, None, 50)
                .await
                .expect("list");
        });
        list.await.show(&format!("list 50 of {} releases", from + count));
        let get = Times::of(200, async |_| {
            store.release_get(&tenant(), &web.name).await.expect("no error");
        });
        get.await.show("  get one by name");
    }
    world
        .raw(
            "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) \
             INSERT INTO revision (release_id, number, state, source, manifest, provenance, created_at, updated_at) \
             SELECT r.release_id, n.i, 'superseded', r.source, r.manifest, r.provenance, 0, 0 FROM n, revision r WHERE r.manifest = 'manifest'",
        )
        .await;
    world
        .raw(
            "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) \
             INSERT INTO rollout (id, release_id, verb, to_revision, phase_name, phase, purge, secrets, provenance, created_at, finished_at) \
             SELECT printf('00000000-0000-7000-9000-%012d', n.i), r.release_id, 'upgrade', n.i, 'succeeded', '{\"phase\":\"succeeded\"}', 0, '{}', r.provenance, 0, 0 \
             FROM n, rollout r WHERE r.phase_name = 'succeeded' AND r.release_id IN (SELECT id FROM release WHERE name = 'web')",
        )
        .await;
    println!("{} revisions", world.number("SELECT COUNT(*) FROM revision").await);
    let history = Times::of(300, async |n| {
        store.history(web.id, 20, Some(1000 + 3000 * (n as i64))).await.expect("history");
    });
    history.await.show("history, 20 of 1,000,000, anywhere");
    store.close().await;
    let mut opened = Vec::new();
    let open = Times::of(20, async |_| {
        opened.push(Store::open(world.config.clone().exclusive()).await.expect("open"));
    });
    open.await.show("open, 1,000,000 revisions");
    let mut worlds = Vec::new();
    let empty = Times::of(20, async |_| worlds.push(World::sqlite().await));
    empty.await.show("open an empty folder");
    for store in opened.into_iter().chain(worlds.into_iter().map(|world| world.store)) {
        store.close().await;
    }
}

/// `cargo test -p skipper-store --test it figures::packages -- --ignored --nocapture`, with `--release` for figures that mean
/// something.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes half a minute and proves nothing"]
async fn packages() {
    const TTL: Duration = Duration::from_secs(600);
    const COUNT: usize = 100_000;
    for world in [Some(World::sqlite().await), World::postgres().await].into_iter().flatten() {
        println!("{}", if world.is_sqlite() { "SQLite" } else { "PostgreSQL" });
        let store = &world.store;
        let place = RepositoryName::new("remote").expect("a name");
        let new = NewRepository {
            name: place.clone(),
            kind: RepositoryKind::Remote,
            url: None,
            source_url: None,
            description: None,
            order: Some(0),
        };
        store.repository_add(new, &provenance()).await.expect("added");
        store.refresh_begin(&place, "me", TTL).await.expect("begun");
        let text = |n: usize| {
            format!(
                "The sink number {n} takes what a stream of messages brings and hands it on to a store of documents or files"
            )
        };
        // Every tenth is a version of its own of one name.
        let row = |n: usize| {
            Change::Add(IndexRow {
                num: None,
                name: PackageName::new(if n.is_multiple_of(10) { "many".to_owned() } else { format!("package-{n}") })
                    .expect("a name"),
                version: format!("1.{n}.0"),
                version_key: format!("g0011g{:03}{n}c", n.to_string().len()),
                sha256: None,
                metadata: json!({"description": text(n), "maintainer": "https://example.org/somebody"}),
                words: Words { text: text(n), tags: vec!["sink".to_owned(), format!("tag-{}", n % 1000)] },
                stamp: "1".to_owned(),
            })
        };
        let begin = Instant::now();
        for first in (0..COUNT).step_by(250) {
            let changes = (first..first + 250).map(row).collect();
            store.refresh_apply(&place, "me", TTL, changes, &provenance()).await.expect("applied");
        }
        println!("list {COUNT} packages for the first time: {:.1} s", begin.elapsed().as_secs_f64());
        if !world.is_sqlite() {
            world.raw("VACUUM ANALYZE package").await;
        }
        let all = PackageFilter::default();
        for (what, filter) in [
            ("search that finds nothing", PackageFilter { q: Some("nothing like it"), ..all }),
            ("search for a rare word", PackageFilter { q: Some("number 77777 "), ..all }),
            ("search for a common word", PackageFilter { q: Some("documents"), ..all }),
            ("search by name", PackageFilter { name: Some("ge-4321"), ..all }),
            ("search by tag", PackageFilter { tag: Some("tag-77"), ..all }),
            ("first page of all", all),
        ] {
            let times = Times::of(50, async |_| drop(store.package_list(filter, None, 50).await.expect("found")));
            times.await.show(what);
        }
        let many = PackageName::new("many").expect("a name");
        let latest = Times::of(200, async |_| {
            let found = store.package_latest(None, &many).await.expect("no error").expect("there");
            assert_eq!(found.version, "1.99990.0");
        });
        latest.await.show("latest of 10,000 versions");
        let named = Times::of(200, async |_| drop(store.package_named(&many, "1.50000.0").await.expect("no error")));
        named.await.show("one version of 10,000");
        world.done().await;
    }
}

/// Deliveries that come side by side, and the step log of a thousand rollouts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute and proves nothing"]
async fn writers() {
    let mut worlds = vec![World::sqlite().await];
    worlds.extend(World::postgres().await);
    for world in worlds {
        println!("{}", if world.is_sqlite() { "SQLite" } else { "PostgreSQL" });
        let store = &world.store;
        for at_once in [1, 16, 64] {
            let count = if at_once == 1 { 300 } else { 2000 / at_once };
            let begin = Instant::now();
            let senders = (0..at_once).map(|sender| async move {
                Times::of(count, async |n| deliver(store, &format!("d-{at_once}-{sender}-{n}")).await).await.0
            });
            let mut took: Vec<_> = futures::future::join_all(senders).await.into_iter().flatten().collect();
            took.sort_unstable();
            let rate = took.len() as f64 / begin.elapsed().as_secs_f64();
            Times(took).show(&format!("delivery, {at_once} at once: {rate:.0}/s"));
        }
        let spec = spec(&[], &[]);
        let mut leases = Vec::new();
        for n in 0..1000 {
            let accepted = store.intent_create(intent(&format!("r-{n}"), Verb::Install)).await.expect("accepted");
            leases.push(samples::begin(store, &accepted, &spec).await);
        }
        let begin = Instant::now();
        let notes = leases.iter().map(|lease| async move {
            Times::of(4, async |n| {
                let state = if n % 2 == 0 { StepState::Started } else { StepState::Done };
                store.step(lease, note(u32::try_from(n / 2).expect("few"), state)).await.expect("noted");
            })
            .await
            .0
        });
        let mut took: Vec<_> = futures::future::join_all(notes).await.into_iter().flatten().collect();
        took.sort_unstable();
        let rate = took.len() as f64 / begin.elapsed().as_secs_f64();
        Times(took).show(&format!("note of a step, 1000 rollouts: {rate:.0}/s"));
        world.done().await;
    }
}

/// Work orders that are made, handed out and reported on, without the rollouts that ask for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute and proves nothing"]
async fn orders() {
    let mut worlds = vec![World::sqlite().await];
    worlds.extend(World::postgres().await);
    for world in worlds {
        println!("{}", if world.is_sqlite() { "SQLite" } else { "PostgreSQL" });
        let (there, store) = (&world, &world.store);
        for at_once in [1, 16, 64, 256] {
            let count = if at_once == 1 { 300 } else { 8000 / at_once };
            let names: Vec<_> =
                (0..at_once).map(|n| NodeName::new(format!("n-{at_once}-{n}")).expect("a name")).collect();
            for name in &names {
                store.node_put(name, &json!({}), &provenance()).await.expect("registered");
            }
            let begin = Instant::now();
            let nodes = names.iter().map(|node| async move {
                let each = Times::of(count, async |n| {
                    let new = NewOrder { node: node.clone(), ..order(there, &format!("{node}-{n}"), true) };
                    store.order_ensure(new, true).await.expect("made");
                    let taken = store.order_take(node, "agent", TTL).await.expect("no error").expect("there");
                    let result = json!({"status": "succeeded"});
                    let report =
                        store.order_report(taken.id, node, Some(taken.generation), Outcome::Succeeded, &result);
                    report.await.expect("no error").expect("known");
                });
                each.await.0
            });
            let mut took: Vec<_> = futures::future::join_all(nodes).await.into_iter().flatten().collect();
            took.sort_unstable();
            let rate = took.len() as f64 / begin.elapsed().as_secs_f64();
            Times(took).show(&format!("order made, taken and reported, {at_once} at once: {rate:.0}/s"));
        }
        world.done().await;
    }
}

/// What a webhook is to the store.
async fn deliver(store: &Store, name: &str) {
    let request = Sha256::of(name.as_bytes());
    let known = store.idempotency_find(&tenant(), "webhook", name, request).await.expect("looked");
    assert!(known.is_none());
    let answer = |_: &IntentAccepted| StoredAnswer { status: 202, headers: vec![], body: b"{}".to_vec() };
    let claim = Claim {
        actor: "webhook".to_owned(),
        key: name.to_owned(),
        fingerprint: request,
        keep: Duration::from_secs(86_400),
        alias: None,
        answer: Arc::new(answer),
    };
    let new = NewIntent { idempotency: Some(Once::Claim(claim)), ..intent(name, Verb::Install) };
    store.intent_create(new).await.expect("accepted");
}
