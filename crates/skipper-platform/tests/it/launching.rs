use std::{collections::BTreeSet, fs};

use skipper_core::{
    deployment::Observed,
    port::ErrorKind,
    rollout::plan::Instances,
    spec::{Resource, Volume},
};

use crate::{
    remote::here_and_far,
    world::{
        PATIENCE, World, deployment, eventually, generation, launch_on, port, processes_of, script, write_program,
    },
};

here_and_far! {
    a_fetched_file_runs_under_its_own_name,
    a_lower_generation_is_fenced_and_changes_nothing,
    a_process_finds_its_environment_and_its_folder_and_nothing_of_the_servers,
    a_process_that_dies_at_once_is_reported_with_its_status,
    changed_resolves_when_an_instance_ends,
    everything_of_ours_is_listed,
    fifty_launches_at_once_give_fifty_processes_with_ports_of_their_own,
    launching_again_returns_what_runs,
    what_cannot_be_started_says_why,
    what_is_in_the_cache_no_more_is_fetched_again_and_is_the_same,
    what_is_retired_while_it_is_launched_is_started_no_more,
}

async fn a_process_finds_its_environment_and_its_folder_and_nothing_of_the_servers() {
    let world = World::new();
    let mut it = script("env -0 > env.new; mv env.new env; exec sleep 600");
    it.app.env.insert("GREETING".to_owned(), "hello {port.http} {not a placeholder}".to_owned());
    it.app.ports = vec![port("http")];
    let volume = |name: &str, env: &str| Volume {
        name: name.to_owned(),
        path: "/data".to_owned(),
        env: Some(env.to_owned()),
        source: None,
        read_only: false,
    };
    it.app.volumes = vec![volume("data", "DATA_DIR")];
    let instance = world.start(&it).await;
    let file = world.folder(&it, 0).join("work/env");
    eventually("the process writes its environment", || file.exists()).await;
    let env = fs::read_to_string(file).expect("it is text");
    let env: Vec<(&str, &str)> = env.split('\0').filter_map(|entry| entry.split_once('=')).collect();
    let of = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);

    let given = instance.addresses["http"].port().to_string();
    assert_eq!(of("PORT"), Some(given.as_str()));
    assert_eq!(of("GREETING"), Some(format!("hello {given} {{not a placeholder}}").as_str()));
    assert_eq!((of("SKIPPER_RELEASE"), of("SKIPPER_APP")), (Some("shop"), Some("web")));
    assert_eq!((of("SKIPPER_REVISION"), of("SKIPPER_INSTANCE")), (Some("1"), Some("0")));
    assert_eq!(of("SKIPPER_DEPLOYMENT"), Some(it.id.as_str()));
    let data = world.dir.path().join("volumes/default/shop/data");
    assert!(data.is_dir() && of("DATA_DIR") == data.to_str());
    assert_eq!(of("PWD"), of("HOME"));
    let pid = world.app_pid(&it).to_string();
    let (guid, url) = ("shop.web-v1-0".to_owned(), format!("http://127.0.0.1:{given}"));
    let work = world.folder(&it, 0).join("work").display().to_string();
    let told = [("guid", guid), ("pid", pid), ("port", given.clone()), ("url", url), ("working.dir", work)];
    assert_eq!(instance.attributes, told.map(|(name, value)| (name.to_owned(), value)).into());
    let known =
        ["PATH", "LANG", "USER", "HOME", "TMPDIR", "PWD", "PORT", "GREETING", "DATA_DIR", "_", "SHLVL", "OLDPWD"];
    let strange: Vec<_> = env.iter().filter(|(n, _)| !known.contains(n) && !n.starts_with("SKIPPER_")).collect();
    assert_eq!(strange, Vec::<&(&str, &str)>::new());
    world.retire(&it).await.expect("it can be stopped");
    assert!(data.is_dir(), "volumes stay");
}

async fn launching_again_returns_what_runs() {
    let world = World::new();
    let it = script("exec sleep 600");
    let first = world.start(&it).await;
    let again = world.start(&it).await;
    assert_eq!(first, again);
    eventually("one runs", || processes_of(&it).len() == 1).await;
    assert_eq!(world.observe(&it).await, Observed::Running(first));
}

async fn fifty_launches_at_once_give_fifty_processes_with_ports_of_their_own() {
    let world = World::new();
    let mut many: Vec<_> = (0..10).map(|_| deployment(&[crate::world::FIXTURE, "serve"])).collect();
    for one in &mut many {
        one.app.ports = vec![port("http")];
        one.app.replicas = 5;
    }
    let launched = futures::future::join_all(many.iter().map(|one| world.launch(one, 5))).await;
    let instances: Vec<_> = launched.into_iter().flat_map(|all| all.expect("each can be launched")).collect();
    let ports: BTreeSet<_> = instances.iter().map(|instance| instance.addresses["http"]).collect();
    assert_eq!((instances.len(), ports.len()), (50, 50));
    for address in ports {
        eventually("it listens", || std::net::TcpStream::connect(address).is_ok()).await;
    }
    futures::future::join_all(many.iter().map(|one| world.retire(one)))
        .await
        .into_iter()
        .for_each(|r| r.expect("stopped"));
    assert!(many.iter().all(|one| processes_of(one).is_empty()));
}

async fn what_is_retired_while_it_is_launched_is_started_no_more() {
    let world = World::new();
    let mut it = script("exec sleep 600");
    it.app.replicas = 60;
    let stopping = async {
        eventually("some run", || processes_of(&it).len() >= 3).await;
        world.retire(&it).await
    };
    let (launched, stopped) = futures::future::join(world.launch(&it, 60), stopping).await;
    stopped.expect("stopped");
    assert_eq!(launched.expect_err("not all were started").code(), "called-off");
    assert_eq!(processes_of(&it), [] as [i32; 0]);
    world.start(&it).await;
    eventually("it can be started again", || processes_of(&it).len() == 1).await;
    world.retire(&it).await.expect("stopped");
}

async fn a_lower_generation_is_fenced_and_changes_nothing() {
    let mut world = World::new();
    let it = script("exec sleep 600");
    let running = launch_on(world.platform.as_ref(), &it, 1, generation(7)).await.expect("it is the first");
    for fresh in [false, true] {
        if fresh {
            world.restart();
        }
        let launch = launch_on(world.platform.as_ref(), &it, 1, generation(6)).await.expect_err("6 < 7");
        let retire =
            world.platform.retire(&it, Instances::first(1), true, generation(6), PATIENCE).await.expect_err("6 < 7");
        assert_eq!((launch.kind(), retire.kind()), (ErrorKind::Fenced, ErrorKind::Fenced));
    }
    assert_eq!(world.observe(&it).await, Observed::Running(running[0].clone()));
    world.platform.retire(&it, Instances::first(1), true, generation(8), PATIENCE).await.expect("8 > 7");
    let late = launch_on(world.platform.as_ref(), &it, 1, generation(7)).await.expect_err("also of one that is gone");
    assert_eq!(late.kind(), ErrorKind::Fenced);
}

async fn a_process_that_dies_at_once_is_reported_with_its_status() {
    let world = World::new();
    let it = script("exit 3");
    world.start(&it).await;
    let exit = world.ended(&it).await;
    assert_eq!((exit.code, exit.signal), (Some(3), None));
    let again = world.start(&it).await;
    assert_eq!(again.restarts, 1);
}

async fn changed_resolves_when_an_instance_ends() {
    let world = World::new();
    let it = script("exec sleep 600");
    world.start(&it).await;
    let changed = world.platform.changed();
    crate::world::kill(world.app_pid(&it), "KILL");
    tokio::time::timeout(PATIENCE, changed).await.expect("it tells");
    let exit = world.ended(&it).await;
    assert_eq!((exit.code, exit.signal, exit.out_of_memory), (None, Some(9), false));
}

async fn what_cannot_be_started_says_why() {
    let world = World::new();
    let dir = world.dir.path();
    let file = |name: &str, text: &str| {
        write_program(&dir.join(name), text);
        dir.join(name).display().to_string()
    };
    let not_executable = file("data", "x");
    fs::set_permissions(&not_executable, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("it is ours");
    let cases = [
        ("no-such-program".to_owned(), "program-not-found", "no program `no-such-program` in PATH"),
        (format!("{}/nowhere", dir.display()), "program-not-found", "there is no program"),
        (not_executable, "program-not-executable", "may not be executed"),
        (file("page", "<html>"), "program-format", "looks like a web page"),
        (file("arm", "\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\u{28}\0"), "program-format", "32-bit ARM"),
        (file("script", "#!/no/such/shell\n"), "interpreter-not-found", "/no/such/shell"),
        (file("windows", "#!/bin/sh\r\nexit\r\n"), "interpreter-not-found", "Windows line ends"),
    ];
    for (program, code, words) in cases {
        let it = deployment(&[&program]);
        let error = world.launch(&it, 1).await.expect_err("it cannot run");
        assert_eq!((error.code(), error.kind()), (code, ErrorKind::Permanent), "{}", error.chain());
        assert!(error.chain().contains(words), "{}", error.chain());
        assert!(error.advice().is_some());
        assert!(matches!(world.observe(&it).await, Observed::Exited { .. }), "it is remembered");
        world.retire(&it).await.expect("and removed");
        assert!(!world.folder(&it, 0).exists());
    }
}

async fn a_fetched_file_runs_under_its_own_name() {
    let world = World::new();
    let path = world.dir.path().join("greeter");
    write_program(&path, "#!/bin/sh\necho \"$1\" > said.new; mv said.new said; exec sleep 600\n");
    let mut it = deployment(&[]);
    it.app.args = vec!["{resource}".to_owned()];
    it.app.resource = Resource { uri: format!("file:{}", path.display()), sha256: None };
    it.app.resource = world.platform.fetch(&it.app.resource, PATIENCE).await.expect("it is there");
    fs::remove_file(&path).expect("it is ours");
    world.start(&it).await;
    let said = world.folder(&it, 0).join("work/said");
    eventually("it runs", || said.exists()).await;
    assert!(fs::read_to_string(said).is_ok_and(|text| text.trim_end().ends_with("/bin/greeter")));
}

async fn what_is_in_the_cache_no_more_is_fetched_again_and_is_the_same() {
    let world = World::new();
    let path = world.dir.path().join("greeter");
    let text = "#!/bin/sh\nexec sleep 600\n";
    write_program(&path, text);
    let mut it = deployment(&[]);
    it.app.resource = Resource { uri: format!("file:{}", path.display()), sha256: None };
    it.app.resource = world.platform.fetch(&it.app.resource, PATIENCE).await.expect("it is there");
    // As for a server that takes the place of another one, on another machine.
    let digest = it.app.resource.sha256.expect("it is pinned");
    let cached = world.dir.path().join("artifacts/sha256").join(digest.to_string());
    let forget = || fs::remove_file(&cached).expect("it is kept there");
    forget();
    write_program(&path, "#!/bin/sh\nexec sleep 700\n");
    let other = world.launch(&it, 1).await.expect_err("these are other bytes");
    assert_eq!((other.code(), other.kind()), ("checksum-mismatch", ErrorKind::Permanent));
    assert!(other.chain().contains("not in this server's cache any more"), "{}", other.chain());
    write_program(&path, text);
    world.start(&it).await;
    eventually("it runs", || processes_of(&it).len() == 1).await;
    // What runs needs nothing.
    forget();
    fs::remove_file(&path).expect("it is ours");
    world.start(&it).await;
    world.retire(&it).await.expect("stopped");
}

async fn everything_of_ours_is_listed() {
    let mut world = World::new();
    let mut it = script("exec sleep 600");
    it.app.replicas = 3;
    world.launch(&it, 3).await.expect("it can be launched");
    for _ in 0..2 {
        let found = world.platform.list(PATIENCE).await.expect("it can be listed");
        assert_eq!(found.len(), 1);
        assert_eq!((&found[0].id, found[0].generation, &found[0].instances), (&it.id, generation(1), &vec![0, 1, 2]));
        world.restart();
    }
    world.platform.remove_orphan(&it.id, PATIENCE).await.expect("it can be removed");
    assert!(processes_of(&it).is_empty());
    assert_eq!(world.platform.list(PATIENCE).await.expect("it can be listed"), []);
}

/// Not a check: prints how long a launch takes. Run it alone, with `--ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn how_long_a_launch_takes() {
    let world = World::new();
    let mut took = Vec::new();
    for _ in 0..100 {
        let mut it = deployment(&[crate::world::FIXTURE, "serve"]);
        it.app.ports = vec![port("http")];
        let begun = std::time::Instant::now();
        let instance = world.start(&it).await;
        let launched = begun.elapsed();
        while std::net::TcpStream::connect(instance.addresses["http"]).is_err() {
            std::thread::yield_now();
        }
        let listens = begun.elapsed();
        let keeper = world.keeper_pid(&it);
        let status = fs::read_to_string(format!("/proc/{keeper}/status")).expect("it runs");
        let field = |name: &str| {
            status.lines().find_map(|l| l.strip_prefix(name)?.split_whitespace().next()?.parse::<u64>().ok())
        };
        let begun = std::time::Instant::now();
        world.retire(&it).await.expect("it can be stopped");
        took.push([launched, listens, begun.elapsed()]);
        println!("keeper: RSS {:?} kB, of these private {:?} kB", field("VmRSS:"), field("RssAnon:"));
    }
    for (i, what) in ["launched", "listens", "retired"].into_iter().enumerate() {
        let mut all: Vec<_> = took.iter().map(|times| times[i]).collect();
        all.sort_unstable();
        println!("{what}: p50 {:?}, p99 {:?}", all[50], all[99]);
    }
}
