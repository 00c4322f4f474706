//! slip's configuration: `slip.toml` of a server, `apps/NAME.toml` of an app, and the `/slip/slip.toml` that an image brings
//! along; how they are put together, and what the engine runs of it.
//!
//! ```text
//! texts + environment ── load ──► Server, App            (per file; one bad app disables that app alone)
//! text from the image ── repo ──► Repo
//! App + Repo + Server + deploy ── applications ──► spec::Application, sealed values, preview
//! ```
//!
//! Nothing here reads a file or the environment: both are given. Keys that are not known are warned of and not refused, since
//! slip passes over them; what is wrong in a file is told all at once, with line, column and key. A text that comes
//! out of the environment is a secret from then on: no `Debug`, no message and no spec shows it.

mod build;
mod callbacks;
mod check;
mod databases;
mod edit;
mod expand;
mod file;
mod health;
mod load;
mod merge;
mod oidc;
mod pod;
mod preview;
mod repo;
mod request;
mod server;
mod text;
mod tls;
mod units;
mod validate;
mod value;

pub use build::{Built, Deploy, Inputs, applications, carrier};
pub use callbacks::{Callbacks, Github, GithubKeys, Hook};
pub use check::{Check, check, env_file};
pub use databases::{DatabaseProvider, ProviderKind};
pub use edit::{Edited, edit, merged, new_file, show};
pub use expand::{Environment, Text};
pub use file::{App, AppPreview, AppRoute, AppVolume, DeployKeys, file};
pub use health::{HealthKeys, HealthSettings};
pub use load::{Directory, Held, Loaded, load, load_held};
pub use merge::{IN_IMAGE, Manifest, Merged, MergedRoute, MergedVolume, Side, merge};
pub use oidc::{ClaimPattern, JwksAt, Oidc, OidcClaims};
pub use pod::{Pod, PodContainer, pod};
pub use preview::{
    Database, DatabaseStrategy, Preview, PreviewRequest, preview_prefix, preview_release, split_preview,
};
pub use repo::{Kind, Repo, RepoPreview, RepoRoute, RepoVolume, repo};
pub use request::check_request;
pub use server::{
    Backend, Caddy, CaddyTls, DeployTls, Hidden, Registry, Server, ServerDeploy, ServerPreview, registry_host, server,
};
pub use tls::TlsHosts;
pub use units::{duration_text, parse_cpus, parse_duration, parse_memory, parse_statuses};
pub use validate::{Validated, validate, validate_manifest};
pub use value::{Resources, check_tag, is_reserved};
