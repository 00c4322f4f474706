use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode};
use tokio::time;

use super::{
    LATE, Run,
    connection::{self, Failure, Sender},
    tally::Kind,
};

/// Times a connection is opened again for one request: more than one is seen only while a listener is handed over.
const TRIES: u32 = 3;

pub(super) async fn keep_alive(run: Arc<Run>) {
    ask_again_and_again(&run, Kind::KeepAlive).await;
}

pub(super) async fn http2(run: Arc<Run>) {
    ask_again_and_again(&run, Kind::Http2).await;
}

pub(super) async fn fresh(run: Arc<Run>) {
    ask_again_and_again(&run, Kind::Fresh).await;
}

async fn ask_again_and_again(run: &Run, kind: Kind) {
    let mut sender = None;
    while run.goes_on() {
        let began = Instant::now();
        match time::timeout(LATE, ask(run, kind, &mut sender)).await {
            Ok(Ok(())) => run.tally.ok(kind, began.elapsed()),
            Ok(Err(reason)) => {
                sender = None;
                run.tally.failed(kind, &reason);
            }
            Err(_) => {
                sender = None;
                run.tally.failed(kind, "late");
            }
        }
        if kind == Kind::Fresh {
            sender = None;
        }
        run.pause().await;
    }
}

async fn ask(run: &Run, kind: Kind, sender: &mut Option<Sender>) -> Result<(), String> {
    for _ in 0..TRIES {
        let mut open = match sender.take() {
            Some(open) => open,
            None if kind == Kind::Http2 => connection::http2(run).await?,
            None => connection::http1(run).await?,
        };
        let request: Request<Full<Bytes>> =
            connection::get(&run.target, &run.target.path, kind == Kind::Http2, kind == Kind::Fresh);
        let response = match open.send(request).await {
            Ok(response) => response,
            Err(Failure::NotSent) => {
                run.tally.reconnected(kind);
                continue;
            }
            Err(Failure::Failed(reason)) => return Err(reason),
        };
        let status = response.status();
        let version = response.headers().get("x-sample-version").cloned();
        let body = response.into_body().collect().await;
        body.map_err(|error| format!("body: {}", connection::chain(&error)))?;
        if status != StatusCode::OK {
            return Err(format!("status {}", status.as_u16()));
        }
        if let Some(version) = version.as_ref().and_then(|version| version.to_str().ok()) {
            run.tally.version(version);
        }
        *sender = Some(open);
        return Ok(());
    }
    Err("the connection was closed before the request, three times over".into())
}
