use std::fs;

use crate::{
    remote::here_and_far,
    world::{FIXTURE, World, deployment, eventually, script},
};

here_and_far! {
    a_process_that_takes_more_memory_than_it_may_is_killed_and_that_is_told,
    only_the_process_and_its_children_are_limited,
}

async fn a_process_that_takes_more_memory_than_it_may_is_killed_and_that_is_told() {
    let world = World::new();
    if !world.platform.capabilities().memory_limits {
        eprintln!("skipped: this host lets us set no memory limits");
        return;
    }
    let mut it = deployment(&[FIXTURE, "eat"]);
    it.app.limits.memory_bytes = Some(48 << 20);
    world.start(&it).await;
    let exit = world.ended(&it).await;
    assert_eq!((exit.signal, exit.out_of_memory), (Some(9), true));
    let again = world.start(&it).await;
    assert_eq!(again.restarts, 1);
    assert!(world.ended(&it).await.out_of_memory);
    let groups = groups(&world, &it);
    assert!(!groups.is_empty() && groups.iter().all(|dir| dir.is_dir()));
    world.retire(&it).await.expect("it can be removed");
    assert!(!groups.iter().any(|dir| dir.exists()));
}

fn groups(world: &World, it: &skipper_core::deployment::Deployment) -> Vec<std::path::PathBuf> {
    let groups = world.state(it)["cgroup"]["groups"].clone();
    groups.as_array().into_iter().flatten().filter_map(|group| group["dir"].as_str()).map(Into::into).collect()
}

async fn only_the_process_and_its_children_are_limited() {
    let world = World::new();
    let can = world.platform.capabilities();
    if !can.cpu_limits || !can.memory_limits {
        eprintln!("skipped: this host lets us set no limits");
        return;
    }
    let mut it = script("sleep 600 & exec sleep 600");
    it.app.limits.cpu_millis = Some(250);
    it.app.limits.memory_bytes = Some(64 << 20);
    world.start(&it).await;
    let of = |pid: i32| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    eventually("both run", || crate::world::processes_of(&it).len() == 2).await;
    assert!(crate::world::processes_of(&it).iter().all(|pid| of(*pid).contains(it.id.as_str())));
    let (keeper, me) = (world.keeper_pid(&it), i32::try_from(std::process::id()).expect("pids are small"));
    assert_eq!(of(keeper), of(me));
    world.retire(&it).await.expect("it can be stopped");
}
