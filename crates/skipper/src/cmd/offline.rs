//! Work on a data directory whose server does not run.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::{MetadataExt as _, chown},
    path::Path,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};
use skipper_core::{
    actor::{Actor, Provenance, Role},
    id::RequestId,
    name::{NodeName, SecretName, TenantName},
    port::{Clock as _, Ids as _},
    secret::SecretValue,
    time::Timestamp,
};
use skipper_server::{
    api::own::wire::{NewToken, SecretList, SecretView, TokenCreated, TokenView},
    config::Config,
};
use skipper_source::fleet::NodeSpec;
use skipper_store::{Store, StoreConfig};

use super::{Context, server::Settings};
use crate::{
    failure::{Doing as _, Done, Exit, Failure, chain},
    render::{parse_span, tame},
    serve,
    world::{RandomIds, SystemClock},
};

/// The data directory, as long as this lives: no server starts on it meanwhile.
struct Locked {
    config: Config,
    // Held for its lock.
    _lock: File,
}

/// Makes a token in the store itself.
///
/// # Errors
///
/// A server runs on the data directory, or the store cannot be opened.
pub(super) async fn create_token(
    context: &Context,
    settings: &Settings,
    new: &NewToken,
) -> Result<TokenCreated, Failure> {
    let role = Role::parse(&new.role).ok_or_else(|| Failure::usage(format!("there is no role `{}`", new.role)))?;
    let tenant =
        new.tenant.clone().map(TenantName::new).transpose().map_err(|error| Failure::usage(error.to_string()))?;
    let span = new.expires_in.as_deref().map(parse_span).transpose().map_err(Failure::usage)?;
    let locked = lock(context, settings, "`skipper token create` without --data-dir asks that server")?;
    let store = Store::open(serve::store_config(&locked.config)).await.map_err(|e| broken(&e))?;
    let wanted = skipper_store::NewToken {
        name: new.name.clone(),
        role,
        tenant,
        expires_at: span.map(|span| SystemClock.now() + span),
    };
    let provenance = provenance();
    let made = store.token_create(wanted, &provenance).await;
    store.close().await;
    hand_over(&locked.config.data_dir);
    let (token, secret) = made.map_err(|error| broken(&error))?;
    Ok(TokenCreated {
        token: TokenView {
            id: token.id.to_string(),
            name: token.name,
            role: token.role.as_str().to_owned(),
            tenant: token.tenant.map(String::from),
            created_at: rfc3339(token.created_at),
            expires_at: token.expires_at.map(rfc3339),
            last_used_at: None,
        },
        secret: Some(secret.expose().to_owned()),
    })
}

/// Sets secrets of tenant `default` in the store itself.
///
/// # Errors
///
/// A name that is none; a server runs on the data directory, or the store cannot be opened or has no key.
pub(super) async fn set_secrets(
    context: &Context,
    settings: &Settings,
    secrets: Vec<(String, Vec<u8>)>,
) -> Result<Vec<SecretView>, Failure> {
    let mut wanted = Vec::new();
    for (name, value) in secrets {
        let value =
            String::from_utf8(value).map_err(|_| Failure::error(format!("the value of `{name}` is no text")))?;
        wanted.push((secret_name(&name)?, SecretValue::new(value)));
    }
    let locked = lock(context, settings, "`skipper secrets` without --data-dir asks that server")?;
    let store = Store::open(serve::store_config(&locked.config)).await.map_err(|e| broken(&e))?;
    let tenant = TenantName::default_tenant();
    let mut set = Ok(());
    for (name, value) in &wanted {
        set = set.and(store.secret_set(&tenant, name, value, &provenance()).await.map(drop));
    }
    let all = store.secret_list(&tenant).await;
    store.close().await;
    hand_over(&locked.config.data_dir);
    set.map_err(|error| broken(&error))?;
    let names: Vec<&SecretName> = wanted.iter().map(|(name, _)| name).collect();
    let all = all.map_err(|error| broken(&error))?;
    Ok(all.iter().filter(|secret| names.contains(&&secret.name)).map(secret_view).collect())
}

/// The secrets of tenant `default` in the store itself.
///
/// # Errors
///
/// As [`set_secrets`].
pub(super) async fn list_secrets(context: &Context, settings: &Settings) -> Result<SecretList, Failure> {
    let locked = lock(context, settings, "`skipper secrets` without --data-dir asks that server")?;
    let store = Store::open(serve::store_config(&locked.config)).await.map_err(|e| broken(&e))?;
    let all = store.secret_list(&TenantName::default_tenant()).await;
    store.close().await;
    hand_over(&locked.config.data_dir);
    Ok(SecretList { items: all.map_err(|error| broken(&error))?.iter().map(secret_view).collect() })
}

/// Removes a secret of tenant `default` from the store itself.
///
/// # Errors
///
/// It is not there, or something runs with it and `force` is not set; as [`set_secrets`].
pub(super) async fn remove_secret(context: &Context, settings: &Settings, name: &str, force: bool) -> Done {
    let name = secret_name(name)?;
    let locked = lock(context, settings, "`skipper secrets` without --data-dir asks that server")?;
    let store = Store::open(serve::store_config(&locked.config)).await.map_err(|e| broken(&e))?;
    let removed = store.secret_remove(&TenantName::default_tenant(), &name, force, &provenance()).await;
    store.close().await;
    hand_over(&locked.config.data_dir);
    removed.map_err(|error| match &error {
        skipper_store::Error::NotFound { .. } => Failure::new(Exit::NotFound, tame(&chain(&error))),
        _ => broken(&error),
    })
}

/// Registers a node in the store itself, with that token, and answers what is said of it now. `None` where a server runs on
/// the data directory: it takes the node's files in.
///
/// # Errors
///
/// The node is there already and is not to get another token; the store cannot be opened.
pub(super) async fn register_node(
    context: &Context,
    settings: &Settings,
    node: &NodeName,
    change: impl FnOnce(Option<NodeSpec>) -> NodeSpec,
    token: &str,
    rotate: bool,
) -> Result<Option<NodeSpec>, Failure> {
    let Some(locked) = try_lock(context, settings)? else { return Ok(None) };
    let store = Store::open(serve::store_config(&locked.config)).await.map_err(|e| broken(&e))?;
    let done = async {
        let before = store.node_get(node).await.map_err(|error| broken(&error))?;
        let has_token = !store.node_tokens(node).await.map_err(|error| broken(&error))?.is_empty();
        if before.is_some() && has_token && !rotate {
            return Err(registered(node, &locked.config.data_dir));
        }
        let spec = change(before.and_then(|before| serde_json::from_value(before.spec).ok()));
        let document = serde_json::to_value(&spec).map_err(|error| Failure::error(error.to_string()))?;
        store.node_put(node, &document, &provenance()).await.map_err(|error| broken(&error))?;
        let made = store.node_token_create(node, Some(token.to_owned()), Duration::ZERO, &provenance()).await;
        made.map(|_| spec).map_err(|error| broken(&error))
    };
    let done = done.await;
    store.close().await;
    hand_over(&locked.config.data_dir);
    done.map(Some)
}

/// A node is there already, and nobody asked for another token.
pub(super) fn registered(node: &NodeName, dir: &Path) -> Failure {
    Failure::error(format!("{node} is registered already, in {}", dir.display()))
        .hint("--rotate-token gives it another token; the old one then lets nobody in any more")
}

fn secret_name(name: &str) -> Result<SecretName, Failure> {
    SecretName::new(name).map_err(|error| Failure::usage(error.to_string()))
}

fn secret_view(secret: &skipper_store::SecretInfo) -> SecretView {
    SecretView {
        name: secret.name.to_string(),
        tenant: TenantName::default_tenant().to_string(),
        version: secret.version,
        used: secret.used,
        created_at: rfc3339(secret.created_at),
        updated_at: rfc3339(secret.updated_at),
    }
}

fn provenance() -> Provenance {
    let request = RequestId::from_uuid(RandomIds.next());
    Provenance { actor: Actor::Local, trigger: "cli".into(), request, correlation: request.to_string() }
}

/// What the superuser made in a data directory of somebody else's becomes theirs: their server has to open it.
fn hand_over(dir: &Path) {
    let Ok(owner) = std::fs::metadata(dir) else { return };
    if !rustix::process::geteuid().is_root() || owner.uid() == 0 {
        return;
    }
    for folder in [dir.to_owned(), dir.join("keys")] {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in entries.chain([folder.clone()]) {
            let ours = std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.uid() == 0 && !meta.is_symlink());
            if ours {
                // Where it cannot be given away, the server says what it cannot open.
                let _ = chown(&path, Some(owner.uid()), Some(owner.gid()));
            }
        }
    }
}

/// Puts a backup in the place of the store.
///
/// # Errors
///
/// A server runs on the data directory, the backup is no good, or something is there already.
pub(super) async fn restore(context: &Context, settings: &Settings, file: &Path, how: skipper_store::Restore) -> Done {
    let locked = lock(context, settings, "stop that server first")?;
    let config: StoreConfig = serve::store_config(&locked.config);
    let place = config.location.to_string();
    let restored = Store::restore(file, &config, how).await.map_err(|error| match &error {
        skipper_store::Error::Exists { .. } => broken(&error).hint("add --force to replace it"),
        _ => broken(&error),
    })?;
    skipper_server::serve::lock::note_store(&locked.config.data_dir, &restored.store_id)
        .map_err(|error| Failure::error(chain(&error)))?;
    if context.out.json {
        return context.out.json(&serde_json::json!({
            "database": place, "epoch": restored.epoch, "releases": restored.releases,
        }));
    }
    context.out.line(&format!("restored {} releases into {place}; epoch {}", restored.releases, restored.epoch))?;
    let key = locked.config.data_dir.join("keys/secret.key");
    if !key.exists() && locked.config.secret_key.is_none() {
        context
            .out
            .note(&format!("{} is not there; secrets, if the backup has any, stay sealed without it", key.display()));
    }
    context.out.next("`skipper server` goes on with what was open when the backup was made");
    Ok(())
}

fn lock(context: &Context, settings: &Settings, otherwise: &str) -> Result<Locked, Failure> {
    try_lock(context, settings)?.ok_or_else(|| {
        let dir = settings.load(&context.surroundings).map(|loaded| loaded.config.data_dir).unwrap_or_default();
        let pid = std::fs::read_to_string(dir.join("server.lock")).unwrap_or_default();
        let pid = pid.trim();
        let who = if pid.is_empty() { String::new() } else { format!(" (process {pid})") };
        Failure::error(format!("a server runs on {}{who}", dir.display())).hint(otherwise)
    })
}

/// The data directory, unless a server runs on it.
fn try_lock(context: &Context, settings: &Settings) -> Result<Option<Locked>, Failure> {
    let config = settings.load(&context.surroundings)?.config;
    let dir = &config.data_dir;
    skipper_server::serve::lock::prepare(dir).doing(|| "prepare the data directory".to_owned())?;
    let path = dir.join("server.lock");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .doing(|| format!("open {}", path.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Locked { config, _lock: file })),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error).doing(|| format!("lock {}", path.display())),
    }
}

fn broken(error: &skipper_store::Error) -> Failure {
    Failure::error(tame(&chain(error)))
}

fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.as_micros()).map_or_else(|_| at.as_micros().to_string(), |at| at.to_string())
}
