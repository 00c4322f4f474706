//! How one edge takes over from another: the table, the listening sockets and the control socket go over the control
//! connection, which stays open afterwards, so that the new one can ask what the old one still has in flight, and tell it of every
//! change of the table: idle connections and held requests that the old one still has go by it too.
//!
//! `handover` freezes the old edge, which answers with everything. The new one builds its table and says `ready`; then the
//! old one stops accepting and the new one begins. In between, connections wait in the kernel's queue. If the new one is
//! gone or too slow before it is ready, the old one goes on as if nothing had been.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, PoisonError},
    time::Duration,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use tokio::{
    io::Interest,
    net::UnixStream,
    sync::Mutex,
    time::{sleep, timeout},
};

use super::{
    frame,
    server::{follow, perform},
    wire::{Answer, Call, CallHead, Estate, InFlightBody, Left, Nothing, VERSION},
};
use crate::{
    edge::{Core, Leave},
    error::Error,
};

/// Descriptors in one message; the kernel's limit is 253.
const BATCH: usize = 64;
/// Time for the new edge to get ready, and for the old one to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time for the old edge's listeners to stop, which takes microseconds unless it has all the connections it may have.
const STOPPED: Duration = Duration::from_millis(500);
/// How often that is looked at.
const STOPPING: Duration = Duration::from_micros(500);
/// Time for a predecessor to answer. It takes microseconds, unless the machine is too busy to run it; less than a server waits
/// for a change.
const ASK: Duration = Duration::from_secs(4);

/// The old edge's side.
pub(super) async fn give(core: &Arc<Core>, mut stream: UnixStream) -> io::Result<()> {
    if core.is_leaving() {
        let fault = super::server::fault("transient", "handing-over", "this edge is ending");
        return frame::write(&mut stream, &Answer::<Nothing> { v: VERSION, ok: None, error: Some(fault) }).await;
    }
    let frozen = {
        let mut registry = core.registry();
        registry.freeze().map(|(services, tombstones)| {
            let sockets = registry.listeners().sockets();
            let listeners = sockets.iter().map(|(info, _)| info.clone()).collect();
            (Estate { listeners, services, tombstones, needs_sync: registry.needs_sync() }, sockets)
        })
    };
    let (estate, sockets) = match frozen {
        Ok(frozen) => frozen,
        Err(fault) => {
            return frame::write(&mut stream, &Answer::<Nothing> { v: VERSION, ok: None, error: Some(fault) }).await;
        }
    };
    tracing::info!("another edge takes over");
    let handed = async {
        frame::write(&mut stream, &Answer { v: VERSION, ok: Some(estate), error: None }).await?;
        let mut descriptors = vec![core.control.as_fd()];
        descriptors.extend(sockets.iter().map(|(_, socket)| socket.as_fd()));
        send(&stream, &descriptors).await?;
        let call = frame::read(&mut stream).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let head: CallHead = serde_json::from_slice(&call).map_err(io::Error::other)?;
        if head.op == "ready" { Ok(()) } else { Err(io::Error::other("the successor did not say that it is ready")) }
    };
    let handed = timeout(PATIENCE, handed).await;
    // Those that the successor does not want must be free for it to listen elsewhere.
    drop(sockets);
    match handed {
        Ok(Ok(())) => {}
        failed => {
            core.registry().thaw();
            tracing::warn!(?failed, "the other edge did not get ready; going on");
            return Ok(());
        }
    }
    core.registry().listeners_mut().close_all();
    // Whatever connects after the successor's first answer is the successor's: it may know another table by then.
    let stopped = async {
        while core.shared.is_accepting() {
            sleep(STOPPING).await;
        }
    };
    if timeout(STOPPED, stopped).await.is_err() {
        tracing::warn!("a listener still has a connection that waits for its place");
    }
    core.leave(Leave { bound: core.lame_duck, successor: true });
    core.replaced.cancel();
    frame::write(&mut stream, &Answer { v: VERSION, ok: Some(Nothing {}), error: None }).await?;
    // From here on the successor asks.
    while let Some(call) = frame::read(&mut stream).await? {
        let head: CallHead = serde_json::from_slice(&call).map_err(io::Error::other)?;
        let answer = match follow(core, &head, &call).await {
            Some(answer) => answer?,
            None => perform(core, &head, &call).await?,
        };
        tokio::io::AsyncWriteExt::write_all(&mut stream, &answer).await?;
    }
    Ok(())
}

/// What the new edge got.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) estate: Estate,
    pub(crate) control: OwnedFd,
    /// In the order of the estate's listeners.
    pub(crate) listeners: Vec<OwnedFd>,
    link: UnixStream,
}

/// The new edge's side, until it has everything.
pub(crate) async fn take(mut link: UnixStream) -> Result<Taken, Error> {
    let failed = |reason: String| Error::Handover { reason };
    let taking = async {
        let call = Call { v: VERSION, op: "handover".to_owned(), body: Nothing {} };
        frame::write(&mut link, &call).await?;
        let answer = frame::read(&mut link).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let answer: Answer<Estate> = serde_json::from_slice(&answer).map_err(io::Error::other)?;
        let estate = answer.ok.ok_or_else(|| {
            io::Error::other(answer.error.map_or_else(|| "no reason given".to_owned(), |fault| fault.message))
        })?;
        let mut descriptors = receive(&link, estate.listeners.len() + 1).await?;
        let control = descriptors.remove(0);
        io::Result::Ok((estate, control, descriptors))
    };
    match timeout(PATIENCE, taking).await {
        Ok(Ok((estate, control, listeners))) => Ok(Taken { estate, control, listeners, link }),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed("it did not answer in time".to_owned())),
    }
}

/// Tells the old edge to stop accepting, and keeps the connection to it.
pub(crate) async fn ready(mut link: UnixStream) -> Result<Predecessor, Error> {
    let telling = async {
        frame::write(&mut link, &Call { v: VERSION, op: "ready".to_owned(), body: Nothing {} }).await?;
        frame::read(&mut link).await?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    };
    match timeout(PATIENCE, telling).await {
        Ok(Ok(_)) => Ok(Predecessor(Mutex::new(Some(link)))),
        Ok(Err(error)) => Err(Error::Handover { reason: error.to_string() }),
        Err(_) => Err(Error::Handover { reason: "it did not stop in time".to_owned() }),
    }
}

impl Taken {
    /// Splits off the connection.
    pub(crate) fn into_parts(self) -> (Estate, OwnedFd, Vec<OwnedFd>, UnixStream) {
        (self.estate, self.control, self.listeners, self.link)
    }
}

/// The edge this one took over from, as long as it lives.
#[derive(Debug, Default)]
pub(crate) struct Predecessor(Mutex<Option<UnixStream>>);

impl Predecessor {
    /// Its requests in flight. 0 when it has ended. When it does not answer in time that is not known, and counts as one.
    pub(crate) async fn in_flight(&self, asked: &InFlightBody) -> u64 {
        let body = InFlightBody { deployment: asked.deployment.clone(), keep: asked.keep.clone() };
        let call = serde_json::to_vec(&Call { v: VERSION, op: "in-flight".to_owned(), body });
        let Ok(call) = call else { return 0 };
        self.ask(&call).await.map_or(0, |left: Left| left.left)
    }

    /// Tells it of a change that was made here, so that what it still serves goes by it before anybody relies on that.
    pub(super) async fn follow(&self, call: &[u8]) {
        // One of an earlier release refuses; it did not follow before either.
        let _: Option<Nothing> = self.ask(call).await;
    }

    /// Whether it is still there. It ends by itself, and says nothing unless asked.
    pub(crate) async fn lives(&self) -> bool {
        let mut link = self.0.lock().await;
        let silent = |stream: &UnixStream| matches!(stream.try_read(&mut [0; 1]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        if !link.as_ref().is_some_and(silent) {
            *link = None;
        }
        link.is_some()
    }

    async fn ask<A: DeserializeOwned>(&self, call: &[u8]) -> Option<A> {
        let mut link = self.0.lock().await;
        let mut stream = link.take()?;
        let asking = async {
            frame::relay(&mut stream, call).await?;
            let answer = frame::read(&mut stream).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let answer: Answer<A> = serde_json::from_slice(&answer).map_err(io::Error::other)?;
            io::Result::Ok(answer.ok)
        };
        match timeout(ASK, asking).await {
            Ok(Ok(answer)) => {
                *link = Some(stream);
                answer
            }
            Ok(Err(_)) => None,
            // The late answer would be taken for that to the next question, so the connection cannot be used again.
            Err(_) => {
                tracing::warn!("the edge before this one does not answer; its requests are no longer waited for");
                None
            }
        }
    }
}

async fn send(stream: &UnixStream, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    for batch in descriptors.chunks(BATCH) {
        stream
            .async_io(Interest::WRITABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                control.push(SendAncillaryMessage::ScmRights(batch));
                Ok(sendmsg(stream, &[IoSlice::new(b"#")], &mut control, SendFlags::NOSIGNAL)?)
            })
            .await?;
    }
    Ok(())
}

async fn receive(stream: &UnixStream, count: usize) -> io::Result<Vec<OwnedFd>> {
    let mut descriptors = Vec::with_capacity(count);
    while descriptors.len() < count {
        let received = stream
            .async_io(Interest::READABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
                let mut control = RecvAncillaryBuffer::new(&mut space);
                let mut byte = [0; 1];
                let message =
                    recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
                if message.bytes == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let mut batch = Vec::new();
                for part in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(rights) = part {
                        batch.extend(rights);
                    }
                }
                Ok(batch)
            })
            .await?;
        if received.is_empty() {
            return Err(io::Error::other("a message without the descriptors it should carry"));
        }
        descriptors.extend(received);
    }
    Ok(descriptors)
}

/// Ignores a lock whose holder died: what it protects is consistent between calls.
pub(crate) fn unpoisoned<T>(lock: Result<T, PoisonError<T>>) -> T {
    lock.unwrap_or_else(PoisonError::into_inner)
}
