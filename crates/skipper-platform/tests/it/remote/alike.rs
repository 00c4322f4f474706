//! Whatever is asked and whatever is answered: over a wire it is the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use proptest::{collection, option, prelude::*};
use skipper_core::{
    BoxFuture, Sha256,
    deployment::{Deployment, DeploymentId, Exit, Instance, Observed},
    generation::Generation,
    health::Attempt,
    id::ReleaseId,
    name::{AppName, SecretName},
    port::{
        Cleared, DeploymentStats, Error, ErrorKind, ExecOutput, Foreign, Found, Garbage, HookState, Kept, LogChunk,
        LogQuery, LogStreamKind, Platform, Router, Verified,
    },
    rollout::plan::Instances,
    route::{Backend, Host, Listener, Mode, PathPrefix, RouteKey, Service, ServiceId},
    secret::{SecretValue, SecretValues, SecretVersions},
    spec::{Hook, Resource, SecretUse},
    time::{Millis, Timestamp},
};
use skipper_platform::remote::RemoteRouter;
use uuid::Uuid;

use super::{
    asked::{Asked, Outcome, calls},
    pipe::{Direct, behind, desk, remote},
    puppet::{Answers, Failure, Puppet},
};
use crate::world::{PATIENCE, deployment};

fn text() -> impl Strategy<Value = String> {
    collection::vec(any::<char>(), 0..12).prop_map(|all| all.into_iter().collect())
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    collection::vec(text(), 0..4)
}

fn digest() -> impl Strategy<Value = Sha256> {
    any::<[u8; 32]>().prop_map(Sha256::from_bytes)
}

fn digests() -> impl Strategy<Value = BTreeSet<Sha256>> {
    collection::btree_set(digest(), 0..4)
}

fn at() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_micros)
}

fn generation() -> impl Strategy<Value = Generation> {
    any::<(u64, u64)>().prop_map(|(epoch, counter)| Generation { epoch, counter })
}

fn secrets() -> impl Strategy<Value = SecretValues> {
    let one = ("[a-z][a-z0-9]{0,6}", text())
        .prop_map(|(name, value)| (SecretName::new(name).expect("valid"), SecretValue::new(value)));
    collection::vec(one, 0..4).prop_map(|all| all.into_iter().collect())
}

fn resource() -> impl Strategy<Value = Resource> {
    (text(), option::of(digest())).prop_map(|(uri, sha256)| Resource { uri, sha256 })
}

fn a_deployment() -> impl Strategy<Value = Deployment> {
    let app =
        (resource(), texts(), texts(), collection::btree_map(text(), text(), 0..4), any::<u32>(), option::of(text()));
    (app, text(), any::<u64>(), secrets()).prop_map(|(app, id, revision, secrets)| {
        let mut it = deployment(&[]);
        (it.app.resource, it.app.command, it.app.args, it.app.env, it.app.replicas, it.app.working_dir) = app;
        it.app.secrets =
            secrets.keys().map(|secret| SecretUse::Env { secret: secret.clone(), var: id.clone() }).collect();
        it.app.platform_options.insert(id.clone(), serde_json::json!({"n": revision, "x": [null, true, "ä"]}));
        it.secrets = SecretVersions(secrets.keys().map(|secret| (secret.clone(), revision)).collect());
        (it.id, it.revision) = (DeploymentId::from_stored(id), revision);
        it
    })
}

fn instance(index: u32) -> impl Strategy<Value = Instance> {
    let addresses = collection::btree_map(text(), any::<SocketAddr>(), 0..3);
    (addresses, text(), at(), any::<u32>(), collection::btree_map(text(), text(), 0..3)).prop_map(
        move |(addresses, handle, started_at, restarts, attributes)| {
            // An IPv6 address is written without its flow.
            let plain = |address: SocketAddr| SocketAddr::new(address.ip(), address.port());
            let addresses = addresses.into_iter().map(|(port, address)| (port, plain(address))).collect();
            Instance { index, addresses, handle, started_at, restarts, attributes }
        },
    )
}

fn observed(index: u32) -> impl Strategy<Value = Observed> {
    let exit = (option::of(any::<i32>()), option::of(any::<i32>()), any::<bool>(), at())
        .prop_map(|(code, signal, out_of_memory, at)| Exit { code, signal, out_of_memory, at });
    prop_oneof![
        Just(Observed::Absent),
        text().prop_map(|reason| Observed::Unknown { reason }),
        instance(index).prop_map(Observed::Running),
        (exit, instance(index)).prop_map(|(exit, instance)| Observed::Exited { exit, instance }),
    ]
}

fn asked(count: u32) -> impl Strategy<Value = Asked> {
    let query = (option::of(any::<u32>()), option::of(any::<usize>()), any::<bool>(), option::of(text()));
    let hook = (texts(), any::<u64>()).prop_map(|(command, ms)| Hook { command, timeout: Millis(ms) });
    let garbage =
        (digests(), digests(), 0..u64::from(u32::MAX), any::<usize>()).prop_map(|(resources, adopted, idle, limit)| {
            Garbage { resources, adopted, idle: Duration::from_millis(idle), limit }
        });
    let rest = (resource(), texts(), query, texts(), hook, text(), garbage, any::<bool>());
    (a_deployment(), 0..100_u32, instance(7), secrets(), generation(), rest).prop_map(
        move |(deployment, from, instance, secrets, generation, rest)| {
            let (resource, paths, (of, tail, follow, container), words, hook, id, garbage, last) = rest;
            let query = LogQuery { deployment: deployment.id.clone(), instance: of, tail, follow, container };
            Asked {
                deployment,
                instances: Instances { from, to: from + count },
                instance,
                secrets,
                generation,
                resource,
                paths,
                query,
                words,
                hook,
                id,
                garbage,
                last,
            }
        },
    )
}

fn failure() -> impl Strategy<Value = Failure> {
    let kinds = vec![
        ErrorKind::Transient,
        ErrorKind::Permanent,
        ErrorKind::Damaged,
        ErrorKind::Fenced,
        ErrorKind::Unknown,
        ErrorKind::NotFound,
    ];
    let codes = vec!["port-taken", "deadline", "stale-generation", "x1"];
    (prop::sample::select(kinds), prop::sample::select(codes), text(), option::of(text()), option::of("[a-z].{0,9}"))
        .prop_map(|(kind, code, message, hint, cause)| Failure { kind, code, message, hint, cause })
}

fn answers(count: u32) -> impl Strategy<Value = Answers> {
    let each = (0..count).map(|index| (instance(index), observed(index)));
    let each: Vec<_> = each.collect();
    let attempt = (at(), any::<bool>(), text()).prop_map(|(at, ok, detail)| Attempt { at, instance: 7, ok, detail });
    let found = (text(), generation(), collection::vec(any::<u32>(), 0..4))
        .prop_map(|(id, generation, instances)| Found { id: DeploymentId::from_stored(id), generation, instances });
    let kept = (digests(), digests()).prop_map(|(own, unowned)| Kept { own, unowned });
    let cleared =
        (digests(), any::<usize>(), any::<u64>(), texts()).prop_map(|(resources, removed, bytes, networks)| Cleared {
            resources: resources.into_iter().collect(),
            removed,
            bytes,
            networks,
        });
    let foreign = (text(), text(), collection::btree_map(text(), text(), 0..3), any::<bool>())
        .prop_map(|(id, name, labels, running)| Foreign { id, name, labels, running });
    let chunk = (at(), any::<u32>(), any::<bool>(), text()).prop_map(|(at, instance, err, line)| {
        let stream = if err { LogStreamKind::Stderr } else { LogStreamKind::Stdout };
        LogChunk { at, instance, stream, line }
    });
    let ran = (option::of(any::<i32>()), text()).prop_map(|(code, output)| ExecOutput { code, output });
    let hook = prop_oneof![
        Just(HookState::Absent),
        Just(HookState::Unknown),
        Just(HookState::Running),
        (option::of(any::<i32>()), text()).prop_map(|(code, output)| HookState::Ended { code, output }),
    ];
    let lists = (
        collection::vec(found, 0..3),
        option::of(kept),
        cleared,
        collection::vec(foreign, 0..3),
        collection::vec(chunk, 0..100),
    );
    let rest = (ran, hook, collection::vec(any::<u8>(), 0..40), texts(), option::weighted(0.2, failure()));
    (each, attempt, lists, rest).prop_map(|(each, attempt, lists, rest)| {
        let (instances, observed) = each.into_iter().unzip();
        let (found, kept, cleared, foreign, chunks) = lists;
        let (ran, hook, file, told, failure) = rest;
        Answers { instances, observed, attempt, found, kept, cleared, foreign, chunks, ran, hook, file, told, failure }
    })
}

fn both() -> impl Strategy<Value = (Asked, Answers)> {
    (0..4_u32).prop_flat_map(|count| (asked(count), answers(count))).prop_map(|(asked, mut answers)| {
        for (instance, index) in answers.instances.iter_mut().zip(asked.instances.range()) {
            instance.index = index;
        }
        (asked, answers)
    })
}

/// As it can be compared; over a wire, an error begins with the node's name.
fn told(outcome: Outcome) -> Result<String, (ErrorKind, &'static str, String, Option<String>)> {
    outcome.map_err(|error| {
        let chain = error.chain();
        let chain = chain.strip_prefix("node `edge-1`: ").unwrap_or(&chain).to_owned();
        (error.kind(), error.code(), chain, error.advice().map(str::to_owned))
    })
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("it can be made");
    runtime.block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_question_and_every_answer_comes_as_it_was_sent((asked, answers) in both()) {
        let (near, there) = (Puppet::answering(answers.clone()), Arc::new(Puppet::answering(answers)));
        let wire = Direct { desk: desk(Arc::clone(&there) as _, None), instead: None };
        let far = remote(&behind(Arc::new(wire)));
        run(async {
            let pairs = calls(&near, &asked, PATIENCE).into_iter().zip(calls(&far, &asked, PATIENCE));
            for ((name, near), (_, far)) in pairs {
                assert_eq!(told(near.await), told(far.await), "{name}");
            }
            let near = near.probe(&asked.deployment, &asked.instance).await;
            assert_eq!(near, far.probe(&asked.deployment, &asked.instance).await);
        });
        assert_eq!(*near.heard(), *there.heard());
    }

    #[test]
    fn an_edge_is_told_what_it_would_be_told_here(service in a_service(), left in any::<u64>(), eighths in any::<u32>()) {
        let answers = (left, f64::from(eighths) / 8.0);
        let (near, there) = (Tracks::new(answers), Arc::new(Tracks::new(answers)));
        let wire = Direct { desk: desk(Arc::new(Puppet::default()), Some(Arc::clone(&there) as _)), instead: None };
        let far = RemoteRouter::new(behind(Arc::new(wire)));
        run(async {
            let near = drive(&near, &service).await;
            assert_eq!(near, drive(&far, &service).await);
        });
        assert_eq!(*near.heard.lock().expect("fine"), *there.heard.lock().expect("fine"));
    }
}

fn a_service() -> impl Strategy<Value = Service> {
    let key = (prop::sample::select(vec!["http", "https", "port"]), any::<u16>(), option::of("[a-z]{1,9}\\.example"))
        .prop_map(|(kind, port, host)| RouteKey {
            listener: match kind {
                "http" => Listener::Http,
                "https" => Listener::Https,
                _ => Listener::Port(port),
            },
            host: host.map(|host| Host::new(&host).expect("valid")),
            path: PathPrefix::default(),
        });
    let mode = prop_oneof![
        Just(Mode::Open),
        any::<u64>().prop_map(|ms| Mode::Held { bound: Millis(ms) }),
        text().prop_map(|message| Mode::Maintenance { message }),
    ];
    let backend = (text(), any::<u64>(), 0..=100_u8).prop_map(|(id, revision, weight)| Backend {
        deployment: DeploymentId::from_stored(id),
        revision,
        weight,
        addresses: BTreeMap::from([("http".to_owned(), vec![SocketAddr::from(([127, 0, 0, 1], 8080))])]),
    });
    let routes = collection::btree_map(text(), collection::vec(key, 0..3), 0..3);
    (any::<u128>(), text(), generation(), routes, collection::vec(backend, 0..3), mode).prop_map(
        |(release, label, generation, routes, backends, mode)| {
            let release = ReleaseId::from_uuid(Uuid::from_u128(release));
            let id = ServiceId { release, app: AppName::new("web").expect("valid") };
            Service { id, label, generation, routes, backends, mode }
        },
    )
}

async fn drive(router: &dyn Router, service: &Service) -> Vec<String> {
    let keys: Vec<RouteKey> = service.routes.values().flatten().cloned().collect();
    let deployment = DeploymentId::from_stored("web");
    let key = RouteKey { listener: Listener::Http, host: None, path: PathPrefix::default() };
    let all = std::slice::from_ref(service);
    vec![
        format!("{}", router.needs_sync().await),
        format!("{:?}", router.set(service).await),
        format!("{:?}", router.check(&keys).await),
        format!("{:?}", router.sync(all).await),
        format!("{:?}", router.drain(&deployment, Duration::from_millis(1500)).await),
        format!("{:?}", router.verify(&key, "/a?b").await),
        format!("{:?}", router.stats(&deployment).await),
        format!("{:?}", router.remove(&service.id, service.generation).await),
        format!("{}", router.needs_sync().await),
    ]
}

/// A router that answers what it is told to.
#[derive(Debug)]
struct Tracks {
    left: u64,
    p50_ms: f64,
    heard: Mutex<Vec<String>>,
    synced: Mutex<bool>,
}

impl Tracks {
    fn new((left, p50_ms): (u64, f64)) -> Self {
        Self { left, p50_ms, heard: Mutex::default(), synced: Mutex::default() }
    }

    fn note<T: Send + 'static>(&self, heard: String, answer: T) -> BoxFuture<'_, Result<T, Error>> {
        self.heard.lock().expect("fine").push(heard);
        Box::pin(async move { Ok(answer) })
    }
}

impl Router for Tracks {
    fn set<'a>(&'a self, service: &'a Service) -> BoxFuture<'a, Result<(), Error>> {
        self.note(format!("set {service:?}"), ())
    }

    fn remove<'a>(&'a self, id: &'a ServiceId, generation: Generation) -> BoxFuture<'a, Result<(), Error>> {
        self.note(format!("remove {id:?} {generation:?}"), ())
    }

    fn check<'a>(&'a self, keys: &'a [RouteKey]) -> BoxFuture<'a, Result<(), Error>> {
        self.note(format!("check {keys:?}"), ())
    }

    fn sync<'a>(&'a self, services: &'a [Service]) -> BoxFuture<'a, Result<(), Error>> {
        *self.synced.lock().expect("fine") = true;
        self.note(format!("sync {services:?}"), ())
    }

    fn drain<'a>(&'a self, deployment: &'a DeploymentId, bound: Duration) -> BoxFuture<'a, Result<u64, Error>> {
        self.note(format!("drain {deployment:?} {bound:?}"), self.left)
    }

    fn verify<'a>(&'a self, key: &'a RouteKey, path: &'a str) -> BoxFuture<'a, Result<Verified, Error>> {
        self.note(
            format!("verify {key:?} {path}"),
            Verified { deployment: DeploymentId::from_stored("web"), status: 204 },
        )
    }

    fn stats<'a>(&'a self, deployment: &'a DeploymentId) -> BoxFuture<'a, Result<DeploymentStats, Error>> {
        let stats = DeploymentStats { requests: self.left, p50_ms: self.p50_ms, ..DeploymentStats::default() };
        self.note(format!("stats {deployment:?}"), stats)
    }

    fn needs_sync(&self) -> BoxFuture<'_, bool> {
        Box::pin(async { !*self.synced.lock().expect("fine") })
    }
}
