//! What runs after a rollout whose record nobody can read any more.

use std::collections::BTreeSet;

use crate::{
    deployment::Live,
    name::AppName,
    rollout::{Cause, Phase, Verb},
    time::Timestamp,
};

/// How an abandoned rollout ended.
pub const ABANDONED: &str = "rollout-unreadable";

/// The phase an abandoned rollout ends in: past the point of no return everything that users see has happened.
#[must_use]
pub fn abandoned(phase_name: &str, why: &str, at: Timestamp) -> Phase {
    if phase_name == Phase::Finishing.name() {
        return Phase::Succeeded;
    }
    Phase::Failed {
        cause: Cause {
            code: ABANDONED.to_owned(),
            message: format!("what is stored of the rollout cannot be read, so nobody can go on with it: {why}"),
            hint: Some("look at what runs with `skipper status`; if the database is damaged, restore a backup".into()),
            step: None,
            at,
        },
    }
}

/// Settles who serves without a plan. `apps` are the applications of the revision that serves from now on, `None` when even
/// that cannot be read: then nothing is taken away.
///
/// Where the rollout failed, an application goes back to the deployment it had before; only one that is not there any
/// more (a recreate in the middle, the end of a rolling one) leaves its successor in place. What ends up without weight is removed by supervision.
pub fn settle_abandoned(
    lives: &mut [Live],
    verb: Verb,
    to: Option<u64>,
    succeeded: bool,
    apps: Option<&BTreeSet<AppName>>,
) {
    let deleted = succeeded && verb == Verb::Delete;
    for at in 0..lives.len() {
        let own = &lives[at].deployment;
        let dropped = apps.is_some_and(|apps| !apps.contains(&own.app.name));
        let same =
            |other: &&Live| other.deployment.app.name == own.app.name && other.deployment.target() == own.target();
        // One that gets nothing any more and is not whole is being taken away: who serves instead goes on.
        let there = |live: &Live| live.weight > 0 || live.instances.len() >= live.deployment.all().len();
        let earlier = |live: &&Live| Some(live.deployment.revision) != to && !live.instances.is_empty() && there(live);
        let back = lives.iter().filter(same).filter(earlier).map(|live| live.deployment.revision).max();
        let weight = match back {
            _ if deleted || dropped => 0,
            Some(revision) if !succeeded && own.revision == revision => 100,
            Some(_) if !succeeded => 0,
            _ => continue,
        };
        if weight == 100 {
            // A rolling one may have had some taken away; supervision starts them again.
            lives[at].instances = lives[at].deployment.all().collect();
        }
        lives[at].weight = weight;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        deployment::{Deployment, DeploymentId},
        generation::Generation,
        id::ReleaseId,
        name::{ReleaseName, TenantName},
    };

    fn app(name: &str) -> crate::spec::Application {
        serde_json::from_value(serde_json::json!({
            "name": name,
            "target": "local",
            "resource": {"uri": "builtin:sample"},
            "health": {"check": {"kind": "running"}, "interval": 100, "timeout": 1000, "retries": 3, "successes": 1, "start_period": 0},
            "strategy": {"kind": "blue-green", "bake": 0},
            "replicas": 1,
        }))
        .expect("an application")
    }

    /// `web 7 100` is application, revision, weight; a weight in brackets has no instance any more.
    fn lives(text: &[&str]) -> Vec<Live> {
        let release = ReleaseId::from_uuid(uuid::Uuid::nil());
        let name = ReleaseName::new("shop").expect("a name");
        let live = |line: &&str| {
            let words: Vec<&str> = line.split(' ').collect();
            let (revision, gone) = (words[1].parse().expect("a revision"), words[2].starts_with('['));
            let app = app(words[0]);
            Live {
                deployment: Deployment {
                    id: DeploymentId::derive(release, &name, &app.name, revision),
                    release,
                    release_name: name.clone(),
                    tenant: TenantName::default_tenant(),
                    revision,
                    app,
                    secrets: Default::default(),
                },
                weight: words[2].trim_matches(['[', ']']).parse().expect("a weight"),
                instances: if gone { Vec::new() } else { vec![0] },
                addresses: BTreeMap::new(),
                generation: Generation::default(),
            }
        };
        text.iter().map(live).collect()
    }

    #[track_caller]
    fn check(before: &[&str], verb: Verb, to: Option<u64>, succeeded: bool, apps: Option<&str>, after: &[u8]) {
        let mut all = lives(before);
        let apps = apps
            .map(|apps| apps.split_whitespace().map(|app| AppName::new(app).expect("a name")).collect::<BTreeSet<_>>());
        settle_abandoned(&mut all, verb, to, succeeded, apps.as_ref());
        assert_eq!(all.iter().map(|live| live.weight).collect::<Vec<_>>(), after);
    }

    #[test]
    fn a_failed_upgrade_goes_back_to_what_served() {
        check(&["web 1 90", "web 2 10"], Verb::Upgrade, Some(2), false, Some("web"), &[100, 0]);
        check(&["web 1 0", "web 2 100"], Verb::Upgrade, Some(2), false, None, &[100, 0]);
    }

    #[test]
    fn an_application_that_did_not_change_keeps_its_deployment() {
        check(&["db 1 100", "web 3 0", "web 4 100"], Verb::Upgrade, Some(4), false, Some("db web"), &[100, 100, 0]);
        check(&["db 1 100", "web 4 100"], Verb::Upgrade, Some(4), true, Some("db web"), &[100, 100]);
    }

    #[test]
    fn one_that_was_recreated_stays_where_nothing_else_is_left() {
        check(&["web 2 100"], Verb::Upgrade, Some(2), false, Some("web"), &[100]);
        check(&["web 1 [0]", "web 2 100"], Verb::Upgrade, Some(2), false, Some("web"), &[0, 100]);
    }

    #[test]
    fn what_the_serving_revision_does_not_have_goes() {
        check(&["web 1 100", "new 2 100"], Verb::Upgrade, Some(2), false, Some("web"), &[100, 0]);
        check(&["old 1 100", "web 2 100"], Verb::Upgrade, Some(2), true, Some("web"), &[0, 100]);
        check(&["web 1 100"], Verb::Install, Some(1), false, Some(""), &[0]);
    }

    #[test]
    fn a_delete_past_the_point_of_no_return_deletes() {
        check(&["web 1 100"], Verb::Delete, None, true, None, &[0]);
        check(&["web 1 100"], Verb::Delete, None, false, None, &[100]);
    }
}
