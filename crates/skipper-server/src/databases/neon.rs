//! Neon's API, version 2, and whatever has its shape.

use std::time::Duration;

use futures::StreamExt as _;
use http::{Method, StatusCode, header};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use skipper_core::{
    BoxFuture,
    port::{Error, ErrorKind},
    secret::SecretValue,
};
use skipper_source::app::DatabaseProvider;

use super::{Made, Provider, Wanted};

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(20);
/// Longest answer that is read.
const MAX_ANSWER: usize = 1 << 20;
/// Most pages of a list that are read, and entries on each.
const MAX_PAGES: usize = 20;
const PAGE: &str = "100";
/// Longest part of somebody else's words that is passed on.
const MAX_WORDS: usize = 200;

/// A client for one account.
#[derive(Debug)]
pub(super) struct Neon {
    client: reqwest::Client,
    provider: String,
    url: String,
    key: SecretValue,
    database: Option<String>,
    role: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Branch {
    id: String,
    name: String,
    /// `init` while it is being made.
    #[serde(default)]
    current_state: Option<String>,
}

#[derive(Deserialize)]
struct BranchList {
    branches: Vec<Branch>,
    #[serde(default)]
    pagination: Option<Pagination>,
}

#[derive(Deserialize)]
struct Pagination {
    #[serde(default)]
    next: Option<String>,
    #[serde(default)]
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct BranchView {
    branch: Branch,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    current_state: Option<String>,
}

#[derive(Deserialize)]
struct EndpointList {
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Database {
    name: String,
    owner_name: String,
}

#[derive(Deserialize)]
struct DatabaseList {
    databases: Vec<Database>,
}

#[derive(Deserialize)]
struct Connection {
    uri: String,
}

/// What Neon says of a failure.
#[derive(Default, Deserialize)]
struct Failure {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Neon {
    pub(super) fn new(client: reqwest::Client, known: &DatabaseProvider, key: SecretValue) -> Self {
        Self {
            client,
            provider: known.name.clone(),
            url: known.url.clone(),
            key,
            database: known.database.clone(),
            role: known.role.clone(),
        }
    }

    async fn made(&self, wanted: &Wanted<'_>) -> Result<Made, Error> {
        let Wanted { project, name, parent } = *wanted;
        let branch = match self.find(project, name).await? {
            Some(branch) => branch,
            None => self.create(project, name, parent).await?,
        };
        let of_branch = ["projects", project, "branches", &branch.id];
        if !is_ready(branch.current_state.as_deref()) {
            let seen: BranchView = self.get(&of_branch, &[]).await?;
            if !is_ready(seen.branch.current_state.as_deref()) {
                return Err(self.later(&format!("branch `{name}` is still being made")));
            }
        }
        let endpoints: EndpointList = self.get(&[&of_branch[..], &["endpoints"]].concat(), &[]).await?;
        match endpoints.endpoints.iter().find(|endpoint| endpoint.kind == "read_write") {
            None => {
                // One that was made by hand, or whose endpoint somebody has removed.
                let body = json!({"endpoint": {"branch_id": branch.id, "type": "read_write"}});
                self.call::<Value>(Method::POST, &["projects", project, "endpoints"], &[], Some(&body)).await?;
            }
            Some(endpoint) if !is_ready(endpoint.current_state.as_deref()) => {
                return Err(self.later(&format!("the endpoint of branch `{name}` is still being made")));
            }
            Some(_) => {}
        }
        let address = self.address(project, &branch.id).await?;
        Ok(Made { id: branch.id, address })
    }

    async fn create(&self, project: &str, name: &str, parent: Option<&str>) -> Result<Branch, Error> {
        let mut body = json!({"branch": {"name": name}, "endpoints": [{"type": "read_write"}]});
        if let Some(parent) = parent {
            // Names may look like ids; there is no id that is a name.
            let found = self.find(project, parent).await?.map(|branch| branch.id);
            let id = found.or_else(|| parent.starts_with("br-").then(|| parent.to_owned())).ok_or_else(|| {
                let message =
                    format!("project `{project}` of `{}` has no branch `{parent}` to start from", self.provider);
                Error::new(ErrorKind::Permanent, "preview-database", message)
                    .hint("branch_from under [preview.database] of the image names it")
            })?;
            body["branch"]["parent_id"] = id.into();
        }
        let path = ["projects", project, "branches"];
        let made: BranchView = self.call(Method::POST, &path, &[], Some(&body)).await?;
        Ok(made.branch)
    }

    /// The branch of exactly that name.
    async fn find(&self, project: &str, name: &str) -> Result<Option<Branch>, Error> {
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut query = vec![("search", name), ("limit", PAGE)];
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let list: BranchList = self.get(&["projects", project, "branches"], &query).await?;
            let empty = list.branches.is_empty();
            if let Some(found) = list.branches.into_iter().find(|branch| branch.name == name) {
                return Ok(Some(found));
            }
            let next = list.pagination.and_then(|page| page.next.or(page.cursor)).filter(|next| !next.is_empty());
            match next.filter(|next| !empty && cursor.as_ref() != Some(next)) {
                Some(next) => cursor = Some(next),
                None => return Ok(None),
            }
        }
        Err(self.later(&format!("the branches of project `{project}` do not come to an end")))
    }

    async fn address(&self, project: &str, branch: &str) -> Result<SecretValue, Error> {
        let path = ["projects", project, "branches", branch, "databases"];
        let all: DatabaseList = self.get(&path, &[]).await?;
        let database = match &self.database {
            Some(name) => all.databases.into_iter().find(|database| database.name == *name),
            None if all.databases.len() > 1 => {
                let names: Vec<String> = all.databases.into_iter().map(|database| database.name).collect();
                let message = format!("the branch has several databases: {}", names.join(", "));
                return Err(Error::new(ErrorKind::Permanent, "preview-database", message)
                    .hint(format!("name one as `database` under [databases.{}] of slip.toml", self.provider)));
            }
            None => all.databases.into_iter().next(),
        };
        let database = database.ok_or_else(|| {
            let message = match &self.database {
                Some(name) => format!("the branch has no database `{name}`"),
                None => "the branch has no database".to_owned(),
            };
            Error::new(ErrorKind::Permanent, "preview-database", message)
                .hint(format!("look at branch_from, and at `database` under [databases.{}]", self.provider))
        })?;
        let role = self.role.as_deref().unwrap_or(&database.owner_name);
        let query = [("branch_id", branch), ("database_name", &database.name), ("role_name", role)];
        let found: Connection = self.get(&["projects", project, "connection_uri"], &query).await?;
        let good = ["postgres://", "postgresql://"].iter().any(|scheme| found.uri.starts_with(scheme));
        if !good || found.uri.contains('\0') {
            // What it is may be a secret all the same.
            let message = format!("`{}` tells no address of PostgreSQL for the branch", self.provider);
            return Err(Error::new(ErrorKind::Permanent, "preview-database", message));
        }
        Ok(SecretValue::new(found.uri))
    }

    async fn removed(&self, project: &str, name: &str) -> Result<bool, Error> {
        let Some(branch) = self.find(project, name).await? else { return Ok(false) };
        let path = ["projects", project, "branches", &branch.id];
        match self.call::<Value>(Method::DELETE, &path, &[], None).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(_) | Err(_) => Ok(true),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<T, Error> {
        self.call(Method::GET, path, query, None).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<T, Error> {
        let mut url = url::Url::parse(&self.url).map_err(|cause| {
            Error::new(ErrorKind::Permanent, "preview-database", format!("`{}` has no address", self.provider))
                .because(cause)
        })?;
        if let Ok(mut parts) = url.path_segments_mut() {
            // What images name is one part each, whatever it holds.
            parts.extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let shown = format!("{method} {} of `{}`", url.path(), self.provider);
        let mut request = self.client.request(method, url).timeout(ANSWER).bearer_auth(self.key.expose());
        request = request.header(header::ACCEPT, "application/json");
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let unreachable = |cause: reqwest::Error| {
            Error::new(ErrorKind::Transient, "database-unreachable", shown.clone()).because(cause.without_url())
        };
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let mut bytes = Vec::new();
        let mut chunks = answer.bytes_stream();
        while let Some(chunk) = chunks.next().await.transpose().map_err(unreachable)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_ANSWER {
                let message = format!("{shown}: the answer is longer than 1 MiB");
                return Err(Error::new(ErrorKind::Permanent, "preview-database", message));
            }
        }
        if !status.is_success() {
            return Err(failure(&shown, status, &bytes));
        }
        // What is removed is not always told of.
        let bytes = if bytes.is_empty() { b"null".to_vec() } else { bytes };
        serde_json::from_slice(&bytes).map_err(|_| {
            // Its own words could repeat a part of the answer, which may hold a password.
            Error::new(ErrorKind::Permanent, "preview-database", format!("{shown}: the answer has another shape"))
        })
    }

    fn later(&self, what: &str) -> Error {
        Error::new(ErrorKind::Transient, "database-unreachable", format!("`{}`: {what}", self.provider))
    }
}

/// Whoever says nothing is taken for ready.
fn is_ready(state: Option<&str>) -> bool {
    !matches!(state, Some("init" | "resetting" | "importing"))
}

fn failure(shown: &str, status: StatusCode, bytes: &[u8]) -> Error {
    let said: Failure = serde_json::from_slice(bytes).unwrap_or_default();
    let words: String = said.message.chars().filter(|c| !c.is_control()).take(MAX_WORDS).collect();
    let message = match words.as_str() {
        "" => format!("{shown} was answered with {status}"),
        words => format!("{shown} was answered with {status}: {words}"),
    };
    let refused = |kind, code| Error::new(kind, code, message.clone());
    match status.as_u16() {
        401 | 403 => refused(ErrorKind::Permanent, "preview-database")
            .hint("look at the key: api_key under [databases], or the secret that stands for it"),
        404 => refused(ErrorKind::NotFound, "preview-database").hint("look at project_id under [preview.database]"),
        // Another one is being changed, somebody was faster, or there will be room when others are removed.
        408 | 409 | 423 | 425 | 429 | 500.. => refused(ErrorKind::Transient, "database-unreachable"),
        _ if said.code == "BRANCHES_LIMIT_EXCEEDED" => {
            refused(ErrorKind::Transient, "database-unreachable").hint("remove previews, or branches that nobody needs")
        }
        _ => refused(ErrorKind::Permanent, "preview-database"),
    }
}

impl Provider for Neon {
    fn ensure<'a>(&'a self, wanted: &'a Wanted<'a>) -> BoxFuture<'a, Result<Made, Error>> {
        Box::pin(self.made(wanted))
    }

    fn remove<'a>(&'a self, project: &'a str, name: &'a str) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(self.removed(project, name))
    }
}
