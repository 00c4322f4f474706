//! Random sequences of what callers, engines and time do to a store, and what holds after each.

use proptest::prelude::*;
use skipper_core::{
    generation::Generation,
    port::{Lease, RolloutStore as _},
    rollout::{Phase, Verb},
    secret::SecretVersions,
    time::Timestamp,
};
use skipper_store::{Error, NewIntent};

use crate::{
    samples::{TTL, cause, empty_plan, event, intent, plan_for, provenance, resolution, spec},
    world::World,
};

#[derive(Debug, Clone)]
enum Act {
    Intend {
        release: usize,
        verb: Verb,
        wait: bool,
        purge: bool,
        rendered: bool,
    },
    /// An engine takes some lease that is due.
    Lease {
        which: usize,
        owner: usize,
    },
    /// An engine moves a rollout of which it holds, or once held, the lease.
    Move {
        which: usize,
        to: usize,
    },
    Cancel {
        which: usize,
    },
    Supervise {
        release: usize,
    },
    Pass {
        secs: u64,
    },
}

fn any_act() -> impl Strategy<Value = Act> {
    let verb = prop_oneof![
        3 => Just(Verb::Install),
        3 => Just(Verb::Upgrade),
        1 => Just(Verb::Delete),
    ];
    prop_oneof![
        4 => (0..3_usize, verb, any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(release, verb, wait, purge, rendered)| Act::Intend { release, verb, wait, purge, rendered }),
        4 => (0..3_usize, 0..2_usize).prop_map(|(which, owner)| Act::Lease { which, owner }),
        8 => (0..4_usize, 0..6_usize).prop_map(|(which, to)| Act::Move { which, to }),
        1 => (0..4_usize).prop_map(|which| Act::Cancel { which }),
        1 => (0..3_usize).prop_map(|release| Act::Supervise { release }),
        1 => (1..30_u64).prop_map(|secs| Act::Pass { secs }),
    ]
}

/// Each counts what must not be.
const NEVER: [(&str, &str); 12] = [
    (
        "two open or two waiting rollouts of a release",
        "SELECT COUNT(*) FROM (SELECT release_id FROM rollout WHERE slot IS NOT NULL GROUP BY release_id, slot HAVING COUNT(*) > 1) AS x",
    ),
    (
        "a waiting rollout behind nothing",
        "SELECT COUNT(*) FROM rollout w WHERE slot = 'waiting' AND NOT EXISTS \
         (SELECT 1 FROM rollout o WHERE o.release_id = w.release_id AND o.slot = 'open')",
    ),
    (
        "a serving revision that is not live",
        "SELECT COUNT(*) FROM release WHERE serving IS NOT NULL AND NOT EXISTS \
         (SELECT 1 FROM revision WHERE release_id = release.id AND number = serving AND state = 'live')",
    ),
    (
        "a live revision that does not serve",
        "SELECT COUNT(*) FROM revision JOIN release ON release.id = release_id WHERE state = 'live' AND (serving IS NULL OR serving <> number)",
    ),
    (
        "a pending revision without a rollout",
        "SELECT COUNT(*) FROM revision r WHERE state = 'pending' AND NOT EXISTS \
         (SELECT 1 FROM rollout o WHERE o.release_id = r.release_id AND o.to_revision = r.number AND o.slot IS NOT NULL)",
    ),
    (
        "an open rollout whose revision is settled",
        "SELECT COUNT(*) FROM rollout o JOIN revision r ON r.release_id = o.release_id AND r.number = o.to_revision \
         WHERE o.slot IS NOT NULL AND r.state <> 'pending'",
    ),
    ("a deleted release that serves", "SELECT COUNT(*) FROM release WHERE deleted = 1 AND serving IS NOT NULL"),
    (
        "an ended rollout without an end, or an open one with one",
        "SELECT COUNT(*) FROM rollout WHERE (slot IS NULL) <> (finished_at IS NOT NULL) \
         OR (slot IS NULL) <> (phase_name IN ('succeeded', 'failed', 'cancelled', 'superseded'))",
    ),
    (
        "a gap in revision numbers",
        "SELECT COUNT(*) FROM (SELECT release_id FROM revision GROUP BY release_id HAVING COUNT(*) <> MAX(number) - MIN(number) + 1) AS x",
    ),
    (
        "a revision above the release's count",
        "SELECT COUNT(*) FROM revision JOIN release ON release.id = release_id WHERE number > last_revision",
    ),
    (
        "a claim that nothing needs",
        "SELECT COUNT(*) FROM route_claim c WHERE NOT EXISTS \
         (SELECT 1 FROM revision r WHERE r.release_id = c.release_id AND r.state IN ('live', 'pending')) AND NOT EXISTS \
         (SELECT 1 FROM rollout o WHERE o.release_id = c.release_id AND o.slot = 'open')",
    ),
    (
        "remains of a purged release",
        "SELECT COUNT(*) FROM release WHERE purged = 1 AND (serving IS NOT NULL OR EXISTS \
         (SELECT 1 FROM revision WHERE release_id = release.id))",
    ),
];

struct Run<'a> {
    world: &'a World,
    /// Newest last; older ones are stale, and must change nothing.
    leases: Vec<Lease>,
    highest: Generation,
}

impl Run<'_> {
    async fn act(&mut self, act: &Act) {
        let store = &self.world.store;
        match act {
            Act::Intend { release, verb, wait, purge, rendered } => {
                let host = format!("host-{}.example.org", release % 2);
                let rendered = rendered.then(|| (String::new(), spec(&[("http", Some(&host))], &[])));
                let new = NewIntent {
                    wait_behind: *wait,
                    purge: *purge,
                    rendered: rendered.filter(|_| *verb != Verb::Delete),
                    ..intent(&format!("web-{release}"), *verb)
                };
                match store.intent_create(new).await {
                    Ok(_)
                    | Err(
                        Error::Busy { .. }
                        | Error::NotFound { .. }
                        | Error::AlreadyInstalled { .. }
                        | Error::Deleted { .. }
                        | Error::RouteTaken { .. },
                    ) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            Act::Lease { which, owner } => {
                let due = store.due(self.world.config.clock.now(), 10).await.expect("due");
                if let Some(id) = due.get(which % due.len().max(1)) {
                    let lease = store.lease(*id, &format!("owner-{owner}"), TTL).await.expect("no error");
                    let lease = lease.expect("what is due is free");
                    assert!(lease.generation > self.highest, "generations only rise");
                    self.highest = lease.generation;
                    self.leases.push(lease);
                }
            }
            Act::Move { which, to } => {
                if let Some(lease) = self.leases.iter().rev().nth(*which).cloned() {
                    self.advance(&lease, *to).await;
                }
            }
            Act::Cancel { which } => {
                if let Some(lease) = self.leases.iter().rev().nth(*which) {
                    match store.rollout_cancel(lease.rollout, &provenance()).await {
                        Ok(_) | Err(Error::NotCancellable { .. } | Error::NotFound { .. }) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
            }
            Act::Supervise { release } => {
                let name = crate::samples::name(&format!("web-{release}"));
                if let Some(release) = store.release_get(&crate::samples::tenant(), &name).await.expect("no error") {
                    let open = store.has_open_rollout(release.id).await.expect("no error");
                    let right = store.supervise(release.id).await.expect("no error");
                    assert_eq!(right.is_none(), open);
                    if let Some(right) = right {
                        assert!(right > self.highest);
                        self.highest = right;
                    }
                }
            }
            Act::Pass { secs } => self.world.pass(std::time::Duration::from_secs(*secs)).await,
        }
    }

    /// Moves a rollout the way the engine could, if the lease still allows it; a stale lease must be refused.
    async fn advance(&self, lease: &Lease, to: usize) {
        let store = &self.world.store;
        let newest = self.leases.iter().rev().find(|other| other.rollout == lease.rollout);
        let stale = newest.is_some_and(|newest| newest.generation > lease.generation);
        let Ok(loaded) = store.load(lease.rollout).await else { return };
        let phase = match to {
            0 => Phase::Resolving { deadline: Timestamp::from_micros(i64::MAX) },
            1 => Phase::Advancing,
            2 => Phase::Finishing,
            3 => Phase::Succeeded,
            4 => Phase::Failed { cause: cause("unhealthy") },
            _ => Phase::Cancelled { cause: cause("cancelled") },
        };
        let done = if to == 1 {
            let none = SecretVersions::default();
            let spec = spec(&[], &[]);
            let (resolved, plan) = match loaded.rollout.to {
                Some(number) => (Some((String::new(), spec.clone())), plan_for(&loaded.release, number, &spec, &none)),
                None => (None, empty_plan()),
            };
            store.resolved(lease, resolution(resolved, &plan, &none, &phase, vec![event("rollout.resolved")])).await
        } else {
            store.phase(lease, &phase, vec![event("rollout.moved")]).await
        };
        let after = store.load(lease.rollout).await.expect("loaded");
        if stale || loaded.rollout.phase.is_final() {
            assert_eq!(after.rollout, loaded.rollout, "neither a stale lease nor an ended rollout moves anything");
        } else {
            done.expect("the newest lease may");
            assert_eq!(after.rollout.phase.name(), phase.name());
        }
    }
}

async fn run(world: &World, acts: &[Act]) {
    let mut run = Run { world, leases: Vec::new(), highest: Generation::default() };
    let all: Vec<_> = NEVER.iter().map(|(_, sql)| format!("({sql})")).collect();
    let all = format!("SELECT {}", all.join(" + "));
    for act in acts {
        run.act(act).await;
        if world.number(&all).await > 0 {
            for (what, sql) in NEVER {
                assert_eq!(world.number(sql).await, 0, "{what}, after {act:?}");
            }
        }
    }
    world.done().await;
}

/// `PROPTEST_CASES` asks for more.
fn on(cases: u32, world: impl AsyncFn() -> Option<World>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(cases);
    let config = ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 60, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner
        .run(&prop::collection::vec(any_act(), 1..50), |acts| {
            runtime.block_on(async {
                if let Some(world) = world().await {
                    run(&world, &acts).await;
                }
            });
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn nothing_that_may_happen_breaks_an_invariant_on_sqlite() {
    on(24, async || Some(World::sqlite().await));
}

#[test]
fn nothing_that_may_happen_breaks_an_invariant_on_postgres() {
    on(8, async || World::postgres().await);
}
