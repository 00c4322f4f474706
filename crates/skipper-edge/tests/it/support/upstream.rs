use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// A server that answers with its name, and does what the path says. It ends when dropped.
pub(crate) struct Upstream {
    name: String,
    address: SocketAddr,
    seen: Arc<Seen>,
    _task: AbortOnDropHandle<()>,
}

/// What an upstream saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: AtomicU64,
    pub(crate) connections: AtomicU64,
}

impl Upstream {
    pub(crate) async fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        Self::on(name, listener)
    }

    pub(crate) fn on(name: &str, listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("address");
        let seen = Arc::new(Seen::default());
        let (label, counts) = (name.to_owned(), seen.clone());
        let task = TaskTracker::new().spawn(async move {
            // Dropped with the listener: then the connections end too.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counts.connections.fetch_add(1, Ordering::SeqCst);
                connections.spawn(serve(stream, label.clone(), counts.clone()));
            }
        });
        Self { name: name.to_owned(), address, seen, _task: AbortOnDropHandle::new(task) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn requests(&self) -> u64 {
        self.seen.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> u64 {
        self.seen.connections.load(Ordering::SeqCst)
    }
}

async fn serve(stream: TcpStream, name: String, seen: Arc<Seen>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        seen.requests.fetch_add(1, Ordering::SeqCst);
        let name = name.clone();
        async move { Ok::<_, Infallible>(answer(request, &name).await) }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

fn plain(bytes: impl Into<Bytes>) -> Answer {
    Response::new(Full::new(bytes.into()).boxed())
}

async fn answer(mut request: Request<Incoming>, name: &str) -> Answer {
    let query = request.uri().query().unwrap_or("").to_owned();
    let number = |default: u64| query.parse().unwrap_or(default);
    match request.uri().path() {
        "/echo" => Response::new(Streaming::Echo(request.into_body()).boxed()),
        "/length" => {
            let mut length = 0;
            while let Some(Ok(frame)) = request.body_mut().frame().await {
                length += frame.data_ref().map_or(0, Bytes::len);
            }
            plain(format!("{name} {length}"))
        }
        "/head" => {
            let mut text = format!("{} {} {:?}\n", request.method(), request.uri(), request.version());
            for (name, value) in request.headers() {
                text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
            }
            plain(text)
        }
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(number(100))).await;
            plain(name.to_owned())
        }
        "/big" => {
            let mut response = Response::new(Streaming::Zeros(number(0)).boxed());
            response.headers_mut().insert(header::CONTENT_LENGTH, number(0).into());
            response
        }
        "/chunks" => Response::new(Streaming::Zeros(number(0)).boxed()),
        "/status" => {
            let mut response = plain(name.to_owned());
            *response.status_mut() = StatusCode::from_u16(u16::try_from(number(200)).expect("status")).expect("status");
            response
        }
        "/upgrade" if request.headers().contains_key(header::UPGRADE) => upgrade(request, name.to_owned()),
        _ => plain(name.to_owned()),
    }
}

/// Switches to a protocol that says its name once and then echoes.
fn upgrade(mut request: Request<Incoming>, name: String) -> Answer {
    let wanted = request.headers()[header::UPGRADE].clone();
    let upgraded = hyper::upgrade::on(&mut request);
    let echo = async move {
        let Ok(upgraded) = upgraded.await else { return };
        let mut stream = TokioIo::new(upgraded);
        let _ = stream.write_all(format!("{name}\n").as_bytes()).await;
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            if stream.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    };
    TaskTracker::new().spawn(echo);
    let mut response = plain("");
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(header::UPGRADE, wanted);
    response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("upgrade"));
    response
}

enum Streaming {
    Echo(Incoming),
    Zeros(u64),
}

impl Body for Streaming {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static ZEROS: [u8; 65536] = [0; 65536];
        match self.get_mut() {
            // An error ends the echo; the client sees fewer bytes than it sent.
            Self::Echo(body) => Pin::new(body).poll_frame(cx).map(|frame| frame.and_then(Result::ok).map(Ok)),
            Self::Zeros(0) => Poll::Ready(None),
            Self::Zeros(left) => {
                let count = (*left).min(ZEROS.len() as u64);
                *left -= count;
                let piece = &ZEROS[..usize::try_from(count).expect("small")];
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(piece)))))
            }
        }
    }
}

/// A server that gives each connection to the function.
pub(crate) async fn scripted<F, R>(script: F) -> (SocketAddr, AbortOnDropHandle<()>)
where
    F: Fn(TcpStream) -> R + Send + 'static,
    R: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let task = TaskTracker::new().spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(script(stream));
        }
    });
    (address, AbortOnDropHandle::new(task))
}
