use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, prelude::BASE64_STANDARD as STANDARD};
use reqwest::Method;
use skipper_server::api::own::wire::{
    PackageRef, PackageView, PastRevision, RepositoryList, TakeOverRequest, TakenOver,
};
use skipper_source::{
    Package,
    original::{Original, Release, Repository, Status, zip_of},
};

use super::{super::Context, origin, report::Report};
use crate::{
    client::{Call, Client},
    cmd::local::LOCAL_REPOSITORY,
    failure::{Done, Exit, Failure},
};

/// Most bytes of packages, in base64, that go along with a release: the server takes 16 MiB of zips.
const MAX_PACKAGES: usize = 16 << 20;

/// Arguments of `import spring-skipper`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
From where: the address of the original's API (http://host:7577), its PostgreSQL (postgresql://user:password@host/db), or the
script that H2 writes (java -cp h2.jar org.h2.tools.Script -url jdbc:h2:FILE -script dump.sql).

Releases come over with every version, manifest and value, and run nowhere: what the original server runs it keeps running.
`skipper rollback NAME VERSION` starts a version here, once the original has deleted it. What is here already stays as it is, so
the command can be repeated.")]
pub(crate) struct SpringSkipper {
    /// Where the original's knowledge is
    #[arg(long, value_name = "FILE|URL")]
    from: String,
    /// Say what would be taken over, and take over nothing
    #[arg(long)]
    dry_run: bool,
}

impl SpringSkipper {
    pub(super) async fn run(self, context: &Context) -> Done {
        let original = origin::read(context, &self.from).await?;
        let client = context.client()?;
        let mut report = Report::new(self.dry_run, original.warnings.clone());
        let mut taking = Taking { client, dry_run: self.dry_run, report: &mut report };
        taking.repositories(&original).await?;
        taking.packages(&original).await?;
        taking.releases(&original).await?;
        report.show(context)?;
        if report.has_releases() {
            context.out.next("nothing of them runs here yet: `skipper list --all` shows them, `skipper rollback NAME VERSION` starts one");
        }
        if report.is_whole() { Ok(()) } else { Err(Failure::quiet(Exit::Error)) }
    }
}

struct Taking<'a> {
    client: &'a Client,
    dry_run: bool,
    report: &'a mut Report,
}

impl Taking<'_> {
    async fn repositories(&mut self, original: &Original) -> Done {
        let there: RepositoryList = self.client.ask(&Call::get(&["v1", "repositories"])).await?;
        let there: BTreeSet<String> = there.items.into_iter().map(|repository| repository.name).collect();
        for repository in &original.repositories {
            let name = repository.name.clone();
            if there.contains(&name) {
                self.report.there("repository", name);
                continue;
            }
            let call = Call::post(&["v1", "repositories"]).json(&new_repository(repository));
            let detail = if repository.local { "local".to_owned() } else { repository.url.clone() };
            self.carry_out("repository", name, detail, &call).await?;
        }
        Ok(())
    }

    /// Those of local repositories, with the bytes of the database, else as a release kept them.
    async fn packages(&mut self, original: &Original) -> Done {
        let kept: BTreeMap<(Option<&str>, &str, &str), &Release> = original
            .releases
            .iter()
            .filter_map(|release| {
                let (name, version) = (release.package_text("name")?, release.package_text("version")?);
                Some(((original.repository_of(release), name, version), release))
            })
            .collect();
        for package in original.packages.iter().filter(|package| package.local) {
            let label = format!("{}/{}-{}", package.repository, package.name, package.version);
            let path = ["v1", "packages", &package.repository, &package.name, &package.version];
            match self.client.ask::<PackageView>(&Call::get(&path)).await {
                Ok(_) => {
                    self.report.there("package", label);
                    continue;
                }
                Err(failure) if failure.exit == Exit::NotFound => {}
                Err(failure) => return Err(failure),
            }
            // Of two repositories that have the same version, each has its own.
            let of = |repository| kept.get(&(repository, package.name.as_str(), package.version.as_str()));
            let made = || zip_of(&of(Some(&package.repository)).or_else(|| of(None))?.package);
            let (bytes, detail) = match (package.bytes.clone(), made()) {
                (Some(bytes), _) => (bytes, String::new()),
                (None, Some(bytes)) => (bytes, "made anew from a release".to_owned()),
                (None, None) => {
                    let why = "its bytes are only in the original's database, and no release has kept it";
                    self.report.left_out("package", label, why.to_owned());
                    continue;
                }
            };
            if self.dry_run
                && let Err(why) = checked(&bytes)
            {
                self.report.left_out("package", label, why);
                continue;
            }
            let call = Call::post(&["v1", "packages"])
                .query("repository", &package.repository)
                .bytes("application/zip", bytes);
            self.carry_out("package", label, detail, &call).await?;
        }
        Ok(())
    }

    async fn releases(&mut self, original: &Original) -> Done {
        let mut by_name: BTreeMap<&str, Vec<&Release>> = BTreeMap::new();
        for release in &original.releases {
            by_name.entry(&release.name).or_default().push(release);
        }
        let repository_of = |release: &Release| {
            let (name, version) = (release.package_text("name")?, release.package_text("version")?);
            let found = original.packages.iter().find(|package| package.name == name && package.version == version);
            original
                .repository_of(release)
                .or_else(|| found.map(|package| package.repository.as_str()))
                .map(str::to_owned)
        };
        for (name, mut versions) in by_name {
            // One row a version; the original may hold two where an install failed half-way.
            versions.dedup_by_key(|release| release.version);
            match self.client.tell(&Call::new(Method::GET, &["v1", "releases", name])).await {
                Ok(()) => {
                    self.report.there("release", name.to_owned());
                    continue;
                }
                Err(failure) if failure.exit == Exit::NotFound => {}
                Err(failure) => return Err(failure),
            }
            let detail = format!("{} versions", versions.len());
            if self.dry_run {
                self.report.taken("release", name.to_owned(), detail);
                continue;
            }
            let mut packages = Packages::default();
            let revisions = versions
                .iter()
                .map(|release| PastRevision { kept: packages.place(release), ..past(release, repository_of(release)) })
                .collect();
            let request = TakeOverRequest { revisions, packages: packages.zips };
            let call = Call::post(&["v1", "releases", name, "history"]).json(&request);
            match self.client.ask::<TakenOver>(&call).await {
                Ok(taken) => {
                    self.report.taken("release", name.to_owned(), detail);
                    for warning in taken.warnings {
                        self.report.warn(format!("{name}: {warning}"));
                    }
                }
                Err(failure) if is_refusal(&failure) => {
                    self.report.left_out("release", name.to_owned(), failure.message);
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Sends it, unless this is a dry run. What the server refuses is told and does not end the rest.
    async fn carry_out(&mut self, kind: &'static str, name: String, detail: String, call: &Call) -> Done {
        if self.dry_run {
            self.report.taken(kind, name, detail);
            return Ok(());
        }
        match self.client.tell(call).await {
            Ok(()) => self.report.taken(kind, name, detail),
            Err(failure) if is_refusal(&failure) => self.report.left_out(kind, name, failure.message),
            Err(failure) => return Err(failure),
        }
        Ok(())
    }
}

/// The packages of a release's versions, each once: many versions are made of one.
#[derive(Default)]
struct Packages {
    zips: Vec<String>,
    bytes: usize,
}

impl Packages {
    /// The place of a version's package; `None` where nothing was kept, or all of them are more than one request carries.
    fn place(&mut self, release: &Release) -> Option<usize> {
        let zip = STANDARD.encode(zip_of(&release.package)?);
        if let Some(at) = self.zips.iter().position(|known| *known == zip) {
            return Some(at);
        }
        if self.bytes + zip.len() > MAX_PACKAGES {
            return None;
        }
        self.bytes += zip.len();
        self.zips.push(zip);
        Some(self.zips.len() - 1)
    }
}

/// What the server would say of a zip.
fn checked(zip: &[u8]) -> Result<(), String> {
    let package = Package::from_zip(zip).map_err(|wrong| format!("the package cannot be read: {wrong}"))?;
    package.metadata().map(drop).map_err(|faults| format!("the package is not valid: {faults}"))
}

/// Whether it is about the one thing that was sent; without rights, or a server, nothing else can be done either.
fn is_refusal(failure: &Failure) -> bool {
    failure.exit == Exit::Error && failure.code.is_some()
}

fn new_repository(repository: &Repository) -> serde_json::Value {
    let mut body = serde_json::json!({
        "name": repository.name,
        "local": repository.local,
        "order": repository.order,
    });
    if !repository.local {
        body["url"] = repository.url.clone().into();
    }
    for (key, value) in [("source_url", &repository.source_url), ("description", &repository.description)] {
        if let Some(value) = value {
            body[key] = value.clone().into();
        }
    }
    body
}

fn past(release: &Release, repository: Option<String>) -> PastRevision {
    let state = match release.status {
        // It runs there, not here.
        Status::Deployed | Status::Deleted => "superseded",
        Status::Failed => "failed",
        Status::Unknown => "cancelled",
    };
    PastRevision {
        number: release.version,
        state: state.to_owned(),
        package: PackageRef {
            repository: Some(repository.unwrap_or_else(|| LOCAL_REPOSITORY.to_owned())),
            name: release.package_text("name").unwrap_or(&release.name).to_owned(),
            version: Some(release.package_text("version").unwrap_or_default().to_owned()),
        },
        values: release.values.clone(),
        manifest: release.manifest.clone(),
        kept: None,
        platform: None,
        description: release.description.clone(),
        created_at: time(release.deployed_at.unwrap_or(0)),
    }
}

fn time(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros).map_or_else(|_| "1970-01-01T00:00:00Z".to_owned(), |at| at.to_string())
}
