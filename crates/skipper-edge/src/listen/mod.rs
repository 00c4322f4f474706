//! Listening sockets, the thread that accepts from them, and the threads that serve.

mod accept;
mod bind;
mod certificates;
mod worker;

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    sync::Arc,
};

use skipper_core::route::Listener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use self::bind::bind;
pub use self::certificates::certificate_names;
pub(crate) use self::{
    accept::{Acceptor, Face},
    certificates::CertificateStore,
    worker::{Pool, Worker},
};
use crate::{
    config::SharedListen,
    control::wire::{self, Fault, ListenerInfo},
};

/// The open listening sockets.
pub(crate) struct Listeners {
    http: SharedListen,
    https: SharedListen,
    bind: IpAddr,
    tls: TlsAcceptor,
    acceptor: Acceptor,
    open: HashMap<Listener, Opened>,
    /// Sockets taken over from another edge and not yet asked for.
    inherited: HashMap<Listener, TcpListener>,
    /// The edge before this one still listens.
    taking_over: bool,
}

impl std::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listeners").field("open", &self.open).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Opened {
    socket: Arc<TcpListener>,
    address: SocketAddr,
    stop: CancellationToken,
}

impl Listeners {
    pub(crate) fn new(
        http: SharedListen,
        https: SharedListen,
        bind: IpAddr,
        tls: TlsAcceptor,
        acceptor: Acceptor,
    ) -> Self {
        Self { http, https, bind, tls, acceptor, open: HashMap::new(), inherited: HashMap::new(), taking_over: false }
    }

    /// Takes a socket over, for when a route needs it.
    pub(crate) fn inherit(&mut self, listener: Listener, socket: TcpListener) {
        self.inherited.insert(listener, socket);
        self.taking_over = true;
    }

    /// Closes the sockets that were taken over and that no route needs.
    pub(crate) fn drop_inherited(&mut self) {
        self.inherited.clear();
    }

    /// The edge before this one has let go of its sockets.
    pub(crate) fn taken_over(&mut self) {
        self.taking_over = false;
    }

    /// Opens a listener unless it is open. Whether it was opened now.
    pub(crate) fn open(&mut self, listener: Listener) -> Result<bool, Fault> {
        if self.open.contains_key(&listener) {
            return Ok(false);
        }
        let socket = match self.inherited.remove(&listener).filter(|socket| self.is_wanted(listener, socket)) {
            Some(socket) => socket,
            None => self.bind(listener).map_err(|(address, error)| refused(listener, address, &error))?,
        };
        let address = socket.local_addr().map_err(|error| unusable(listener, &error))?;
        let socket = Arc::new(socket);
        let stop = CancellationToken::new();
        let tls = (listener == Listener::Https).then(|| self.tls.clone());
        let face = Arc::new(Face { listener, address: address.to_string(), tls });
        self.acceptor.accept(face, socket.clone(), stop.clone()).map_err(|error| unusable(listener, &error))?;
        if listener == Listener::Https {
            self.acceptor.shared().tls_opened(address.port());
        }
        tracing::info!(%listener, %address, "listening");
        self.open.insert(listener, Opened { socket, address, stop });
        Ok(true)
    }

    /// Whether the listener is open, or could be opened now.
    pub(crate) fn check(&self, listener: Listener) -> Result<(), Fault> {
        if self.open.contains_key(&listener) {
            return Ok(());
        }
        let candidates = self.candidates(listener);
        if candidates.is_empty() {
            return Err(Fault {
                kind: "permanent".to_owned(),
                code: "no-listener".to_owned(),
                message: format!("this edge does not listen for {listener}: it is switched off"),
                hint: Some(format!("set `edge.{listener}` in the configuration to `auto` or to an address")),
            });
        }
        self.bind(listener).map(drop).map_err(|(address, error)| refused(listener, address, &error))
    }

    /// Whether this edge listens there at all.
    pub(crate) fn may_open(&self, listener: Listener) -> bool {
        !self.candidates(listener).is_empty()
    }

    fn candidates(&self, listener: Listener) -> Vec<SocketAddr> {
        match listener {
            Listener::Http => self.http.0.clone(),
            Listener::Https => self.https.0.clone(),
            Listener::Port(port) => vec![SocketAddr::new(self.bind, port)],
            Listener::Auto => Vec::new(),
        }
    }

    /// Whether a socket that was taken over is where this edge would listen.
    fn is_wanted(&self, listener: Listener, socket: &TcpListener) -> bool {
        let Ok(address) = socket.local_addr() else { return false };
        let fits = |wanted: &SocketAddr| {
            wanted.ip() == address.ip() && (wanted.port() == address.port() || wanted.port() == 0)
        };
        self.candidates(listener).iter().any(fits)
    }

    /// The first of the candidates that can be bound.
    fn bind(&self, listener: Listener) -> Result<TcpListener, (SocketAddr, io::Error)> {
        let mut last = None;
        for address in &self.candidates(listener) {
            match bind(*address) {
                Ok(socket) => return Ok(socket),
                // Most likely by the edge before this one, which listened elsewhere and is about to let go: the next best
                // address would be the wrong one for good.
                Err(error) if self.taking_over && error.kind() == io::ErrorKind::AddrInUse => {
                    return Err((*address, error));
                }
                Err(error) => {
                    tracing::debug!(%address, %error, "not this address");
                    last = Some((*address, error));
                }
            }
        }
        Err(last.unwrap_or((SocketAddr::new(self.bind, 0), io::ErrorKind::AddrNotAvailable.into())))
    }

    /// Closes a listener. Its open connections go on.
    pub(crate) fn close(&mut self, listener: Listener) {
        if let Some(opened) = self.open.remove(&listener) {
            opened.stop.cancel();
            tracing::info!(%listener, address = %opened.address, "no longer listening");
        }
    }

    /// Closes all.
    pub(crate) fn close_all(&mut self) {
        for (_, opened) in self.open.drain() {
            opened.stop.cancel();
        }
    }

    /// The open ones, in a stable order.
    pub(crate) fn sockets(&self) -> Vec<(ListenerInfo, Arc<TcpListener>)> {
        let mut all: Vec<_> = self.open.iter().collect();
        all.sort_by_key(|(listener, _)| **listener);
        let info = |listener: &Listener, opened: &Opened| ListenerInfo {
            listener: listener.to_string(),
            address: opened.address,
        };
        all.into_iter().map(|(listener, opened)| (info(listener, opened), opened.socket.clone())).collect()
    }

    pub(crate) fn infos(&self) -> Vec<ListenerInfo> {
        self.sockets().into_iter().map(|(info, _)| info).collect()
    }
}

fn refused(listener: Listener, address: SocketAddr, error: &io::Error) -> Fault {
    let (kind, code, message, hint) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            "permanent",
            "port-taken",
            format!("{address} is taken by another program, so {listener} cannot listen there"),
            Some(format!("free it (`ss -ltnp 'sport = :{}'` tells who has it) or choose another port", address.port())),
        ),
        io::ErrorKind::PermissionDenied => (
            "permanent",
            "port-refused",
            format!("this user may not listen on {address}"),
            Some("choose a port above 1023, or give the edge CAP_NET_BIND_SERVICE".to_owned()),
        ),
        _ => ("transient", "listen-failed", format!("listen on {address} for {listener}: {error}"), None),
    };
    Fault { kind: kind.to_owned(), code: code.to_owned(), message, hint }
}

fn unusable(listener: Listener, error: &io::Error) -> Fault {
    Fault {
        kind: "transient".to_owned(),
        code: "listen-failed".to_owned(),
        message: format!("use the socket of {listener}: {error}"),
        hint: None,
    }
}

/// Reads a listener's name from the wire.
pub(crate) fn named(info: &ListenerInfo) -> Option<Listener> {
    wire::listener(&info.listener).ok()
}
