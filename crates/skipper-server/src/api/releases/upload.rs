//! Packages of both generations: publishing one, and taking a name away.

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{StatusCode, Uri};
use serde::Serialize;
use skipper_core::name::RepositoryName;

use super::{
    act, answer,
    asked::Asked,
    extract::{Body, Client},
    failure::{Failure, Kind},
    hal::{
        link::{Link, Links},
        number::shown,
    },
    negotiate::Generation,
    wire::{PackageMetadata, Place, UploadRequest},
};
use crate::{
    api::extract::Path,
    app::App,
    error::{Code, Error},
    verb::{
        self,
        packages::Entry,
        publish::{self, Publish},
    },
};

/// What was published.
#[derive(Serialize)]
struct Published {
    #[serde(flatten)]
    metadata: PackageMetadata,
    #[serde(rename = "_links", skip_serializing_if = "Option::is_none")]
    links: Option<Links>,
}

/// `POST /api/upload`, `POST /api/package/upload`.
pub(super) async fn upload(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Body(body): Body<UploadRequest>,
) -> Result<Response, Failure> {
    let wanted = wanted(&app, asked.generation, body).await?;
    let (repository, name, version) = (wanted.repository.clone(), wanted.name.clone(), wanted.version.clone());
    let entry = verb::publish::publish(&app, &client.caller, wanted).await.map_err(|error| match error.code() {
        Code::RepositoryNotFound => without_repository(&repository).because(error),
        Code::RepositoryReadOnly => read_only().because(error),
        Code::PackageExists => Failure::skipper(format!(
            "Failed to upload the package. Package [{name}:{version}] in Repository [{repository}] already exists."
        ))
        .because(error),
        Code::NameInUse | Code::PackageInvalid => {
            let told = leaving(error.detail()).map_or_else(|| Failure::skipper(error.detail()), outside);
            told.because(error)
        }
        _ => error.into(),
    })?;
    answer(&app, &asked, &entry).await
}

/// What the original says of a path that leads out of the folder it unpacks into.
fn outside(path: &str) -> Failure {
    Failure::skipper(format!("Entry is outside of the target dir: {path}"))
}

/// The entry of a zip that is refused because it leads out of the package.
fn leaving(refusal: &str) -> Option<&str> {
    let (before, _) = refusal.split_once("` could be written outside of the package")?;
    before.rsplit_once("the entry `").map(|(_, entry)| entry)
}

/// Checks in the order in which the generation does it.
async fn wanted(app: &App, generation: Generation, body: UploadRequest) -> Result<Publish, Failure> {
    let second = generation == Generation::V2;
    let repository = body.repo_name.ok_or_else(|| Failure::argument("Repo name can not be null"))?;
    if second {
        known(app, &repository).await?;
    }
    let name = body.name.ok_or_else(|| Failure::argument("Name of package can not be null"))?;
    let version = body.version.ok_or_else(|| Failure::argument("Version can not be null"))?;
    if second && semver::Version::parse(&version).is_err() {
        let text = format!("UploadRequest doesn't have a valid semantic version.  Version = {version}");
        return Err(Failure::skipper(text));
    }
    match body.extension.as_deref() {
        None => return Err(Failure::argument("Extension can not be null")),
        Some("zip") => {}
        Some(other) => return Err(Failure::argument(format!("Extension must be 'zip', not {other}"))),
    }
    let bytes =
        body.package_file_as_bytes.ok_or_else(|| Failure::argument("Package file as bytes must not be null"))?;
    let bytes = STANDARD.decode(bytes.trim()).map_err(|wrong| {
        Failure::new(Kind::Unreadable, format!("JSON parse error: packageFileAsBytes is no base64: {wrong}"))
    })?;
    if bytes.is_empty() {
        return Err(Failure::argument("Package file as bytes must not be empty"));
    }
    if second && name.contains(['/', '\\']) {
        return Err(outside(&format!("{name}-{version}.zip")));
    }
    if bytes.len() > app.limits.package {
        let most = app.limits.package;
        return Err(Error::new(Code::BodyTooLarge, format!("a package may have at most {most} bytes")).into());
    }
    Ok(Publish { repository, name, version, bytes })
}

/// Refuses a repository that cannot be published to.
async fn known(app: &App, repository: &str) -> Result<(), Failure> {
    match app.resolver.repositories().repository(repository).await {
        Ok(listed) if listed.writable => Ok(()),
        Ok(_) => Err(read_only()),
        Err(error) if error.code() == Code::RepositoryNotFound => Err(without_repository(repository).because(error)),
        Err(error) => Err(error.into()),
    }
}

fn without_repository(name: &str) -> Failure {
    Failure::new(Kind::Missing, format!("Could not find local repository to upload to named {name}"))
}

fn read_only() -> Failure {
    Failure::skipper("Repository to upload to is not a local database hosted repository.")
}

async fn answer(app: &App, asked: &Asked, entry: &Entry) -> Result<Response, Failure> {
    let place = place(app, &entry.repository).await?;
    let id = shown(entry.num);
    let metadata = PackageMetadata::of(&entry.metadata, place.as_ref(), asked.generation);
    let install = "/api/package/install";
    let links = Links::default()
        .with("install", Link::to(asked.link(install)))
        .with("install", Link::to(asked.link(&format!("{install}/{id}"))));
    let links = (asked.generation == Generation::V2).then_some(links);
    let mut response = answer::document(StatusCode::CREATED, asked.linked(), &Published { metadata, links })?;
    answer::located(&mut response, &asked.link(&format!("/api/packageMetadata/{id}")));
    Ok(response)
}

async fn place(app: &App, repository: &RepositoryName) -> Result<Option<Place>, Error> {
    let stored = app.store.repository_list().await?;
    let found = stored.iter().find(|known| known.name == *repository);
    Ok(found.map(|known| Place { id: shown(known.numeric.num), name: known.name.to_string() }))
}

/// `DELETE /api/package/{name}`: all its versions.
pub(super) async fn remove(
    State(app): State<App>,
    client: Client,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    publish::remove_all(&app, &client.caller, &name).await.map_err(|error| refused(error, &name, false))?;
    Ok(StatusCode::OK.into_response())
}

/// `DELETE /api/package/upload` and the like, where a package is called as a path is.
pub(super) async fn remove_like_path(state: State<App>, client: Client, uri: Uri) -> Result<Response, Failure> {
    let name = uri.path().rsplit('/').next().unwrap_or_default().to_owned();
    remove(state, client, Path(name)).await
}

fn refused(error: Error, name: &str, with_release: bool) -> Failure {
    match error.code() {
        Code::PackageNotFound => {
            Failure::new(Kind::Missing, format!("Can not find a package named '{name}'")).because(error)
        }
        Code::RepositoryReadOnly if with_release => {
            let text = format!("Can't delete package: {name} from non-local repository");
            Failure::new(Kind::PackageDelete, text).because(error)
        }
        Code::RepositoryReadOnly => {
            let repository = error.advice().unwrap_or_default();
            let text = format!("Can not delete package [{name}], associated repository [{repository}] is remote.");
            Failure::new(Kind::PackageDelete, text).because(error)
        }
        Code::PackageInUse => Failure::new(Kind::PackageDelete, error.detail()).because(error),
        _ => error.into(),
    }
}

/// `DELETE /api/release/{name}/package`: the release, and all versions of its package.
pub(super) async fn remove_with_release(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Path(named): Path<String>,
) -> Result<Response, Failure> {
    let version = Box::pin(act::delete_with_package(&app, &client, &named, refused)).await?;
    answer::release(&app, &asked, StatusCode::OK, &version)
}
