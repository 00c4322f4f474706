//! A wire in memory: HTTP/2 with roles reversed over a pipe that can be cut and stalled, as an agent's connection can.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{TryStreamExt as _, stream};
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    client::conn::http2::SendRequest,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use skipper_core::{
    BoxFuture,
    name::{NodeName, PlatformName},
    port::{Description, Error, Platform, Router},
};
use skipper_platform::remote::{
    Desk, Greeting, MAX_REQUEST, OLDEST, RemoteNode, RemotePlatform, Reply, VERSION, Wire, cut, unreachable,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, split},
    sync::{Notify, watch},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::world::RealClock;

/// What the pipe holds on its way, each way.
const PIPE: usize = 64 << 10;

pub(super) fn node() -> NodeName {
    NodeName::new("edge-1").expect("it is valid")
}

pub(super) fn account(name: &str) -> PlatformName {
    PlatformName::new(name).expect("it is valid")
}

/// A node's connection, while there is one.
#[derive(Debug)]
pub(super) struct Pipe {
    desk: Arc<Desk>,
    live: tokio::sync::Mutex<Option<SendRequest<Full<Bytes>>>>,
    /// The present connection's scissors.
    scissors: Mutex<CancellationToken>,
    stalled: watch::Sender<bool>,
    /// Whether connections can be had.
    there: watch::Sender<bool>,
    news: Notify,
    /// Calls that were sent.
    pub sent: AtomicUsize,
    tasks: TaskTracker,
}

impl Pipe {
    pub(super) fn new(desk: Arc<Desk>) -> Arc<Self> {
        Arc::new(Self {
            desk,
            live: tokio::sync::Mutex::new(None),
            scissors: Mutex::default(),
            stalled: watch::channel(false).0,
            there: watch::channel(true).0,
            news: Notify::new(),
            sent: AtomicUsize::new(0),
            tasks: TaskTracker::new(),
        })
    }

    /// Cuts the connection. The next call makes another one, if it may.
    pub(super) fn cut(&self) {
        self.scissors.lock().expect("not poisoned").cancel();
        self.news.notify_waiters();
    }

    /// Whether the node can be reached at all.
    pub(super) fn connect(&self, there: bool) {
        self.there.send_replace(there);
        if !there {
            self.cut();
        }
        self.news.notify_waiters();
    }

    /// Half open: what is sent stays on its way.
    pub(super) fn stall(&self) {
        self.stalled.send_replace(true);
    }

    async fn sender(&self) -> Result<SendRequest<Full<Bytes>>, Error> {
        let mut live = self.live.lock().await;
        if !*self.there.borrow() {
            *live = None;
            return Err(unreachable(&node()));
        }
        let is_cut = self.scissors.lock().expect("not poisoned").is_cancelled();
        if let Some(sender) = live.as_ref().filter(|sender| !is_cut && !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let scissors = CancellationToken::new();
        *self.scissors.lock().expect("not poisoned") = scissors.clone();
        let (server, towards) = tokio::io::duplex(PIPE);
        let (agent, away) = tokio::io::duplex(PIPE);
        let (stalled, cutting) = (self.stalled.subscribe(), scissors.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = cutting.cancelled() => {}
                () = carry(towards, away, stalled) => {}
            }
        });
        let desk = Arc::clone(&self.desk);
        self.tasks.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&desk), request));
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(agent), service)
                .await;
        });
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(server))
            .await
            .map_err(|error| cut(&node(), error))?;
        self.tasks.spawn(async move {
            let _ = connection.await;
        });
        *live = Some(sender.clone());
        Ok(sender)
    }
}

impl Wire for Pipe {
    fn ask<'a>(&'a self, path: &'a str, body: Bytes, _: Duration) -> BoxFuture<'a, Result<Reply, Error>> {
        Box::pin(async move {
            let mut sender = self.sender().await?;
            let request = Request::post(format!("http://node{path}")).body(Full::new(body)).expect("a path");
            self.sent.fetch_add(1, Ordering::SeqCst);
            let answer = sender.send_request(request).await.map_err(|error| cut(&node(), error))?;
            let status = answer.status().as_u16();
            let body = answer.into_body().into_data_stream().map_err(|error| cut(&node(), error));
            Ok(Reply { status, body: Box::pin(body) })
        })
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.news.notified())
    }
}

async fn carry(one: DuplexStream, other: DuplexStream, stalled: watch::Receiver<bool>) {
    let ((mut from_one, mut to_one), (mut from_other, mut to_other)) = (split(one), split(other));
    let mut stalled = (stalled.clone(), stalled);
    tokio::join!(
        pass(&mut from_one, &mut to_other, &mut stalled.0),
        pass(&mut from_other, &mut to_one, &mut stalled.1)
    );
}

async fn pass(
    from: &mut tokio::io::ReadHalf<DuplexStream>,
    to: &mut tokio::io::WriteHalf<DuplexStream>,
    stalled: &mut watch::Receiver<bool>,
) {
    let mut piece = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        let flows = stalled.wait_for(|stalled| !stalled).await.is_ok();
        if !flows || to.write_all(&piece[..read]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

type Streamed = StreamBody<std::pin::Pin<Box<dyn futures::Stream<Item = Result<Frame<Bytes>, Error>> + Send>>>;

async fn answer(desk: Arc<Desk>, request: Request<Incoming>) -> Result<Response<Streamed>, Error> {
    let path = request.uri().path().to_owned();
    let body = Limited::new(request.into_body(), MAX_REQUEST + 1).collect().await;
    let body = body.map_err(|error| cut(&node(), error))?.to_bytes();
    let reply = desk.answer(&path, body).await;
    let body = StreamBody::new(
        Box::pin(reply.body.map_ok(Frame::data)) as std::pin::Pin<Box<dyn futures::Stream<Item = _> + Send>>
    );
    Ok(Response::builder().status(reply.status).body(body).expect("a status"))
}

/// A wire without any: the desk is asked directly, and what it answers can be replaced.
pub(super) struct Direct {
    pub desk: Desk,
    /// Instead of the desk's answer to a path that ends so: a status and pieces of a body.
    pub instead: Option<(&'static str, u16, Vec<Bytes>)>,
}

impl std::fmt::Debug for Direct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Direct")
    }
}

impl Wire for Direct {
    fn ask<'a>(&'a self, path: &'a str, body: Bytes, _: Duration) -> BoxFuture<'a, Result<Reply, Error>> {
        Box::pin(async move {
            match &self.instead {
                Some((end, status, pieces)) if path.ends_with(end) => {
                    let pieces = pieces.clone().into_iter().map(Ok);
                    Ok(Reply { status: *status, body: Box::pin(stream::iter(pieces)) })
                }
                _ => Ok(self.desk.answer(path, body).await),
            }
        })
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// A desk with that platform as `here`.
pub(super) fn desk(platform: Arc<dyn Platform>, router: Option<Arc<dyn Router>>) -> Desk {
    Desk::new("1.0", Arc::new(RealClock), BTreeMap::from([(account("here"), platform)]), router)
}

/// A node that has never been heard.
pub(super) fn behind(wire: Arc<dyn Wire>) -> Arc<RemoteNode> {
    Arc::new(RemoteNode::new(node(), wire, Arc::new(RealClock), None))
}

/// The account `here` of that node.
pub(super) fn remote(node: &Arc<RemoteNode>) -> RemotePlatform {
    RemotePlatform::new(Arc::clone(node), account("here"))
}

/// That platform as a server sees it that it is far from. What it can do is known from before.
pub(crate) fn far(platform: Arc<dyn Platform>) -> Arc<dyn Platform> {
    let told = Description {
        name: "here".to_owned(),
        kind: "any".to_owned(),
        summary: String::new(),
        deployer: None,
        reachable: true,
        capabilities: platform.capabilities(),
    };
    let known = Greeting {
        oldest: OLDEST,
        newest: VERSION,
        release: "1.0".to_owned(),
        at: skipper_core::port::Clock::now(&RealClock),
        platforms: BTreeMap::from([(account("here"), told)]),
        edge: false,
    };
    let pipe = Pipe::new(Arc::new(desk(platform, None)));
    let node = RemoteNode::new(node(), pipe, Arc::new(RealClock), Some(known));
    Arc::new(RemotePlatform::new(Arc::new(node), account("here")))
}
