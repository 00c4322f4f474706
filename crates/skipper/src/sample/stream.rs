use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{Stream, stream};
use hyper::{body::Frame, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use tokio::time::{self, Instant};

use super::{
    lifecycle::App,
    websocket::{self, Kind},
};

/// Bytes of one piece of a download.
const PIECE: usize = 16 * 1024;

/// The byte at a position of a download: a client can tell a missing or a foreign piece.
pub(crate) fn byte_at(position: u64) -> u8 {
    u8::try_from(position % 251).expect("below 251")
}

/// `total` bytes at `rate` bytes a second; a rate of 0 is as fast as it is read.
pub(super) fn download(total: u64, rate: u64) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send {
    let began = Instant::now();
    stream::unfold(0_u64, move |sent| async move {
        if sent >= total {
            return None;
        }
        // Paced by what is due, not by a pause for each piece, so that slow timers do not add up.
        if let Some(due) = sent.saturating_mul(1_000_000).checked_div(rate) {
            time::sleep_until(began + Duration::from_micros(due)).await;
        }
        let size = usize::try_from(total - sent).unwrap_or(PIECE).min(PIECE);
        let piece: Vec<u8> = (sent..sent + size as u64).map(byte_at).collect();
        Some((Ok(Frame::data(Bytes::from(piece))), sent + size as u64))
    })
}

/// Server-sent events until `count` were sent, or it is told to stop.
pub(super) fn events(
    app: Arc<App>,
    every: Duration,
    count: u64,
) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send {
    stream::unfold((app, 0_u64), move |(app, sent)| async move {
        if sent >= count {
            return None;
        }
        if sent > 0 {
            tokio::select! {
                () = app.stop.cancelled() => return None,
                () = time::sleep(every) => {}
            }
        }
        let version = serde_json::to_string(&app.options.version).expect("a string is always JSON");
        let event = format!("id: {sent}\ndata: {{\"n\":{sent},\"version\":{version}}}\n\n");
        Some((Ok(Frame::data(Bytes::from(event))), (app, sent + 1)))
    })
}

/// Sends back what comes until the peer closes, or it is told to stop.
pub(super) async fn echo(app: Arc<App>, upgraded: Upgraded) -> std::io::Result<()> {
    /// 1001, "going away": the server stops.
    const GOING_AWAY: [u8; 2] = 1001_u16.to_be_bytes();
    let mut stream = TokioIo::new(upgraded);
    loop {
        let (kind, payload) = tokio::select! {
            // Dropping a half-read frame is fine here: the connection ends.
            () = app.stop.cancelled() => return websocket::write(&mut stream, Kind::Close, &GOING_AWAY, None).await,
            frame = websocket::read(&mut stream) => frame?,
        };
        match kind {
            Kind::Text | Kind::Binary => websocket::write(&mut stream, kind, &payload, None).await?,
            Kind::Ping => websocket::write(&mut stream, Kind::Pong, &payload, None).await?,
            Kind::Pong => {}
            Kind::Close => return websocket::write(&mut stream, Kind::Close, &payload, None).await,
        }
    }
}
