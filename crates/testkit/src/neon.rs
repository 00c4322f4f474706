//! An API of the shape of Neon's, as far as branches of databases are made and removed by it; for as long as a test wants it.
//! The data behind it is imagined.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Request, State},
    http::{Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// The key that it takes.
pub const KEY: &str = "napi_s3cret";
/// The one project that it has, with a branch `main` of one database `app` that belongs to `owner`.
pub const PROJECT: &str = "quiet-mountain-1";

/// The server; it ends with the runtime of the test.
#[derive(Debug, Clone)]
pub struct Neon {
    address: SocketAddr,
    world: Arc<Mutex<World>>,
    called: Arc<Notify>,
}

/// Something that goes wrong, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It answers with that status, and does nothing.
    Refuses(u16),
    /// It does what it is asked for, and answers as if it had not.
    DoesAndFails(u16),
}

/// A branch that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// Its id, `br-…`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The id of the branch that it was made of.
    pub parent: Option<String>,
    endpoints: u32,
    /// How often it is still to be seen as one that is being made.
    init: u32,
}

#[derive(Debug, Default)]
struct World {
    branches: BTreeMap<String, Branch>,
    made: u32,
    slow: u32,
    /// By the method and the last part of the path.
    troubles: BTreeMap<(String, String), VecDeque<Trouble>>,
    calls: Vec<String>,
}

impl Neon {
    /// Starts one.
    ///
    /// # Panics
    ///
    /// Where there is no port.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let main = Branch { id: "br-main".into(), name: "main".into(), parent: None, endpoints: 1, init: 0 };
        let world = World { branches: [(main.id.clone(), main)].into(), ..World::default() };
        let neon = Self { address, world: Arc::new(Mutex::new(world)), called: Arc::default() };
        let router = Router::new().fallback(answer).with_state(neon.clone());
        tokio_util::task::TaskTracker::new().spawn(async move { axum::serve(listener, router).await });
        neon
    }

    /// Where its API is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/api/v2", self.address)
    }

    /// The address that leads to the database of a branch.
    #[must_use]
    pub fn uri(branch: &str) -> String {
        format!("postgresql://owner:p4ss-{branch}@{branch}.neon.test/app?sslmode=require")
    }

    /// The next calls with that method whose path ends with that word go wrong, one after the other.
    pub fn troubles(&self, method: &str, word: &str, troubles: &[Trouble]) {
        self.world().troubles.entry((method.to_owned(), word.to_owned())).or_default().extend(troubles);
    }

    /// Branches from now on are seen that many times before they are ready.
    pub fn takes_its_time(&self, looks: u32) {
        self.world().slow = looks;
    }

    /// Everything that is being made is ready.
    pub fn hurries(&self) {
        let mut world = self.world();
        world.slow = 0;
        world.branches.values_mut().for_each(|branch| branch.init = 0);
    }

    /// Waits until so many calls with that method, whose paths end with that word, have been answered.
    pub async fn called(&self, method: &str, word: &str, times: usize) {
        loop {
            let next = self.called.notified();
            let fits = |call: &&String| call.starts_with(method) && call.ends_with(word);
            if self.calls().iter().filter(fits).count() >= times {
                return;
            }
            next.await;
        }
    }

    /// What is there beside `main`, by id.
    #[must_use]
    pub fn branches(&self) -> Vec<Branch> {
        self.world().branches.values().filter(|branch| branch.name != "main").cloned().collect()
    }

    /// Makes a branch as somebody else would, by that name.
    pub fn made_by_another(&self, name: &str) {
        self.world().make(name, None, 1);
    }

    /// Every call so far: `POST /projects/…`.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.world().calls.clone()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    fn make(&mut self, name: &str, parent: Option<String>, endpoints: u32) -> Branch {
        self.made += 1;
        let id = format!("br-{}", self.made);
        let branch = Branch { id: id.clone(), name: name.to_owned(), parent, endpoints, init: self.slow };
        self.branches.insert(id, branch.clone());
        branch
    }

    fn carry_out(
        &mut self,
        method: &Method,
        path: &[&str],
        query: &BTreeMap<String, String>,
        body: &Value,
    ) -> Response {
        let rest = match path {
            ["projects", project, rest @ ..] if *project == PROJECT => rest,
            _ => return failed(StatusCode::NOT_FOUND, "project not found"),
        };
        match (method.as_str(), rest) {
            ("GET", ["branches"]) => {
                let search = query.get("search").map_or("", String::as_str);
                let found = self.branches.values().filter(|branch| branch.name.contains(search));
                // One on each page, so that whoever reads has to read on.
                let after = query.get("cursor").cloned().unwrap_or_default();
                let next = found.filter(|branch| branch.id > after).min_by(|a, b| a.id.cmp(&b.id));
                let page = next.map(|branch| json!({"next": branch.id}));
                let list: Vec<Value> = next.into_iter().map(view).collect();
                Json(json!({"branches": list, "pagination": page})).into_response()
            }
            ("POST", ["branches"]) => {
                let name = body["branch"]["name"].as_str().unwrap_or_default();
                if self.branches.values().any(|branch| branch.name == name) {
                    return failed(StatusCode::CONFLICT, "branch already exists");
                }
                let parent = body["branch"]["parent_id"].as_str().unwrap_or("br-main").to_owned();
                if !self.branches.contains_key(&parent) {
                    return failed(StatusCode::NOT_FOUND, "parent branch not found");
                }
                let endpoints = body["endpoints"].as_array().map_or(0, Vec::len);
                let made = self.make(name, Some(parent), u32::try_from(endpoints).unwrap_or(u32::MAX));
                (StatusCode::CREATED, Json(json!({"branch": view(&made), "operations": []}))).into_response()
            }
            ("GET", ["branches", id, of @ ..]) => {
                let Some(branch) = self.branches.get_mut(*id) else {
                    return failed(StatusCode::NOT_FOUND, "branch not found");
                };
                branch.init = branch.init.saturating_sub(1);
                let document = match of {
                    [] => json!({"branch": view(branch)}),
                    ["endpoints"] => {
                        let one = json!({"id": format!("ep-{id}"), "type": "read_write", "current_state": "idle"});
                        json!({"endpoints": vec![one; branch.endpoints as usize]})
                    }
                    ["databases"] => json!({"databases": [{"id": 1, "name": "app", "owner_name": "owner"}]}),
                    _ => return failed(StatusCode::NOT_FOUND, "not found"),
                };
                Json(document).into_response()
            }
            ("DELETE", ["branches", id]) => match self.branches.remove(*id) {
                Some(branch) => Json(json!({"branch": view(&branch), "operations": []})).into_response(),
                None => failed(StatusCode::NOT_FOUND, "branch not found"),
            },
            ("POST", ["endpoints"]) => {
                let id = body["endpoint"]["branch_id"].as_str().unwrap_or_default();
                match self.branches.get_mut(id) {
                    Some(branch) => branch.endpoints += 1,
                    None => return failed(StatusCode::NOT_FOUND, "branch not found"),
                }
                (StatusCode::CREATED, Json(json!({"endpoint": {"id": "ep", "type": "read_write"}}))).into_response()
            }
            ("GET", ["connection_uri"]) => {
                let asked = |key: &str| query.get(key).map_or("", String::as_str);
                let id = asked("branch_id");
                let known = self.branches.contains_key(id) && asked("database_name") == "app";
                if !known || asked("role_name") != "owner" {
                    return failed(StatusCode::NOT_FOUND, "no such database or role");
                }
                Json(json!({"uri": Neon::uri(id)})).into_response()
            }
            _ => failed(StatusCode::NOT_FOUND, "not found"),
        }
    }
}

fn view(branch: &Branch) -> Value {
    let state = if branch.init > 0 { "init" } else { "ready" };
    json!({"id": branch.id, "name": branch.name, "parent_id": branch.parent, "project_id": PROJECT, "current_state": state})
}

fn failed(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"code": "", "message": message}))).into_response()
}

async fn answer(State(neon): State<Neon>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let uri: Uri = parts.uri;
    let path: Vec<&str> = uri.path().trim_start_matches("/api/v2/").split('/').collect();
    let mut world = neon.world();
    neon.called.notify_waiters();
    world.calls.push(format!("{} /{}", parts.method, path.join("/")));
    let bearer = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if bearer != Some(&format!("Bearer {KEY}")) {
        return failed(StatusCode::UNAUTHORIZED, "authentication required");
    }
    let query = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let query = query.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let word = (parts.method.to_string(), path.last().copied().unwrap_or_default().to_owned());
    let any = (word.0.clone(), "*".to_owned());
    let trouble = [&word, &any].into_iter().find_map(|word| world.troubles.get_mut(word)?.pop_front());
    let status = |code: u16| StatusCode::from_u16(code).expect("a status");
    match trouble {
        Some(Trouble::Refuses(code)) => failed(status(code), "not now"),
        Some(Trouble::DoesAndFails(code)) => {
            drop(world.carry_out(&parts.method, &path, &query, &body));
            failed(status(code), "not now")
        }
        None => world.carry_out(&parts.method, &path, &query, &body),
    }
}
