//! Version 1: a hierarchy for each controller.

use std::path::PathBuf;

use skipper_core::spec::Limits;

use super::{Controller, Group, Offer, Placement, Setting, below, mounts, own_path, works};

/// Length of a scheduling period in microseconds, the kernel's own default.
const PERIOD_US: u64 = 100_000;

pub(super) fn probe() -> Offer {
    Offer { memory: controller("memory", &memory(64 << 20)), cpu: controller("cpu", &cpu(1000)), version: 1 }
}

fn controller(name: &str, settings: &[Setting]) -> Option<Controller> {
    let needed: Vec<Setting> = settings.iter().filter(|setting| !setting.optional).cloned().collect();
    let own = own_path(name)?;
    mounts("cgroup", name).into_iter().find_map(|(point, root)| {
        let home = Some(below(&point, &root, &own)).filter(|home| home.is_dir()).unwrap_or_else(|| point.clone());
        // At the top first: what is made within the server's own group would be lost with the server's unit.
        [point, home.clone()]
            .into_iter()
            .map(|top: PathBuf| top.join("skipper"))
            .find(|parent| works(parent, &needed))
            .map(|parent| Controller { parent, home })
    })
}

fn memory(bytes: u64) -> Vec<Setting> {
    // Memory and swap together: without it the process is swapped out instead of held to its limit.
    vec![
        Setting::new("memory.limit_in_bytes", bytes.to_string()),
        Setting::optional("memory.memsw.limit_in_bytes", bytes.to_string()),
    ]
}

fn cpu(millis: u64) -> Vec<Setting> {
    // The kernel takes no quota under 1 ms.
    let quota = (millis.saturating_mul(PERIOD_US) / 1000).max(1000);
    vec![Setting::new("cpu.cfs_period_us", PERIOD_US.to_string()), Setting::new("cpu.cfs_quota_us", quota.to_string())]
}

pub(super) fn place(offer: &Offer, name: &str, limits: &Limits) -> Placement {
    let group = |controller: &Controller, settings| Group {
        dir: controller.parent.join(name),
        home: controller.home.clone(),
        settings,
    };
    let mut placement = Placement::default();
    if let (Some(controller), Some(bytes)) = (&offer.memory, limits.memory_bytes) {
        let group = group(controller, memory(bytes));
        placement.oom = Some((group.dir.join("memory.oom_control"), "oom_kill ".to_owned()));
        placement.groups.push(group);
    }
    if let (Some(controller), Some(millis)) = (&offer.cpu, limits.cpu_millis) {
        let group = group(controller, cpu(millis));
        // Both controllers may be mounted as one hierarchy.
        match placement.groups.iter_mut().find(|other| other.dir == group.dir) {
            Some(other) => other.settings.extend(group.settings),
            None => placement.groups.push(group),
        }
    }
    placement
}
