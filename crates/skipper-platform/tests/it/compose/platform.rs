use serde_json::json;
use skipper_core::{
    deployment::{Deployment, DeploymentId, Observed},
    id::ReleaseId,
    name::{ReleaseName, TenantName},
    port::{Launch, Platform as _},
    rollout::plan::Instances,
    secret::{SecretValues, SecretVersions},
};
use skipper_platform::compose::ComposePlatform;
use skipper_source::tenant;
use uuid::Uuid;

use super::world::{World, each, idle};
use crate::world::{PATIENCE, generation};

fn deployment(world: &World, services: &serde_json::Value, revision: u64) -> Deployment {
    let spec = tenant::spec(&[world.project(services)]).expect("a spec");
    let app = spec.applications.into_iter().next().expect("one");
    let release = ReleaseId::from_uuid(Uuid::from_u128(u128::from(std::process::id())));
    let name = ReleaseName::new(world.tenant.clone()).expect("a name");
    Deployment {
        id: DeploymentId::derive(release, &name, &app.name, revision),
        release,
        release_name: name,
        tenant: TenantName::new(world.tenant.clone()).expect("a name"),
        revision,
        app,
        secrets: SecretVersions::default(),
    }
}

#[tokio::test]
async fn an_account_hands_the_whole_over_and_takes_it_back() {
    each("account", |world| async move {
        let platform = ComposePlatform::new(world.config()).expect("it opens");
        let secrets = SecretValues::new();
        let launch = async |deployment: &Deployment, counter| {
            let launch = Launch {
                deployment,
                instances: Instances::first(1),
                secrets: &secrets,
                generation: generation(counter),
            };
            platform.launch(launch, 4 * PATIENCE).await
        };
        let observe = async |deployment: &Deployment| {
            let seen = platform.observe(deployment, Instances::first(1), PATIENCE).await.expect("it answers");
            seen.into_iter().next().expect("one was asked for")
        };
        let mut first = deployment(&world, &json!({"a": idle(&json!({"env": {"A": "1"}}))}), 1);
        assert_eq!(platform.review(&mut first.app).await.expect("it is allowed"), [""; 0]);
        assert_eq!(observe(&first).await, Observed::Absent);
        let started = launch(&first, 1).await.unwrap_or_else(|error| panic!("{}", error.chain()));
        assert_eq!(started.len(), 1);
        assert!(matches!(observe(&first).await, Observed::Running(_)));
        let well = platform.probe(&first, &started[0]).await;
        assert!(well.ok, "{well:?}");
        let found = platform.list(PATIENCE).await.expect("it is read");
        assert_eq!(found.iter().map(|found| &found.id).collect::<Vec<_>>(), [&first.id]);

        let second = deployment(&world, &json!({"a": idle(&json!({"env": {"A": "2"}}))}), 2);
        launch(&second, 2).await.unwrap_or_else(|error| panic!("{}", error.chain()));
        assert_eq!(observe(&first).await, Observed::Absent, "another one has taken its place");
        // Late, and about what is not there any more.
        platform.retire(&first, Instances::first(1), true, generation(2), PATIENCE).await.expect("it is fine");
        assert!(matches!(observe(&second).await, Observed::Running(_)));

        let bad = deployment(&world, &json!({"a": {"image": super::world::IMAGE, "command": ["false"]}}), 3);
        let error = launch(&bad, 3).await.expect_err("it ends at once");
        assert!(error.chain().ends_with("what served before serves again"), "{}", error.chain());
        assert!(matches!(observe(&second).await, Observed::Running(_)));

        // Somebody has stopped it by hand.
        let id = world.ids().await["a"].clone();
        let stopped =
            std::process::Command::new("docker").args(["stop", "-t", "1", &id]).output().expect("docker is there");
        assert!(stopped.status.success());
        assert!(matches!(observe(&second).await, Observed::Exited { .. }));
        launch(&second, 4).await.unwrap_or_else(|error| panic!("{}", error.chain()));
        assert!(matches!(observe(&second).await, Observed::Running(_)));

        platform.retire(&second, Instances::first(1), true, generation(5), 2 * PATIENCE).await.expect("it goes");
        assert_eq!(world.containers().await, []);
        assert_eq!(platform.list(PATIENCE).await.expect("it is read"), []);

        let mut privileged = deployment(&world, &json!({"a": idle(&json!({"volumes": ["/etc:/e"]}))}), 4);
        let refused = platform.review(&mut privileged.app).await.expect_err("it is not allowed");
        assert_eq!(refused.code(), "compose-refused");
        assert!(refused.chain().contains("bind:/etc"), "{}", refused.chain());
    })
    .await;
}
