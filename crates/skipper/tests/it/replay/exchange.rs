//! Requests as they were recorded, sent over a connection of their own, and answers as they come.

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::TcpStream,
};

use serde_json::Value;

use super::compare::{Ids, Rules, compare};
use crate::bench::LONG;

/// Headers that are part of what was promised.
const PROMISED: &[&str] = &["content-type", "location", "allow", "etag"];

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Request {
    /// A GET as a command line would send it.
    pub(super) fn get(path: &str) -> Self {
        let headers = vec![("Host".to_owned(), "localhost".to_owned())];
        Self { method: "GET".to_owned(), path: path.to_owned(), headers, body: String::new() }
    }

    /// A POST of JSON.
    pub(super) fn post(path: &str, body: &str) -> Self {
        let mut request = Self { method: "POST".to_owned(), body: body.to_owned(), ..Self::get(path) };
        request.headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        request
    }

    /// One whose line and headers are this text.
    pub(super) fn read(head: &str, body: &str) -> Self {
        let mut lines = head.lines();
        let mut line = lines.next().unwrap_or_default().split(' ');
        let mut word = || line.next().unwrap_or_default().to_owned();
        let (method, path) = (word(), word());
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Self { method, path, headers, body: body.to_owned() }
    }
}

/// An answer, recorded or ours.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Answer {
    /// A header's value; several of one name are joined.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let all: Vec<&str> = self
            .headers
            .iter()
            .filter(|(is, _)| is.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    /// The body, if it is JSON.
    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_str(&self.body).ok()
    }

    /// What differs from the recorded answer: status, promised headers, body.
    pub(super) fn differences(&self, recorded: &Self, rules: &Rules, ids: &mut Ids) -> Vec<String> {
        let mut found = Vec::new();
        if self.status != recorded.status {
            found.push(format!("status: recorded {}, ours {}", recorded.status, self.status));
        }
        for name in PROMISED {
            if rules.pass_over(name) {
                continue;
            }
            let (a, b) = (recorded.header(name), self.header(name));
            if a.as_deref().is_some_and(|a| normal(name, a) != normal(name, b.as_deref().unwrap_or_default())) {
                found.push(format!("header {name}: recorded {}, ours {b:?}", a.unwrap_or_default()));
            }
        }
        match (recorded.json(), self.json()) {
            (Some(a), Some(b)) => found.extend(compare(&a, &b, rules, ids)),
            (None, None) if recorded.body == self.body => {}
            _ => found.push(format!("body: recorded {:?}, ours {:?}", recorded.body, self.body)),
        }
        found
    }
}

/// A header's value as far as it means something: a version of an entity is any, methods come in any order.
fn normal(name: &str, value: &str) -> String {
    let value = value.replace(' ', "").to_ascii_lowercase();
    match name {
        "etag" => value.chars().filter(|c| !c.is_ascii_digit()).collect(),
        "allow" => {
            let mut methods: Vec<&str> = value.split(',').collect();
            methods.sort_unstable();
            methods.join(",")
        }
        _ => value,
    }
}

/// Asks a server, on a connection of its own.
#[track_caller]
pub(super) fn ask(address: &str, request: &Request) -> Answer {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(LONG)).expect("it can be set");
    let mut head = format!("{} {} HTTP/1.1\r\nConnection: close\r\n", request.method, request.path);
    for (name, value) in &request.headers {
        if !["connection", "content-length", "keep-alive", "transfer-encoding"].contains(&name.to_lowercase().as_str())
        {
            let _ = write!(head, "{name}: {value}\r\n");
        }
    }
    if !request.body.is_empty() || request.method == "POST" {
        let _ = write!(head, "Content-Length: {}\r\n", request.body.len());
    }
    stream.write_all(format!("{head}\r\n{}", request.body).as_bytes()).expect("it takes it");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("it answers");
    answer(&bytes).unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(&bytes)))
}

/// Reads an answer to its end; text in ISO-8859-1 becomes UTF-8.
pub(super) fn answer(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer { status, headers, body: String::new() };
    let body = &bytes[end + 4..];
    let body = if answer.header("transfer-encoding").is_some_and(|is| is.eq_ignore_ascii_case("chunked")) {
        dechunked(body)?
    } else {
        body.to_vec()
    };
    let latin = answer.header("content-type").is_some_and(|is| is.to_lowercase().contains("iso-8859-1"));
    answer.body =
        if latin { body.iter().map(|byte| char::from(*byte)).collect() } else { String::from_utf8(body).ok()? };
    Some(answer)
}

fn dechunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?.split(';').next()?.trim(), 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Some(out);
        }
        out.extend(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(head: &str, body: &str) -> Answer {
        answer(format!("HTTP/1.1 {head}\r\n\r\n{body}").as_bytes()).expect("an answer")
    }

    #[test]
    fn status_headers_and_body_are_compared() {
        let rules = Rules(vec![]);
        let recorded = said("201 Created\r\nContent-Type: application/json;charset=UTF-8\r\nETag: \"0\"", "{\"a\":1}");
        let differences = |other: &Answer| other.differences(&recorded, &rules, &mut Ids::default());
        let same =
            said("201 Made\r\ncontent-type: application/json; charset=utf-8\r\netag: \"7\"\r\nx: y", "{ \"a\" : 1 }");
        assert_eq!(differences(&same), [""; 0]);
        let other = said("200 OK\r\nContent-Type: text/plain\r\nETag: W/\"7\"", "no");
        assert_eq!(differences(&other).len(), 4, "{:#?}", differences(&other));
    }

    #[test]
    fn a_body_in_chunks_is_put_together() {
        let chunked = said("200 OK\r\nTransfer-Encoding: chunked", "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n");
        assert_eq!(chunked.body, "abcde");
        assert!(answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab").is_none());
    }

    #[test]
    fn methods_that_are_allowed_come_in_any_order() {
        let recorded = said("405 No\r\nAllow: DELETE, POST", "");
        let same = said("405 No\r\nAllow: POST,DELETE", "");
        let other = said("405 No\r\nAllow: POST", "");
        assert_eq!(same.differences(&recorded, &Rules(vec![]), &mut Ids::default()), [""; 0]);
        assert_eq!(other.differences(&recorded, &Rules(vec![]), &mut Ids::default()).len(), 1);
    }
}
