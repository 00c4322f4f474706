use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::io::AsyncWrite;

use super::{
    Decoder, Encoder,
    flow::{Broken, Flow},
};
use crate::net::{Stream, Wire};

/// Silence after which the kernel asks whether the peer still lives. There is no other bound on a tunnel's time.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Carries bytes both ways until both sides are done or one breaks. `head` goes to the client first.
pub(crate) async fn tunnel(client: &mut Wire, instance: &mut Wire, head: Vec<u8>) {
    for stream in [&client.stream, &instance.stream] {
        let tcp = stream.tcp();
        // A socket without these options is still a tunnel.
        let _ = rustix::net::sockopt::set_socket_keepalive(tcp, true);
        let _ = rustix::net::sockopt::set_tcp_keepidle(tcp, KEEP_ALIVE);
        let _ = rustix::net::sockopt::set_tcp_keepintvl(tcp, KEEP_ALIVE / 4);
    }
    let (mut down, mut up) = (Half::new(head), Half::new(Vec::new()));
    let _: Result<(), Broken> = poll_fn(|cx| {
        let up = up.poll(cx, client, &mut instance.stream)?;
        let down = down.poll(cx, instance, &mut client.stream)?;
        if up.is_ready() && down.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await;
}

/// One direction. Its end is passed on as an end of that direction only.
struct Half {
    flow: Flow,
    ended: bool,
    shut: bool,
}

impl Half {
    fn new(head: Vec<u8>) -> Self {
        Self { flow: Flow::new(head, Decoder::UntilClose, Encoder::Identity, None), ended: false, shut: false }
    }

    fn poll(&mut self, cx: &mut Context<'_>, from: &mut Wire, to: &mut Stream) -> Poll<Result<(), Broken>> {
        if !self.ended {
            ready!(self.flow.poll(cx, from, to))?;
            self.ended = true;
        }
        if !self.shut {
            ready!(Pin::new(to).poll_shutdown(cx)).map_err(|_| Broken::Sink)?;
            self.shut = true;
        }
        Poll::Ready(Ok(()))
    }
}
