//! What slip's configuration says, against what this machine is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use skipper_core::secret::SecretValue;
use skipper_server::config::DirectoryTexts;
use skipper_source::{
    Faults,
    app::{self, Directory, Environment, Server},
};

use super::{Finding, fix::Fix};

/// Longest that a name may take to be looked up.
const LOOK_UP: Duration = Duration::from_secs(3);
/// Most names that are looked up.
const MOST: usize = 50;
/// Most faults of files that are shown.
const MOST_FAULTS: usize = 50;

/// A directory that was read.
pub(super) struct Door {
    pub(super) dir: PathBuf,
    pub(super) texts: DirectoryTexts,
    /// Whether the file of its variables could be read: else what is not set may well be set for the server.
    pub(super) knows_variables: bool,
}

/// What it says, as far as it can be read.
pub(super) struct Apps {
    pub(super) server: Server,
    apps: BTreeMap<String, Result<app::App, Faults>>,
}

impl Apps {
    /// `auth.secret`, unless it is empty.
    pub(super) fn secret(&self) -> Option<&SecretValue> {
        Some(&self.server.secret).filter(|secret| !secret.expose().is_empty())
    }
}

/// Looks at the directory; the apps, where they can be read.
pub(super) async fn look(door: &Door, env: &BTreeMap<String, String>, findings: &mut Vec<Finding>) -> Option<Apps> {
    findings.push(folder(&door.dir));
    let faults = |findings: &mut Vec<Finding>, all: &[skipper_source::Finding]| {
        let is_of_variables =
            |fault: &skipper_source::Finding| !door.knows_variables && fault.message.contains("environment variable");
        for fault in all.iter().take(MOST_FAULTS) {
            let advice = fault.hint.clone().unwrap_or_else(|| "mend the file".to_owned());
            let detail = skipper_source::Finding { hint: None, ..fault.clone() }.to_string();
            findings.push(match fault.severity {
                skipper_source::Severity::Error if is_of_variables(fault) => Finding::warning(
                    "variables",
                    detail,
                    "name the file that the server is given with --env-file, as a user who may read it",
                ),
                skipper_source::Severity::Error => Finding::broken("app files", detail, advice),
                skipper_source::Severity::Warning => Finding::warning("app files", detail, advice),
            });
        }
    };
    let texts = &door.texts;
    let loaded = app::load(&Directory { server: &texts.server, apps: &texts.apps, env: Environment::new(env) });
    let of_apps = loaded.apps.values().filter_map(|read| read.as_ref().err()).flat_map(Faults::findings);
    let odd: Vec<_> = loaded.warnings.iter().chain(&texts.unreadable).chain(of_apps).cloned().collect();
    faults(findings, &odd);
    let apps = match loaded.server {
        Ok(server) => Apps { server, apps: loaded.apps },
        Err(wrong) => {
            faults(findings, wrong.findings());
            return None;
        }
    };
    let good = apps.apps.values().filter(|read| read.is_ok()).count();
    let detail = format!("{good} of {} can be deployed", apps.apps.len());
    let broken: Vec<&str> = apps.apps.iter().filter(|(_, read)| read.is_err()).map(|(name, _)| name.as_str()).collect();
    findings.push(if broken.is_empty() {
        Finding::ok("apps", detail)
    } else {
        Finding::broken("apps", format!("{detail}, and not {}", broken.join(", ")), "mend their files")
    });
    findings.extend(split(&apps));
    names(&apps, findings).await;
    Some(apps)
}

fn folder(dir: &Path) -> Finding {
    let apps = dir.join("apps");
    if apps.is_dir() {
        return Finding::ok("directory", dir.display().to_string());
    }
    Finding::warning("directory", format!("{} is not there", apps.display()), "make it: apps are files in there")
        .fix(Fix::Folder(apps))
}

/// Whoever signs webhooks with the server's key holds what lets them manage the server.
fn split(apps: &Apps) -> Option<Finding> {
    let secret = apps.secret()?;
    let (mut shared, mut same) = (Vec::new(), Vec::new());
    for (name, read) in &apps.apps {
        match read {
            Ok(app) if app.keys.is_empty() => shared.push(name.as_str()),
            Ok(app) if app.keys.iter().any(|key| key.expose() == secret.expose()) => same.push(name.as_str()),
            _ => {}
        }
    }
    shared.extend(same);
    if shared.is_empty() {
        return None;
    }
    Some(Finding::warning(
        "webhook key",
        format!(
            "[auth].secret also signs the webhooks of {}: whoever may deploy there may manage everything",
            shared.join(", ")
        ),
        "give each app a key of its own: `skipper secrets rotate APP SLIP_SECRET`, or `secret` in its file",
    ))
}

/// Looks at who may read the files; `data_dir` is whose server reads them, where that is known.
pub(super) fn readers(door: &Door, data_dir: Option<&Path>, findings: &mut Vec<Finding>) {
    let keeper = data_dir.and_then(Keeper::of);
    findings.extend(unreadable(door, keeper));
    findings.extend(literal_keys(door, keeper));
}

/// The user that the server runs as: whoever has its data directory.
#[derive(Clone, Copy)]
struct Keeper {
    user: u32,
    group: u32,
}

impl Keeper {
    /// `None` where there is no such folder yet, or it is root's, who may read everything.
    fn of(data_dir: &Path) -> Option<Self> {
        let meta = fs::metadata(data_dir).ok()?;
        (meta.uid() != 0).then(|| Self { user: meta.uid(), group: meta.gid() })
    }

    /// Whether they may read a file of this owner and group with this mode. Further groups of theirs are not known.
    fn may_read(self, meta: &fs::Metadata, mode: u32) -> bool {
        let bit = match (meta.uid() == self.user, meta.gid() == self.group) {
            (true, _) => 0o400,
            (false, true) => 0o040,
            (false, false) => 0o004,
        };
        mode & bit != 0
    }

    /// What gives them a file that has to be closed to everybody else.
    fn share(self, path: &Path, mode: u32) -> Fix {
        Fix::Share(path.to_owned(), mode & 0o600 | 0o040, self.group)
    }
}

fn files_of(door: &Door) -> impl Iterator<Item = (PathBuf, &String)> {
    let own = std::iter::once((door.dir.join("slip.toml"), &door.texts.server));
    own.chain(door.texts.apps.iter().map(|(name, text)| (door.dir.join("apps").join(name), text)))
}

/// Files that the server's own user cannot read: it would not start any more.
fn unreadable(door: &Door, keeper: Option<Keeper>) -> Vec<Finding> {
    let Some(keeper) = keeper else { return Vec::new() };
    let closed = files_of(door).filter_map(|(path, _)| {
        let meta = fs::metadata(&path).ok()?;
        let mode = meta.permissions().mode();
        if keeper.may_read(&meta, mode) {
            return None;
        }
        let detail = format!("{} cannot be read by user {}, who has the data directory", path.display(), keeper.user);
        let fix = keeper.share(&path, mode);
        Some(Finding::broken("directory", detail, fix.text()).fix(fix))
    });
    closed.collect()
}

/// Files that hold a key themselves, and that others may read. Whoever runs the server still has to.
fn literal_keys(door: &Door, keeper: Option<Keeper>) -> Vec<Finding> {
    let open = files_of(door).filter(|(_, text)| holds_key(text)).filter_map(|(path, _)| {
        let finding = private(&path, "key files", 0o640)?;
        let meta = fs::metadata(&path).ok()?;
        let mode = meta.permissions().mode();
        match keeper.filter(|keeper| keeper.may_read(&meta, mode) && !keeper.may_read(&meta, mode & 0o640)) {
            Some(keeper) => {
                let fix = keeper.share(&path, mode);
                Some(Finding { advice: Some(fix.text()), ..finding }.fix(fix))
            }
            None => Some(finding),
        }
    });
    open.collect()
}

/// Whether a text says `secret = "…"`, or a token, without naming a variable.
fn holds_key(text: &str) -> bool {
    text.lines().any(|line| {
        let Some((key, value)) = line.trim_start().split_once('=') else { return false };
        let value = value.trim();
        let key = key.trim().rsplit('.').next().unwrap_or_default();
        matches!(key, "secret" | "token" | "ghcr_token" | "password" | "api_key")
            && !value.contains("${")
            && value.len() > 2
    })
}

/// A finding where more may read a file than `mode` says.
pub(super) fn private(path: &Path, check: &'static str, mode: u32) -> Option<Finding> {
    let found = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    let open = found & !mode & 0o077;
    if open == 0 {
        return None;
    }
    let who = if open & 0o007 == 0 { "its group" } else { "every user" };
    let detail = format!("{} can be opened by {who} (mode {found:o})", path.display());
    Some(
        Finding::broken(check, detail, format!("chmod {mode:o} {}", path.display()))
            .fix(Fix::Mode(path.to_owned(), found & mode)),
    )
}

/// Whether the host names of apps lead here.
async fn names(apps: &Apps, findings: &mut Vec<Finding>) {
    let good = apps.apps.values().filter_map(|read| read.as_ref().ok());
    let hosts: BTreeSet<String> = good.flat_map(|app| &app.routes).map(|route| route.host.to_string()).collect();
    let own = own_addresses();
    for host in hosts.iter().filter(|host| !host.contains('*')).take(MOST) {
        let looked_up = tokio::time::timeout(LOOK_UP, tokio::net::lookup_host((host.as_str(), 443))).await;
        let found: BTreeSet<IpAddr> = match looked_up {
            Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
            Ok(Err(_)) | Err(_) => BTreeSet::new(),
        };
        findings.push(of_host(host, &found, &own));
    }
    if hosts.len() > MOST {
        findings.push(Finding::ok("dns", format!("{} more names were not looked up", hosts.len() - MOST)));
    }
}

fn of_host(host: &str, found: &BTreeSet<IpAddr>, own: &BTreeSet<IpAddr>) -> Finding {
    if found.is_empty() {
        let advice = "make an A or AAAA record for it that leads to this machine";
        return Finding::warning("dns", format!("{host} leads nowhere"), advice);
    }
    let text: Vec<_> = found.iter().map(ToString::to_string).collect();
    let text = text.join(", ");
    if found.is_subset(own) {
        return Finding::ok("dns", format!("{host} leads here ({text})"));
    }
    let (detail, advice) = if found.is_disjoint(own) {
        (
            format!("{host} leads to {text}, and that is no address of this machine"),
            "right where a proxy or NAT is in front; else change its record",
        )
    } else {
        (
            format!("{host} leads to {text}, and not all of these are this machine's"),
            "remove the records of the others, or serve it there too",
        )
    };
    Finding::warning("dns", detail, advice)
}

/// Addresses of this machine, as the kernel lists them.
fn own_addresses() -> BTreeSet<IpAddr> {
    let mut own = BTreeSet::new();
    let trie = fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let mut last = None;
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<IpAddr>().ok();
        } else if line == "/32 host LOCAL" {
            own.extend(last);
        }
    }
    let six = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    own.extend(six.lines().filter_map(|line| {
        let digits = line.split(' ').next()?;
        u128::from_str_radix(digits, 16).ok().map(|bits| IpAddr::V6(bits.into()))
    }));
    // Nothing is sent: the kernel only says from where it would be.
    let outwards = [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")];
    own.extend(outwards.into_iter().filter_map(|(from, to)| {
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to.parse::<SocketAddr>().ok()?).ok()?;
        socket.local_addr().ok().map(|address| address.ip())
    }));
    own
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::doctor::State;

    #[test]
    fn a_name_leads_here_or_elsewhere_or_to_both() {
        let of = |addresses: &[&str]| addresses.iter().map(|text| text.parse().expect("an address")).collect();
        let own: BTreeSet<IpAddr> = of(&["192.0.2.1", "2001:db8::1"]);
        for (found, state, text) in [
            (of(&[]), State::Warning, "nowhere"),
            (of(&["192.0.2.1", "2001:db8::1"]), State::Ok, "leads here"),
            (of(&["192.0.2.9"]), State::Warning, "no address of this machine"),
            (of(&["192.0.2.1", "192.0.2.9"]), State::Warning, "not all of these"),
        ] {
            let finding = of_host("web.test", &found, &own);
            assert!(finding.state == state && finding.detail.contains(text), "{finding:?}");
        }
        assert!(own_addresses().contains(&IpAddr::from([127, 0, 0, 1])));
    }

    #[test]
    fn a_file_that_is_closed_to_others_stays_open_to_the_server() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("slip.toml");
        fs::write(&file, "[auth]\nsecret = \"x\"\n").expect("written");
        let set = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("set");
        let texts = DirectoryTexts { server: "[auth]\nsecret = \"x\"\n".to_owned(), ..DirectoryTexts::default() };
        let door = Door { dir: dir.path().to_owned(), texts, knows_variables: true };
        let own = fs::metadata(&file).expect("there");
        set(0o644);
        let same = Keeper { user: own.uid(), group: own.gid() };
        assert_eq!(unreadable(&door, Some(same)).len(), 0);
        assert_eq!(literal_keys(&door, Some(same))[0].fix, Some(Fix::Mode(file.clone(), 0o640)));
        // Another user, of another group: it is given to that.
        let other = Keeper { user: own.uid() + 1, group: own.gid() + 1 };
        assert_eq!(unreadable(&door, Some(other)).len(), 0);
        let wanted = Fix::Share(file.clone(), 0o640, own.gid() + 1);
        assert_eq!(literal_keys(&door, Some(other))[0].fix.as_ref(), Some(&wanted));
        set(0o640);
        let found = unreadable(&door, Some(other));
        assert_eq!((found[0].state, found[0].fix.as_ref()), (State::Broken, Some(&wanted)));
        assert_eq!(unreadable(&door, Some(Keeper { group: own.gid(), ..other })).len(), 0);
        assert_eq!(unreadable(&door, None).len(), 0);
        // Only root gives files away.
        if rustix::process::geteuid().is_root() {
            let mut all = found;
            crate::cmd::doctor::fix::mend(&mut all);
            let now = fs::metadata(&file).expect("there");
            assert_eq!((now.gid(), now.permissions().mode() & 0o777), (own.gid() + 1, 0o640));
        }
    }

    #[test]
    fn a_key_in_a_file_is_told_from_the_name_of_a_variable() {
        assert!(holds_key("[auth]\n  secret = \"x\"\n") && holds_key("ghcr_token=\"t\""));
        for other in ["secret = \"${SLIP_SECRET}\"", "secret = \"\"", "# secret = \"x\"", "secrets = [\"A\"]"] {
            assert!(!holds_key(other), "{other}");
        }
    }
}
