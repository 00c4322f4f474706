//! Tenants of the fleet: what `resources/tenants/<id>.json` and `resources/services/<id>.json` say, and the projects of compose that
//! come of it.
//!
//! ```text
//! bytes ── tenant, service ──► Tenant, Service        (every fault at once, with its line)
//! Tenant + its Services ── projects ──► Project       (one for each node, and one for the server's own account)
//! projects ── spec, manifest ──► what the engine runs, what people read
//! ```
//!
//! What a document says of its own status is nobody's wish: it is handed back beside the resource and means nothing. Values of secrets
//! are not known here; a project's variables name them.

mod project;
mod read;
mod render;
mod resource;
mod spec;
mod words;

pub use project::{Project, Surroundings, projects};
pub use read::{Read, service, tenant};
pub use resource::{Command, Service, ServiceSpec, Tenant, TenantSpec, document};
pub use spec::{manifest, spec};
pub use words::{ImageRef, Mount, PortMapping};
