use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::{Buf as _, Bytes};
use futures::stream;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Frame, Incoming},
    client::conn::http1,
    header::{CONNECTION, CONTENT_LENGTH, HOST, UPGRADE},
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use tokio::time::{self, Instant};

use super::{
    LATE, Run,
    connection::{self, chain, dial},
    tally::Kind,
};
use crate::sample::websocket::{self, Kind as FrameKind};

/// Pause of a stream's user after a failure, so that a dead listener is not hammered.
const BREATH: Duration = Duration::from_millis(20);

/// Pause between two messages of a WebSocket where the mix has none.
const TALK: Duration = Duration::from_millis(10);

/// Bytes of one piece of an upload.
const PIECE: usize = 64 * 1024;

/// Does `job` until the load is stopped, and counts how it ends.
macro_rules! again_and_again {
    ($run:ident, $kind:expr, $job:expr) => {
        while !$run.stop.is_cancelled() {
            if let Err(reason) = $job.await {
                $run.tally.failed($kind, &reason);
                time::sleep(BREATH).await;
            }
        }
    };
}

pub(super) async fn websocket(run: Arc<Run>) {
    again_and_again!(run, Kind::WebSocket, converse(&run));
}

pub(super) async fn events(run: Arc<Run>) {
    again_and_again!(run, Kind::Events, listen(&run));
}

pub(super) async fn download(run: Arc<Run>) {
    again_and_again!(run, Kind::Download, fetch(&run));
}

pub(super) async fn upload(run: Arc<Run>) {
    again_and_again!(run, Kind::Upload, give(&run));
}

/// One WebSocket until the load is stopped; every message is to come back as it was.
async fn converse(run: &Run) -> Result<(), String> {
    let mut socket = TokioIo::new(open(run).await?);
    let mask = Some([7, 11, 13, 17]);
    let io = |error: std::io::Error| format!("socket: {error}");
    for number in 0_u64.. {
        if run.stop.is_cancelled() {
            break;
        }
        let sent = format!("message {number}");
        let began = Instant::now();
        websocket::write(&mut socket, FrameKind::Text, sent.as_bytes(), mask).await.map_err(io)?;
        match time::timeout(LATE, websocket::read(&mut socket)).await {
            Err(_) => return Err("late".into()),
            Ok(Err(error)) => return Err(io(error)),
            Ok(Ok((FrameKind::Text, back))) if back == sent.as_bytes() => {
                run.tally.ok(Kind::WebSocket, began.elapsed());
            }
            Ok(Ok((FrameKind::Close, _))) => return Err("closed by the server".into()),
            Ok(Ok(_)) => return Err("something else came back".into()),
        }
        let pause = if run.mix.pause.is_zero() { TALK } else { run.mix.pause };
        tokio::select! {
            () = run.stop.cancelled() => {}
            () = time::sleep(pause) => {}
        }
    }
    // The good-bye is a courtesy; everything was counted.
    websocket::write(&mut socket, FrameKind::Close, &1000_u16.to_be_bytes(), mask).await.ok();
    time::timeout(Duration::from_secs(1), websocket::read(&mut socket)).await.ok();
    Ok(())
}

async fn open(run: &Run) -> Result<Upgraded, String> {
    let key = "c2tpcHBlciBzYW1wbGUhIQ==";
    let request = Request::get("/ws")
        .header(HOST, &run.target.host)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", key)
        .body(Full::<Bytes>::default())
        .expect("the host was checked when the load was made");
    let stream = dial(&run.target).await?;
    let (mut sender, link) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| format!("connect: {}", chain(&error)))?;
    run.connections.spawn(async move {
        // Whatever ends it, the conversation sees it.
        link.with_upgrades().await.ok();
    });
    let response = answered(sender.send_request(request)).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(format!("status {} instead of 101", response.status().as_u16()));
    }
    let accept = response.headers().get("sec-websocket-accept").and_then(|value| value.to_str().ok());
    if accept != Some(websocket::accept_key(key).as_str()) {
        return Err("wrong Sec-WebSocket-Accept".into());
    }
    hyper::upgrade::on(response).await.map_err(|error| format!("upgrade: {}", chain(&error)))
}

async fn answered(
    answer: impl Future<Output = hyper::Result<Response<Incoming>>>,
) -> Result<Response<Incoming>, String> {
    time::timeout(LATE, answer).await.map_err(|_| "late".to_owned())?.map_err(|error| chain(&error))
}

/// A GET of its own connection whose answer is streamed.
async fn stream_of(run: &Run, path: &str) -> Result<Incoming, String> {
    let mut sender = connection::http1(run).await?;
    let request = connection::get(&run.target, path, false, true);
    let response = time::timeout(LATE, sender.send(request)).await.map_err(|_| "late".to_owned())?.map_err(
        |failure| match failure {
            connection::Failure::NotSent => "the connection was closed before the request".to_owned(),
            connection::Failure::Failed(reason) => reason,
        },
    )?;
    if response.status() != StatusCode::OK {
        return Err(format!("status {}", response.status().as_u16()));
    }
    Ok(response.into_body())
}

/// One stream of events until the load is stopped; none may be missing.
async fn listen(run: &Run) -> Result<(), String> {
    let mut body = stream_of(run, "/events?ms=25").await?;
    let mut text = Vec::new();
    let mut expected = 0_u64;
    loop {
        let began = Instant::now();
        let frame = tokio::select! {
            () = run.stop.cancelled() => return Ok(()),
            frame = time::timeout(LATE, body.frame()) => frame.map_err(|_| "late".to_owned())?,
        };
        let frame = frame.ok_or("the stream ended")?.map_err(|error| chain(&error))?;
        text.extend_from_slice(frame.data_ref().map_or(&[][..], Bytes::as_ref));
        while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = text.drain(..end + 2).collect();
            if !event.starts_with(format!("id: {expected}\n").as_bytes()) {
                return Err(format!("event {expected} is missing"));
            }
            expected += 1;
            run.tally.ok(Kind::Events, began.elapsed());
        }
    }
}

/// One download to its end; every byte is compared.
async fn fetch(run: &Run) -> Result<(), String> {
    let began = Instant::now();
    let (total, rate) = (run.mix.download_bytes, run.mix.download_rate);
    let mut body = stream_of(run, &format!("/download?bytes={total}&rate={rate}")).await?;
    let mut position = 0_u64;
    while let Some(frame) = time::timeout(LATE, body.frame()).await.map_err(|_| "late".to_owned())? {
        let frame = frame.map_err(|error| format!("after {position} of {total} bytes: {}", chain(&error)))?;
        let Ok(mut data) = frame.into_data() else { continue };
        while data.has_remaining() {
            if data.get_u8() != crate::sample::byte_at(position) {
                return Err(format!("byte {position} is wrong"));
            }
            position += 1;
        }
    }
    if position != total {
        return Err(format!("{position} of {total} bytes"));
    }
    run.tally.ok(Kind::Download, began.elapsed());
    Ok(())
}

/// One upload; the other side is to have counted every byte.
async fn give(run: &Run) -> Result<(), String> {
    let began = Instant::now();
    let total = run.mix.upload_bytes;
    let pieces = stream::unfold(0_u64, move |sent| async move {
        let size = usize::try_from(total - sent).unwrap_or(PIECE).min(PIECE);
        (size > 0).then(|| {
            let piece = Bytes::from(vec![b'u'; size]);
            (Ok::<_, Infallible>(Frame::data(piece)), sent + size as u64)
        })
    });
    let request = Request::post("/upload")
        .header(HOST, &run.target.host)
        .header(CONTENT_LENGTH, total)
        .header(CONNECTION, "close")
        .body(StreamBody::new(Box::pin(pieces)))
        .expect("the host was checked when the load was made");
    let stream = dial(&run.target).await?;
    let (mut sender, link) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| format!("connect: {}", chain(&error)))?;
    run.connections.spawn(async move {
        // Whatever ends it, the upload sees it.
        link.await.ok();
    });
    let response = answered(sender.send_request(request)).await?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(|error| chain(&error))?.to_bytes();
    let counted = serde_json::from_slice::<serde_json::Value>(&body).ok().and_then(|json| json["bytes"].as_u64());
    if status != StatusCode::OK || counted != Some(total) {
        return Err(format!("status {}, {counted:?} of {total} bytes", status.as_u16()));
    }
    run.tally.ok(Kind::Upload, began.elapsed());
    Ok(())
}
