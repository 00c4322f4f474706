use std::{collections::BTreeSet, time::Duration};

use bollard::{
    models::NetworkCreateRequest,
    query_parameters::{RemoveImageOptions, RemoveImageOptionsBuilder, TagImageOptionsBuilder},
};
use serde_json::json;
use skipper_core::{
    Sha256,
    port::{Cleared, Garbage},
    spec::Resource,
};

use super::world::{Engine, IMAGE, load_image, on_each_engine};
use crate::world::PATIENCE;

/// Looks for an image of a name, pinned.
async fn fetched(engine: &Engine, uri: &str) -> Resource {
    let resource = Resource { uri: format!("docker:{uri}"), sha256: None };
    engine.platform.fetch(&resource, PATIENCE).await.unwrap_or_else(|error| panic!("{}", error.chain()))
}

/// A deployment of that image that has been launched and stopped: it is kept.
async fn has_run(engine: &Engine, image: &Resource) -> Sha256 {
    let mut it = engine.script("sleep 600").await;
    it.app.resource = image.clone();
    engine.start(&it).await;
    engine.retire(&it).await.expect("it can be stopped");
    image.sha256.expect("pinned")
}

async fn clear(engine: &Engine, resources: impl IntoIterator<Item = Sha256>) -> Cleared {
    let garbage = Garbage { resources: resources.into_iter().collect(), limit: 100, ..Garbage::default() };
    engine.platform.clear(&garbage, PATIENCE).await.unwrap_or_else(|error| panic!("{}", error.chain()))
}

async fn own(engine: &Engine) -> BTreeSet<Sha256> {
    engine.platform.kept(PATIENCE).await.expect("it can be asked").expect("engines keep images").own
}

async fn forget(engine: &Engine, name: &str) {
    let options = RemoveImageOptionsBuilder::default().force(true).build();
    let _ = engine.client().remove_image(name, Some(options), None).await;
}

on_each_engine! {
    async fn an_image_that_nobody_needs_loses_our_name_and_whoever_named_it_keeps_it(engine: Engine) {
        let client = engine.client();
        let name = format!("{IMAGE}-{}", engine.owner);
        load_image(&client, &name, "1", &["ENV WHICH=first"]).await;
        let first = fetched(&engine, &format!("{name}:1")).await;
        let first = has_run(&engine, &first).await;
        // Built anew under the same name: nothing but our name is left of the first.
        load_image(&client, &name, "1", &["ENV WHICH=second"]).await;
        let second = fetched(&engine, &format!("{name}:1")).await;
        let second = has_run(&engine, &second).await;
        assert_ne!(first, second);
        assert_eq!(own(&engine).await, BTreeSet::from([first, second]));
        let stranger = Engine::open(engine.kind, &engine.host.clone()).await;
        assert_eq!(own(&stranger).await, BTreeSet::new(), "another server has none of them");
        assert!(clear(&stranger, [first, second]).await.is_empty());

        let cleared = clear(&engine, [first, second]).await;
        assert_eq!(cleared.resources.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from([first, second]));
        assert_eq!(cleared.removed, 1, "the second has a name of somebody else");
        assert!(cleared.bytes > 100_000, "{cleared:?}");
        assert_eq!(own(&engine).await, BTreeSet::new());
        let names = engine.image_names().await;
        assert!(names.iter().any(|known| known.ends_with(&format!("{name}:1"))), "{names:?}");
        assert!(!names.iter().any(|known| known.starts_with(&engine.kept())), "{names:?}");
        assert!(client.inspect_image(&format!("sha256:{first}")).await.is_err(), "nobody had it but us");
        assert!(clear(&engine, [first, second]).await.is_empty(), "once is enough");
        forget(&engine, &format!("{name}:1")).await;
    }

    async fn what_a_container_uses_or_somebody_has_just_asked_for_stays(engine: Engine) {
        let client = engine.client();
        let name = format!("{IMAGE}-{}", engine.owner);
        load_image(&client, &name, "1", &["ENV WHICH=used"]).await;
        let image = fetched(&engine, &format!("{name}:1")).await;
        let digest = image.sha256.expect("pinned");
        let mut it = engine.script("sleep 600").await;
        it.app.resource = image.clone();
        engine.start(&it).await;
        let _ = client.remove_image(&format!("{name}:1"), None::<RemoveImageOptions>, None).await;
        assert!(clear(&engine, [digest]).await.is_empty(), "it runs");
        client.kill_container(&format!("skipper-{}-0", it.id), None).await.expect("it runs");
        engine.ended(&it).await;
        assert!(clear(&engine, [digest]).await.is_empty(), "it may be started again");
        engine.retire(&it).await.expect("it can be removed");
        let garbage = Garbage {
            resources: BTreeSet::from([digest]),
            limit: 100,
            idle: Duration::from_secs(60),
            ..Garbage::default()
        };
        let cleared = engine.platform.clear(&garbage, PATIENCE).await.expect("cleared");
        assert!(cleared.is_empty(), "somebody has asked for it and may be about to launch it");
        assert_eq!(engine.platform.fetch(&image, PATIENCE).await.expect("it is here"), image);
        let none = Garbage { limit: 0, ..garbage.clone() };
        assert!(engine.platform.clear(&Garbage { idle: Duration::ZERO, ..none }, PATIENCE).await.expect("cleared").is_empty());
        assert_eq!(clear(&engine, [digest]).await.removed, 1);
    }

    async fn names_of_earlier_versions_become_ours_where_they_were(engine: Engine) {
        let client = engine.client();
        let name = format!("{IMAGE}-{}", engine.owner);
        load_image(&client, &name, "1", &["ENV WHICH=old"]).await;
        let image = fetched(&engine, &format!("{name}:1")).await;
        let digest = image.sha256.expect("pinned");
        let old = TagImageOptionsBuilder::default().repo("skipper.local/kept").tag(&digest.to_string()).build();
        client.tag_image(&format!("{name}:1"), Some(old)).await.expect("named");
        let _ = client.remove_image(&format!("{name}:1"), None::<RemoveImageOptions>, None).await;
        let kept = engine.platform.kept(PATIENCE).await.expect("asked").expect("some");
        assert!(kept.unowned.contains(&digest) && !kept.own.contains(&digest), "{kept:?}");
        assert_eq!(engine.platform.fetch(&image, PATIENCE).await.expect("it is here by that name"), image);
        let garbage = Garbage { adopted: BTreeSet::from([digest]), limit: 100, ..Garbage::default() };
        engine.platform.clear(&garbage, PATIENCE).await.expect("cleared");
        let kept = engine.platform.kept(PATIENCE).await.expect("asked").expect("some");
        assert!(kept.own.contains(&digest), "{kept:?}");
        // Whether the old name is gone depends on who else is on this engine now.
        if kept.unowned.contains(&digest) {
            forget(&engine, &format!("skipper.local/kept:{digest}")).await;
        }
        assert_eq!(clear(&engine, [digest]).await.removed, 1);
    }

    async fn networks_that_no_container_knows_go_and_no_others(engine: Engine) {
        let client = engine.client();
        let name = format!("{IMAGE}-{}-own", engine.owner);
        let others = format!("{IMAGE}-{}-other", engine.owner);
        let wanted = NetworkCreateRequest { name: others.clone(), driver: Some("bridge".to_owned()), ..NetworkCreateRequest::default() };
        client.create_network(wanted).await.expect("made");
        let mut it = engine.script("sleep 600").await;
        it.app.platform_options.insert("network".to_owned(), json!(name));
        engine.start(&it).await;
        assert_eq!(clear(&engine, []).await.networks, Vec::<String>::new(), "it is used");
        client.kill_container(&format!("skipper-{}-0", it.id), None).await.expect("it runs");
        engine.ended(&it).await;
        assert_eq!(clear(&engine, []).await.networks, Vec::<String>::new(), "it will be used again");
        engine.start(&it).await;
        engine.retire(&it).await.expect("it can be stopped");
        assert_eq!(clear(&engine, []).await.networks, std::slice::from_ref(&name));
        assert!(client.inspect_network(&name, None).await.is_err());
        client.remove_network(&others).await.expect("it is there");
    }

    async fn a_job_of_which_nothing_else_is_left_goes_with_its_deployment(engine: Engine) {
        let it = engine.script("sleep 600").await;
        let hook = skipper_core::spec::Hook {
            command: ["sh", "-c", "sleep 600"].map(str::to_owned).to_vec(),
            timeout: skipper_core::time::Millis::secs(60),
        };
        let secrets = skipper_core::secret::SecretValues::new();
        let id = format!("{}-job", it.id);
        let job = skipper_core::port::HookJob { id: &id, deployment: &it, hook: &hook, secrets: &secrets };
        engine.platform.run_hook(job, PATIENCE).await.expect("it runs");
        let found = engine.platform.list(PATIENCE).await.expect("listed");
        assert_eq!((found.len(), &found[0].id, found[0].instances.len()), (1, &it.id, 0));
        engine.platform.remove_orphan(&it.id, PATIENCE).await.expect("it can be removed");
        assert_eq!(engine.containers().await, Vec::<String>::new());
    }
}
