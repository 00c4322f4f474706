use std::{fs, process::Command, sync::Arc, time::Duration};

use skipper_core::deployment::Observed;

use crate::{
    remote::here_and_far,
    world::{
        FIXTURE, NOBODY, World, deployment, eventually, generation, is_alive, keepers_of, kill, launch_on, port,
        processes_of, script,
    },
};

here_and_far! {
    a_job_and_its_children_are_stopped_also_without_their_first_keeper,
    a_process_goes_on_when_its_keeper_is_killed_and_gets_another,
    a_reused_pid_is_never_touched,
    an_end_while_no_server_ran_is_reported_by_the_next,
    no_zombies_stay,
    output_written_while_neither_keeper_nor_server_ran_is_not_lost,
    what_runs_is_found_again_by_the_next_server,
}

async fn what_runs_is_found_again_by_the_next_server() {
    let mut world = World::new();
    let mut it = deployment(&[FIXTURE, "serve"]);
    it.app.ports = vec![port("http")];
    let before = world.start(&it).await;
    world.restart();
    assert_eq!(world.observe(&it).await, Observed::Running(before.clone()));
    assert_eq!(world.start(&it).await, before);
    let taken = before.addresses["http"].port();
    assert!((0..70).filter_map(|_| world.ports.take("other", None).ok()).all(|port| port != taken));
    world.restart();
    kill(world.app_pid(&it), "KILL");
    assert_eq!(world.ended(&it).await.signal, Some(9));
}

async fn an_end_while_no_server_ran_is_reported_by_the_next() {
    let mut world = World::new();
    let it = script("exec sleep 600");
    world.start(&it).await;
    world.own.close();
    let keeper = world.keeper_pid(&it);
    kill(world.app_pid(&it), "TERM");
    eventually("the keeper ends", || !is_alive(keeper)).await;
    world.restart();
    assert_eq!(world.ended(&it).await.signal, Some(15));
}

async fn a_reused_pid_is_never_touched() {
    let mut world = World::new();
    let it = script("exec sleep 600");
    world.start(&it).await;
    let genuine = world.state(&it);
    world.retire(&it).await.expect("it can be stopped");
    let mut foreign = Command::new("sleep").arg("600").spawn().expect("sleep is there");
    let stat = fs::read_to_string(format!("/proc/{}/stat", foreign.id())).expect("it runs");
    let start: u64 =
        stat.rsplit_once(") ").expect("so it looks").1.split(' ').nth(19).expect("it has").parse().expect("a number");
    // Its pid with another start time, and both right but of another boot.
    for (start, boot) in [(start - 1, None), (start, Some("00000000-0000-0000-0000-000000000000"))] {
        let mut fake = genuine.clone();
        for who in ["app", "keeper"] {
            fake[who] = serde_json::json!({"pid": foreign.id(), "start": start});
        }
        if let Some(boot) = boot {
            fake["boot_id"] = boot.into();
        }
        let folder = world.folder(&it, 0);
        fs::create_dir_all(&folder).expect("it is ours");
        fs::write(folder.join("state.json"), fake.to_string()).expect("it is ours");
        fs::write(folder.join("exit"), " ").expect("it is ours");
        world.restart();
        assert!(matches!(world.observe(&it).await, Observed::Exited { .. }));
        world.start(&it).await;
        assert_ne!(u32::try_from(world.app_pid(&it)), Ok(foreign.id()));
        world.retire(&it).await.expect("it can be stopped");
        assert!(foreign.try_wait().expect("it is ours").is_none(), "the stranger still runs");
    }
    foreign.kill().and_then(|()| foreign.wait()).expect("it is ours");
}

async fn a_process_goes_on_when_its_keeper_is_killed_and_gets_another() {
    let world = World::new();
    let it = script("n=0; while sleep 0.02; do n=$((n+1)); echo tick $n || exit 9; done");
    world.start(&it).await;
    let (app, keeper) = (world.app_pid(&it), world.keeper_pid(&it));
    let lines = || tail(&world, &it);
    eventually("it prints", || lines() > 2).await;
    kill(keeper, "KILL");
    eventually("another keeper takes over", || world.keeper_pid(&it) != keeper && keepers_of(&it).len() == 1).await;
    let then = lines();
    eventually("its output is logged again", || lines() > then + 2).await;
    assert!(is_alive(app) && world.app_pid(&it) == app);
    assert!(matches!(world.observe(&it).await, Observed::Running(_)));
    kill(app, "KILL");
    let exit = world.ended(&it).await;
    assert_eq!((exit.code, exit.signal), (None, None), "how it ended can no longer be told");
    assert_eq!(processes_of(&it), NOBODY);
    world.start(&it).await;
    world.retire(&it).await.expect("it can be stopped");
}

fn tail(world: &World, it: &skipper_core::deployment::Deployment) -> usize {
    fs::read_to_string(world.folder(it, 0).join("log/000001.log")).map_or(0, |text| text.lines().count())
}

async fn output_written_while_neither_keeper_nor_server_ran_is_not_lost() {
    let mut world = World::new();
    let it = script("read x < go.fifo; echo all alone; exec sleep 600");
    let fifo = world.folder(&it, 0).join("work/go.fifo");
    fs::create_dir_all(fifo.parent().expect("it has")).expect("it is ours");
    assert!(Command::new("mkfifo").arg(&fifo).status().is_ok_and(|s| s.success()));
    world.start(&it).await;
    world.own.close();
    let keeper = world.keeper_pid(&it);
    kill(keeper, "KILL");
    eventually("the keeper is gone", || !is_alive(keeper)).await;
    fs::write(&fifo, "x\n").expect("it waits for this");
    let app = world.app_pid(&it);
    eventually("it went on", || fs::read_to_string(format!("/proc/{app}/comm")).is_ok_and(|c| c.trim() == "sleep"))
        .await;
    world.restart();
    assert!(matches!(world.observe(&it).await, Observed::Running(_)));
    eventually("its words are there", || tail(&world, &it) == 1).await;
}

async fn a_job_and_its_children_are_stopped_also_without_their_first_keeper() {
    let mut world = World::new();
    let it = script("setsid sleep 600 & setsid setsid sleep 600 & sleep 600");
    world.start(&it).await;
    eventually("all run", || processes_of(&it).len() >= 4).await;
    world.own.close();
    let keeper = world.keeper_pid(&it);
    kill(keeper, "KILL");
    eventually("the keeper is gone", || !is_alive(keeper)).await;
    world.restart();
    world.retire(&it).await.expect("it can be stopped");
    assert_eq!(processes_of(&it), NOBODY);
    assert_eq!(keepers_of(&it), NOBODY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_at_once_start_one_process() {
    let world = World::new();
    for _ in 0..10 {
        let it = script("exec sleep 600");
        let other = world.another();
        let (a, b) = tokio::join!(
            launch_on(world.platform.as_ref(), &it, 1, generation(1)),
            launch_on(other.as_ref(), &it, 1, generation(1))
        );
        assert_eq!(a.expect("it runs")[0].handle, b.expect("it runs")[0].handle);
        eventually("one runs", || processes_of(&it).len() == 1).await;
        world.retire(&it).await.expect("it can be stopped");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_launch_that_nobody_waits_for_is_found_by_the_next() {
    let world = World::new();
    let it = script("exec sleep 600");
    let dropped = tokio::time::timeout(Duration::from_micros(300), world.launch(&it, 1)).await;
    let instance = world.start(&it).await;
    if let Ok(done) = dropped {
        assert_eq!(done.expect("it runs")[0], instance);
    }
    eventually("one runs", || processes_of(&it).len() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_killed_at_any_moment_leaves_one_process_or_none() {
    let world = Arc::new(World::new());
    for round in 0_u64..40 {
        let it = script("setsid sleep 600 & exec sleep 600");
        let killer = {
            let it = it.clone();
            std::thread::spawn(move || {
                let until = std::time::Instant::now() + Duration::from_secs(5);
                loop {
                    if let Some(keeper) = keepers_of(&it).first() {
                        std::thread::sleep(Duration::from_micros(round * 150));
                        kill(*keeper, "KILL");
                        return;
                    }
                    assert!(std::time::Instant::now() < until, "a keeper comes");
                }
            })
        };
        // May fail, may succeed: then the next one must.
        let first = world.launch(&it, 1).await;
        killer.join().expect("it kills");
        let second = world.launch(&it, 1).await.unwrap_or_else(|error| {
            panic!("round {round}: first {:?}, then {}", first.map_err(|e| e.chain()), error.chain())
        });
        eventually("one instance runs", || processes_of(&it).len() == 2).await;
        assert!(second[0].handle.contains(&format!("pid {} ", world.app_pid(&it))));
        world.retire(&it).await.expect("it can be stopped");
        assert_eq!((processes_of(&it), keepers_of(&it)), (vec![], vec![]), "round {round}");
    }
}

async fn no_zombies_stay() {
    let world = World::new();
    for command in [vec!["sh", "-c", "exit 0"], vec!["/no/such/program"]] {
        let it = deployment(&command);
        let _ = world.launch(&it, 1).await;
        world.ended(&it).await;
        let keeper = world.keeper_pid(&it);
        eventually("its keeper is reaped", || !is_there(keeper)).await;
        world.retire(&it).await.expect("it can be removed");
    }
}

/// Also as a zombie.
fn is_there(pid: i32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}
