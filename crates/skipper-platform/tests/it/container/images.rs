use serde_json::json;
use skipper_core::{port::ErrorKind, spec::Resource};

use super::world::{Engine, IMAGE, load_image, on_each_engine};
use crate::world::PATIENCE;

on_each_engine! {
    async fn an_image_is_pinned_and_stays_what_it_was_when_its_tag_moves_on(engine: Engine) {
        let name = format!("{IMAGE}-{}", engine.owner);
        let client = engine.client();
        load_image(&client, &name, "1", &["CMD [\"sh\",\"-c\",\"echo first; sleep 600\"]"]).await;
        let uri = format!("docker:{name}:1");
        let mut it = engine.script("").await;
        it.app.command.clear();
        it.app.resource = engine.platform.fetch(&Resource { uri: uri.clone(), sha256: None }, PATIENCE).await.expect("here");
        assert!(it.app.resource.sha256.is_some() && it.app.resource.uri == uri);
        engine.start(&it).await;
        engine.retire(&it).await.expect("it can be stopped");
        load_image(&client, &name, "1", &["CMD [\"sh\",\"-c\",\"echo second; sleep 600\"]"]).await;
        let moved = engine.platform.fetch(&Resource { uri: uri.clone(), sha256: None }, PATIENCE).await.expect("here");
        assert_ne!(moved.sha256, it.app.resource.sha256);
        // No registry has it, and none is asked: it is here.
        let again = engine.platform.fetch(&it.app.resource, PATIENCE).await.expect("it is here by its digest");
        assert_eq!(again, it.app.resource);
        engine.launch_as(&it, 1, crate::world::generation(9)).await.expect("as a rollback does");
        let found = client.inspect_container(&format!("skipper-{}-0", it.id), None).await.expect("there");
        assert!(format!("{:?}", found.config.and_then(|config| config.cmd)).contains("first"));
        engine.retire(&it).await.expect("it can be stopped");
        for one in [&again, &moved] {
            let kept = format!("{}:{}", engine.kept(), one.sha256.expect("pinned"));
            let _ = client.remove_image(&kept, None::<bollard::query_parameters::RemoveImageOptions>, None).await;
        }
        let _ = client.remove_image(&format!("{name}:1"), None::<bollard::query_parameters::RemoveImageOptions>, None).await;
    }

    async fn an_image_that_is_not_here_is_refused_by_the_rule(engine: Engine) {
        let mut it = engine.script("").await;
        let ask = async |it: &skipper_core::deployment::Deployment| {
            engine.platform.fetch_for(&it.app, PATIENCE).await.expect_err("it is nowhere")
        };
        it.app.resource = Resource { uri: format!("docker:{IMAGE}-nowhere:1"), sha256: None };
        it.app.platform_options.insert("pull".to_owned(), json!("never"));
        let error = ask(&it).await;
        assert_eq!((error.code(), error.kind()), ("image-not-found", ErrorKind::Permanent));
        assert!(error.advice().is_some());
        // Nobody listens there: that may change.
        it.app.resource.uri = "docker:127.0.0.1:1/web:1".to_owned();
        it.app.platform_options.insert("pull".to_owned(), json!("missing"));
        let error = ask(&it).await;
        assert_eq!((error.code(), error.kind()), ("registry-unreachable", ErrorKind::Transient), "{}", error.chain());
        it.app.platform_options.insert("pull".to_owned(), json!("sometimes"));
        assert_eq!(ask(&it).await.code(), "option-invalid");
        // Here, and always asked for all the same.
        it.app.resource.uri = format!("docker:127.0.0.1:1/{IMAGE}:1");
        it.app.platform_options.insert("pull".to_owned(), json!("always"));
        assert_eq!(ask(&it).await.code(), "registry-unreachable");
    }
}
