use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    fs::{FlockOperation, Mode},
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};
use tokio::{
    net::{UnixListener, UnixStream},
    time::{Instant, sleep},
};

use crate::error::Error;

/// Time to wait for another edge that is just starting on the same socket.
const LOCK: Duration = Duration::from_secs(30);

/// Creates the folder, for this user alone, or checks that it is.
pub(crate) fn private_folder(folder: &Path) -> Result<(), Error> {
    let state = |cause| Error::State { path: folder.to_owned(), cause };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(state)?;
    let metadata = fs::metadata(folder).map_err(state)?;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(Error::ControlFolder { path: folder.to_owned() });
    }
    // Others may read it; whoever may write could put a socket of their own there.
    if metadata.mode() & 0o022 != 0 {
        let mode = fs::Permissions::from_mode(metadata.mode() & 0o7755);
        fs::set_permissions(folder, mode).map_err(state)?;
    }
    Ok(())
}

/// The right to bind the control socket or to take it over, one edge at a time. Given back when dropped, or by the kernel
/// when the edge dies.
pub(crate) async fn lock(socket: &Path) -> Result<File, Error> {
    let path = socket.with_extension("lock");
    let failed = |cause| Error::Control { path: path.clone(), cause };
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(failed)?;
    let deadline = Instant::now() + LOCK;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::AGAIN) if Instant::now() < deadline => sleep(Duration::from_millis(10)).await,
            Err(error) => return Err(failed(error.into())),
        }
    }
}

/// The edge that answers on the socket, if one does.
pub(crate) async fn running(socket: &Path) -> Result<Option<UnixStream>, Error> {
    match connect(socket).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(cause) => Err(Error::Control { path: socket.to_owned(), cause }),
    }
}

/// Connects, and makes sure that it is this user's edge (or root's) at the other end: it will be told everything. Root, who looks after
/// what is another user's, takes that of whoever owns the folder.
pub(crate) async fn connect(socket: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(socket).await?;
    let peer = stream.peer_cred()?.uid();
    let own = rustix::process::geteuid().as_raw();
    let keeps_folder = || fs::metadata(folder_of(socket)).is_ok_and(|meta| meta.uid() == peer);
    if peer != own && peer != 0 && !(own == 0 && keeps_folder()) {
        let message = format!("the edge at this socket belongs to user {peer}, not to us");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    Ok(stream)
}

/// Binds the control socket, readable by this user alone from its first moment. What a dead edge left is removed.
pub(crate) fn bind(path: &Path) -> Result<UnixListener, Error> {
    let bound = || -> io::Result<UnixListener> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // Linux gives the file the mode of the descriptor.
        rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
        rustix::net::listen(&socket, 256)?;
        UnixListener::from_std(socket.into())
    };
    bound().map_err(|cause| Error::Control { path: path.to_owned(), cause })
}

/// The folder of a path; the working folder for a bare name.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
