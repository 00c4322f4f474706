use std::{fs, time::Instant};

use skipper_core::{
    deployment::Observed,
    rollout::plan::Instances,
    spec::{Signal, Volume},
    time::Millis,
};

use crate::{
    remote::here_and_far,
    world::{NOBODY, PATIENCE, World, eventually, generation, is_alive, processes_of, script},
};

here_and_far! {
    a_deadline_shorter_than_the_grace_is_an_unknown_outcome_and_the_stop_goes_on,
    a_process_is_asked_before_it_is_killed,
    a_process_ignores_no_signal_because_the_server_does,
    a_process_that_ignores_the_signal_is_killed_after_its_grace,
    children_that_went_their_own_way_are_stopped_too,
    instances_go_one_by_one_and_the_folder_with_the_last,
    what_a_process_leaves_running_ends_with_it,
}

async fn a_process_is_asked_before_it_is_killed() {
    let world = World::new();
    let mut it =
        script("trap 'echo bye > $DATA/said; exit 0' INT; echo ready > $DATA/said; while sleep 0.05; do :; done");
    it.app.stop.signal = Signal::Int;
    let data = Volume {
        name: "data".to_owned(),
        path: "/d".to_owned(),
        env: Some("DATA".to_owned()),
        source: None,
        read_only: false,
    };
    it.app.volumes = vec![data];
    world.start(&it).await;
    let said = world.dir.path().join("volumes/default/shop/data/said");
    let says = |word: &str| fs::read_to_string(&said).is_ok_and(|text| text.trim() == word);
    eventually("it is ready", || says("ready")).await;
    world.retire(&it).await.expect("it can be stopped");
    assert!(says("bye"));
    assert_eq!(processes_of(&it), NOBODY);
}

async fn a_process_ignores_no_signal_because_the_server_does() {
    let mut world = World::new();
    world.is_in_background = true;
    world.restart();
    // A shell cannot even trap what it was started to ignore.
    let mut it = script("trap 'echo bye; exit 0' INT; cat /proc/self/status; echo ready; while sleep 0.05; do :; done");
    it.app.stop.signal = Signal::Int;
    world.start(&it).await;
    let log = world.folder(&it, 0).join("log/000001.log");
    let logged = || fs::read_to_string(&log).unwrap_or_default();
    eventually("it is ready", || logged().contains("ready")).await;
    let told = logged();
    for field in ["SigIgn", "SigBlk"] {
        assert!(told.contains(&format!("{field}:\t{:016x}", 0)), "{told}");
    }
    let keeper = fs::read_to_string(format!("/proc/{}/status", world.keeper_pid(&it))).expect("it runs");
    let ignored = keeper.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).expect("a mask");
    assert_eq!(u64::from_str_radix(ignored, 16).map(|mask| mask & 0b10_0000_0111), Ok(0), "caught, and not ignored");
    let asked = Instant::now();
    world.retire(&it).await.expect("it can be stopped");
    assert!(asked.elapsed() < it.app.stop.grace.duration(), "it ended when it was asked");
}

async fn a_process_that_ignores_the_signal_is_killed_after_its_grace() {
    let world = World::new();
    let mut it = script("trap '' TERM; echo ready; while :; do sleep 0.05; done");
    it.app.stop.grace = Millis(300);
    world.start(&it).await;
    let log = world.folder(&it, 0).join("log/000001.log");
    eventually("it is ready", || fs::read_to_string(&log).is_ok_and(|text| text.contains("ready"))).await;
    let begun = Instant::now();
    world.retire(&it).await.expect("it can be stopped");
    assert!((300..3000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    assert_eq!(processes_of(&it), NOBODY);
}

async fn children_that_went_their_own_way_are_stopped_too() {
    let world = World::new();
    let it = script("setsid sleep 600 & (setsid sh -c 'sleep 600 & sleep 600' &); nohup sleep 600 & exec sleep 600");
    world.start(&it).await;
    eventually("all six run", || processes_of(&it).len() == 6).await;
    world.retire(&it).await.expect("it can be stopped");
    assert_eq!(processes_of(&it), NOBODY);
}

async fn what_a_process_leaves_running_ends_with_it() {
    let world = World::new();
    let it = script("setsid sh -c 'trap \"\" TERM; sleep 600; sleep 600' & sleep 0.2; exit 0");
    world.start(&it).await;
    let exit = world.ended(&it).await;
    assert_eq!(exit.code, Some(0));
    assert_eq!(processes_of(&it), NOBODY);
}

async fn instances_go_one_by_one_and_the_folder_with_the_last() {
    let world = World::new();
    let mut it = script("exec sleep 600");
    it.app.replicas = 2;
    world.launch(&it, 2).await.expect("it can be launched");
    world.platform.retire(&it, Instances { from: 1, to: 2 }, false, generation(1), PATIENCE).await.expect("stopped");
    let seen = world.platform.observe(&it, Instances::first(2), PATIENCE).await.expect("it can be observed");
    assert!(matches!(seen[..], [Observed::Running(_), Observed::Absent]));
    assert!(world.folder(&it, 0).exists() && !world.folder(&it, 1).exists());
    for _ in 0..2 {
        // The second time there is nothing left to do.
        world.platform.retire(&it, Instances::first(2), true, generation(1), PATIENCE).await.expect("stopped");
        assert!(!world.folder(&it, 0).parent().expect("it has").exists());
    }
    assert_eq!(processes_of(&it), NOBODY);
}

async fn a_deadline_shorter_than_the_grace_is_an_unknown_outcome_and_the_stop_goes_on() {
    let world = World::new();
    let mut it = script("trap '' TERM; echo ready; while :; do sleep 0.05; done");
    it.app.stop.grace = Millis(500);
    world.start(&it).await;
    let log = world.folder(&it, 0).join("log/000001.log");
    eventually("it is ready", || fs::read_to_string(&log).is_ok_and(|text| text.contains("ready"))).await;
    let pid = world.app_pid(&it);
    let soon = std::time::Duration::from_millis(20);
    let error =
        world.platform.retire(&it, Instances::first(1), true, generation(1), soon).await.expect_err("too short");
    assert_eq!(error.kind(), skipper_core::port::ErrorKind::Unknown);
    world.retire(&it).await.expect("it waits for the first and finds nothing left");
    assert!(!is_alive(pid));
}
