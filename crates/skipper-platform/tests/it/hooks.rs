use std::{fs, path::Path};

use skipper_core::{
    deployment::Deployment,
    port::{Error, HookJob, HookState},
    secret::SecretValues,
    spec::Hook,
    time::Millis,
};

use crate::{
    remote::here_and_far,
    world::{NOBODY, PATIENCE, World, eventually, keepers_of, kill, processes_of, script},
};

here_and_far! {
    a_hook_goes_on_while_no_server_runs,
    a_hook_runs_once_however_often_it_is_asked_for,
    a_hook_that_cannot_be_started_has_ended,
    a_hook_that_takes_too_long_is_killed_with_all_it_started,
    a_hook_whose_outcome_was_lost_is_unknown_and_never_run_again,
}

fn hook(text: &str) -> Hook {
    Hook { command: ["sh", "-c", text].map(str::to_owned).to_vec(), timeout: Millis::secs(20) }
}

async fn run(world: &World, it: &Deployment, id: &str, hook: &Hook) -> Result<HookState, Error> {
    let secrets = SecretValues::new();
    world.platform.run_hook(HookJob { id, deployment: it, hook, secrets: &secrets }, PATIENCE).await
}

async fn outcome(world: &World, id: &str) -> HookState {
    loop {
        match world.platform.hook_state(id, PATIENCE).await.expect("it can be asked") {
            HookState::Running => {
                let _ = tokio::time::timeout(std::time::Duration::from_millis(200), world.platform.changed()).await;
            }
            state => return state,
        }
    }
}

async fn a_hook_runs_once_however_often_it_is_asked_for() {
    let mut world = World::new();
    let mut it = script("exec sleep 600");
    let marks = world.dir.path().join("marks");
    it.app.env.insert("MARKS".to_owned(), marks.display().to_string());
    assert_eq!(outcome(&world, "r1-3").await, HookState::Absent);
    let migrate = hook("echo x >> $MARKS; echo migrated for $SKIPPER_RELEASE; exit 4");
    let asked = futures::future::join_all((0..5).map(|_| run(&world, &it, "r1-3", &migrate))).await;
    assert!(asked.iter().all(Result::is_ok));
    let ended = HookState::Ended { code: Some(4), output: "migrated for shop\n".to_owned() };
    assert_eq!(outcome(&world, "r1-3").await, ended);
    world.restart();
    assert_eq!(run(&world, &it, "r1-3", &migrate).await.expect("it is known"), ended);
    assert_eq!(fs::read_to_string(&marks).expect("it ran"), "x\n");
    assert!(matches!(run(&world, &it, "r1-4", &migrate).await, Ok(HookState::Running | HookState::Ended { .. })));
    outcome(&world, "r1-4").await;
    assert_eq!(fs::read_to_string(&marks).expect("it ran"), "x\nx\n", "another job is another run");
    world.retire(&it).await.expect("nothing else is there");
    assert_eq!(outcome(&world, "r1-3").await, HookState::Absent, "forgotten with its deployment");
}

async fn a_hook_goes_on_while_no_server_runs() {
    let mut world = World::new();
    let it = script("exec sleep 600");
    let state = run(&world, &it, "r1-1", &hook("sleep 0.3; echo done")).await.expect("it starts");
    assert_eq!(state, HookState::Running);
    world.restart();
    assert_eq!(outcome(&world, "r1-1").await, HookState::Ended { code: Some(0), output: "done\n".to_owned() });
}

async fn a_hook_that_takes_too_long_is_killed_with_all_it_started() {
    let world = World::new();
    let it = script("exec sleep 600");
    let slow = Hook { timeout: Millis(200), ..hook("echo begun; setsid sleep 600 & sleep 600") };
    run(&world, &it, "r1-1", &slow).await.expect("it starts");
    let state = outcome(&world, "r1-1").await;
    let HookState::Ended { code: None, output } = state else { panic!("it was not killed: {state:?}") };
    assert_eq!(output, "begun\n[skipper] its time was over, it was killed\n");
    assert_eq!(processes_of(&it), NOBODY);
}

async fn a_hook_that_cannot_be_started_has_ended() {
    let world = World::new();
    let it = script("exec sleep 600");
    let missing = Hook { command: vec!["./migrate".to_owned()], timeout: Millis::secs(5) };
    let state = run(&world, &it, "r1-1", &missing).await.expect("it is known");
    assert!(matches!(&state, HookState::Ended { code: Some(127), output } if output.contains("/migrate")), "{state:?}");
}

async fn a_hook_whose_outcome_was_lost_is_unknown_and_never_run_again() {
    let mut world = World::new();
    let it = script("exec sleep 600");
    let job = hook("echo x >> $HOME/marks; exec sleep 600");
    run(&world, &it, "r1-1", &job).await.expect("it starts");
    let marks = world.dir.path().join("local/here/.hooks/r1-1/work/marks");
    eventually("it runs", || marks.exists()).await;
    world.own.close();
    for keeper in pids_of_hook(world.dir.path()) {
        kill(keeper, "KILL");
    }
    for process in processes_of(&it) {
        kill(process, "KILL");
    }
    eventually("all are gone", || processes_of(&it).is_empty()).await;
    world.restart();
    assert_eq!(outcome(&world, "r1-1").await, HookState::Unknown);
    assert_eq!(run(&world, &it, "r1-1", &job).await.expect("it is known"), HookState::Unknown);
    // And one of which there is nothing but its folder.
    fs::create_dir(world.dir.path().join("local/here/.hooks/r1-2")).expect("it is ours");
    assert_eq!(run(&world, &it, "r1-2", &job).await.expect("it is known"), HookState::Unknown);
    assert_eq!((processes_of(&it), keepers_of(&it)), (vec![], vec![]));
}

/// Keepers of jobs bear their folder's name in their arguments, not the deployment's. Only those below the test's own folder: others
/// have jobs of that name too.
fn pids_of_hook(own: &Path) -> Vec<i32> {
    let folder = format!("{}/local/here/.hooks/r1-1\0", own.display());
    let entries = fs::read_dir("/proc").expect("proc is there");
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).ends_with(&folder)
    })
    .collect()
}
