//! A server that keeps to the contract, and can be told to be cut off, to refuse, and to forget.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use skipper_source::fleet::{Heartbeat, Report, WorkOrder};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::task::TaskTracker;

use crate::agent::state::lock;

/// What a test sees and changes.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// Orders to be handed out, as text.
    pub(super) orders: VecDeque<String>,
    /// Reports that were taken.
    pub(super) reports: Vec<(String, Report)>,
    /// Headers of the last report: request and correlation id.
    pub(super) ids: (String, String),
    /// Heartbeats.
    pub(super) beats: Vec<Heartbeat>,
    /// Questions for work: whether they wait.
    pub(super) asked: Vec<bool>,
    /// Questions that wait now.
    pub(super) waiting: usize,
    /// Tokens that were shown.
    pub(super) tokens: Vec<String>,
    /// What every call is answered with, if anything.
    pub(super) refusal: Option<u16>,
    /// What reports alone are answered with.
    pub(super) report_refusal: Option<u16>,
    /// How many reports were refused by that.
    pub(super) refused_reports: usize,
    /// Somebody in between cuts questions that wait.
    pub(super) cuts: Option<u16>,
    /// What the server says of the protocol.
    pub(super) protocol: Option<&'static str>,
    /// Orders that are said to be lost.
    pub(super) lost: Vec<String>,
}

/// The server.
#[derive(Clone)]
pub(in crate::agent) struct Server {
    pub(super) address: SocketAddr,
    book: Arc<Mutex<Book>>,
    changed: Arc<watch::Sender<u64>>,
    tasks: TaskTracker,
}

impl Server {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let server = Self {
            address: listener.local_addr().expect("its address"),
            book: Arc::default(),
            changed: Arc::new(watch::Sender::new(0)),
            tasks: TaskTracker::new(),
        };
        let own = server.clone();
        server.tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let at = own.clone();
                own.tasks.spawn(async move {
                    let service = service_fn(move |request| {
                        let at = at.clone();
                        async move { Ok::<_, Infallible>(at.answer(request).await) }
                    });
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        server
    }

    /// Looks into the book, or changes it.
    pub(super) fn book<T>(&self, look: impl FnOnce(&mut Book) -> T) -> T {
        let looked = look(&mut lock(&self.book));
        self.changed.send_modify(|count| *count += 1);
        looked
    }

    pub(super) fn hand_out(&self, order: &WorkOrder) {
        self.book(|book| book.orders.push_back(serde_json::to_string(order).expect("JSON")));
    }

    /// Waits until something is so.
    #[track_caller]
    pub(super) fn until<T>(&self, what: &str, is_so: impl Fn(&Book) -> Option<T>) -> impl Future<Output = T> {
        let mut changes = self.changed.subscribe();
        let what = what.to_owned();
        let book = Arc::clone(&self.book);
        async move {
            let seen = tokio::time::timeout(Duration::from_secs(60), async {
                loop {
                    changes.mark_unchanged();
                    if let Some(seen) = is_so(&lock(&book)) {
                        return seen;
                    }
                    changes.changed().await.expect("the server lives");
                }
            });
            seen.await.unwrap_or_else(|_| {
                let book = lock(&book);
                panic!(
                    "{what}: asked {} times, {} beats, reports {:?}",
                    book.asked.len(),
                    book.beats.len(),
                    book.reports
                )
            })
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let path = head.uri.path().to_owned();
        let token = head.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert_eq!(head.headers.get("x-skipper-protocol").map(http::HeaderValue::as_bytes), Some(&b"1"[..]));
        let waits = head.uri.query().unwrap_or_default().contains("wait=");
        let is_question = head.method == Method::GET && path == "/v1/nodes/host-1/work-orders/next";
        let protocol = self.book(|book| {
            book.tokens.push(token.trim_start_matches("Bearer ").to_owned());
            if is_question {
                book.asked.push(waits);
            }
            book.protocol
        });
        let mut response = self.answered(&path, &body, waits, is_question, &head.headers).await;
        if let Some(protocol) = protocol {
            response.headers_mut().insert("x-skipper-protocol", protocol.parse().expect("a header"));
        }
        response
    }

    async fn answered(
        &self,
        path: &str,
        body: &[u8],
        waits: bool,
        is_question: bool,
        headers: &http::HeaderMap,
    ) -> Response<Full<Bytes>> {
        if let Some(status) = self.book(|book| book.refusal) {
            return refused(status, "no");
        }
        if is_question {
            return self.next(waits).await;
        }
        if path == "/v1/nodes/host-1/heartbeat" {
            let beat: Heartbeat = serde_json::from_slice(body).expect("a heartbeat");
            let lost = self.book(|book| {
                book.beats.push(beat);
                book.lost.clone()
            });
            return json_of(&json!({"status": "ok", "lost": lost, "lease_ms": 60_000}));
        }
        if path == "/v1/nodes/host-1/enrol" {
            return json_of(&json!({"token": "skn_own"}));
        }
        let order = path.strip_prefix("/v1/work-orders/").and_then(|rest| rest.strip_suffix("/result"));
        let Some(order) = order else { return refused(404, "no such route") };
        let refusal = self.book(|book| {
            book.refused_reports += usize::from(book.report_refusal.is_some());
            book.report_refusal
        });
        if let Some(status) = refusal {
            return refused(status, "stale-generation");
        }
        let report: Report = serde_json::from_slice(body).expect("a report");
        let id = |name: &str| headers[name].to_str().expect("ASCII").to_owned();
        self.book(|book| {
            book.ids = (id("x-request-id"), id("x-correlation-id"));
            book.reports.push((order.to_owned(), report.clone()));
        });
        json_of(&json!({"status": report.status}))
    }

    async fn next(&self, waits: bool) -> Response<Full<Bytes>> {
        if let Some(status) = self.book(|book| book.cuts).filter(|_| waits) {
            return if status == 204 {
                empty()
            } else {
                Response::builder().status(status).body(Full::new("<html>".into())).expect("HTTP")
            };
        }
        let _waiting = Waiting::at(self);
        let mut changes = self.changed.subscribe();
        let found = async {
            loop {
                changes.mark_unchanged();
                if let Some(order) = lock(&self.book).orders.pop_front() {
                    return order;
                }
                changes.changed().await.expect("the server lives");
            }
        };
        let within = if waits { Duration::from_secs(30) } else { Duration::ZERO };
        match tokio::time::timeout(within, found).await {
            Ok(order) => Response::new(Full::new(order.into())),
            Err(_) => empty(),
        }
    }
}

/// A question that waits; not any more when its connection is gone.
struct Waiting(Server);

impl Waiting {
    fn at(server: &Server) -> Self {
        server.book(|book| book.waiting += 1);
        Self(server.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.book(|book| book.waiting -= 1);
    }
}

fn empty() -> Response<Full<Bytes>> {
    Response::builder().status(StatusCode::NO_CONTENT).body(Full::default()).expect("HTTP")
}

fn json_of(value: &Value) -> Response<Full<Bytes>> {
    Response::new(Full::new(value.to_string().into()))
}

fn refused(status: u16, code: &str) -> Response<Full<Bytes>> {
    let body = json!({"error": {"code": code, "message": "refused", "request_id": "r"}});
    Response::builder().status(status).body(Full::new(body.to_string().into())).expect("HTTP")
}
