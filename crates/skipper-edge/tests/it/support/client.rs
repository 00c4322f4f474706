use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first field of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }
}

/// A connection that sends requests one after another.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) left: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        Self { stream, left: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("send");
    }

    /// Reads one answer. `None`: the connection ended instead.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        read_answer(&mut self.stream, &mut self.left, false).await.ok()
    }

    pub(crate) async fn get(&mut self, host: &str, path: &str) -> Option<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await.ok()?;
        self.answer().await
    }
}

/// One request on a connection of its own.
pub(crate) async fn get(address: SocketAddr, host: &str, path: &str) -> Answer {
    Client::connect(address).await.get(host, path).await.expect("an answer")
}

/// Sends bytes on a connection of its own and reads one answer, if there is one.
pub(crate) async fn raw(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Option<Answer> {
    let mut client = Client::connect(address).await;
    // The edge may refuse before it has read everything.
    let _ = client.stream.write_all(bytes.as_ref()).await;
    client.answer().await
}

/// Reads an answer; interim ones are skipped. Bytes that were read beyond it stay in `left`.
pub(crate) async fn read_answer<S: AsyncRead + Unpin>(
    stream: &mut S,
    left: &mut Vec<u8>,
    head_only: bool,
) -> io::Result<Answer> {
    timeout(Duration::from_secs(30), read(stream, left, head_only))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer"))?
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S, left: &mut Vec<u8>, head_only: bool) -> io::Result<Answer> {
    let (status, headers) = loop {
        let mut fields = [httparse::EMPTY_HEADER; 128];
        let mut parsed = httparse::Response::new(&mut fields);
        if let httparse::Status::Complete(length) = parsed.parse(left).map_err(io::Error::other)? {
            let status = parsed.code.expect("complete");
            let field = |field: &httparse::Header<'_>| {
                (field.name.to_ascii_lowercase(), String::from_utf8_lossy(field.value).into_owned())
            };
            let headers: Vec<_> = parsed.headers.iter().map(field).collect();
            left.drain(..length);
            if status == 101 || status >= 200 {
                break (status, headers);
            }
            continue;
        }
        more(stream, left).await?;
    };
    let mut answer = Answer { status, headers, body: Vec::new() };
    if head_only || status == 204 || status == 304 || status == 101 {
        return Ok(answer);
    }
    if answer.header("transfer-encoding") == Some("chunked") {
        loop {
            let size = line(stream, left).await?;
            let size = usize::from_str_radix(&size, 16).map_err(io::Error::other)?;
            while left.len() < size + 2 {
                more(stream, left).await?;
            }
            answer.body.extend(left.drain(..size));
            assert_eq!(left.drain(..2).collect::<Vec<_>>(), b"\r\n");
            if size == 0 {
                return Ok(answer);
            }
        }
    }
    match answer.header("content-length").map(|length| length.parse::<usize>().expect("a length")) {
        Some(length) => {
            while left.len() < length {
                more(stream, left).await?;
            }
            answer.body.extend(left.drain(..length));
        }
        None => {
            while more(stream, left).await.is_ok() {}
            answer.body.append(left);
        }
    }
    Ok(answer)
}

async fn line<S: AsyncRead + Unpin>(stream: &mut S, left: &mut Vec<u8>) -> io::Result<String> {
    loop {
        if let Some(end) = left.windows(2).position(|pair| pair == b"\r\n") {
            let line = String::from_utf8_lossy(&left[..end]).into_owned();
            left.drain(..end + 2);
            return Ok(line);
        }
        more(stream, left).await?;
    }
}

async fn more<S: AsyncRead + Unpin>(stream: &mut S, left: &mut Vec<u8>) -> io::Result<()> {
    if stream.read_buf(left).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}
