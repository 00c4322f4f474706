//! A web server that stands for a repository, and behaves as badly as it is told.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, Request, State},
    response::{IntoResponse as _, Response},
};
use futures::stream;
use http::{StatusCode, header};
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// What is at a path.
#[derive(Debug, Clone)]
pub(crate) enum At {
    Bytes(Vec<u8>),
    /// With an ETag.
    Tagged(String, &'static str),
    Status(u16),
    Redirect(String),
    /// Bytes without an end.
    Endless,
    /// A few bytes, and then nothing for ever.
    Stuck,
}

#[derive(Debug, Clone, Default)]
struct Shared {
    files: Arc<Mutex<HashMap<String, At>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

pub(crate) struct Remote {
    shared: Shared,
    pub(crate) url: String,
}

impl Remote {
    pub(crate) async fn start() -> Self {
        let shared = Shared::default();
        let service = axum::Router::new().fallback(answer).with_state(shared.clone());
        Self { shared, url: serve(service).await }
    }

    pub(crate) fn put(&self, path: &str, at: At) {
        self.shared.files.lock().expect("not poisoned").insert(path.to_owned(), at);
    }

    pub(crate) fn index(&self, text: &str) {
        self.put("/index.yml", At::Bytes(text.as_bytes().to_vec()));
    }

    pub(crate) fn zip(&self, name: &str, version: &str, bytes: Vec<u8>) {
        self.put(&format!("/{name}/{name}-{version}.zip"), At::Bytes(bytes));
    }

    /// Requests so far, as `PATH` and, where it was said, the version that is known.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.asked.lock().expect("not poisoned"))
    }
}

/// Serves on a port of its own; the address.
pub(crate) async fn serve(service: axum::Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    TaskTracker::new().spawn(async move {
        let service = service.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, service).await.expect("it serves");
    });
    url
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let known = request.headers().get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let path = request.uri().path().to_owned();
    let asked = known.map_or_else(|| path.clone(), |known| format!("{path} {known}"));
    shared.asked.lock().expect("not poisoned").push(asked);
    let at = shared.files.lock().expect("not poisoned").get(&path).cloned();
    match at {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(At::Bytes(bytes)) => bytes.into_response(),
        Some(At::Tagged(_, tag)) if known == Some(tag) => StatusCode::NOT_MODIFIED.into_response(),
        Some(At::Tagged(text, tag)) => ([(header::ETAG, tag)], text).into_response(),
        Some(At::Status(status)) => StatusCode::from_u16(status).expect("a status").into_response(),
        Some(At::Redirect(to)) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Some(At::Endless) => {
            let chunk = Bytes::from(vec![b'#'; 1 << 20]);
            let chunks = stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone()));
            Body::from_stream(chunks).into_response()
        }
        Some(At::Stuck) => {
            let first = stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"---\nname: a\n")) });
            Body::from_stream(futures::StreamExt::chain(first, stream::pending())).into_response()
        }
    }
}

/// The service of a Skipper, as a router of its own that tells who asks.
pub(crate) fn door(service: axum::Router) -> axum::Router {
    let passed = move |ConnectInfo(peer): ConnectInfo<SocketAddr>, mut request: Request| {
        let service = service.clone();
        async move {
            request.extensions_mut().insert(ConnectInfo(peer));
            service.oneshot(request).await.expect("a router never fails")
        }
    };
    axum::Router::new().fallback(passed)
}
