//! Idle connections to instances. Each serving thread has its own, so taking and keeping one touches nothing shared.

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::table::Target;

/// Idle time after which a connection is closed here, because some servers close theirs after 5 s (Node's default) and a
/// request that meets such a close is lost.
const IDLE: Duration = Duration::from_secs(4);
/// Idle time up to which the runtime's own knowledge of the socket is taken for fresh; it turns every few hundred
/// microseconds under load. After that the kernel is asked.
const FRESH: Duration = Duration::from_millis(2);
/// Idle connections kept for one target by one thread.
const KEPT: usize = 512;

struct Idle {
    stream: TcpStream,
    since: Instant,
}

thread_local! {
    static POOL: RefCell<HashMap<u64, Vec<Idle>>> = RefCell::new(HashMap::new());
}

/// A connection to the target: the one used last if it still lives (`true`), else a new one. `fresh`: a new one in any case.
///
/// # Cancel safety
///
/// Safe to drop: a kept connection that was taken is closed.
pub(crate) async fn checkout(target: &Target, fresh: bool, limit: Duration) -> io::Result<(TcpStream, bool)> {
    match take(target.key, Instant::now()) {
        Some(stream) if !fresh => return Ok((stream, true)),
        // In place of a kept one: some servers have as many threads as they expect connections.
        _ => {}
    }
    let stream = timeout(limit, TcpStream::connect(target.address))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no connection in time"))??;
    stream.set_nodelay(true)?;
    Ok((stream, false))
}

fn take(key: u64, now: Instant) -> Option<TcpStream> {
    POOL.with(|pool| {
        let mut pool = pool.borrow_mut();
        let idle = pool.get_mut(&key)?;
        // The last one kept: the fewest connections stay busy, and the rest grow old and are closed.
        while let Some(mut kept) = idle.pop() {
            let age = now.saturating_duration_since(kept.since);
            if age < IDLE && is_alive(&mut kept.stream, age) {
                return Some(kept.stream);
            }
        }
        None
    })
}

/// Nothing to read and not ended. Bytes that nobody asked for make a connection unusable as well.
fn is_alive(stream: &mut TcpStream, age: Duration) -> bool {
    if age > FRESH {
        let mut byte = [0; 1];
        let flags = rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT;
        return matches!(rustix::net::recv(&*stream, &mut byte[..], flags), Err(rustix::io::Errno::AGAIN));
    }
    let mut byte = [0; 1];
    let mut room = ReadBuf::new(&mut byte);
    matches!(Pin::new(stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut room), Poll::Pending)
}

/// Keeps a connection for another request. It must have carried requests without body only, and the last answer must have been
/// read to its end: what an instance does with a body that it has not read (close, read it as the next request) comes whenever
/// it likes, and would meet somebody else.
pub(crate) fn keep(target: &Target, stream: TcpStream) {
    POOL.with(|pool| {
        let mut pool = pool.borrow_mut();
        let idle = pool.entry(target.key).or_default();
        if idle.len() < KEPT {
            idle.push(Idle { stream, since: Instant::now() });
        }
    });
}

/// Closes what has been idle for too long. Called by each serving thread about once a second.
pub(crate) fn reap() {
    let now = Instant::now();
    POOL.with(|pool| {
        let mut pool = pool.borrow_mut();
        for idle in pool.values_mut() {
            idle.retain_mut(|kept| {
                let age = now.saturating_duration_since(kept.since);
                age < IDLE && is_alive(&mut kept.stream, age)
            });
        }
        pool.retain(|_, idle| !idle.is_empty());
    });
}
