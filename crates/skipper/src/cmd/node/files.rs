//! Registration without asking a server: in its store while it does not run, and always as `resources/nodes/NODE.json` and
//! `auth/nodes/NODE.json` in the data directory, which a server takes in when it starts and while it runs.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::json;
use skipper_core::{Sha256, name::NodeName, port::Clock as _};
use skipper_source::fleet::{NodeResource, NodeSpec, NodeStatus};

use super::register::Wanted;
use crate::{
    cmd::{Context, offline, server::Settings},
    failure::{Doing as _, Done, Failure},
    world::SystemClock,
};

/// Longest file that is read.
const FILE_MAX: u64 = 1 << 20;

/// What lets a node's agent in.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Auth {
    node: NodeName,
    /// SHA-256 of the token, in hexadecimal digits.
    token_hash: String,
    created_at: jiff::Timestamp,
    #[serde(default)]
    rotated_at: Option<jiff::Timestamp>,
    #[serde(default)]
    revoked: bool,
}

/// Writes both files, and prints the token.
///
/// # Errors
///
/// The node is there already and no new token was asked for; a token that is none; files that cannot be read or written.
pub(super) async fn register(context: &Context, dir: &Path, settings: &Settings, wanted: &Wanted) -> Done {
    let node = &wanted.node;
    let resource_path = dir.join(format!("resources/nodes/{node}.json"));
    let auth_path = dir.join(format!("auth/nodes/{node}.json"));
    let before: Option<NodeResource> = read(&resource_path)?;
    let auth_before: Option<Auth> = read(&auth_path)?;
    if (before.is_some() || auth_before.is_some()) && !wanted.rotate {
        return Err(offline::registered(node, dir));
    }
    let token = match &wanted.token {
        Some(token) => checked(token)?.to_owned(),
        None => new_token(),
    };
    let now = jiff::Timestamp::from_microsecond(SystemClock.now().as_micros())
        .map_err(|error| Failure::error(format!("the clock of this machine is off: {error}")))?;
    let mut resource = before.unwrap_or_else(|| NodeResource {
        kind: "node".to_owned(),
        id: node.clone(),
        spec: NodeSpec::default(),
        status: Some(NodeStatus { state: "registered".to_owned(), ..NodeStatus::default() }),
    });
    let of_file = resource.spec.clone();
    let change = |stored: Option<NodeSpec>| wanted.over(stored.unwrap_or(of_file));
    let stored = offline::register_node(context, settings, node, change, &token, wanted.rotate).await?;
    resource.spec = stored.unwrap_or_else(|| wanted.over(resource.spec));
    let auth = Auth {
        node: node.clone(),
        token_hash: hash(&token),
        created_at: auth_before.as_ref().map_or(now, |before| before.created_at),
        rotated_at: auth_before.is_some().then_some(now),
        revoked: false,
    };
    let place = Place::prepare(dir)?;
    // What lets it in last: whoever sees that sees the node too.
    place.write(&resource_path, &resource, 0o640)?;
    place.write(&auth_path, &auth, 0o600)?;
    if context.out.json {
        return context.out.json(&json!({"node": resource, "token": token}));
    }
    context.out.line(&token)?;
    context.out.note(&format!(
        "token of {node}; this is the only time it is shown: give it to the agent as AGENT_TOKEN\nwritten: {}, {}",
        resource_path.display(),
        auth_path.display()
    ));
    Ok(())
}

fn new_token() -> String {
    let mut random = [0_u8; 32];
    rand::fill(&mut random[..]);
    format!("skn_{}", URL_SAFE_NO_PAD.encode(random))
}

/// The rule of the server's store, so that nothing is written that it would not take.
fn checked(token: &str) -> Result<&str, Failure> {
    if (8..=512).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(token);
    }
    Err(Failure::usage("a node's token has 8 to 512 visible ASCII characters; leave --token out to have one made"))
}

fn hash(token: &str) -> String {
    let digest = Sha256::of(token.as_bytes()).to_string();
    digest.rsplit_once(':').map_or(digest.clone(), |(_, digits)| digits.to_owned())
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, Failure> {
    let length = match fs::metadata(path) {
        Ok(meta) => meta.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).doing(|| format!("read {}", path.display())),
    };
    if length > FILE_MAX {
        return Err(Failure::error(format!("{} is too large to be a node's file", path.display())));
    }
    let text = fs::read_to_string(path).doing(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| Failure::error(format!("{}: {error}", path.display())).hint("mend the file or remove it"))
}

/// A data directory, and whose it is.
struct Place {
    owner: Option<(u32, u32)>,
}

impl Place {
    /// Makes the folders that are missing. What the superuser makes in somebody else's directory becomes theirs: their
    /// server has to read it.
    fn prepare(dir: &Path) -> Result<Self, Failure> {
        skipper_server::serve::lock::prepare(dir).doing(|| "prepare the data directory".to_owned())?;
        let meta = fs::metadata(dir).doing(|| format!("look at {}", dir.display()))?;
        let is_theirs = rustix::process::geteuid().is_root() && meta.uid() != 0;
        let place = Self { owner: is_theirs.then(|| (meta.uid(), meta.gid())) };
        for (below, mode) in [("resources", 0o750), ("resources/nodes", 0o750), ("auth", 0o700), ("auth/nodes", 0o700)]
        {
            let folder = dir.join(below);
            match fs::DirBuilder::new().mode(mode).create(&folder) {
                Ok(()) => place.hand_over(&folder)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).doing(|| format!("make {}", folder.display())),
            }
        }
        Ok(place)
    }

    fn hand_over(&self, path: &Path) -> Done {
        let Some((uid, gid)) = self.owner else { return Ok(()) };
        chown(path, Some(uid), Some(gid))
            .doing(|| format!("give {} to the owner of the data directory", path.display()))
    }

    /// In one move: whoever reads the folder meanwhile sees the old file or the new one.
    fn write(&self, path: &Path, document: &impl Serialize, mode: u32) -> Done {
        let mut text = serde_json::to_string_pretty(document)
            .map_err(|error| Failure::error(format!("write {}: {error}", path.display())))?;
        text.push('\n');
        let fresh = fresh(path);
        let written = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&fresh)
            .and_then(|mut file| {
                file.set_permissions(fs::Permissions::from_mode(mode))?;
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .doing(|| format!("write {}", fresh.display()));
        written
            .and_then(|()| self.hand_over(&fresh))
            .and_then(|()| fs::rename(&fresh, path).doing(|| format!("write {}", path.display())))
    }
}

/// Beside it, under a name that is no document.
fn fresh(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}
