//! Version 2: one hierarchy. A group that has processes cannot give controllers to groups below it, so the place for
//! ours is the top (for root) or a subtree that systemd has given to the server's unit (`Delegate=yes`).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use skipper_core::spec::Limits;

use super::{Controller, Group, Offer, Placement, Setting, below, mounts, own_path, works};

/// Length of a scheduling period in microseconds, the kernel's own default.
const PERIOD_US: u64 = 100_000;

pub(super) fn probe() -> Offer {
    let found = mounts("cgroup2", "").into_iter().find_map(|(point, root)| {
        let own = own_path("")?;
        let home = Some(below(&point, &root, &own)).filter(|home| home.is_dir()).unwrap_or_else(|| point.clone());
        if is_delegated(&home)
            && let Some(offer) = offer_in(&home, &home)
        {
            return Some(offer);
        }
        offer_in(&point, &home)
    });
    found.unwrap_or_default()
}

/// Whether systemd has handed the subtree over.
fn is_delegated(group: &Path) -> bool {
    ["trusted.delegate", "user.delegate"].into_iter().any(|name| {
        let mut value = [0_u8; 8];
        rustix::fs::getxattr(group, name, &mut value).is_ok_and(|len| &value[..len] == b"1")
    })
}

fn offer_in(top: &Path, home: &Path) -> Option<Offer> {
    let available = fs::read_to_string(top.join("cgroup.controllers")).ok()?;
    let has = |name: &str| available.split_whitespace().any(|given| given == name);
    let (memory_there, cpu_there) = (has("memory"), has("cpu"));
    if !memory_there && !cpu_there {
        return None;
    }
    let parent = top.join("skipper");
    let mut home = home.to_owned();
    for name in ["memory", "cpu"].into_iter().filter(|name| has(name)) {
        let mut given = give(top, name);
        if top == home && given.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ResourceBusy) {
            // We sit in the group that must not have processes of its own: move everything one level down.
            home = step_down(top).ok()?;
            given = give(top, name);
        }
        given.and_then(|()| fs::create_dir_all(&parent)).and_then(|()| give(&parent, name)).ok()?;
    }
    let controller = |there: bool, settings: &[Setting]| {
        let needed: Vec<Setting> = settings.iter().filter(|setting| !setting.optional).cloned().collect();
        (there && works(&parent, &needed)).then(|| Controller { parent: parent.clone(), home: home.clone() })
    };
    Some(Offer {
        memory: controller(memory_there, &memory(64 << 20)),
        cpu: controller(cpu_there, &cpu(1000)),
        version: 2,
    })
}

/// Lets groups below `group` use a controller.
fn give(group: &Path, controller: &str) -> io::Result<()> {
    fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"))
}

/// Moves all processes of the group into one below it and returns that one.
fn step_down(group: &Path) -> io::Result<PathBuf> {
    let below = group.join("skipper-main");
    fs::create_dir_all(&below)?;
    // New processes may be born while we move the ones we know.
    for _ in 0..10 {
        let pids = fs::read_to_string(group.join("cgroup.procs"))?;
        if pids.trim().is_empty() {
            break;
        }
        for pid in pids.split_whitespace() {
            // One that has just ended cannot be moved and need not be.
            let _ = fs::write(below.join("cgroup.procs"), pid);
        }
    }
    Ok(below)
}

fn memory(bytes: u64) -> Vec<Setting> {
    vec![
        Setting::new("memory.max", bytes.to_string()),
        // Without it the process is swapped out instead of held to its limit.
        Setting::optional("memory.swap.max", "0"),
        // One process of a killed group left alone would be neither running nor ended.
        Setting::optional("memory.oom.group", "1"),
    ]
}

fn cpu(millis: u64) -> Vec<Setting> {
    // The kernel takes no quota under 1 ms.
    let quota = (millis.saturating_mul(PERIOD_US) / 1000).max(1000);
    vec![Setting::new("cpu.max", format!("{quota} {PERIOD_US}"))]
}

pub(super) fn place(offer: &Offer, name: &str, limits: &Limits) -> Placement {
    let Some(Controller { parent, home }) = offer.memory.as_ref().or(offer.cpu.as_ref()) else {
        return Placement::default();
    };
    let mut settings = Vec::new();
    settings.extend(limits.memory_bytes.map(memory).unwrap_or_default());
    settings.extend(limits.cpu_millis.map(cpu).unwrap_or_default());
    let dir = parent.join(name);
    let oom = Some((dir.join("memory.events"), "oom_kill ".to_owned()));
    Placement { groups: vec![Group { dir, home: home.clone(), settings }], oom }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_as_the_kernel_reads_them() {
        let here = Controller { parent: "/cg/skipper".into(), home: "/cg".into() };
        let offer = Offer { memory: Some(here.clone()), cpu: Some(here), version: 2 };
        let placement = place(&offer, "web.0", &Limits { memory_bytes: Some(1 << 20), cpu_millis: Some(500) });
        let written: Vec<String> =
            placement.groups[0].settings.iter().map(|s| format!("{}={}", s.file, s.value)).collect();
        assert_eq!(written, ["memory.max=1048576", "memory.swap.max=0", "memory.oom.group=1", "cpu.max=50000 100000"]);
        assert_eq!(placement.groups[0].dir, PathBuf::from("/cg/skipper/web.0"));
    }
}
