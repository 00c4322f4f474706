use std::fmt::Write as _;

use super::date;

/// An answer of the edge itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    reason: &'static str,
    pub(crate) text: String,
    html: bool,
    /// Seconds.
    pub(crate) retry_after: Option<u32>,
    /// `Allow`, for 405.
    pub(crate) allow: Option<&'static str>,
    /// `Location`, for 308.
    pub(crate) location: Option<String>,
}

impl Reply {
    fn new(status: u16, reason: &'static str, text: impl Into<String>) -> Self {
        Self { status, reason, text: text.into(), html: false, retry_after: None, allow: None, location: None }
    }

    /// What a certificate authority asked for.
    pub(crate) fn proof(text: String) -> Self {
        Self::new(200, "OK", text)
    }

    /// The same is served elsewhere. No client may remember it: the setting may be taken back.
    pub(crate) fn redirect(location: String) -> Self {
        Self { location: Some(location), ..Self::new(308, "Permanent Redirect", "this is served with TLS\n") }
    }

    /// The request is malformed or can be read in two ways.
    pub(crate) fn bad_request(why: &'static str) -> Self {
        Self::new(400, "Bad Request", format!("bad request: {why}\n"))
    }

    pub(crate) fn not_found() -> Self {
        Self::new(404, "Not Found", "no application is routed here\n")
    }

    pub(crate) fn method_refused() -> Self {
        let reply = Self::new(405, "Method Not Allowed", "TRACE and CONNECT are not served\n");
        Self { allow: Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"), ..reply }
    }

    pub(crate) fn too_slow() -> Self {
        Self::new(408, "Request Timeout", "the request's head did not arrive in time\n")
    }

    pub(crate) fn too_large() -> Self {
        Self::new(413, "Content Too Large", "the request's body is larger than this edge takes\n")
    }

    pub(crate) fn head_too_large() -> Self {
        Self::new(431, "Request Header Fields Too Large", "the request's head is larger than this edge takes\n")
    }

    pub(crate) fn unimplemented(why: &'static str) -> Self {
        Self::new(501, "Not Implemented", format!("not implemented: {why}\n"))
    }

    pub(crate) fn bad_gateway() -> Self {
        Self::new(502, "Bad Gateway", "the application did not answer\n")
    }

    pub(crate) fn no_backend() -> Self {
        let reply = Self::new(503, "Service Unavailable", "no instance of the application is ready\n");
        Self { retry_after: Some(1), ..reply }
    }

    pub(crate) fn held_too_long() -> Self {
        let reply = Self::new(503, "Service Unavailable", "the application is being replaced; try again shortly\n");
        Self { retry_after: Some(1), ..reply }
    }

    /// The page of a service in maintenance. `message` is plain text.
    pub(crate) fn maintenance(message: &str) -> Self {
        let message = if message.is_empty() { "Down for maintenance" } else { message };
        let mut page = String::from(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width\"><title>Maintenance</title></head>\n<body><main><h1>Maintenance</h1><p>",
        );
        for c in message.chars() {
            match c {
                '&' => page.push_str("&amp;"),
                '<' => page.push_str("&lt;"),
                '>' => page.push_str("&gt;"),
                '"' => page.push_str("&quot;"),
                '\'' => page.push_str("&#39;"),
                '\n' => page.push_str("<br>"),
                c if c.is_control() => {}
                c => page.push(c),
            }
        }
        page.push_str("</p></main></body></html>\n");
        Self { html: true, retry_after: Some(30), ..Self::new(503, "Service Unavailable", page) }
    }

    pub(crate) const fn content_type(&self) -> &'static str {
        if self.html { "text/html; charset=utf-8" } else { "text/plain; charset=utf-8" }
    }

    /// As HTTP/1.1. To a HEAD request the body is left out.
    pub(crate) fn to_http1(&self, head_only: bool, close: bool) -> Vec<u8> {
        let mut head = format!(
            "HTTP/1.1 {} {}\r\ncontent-type: {}\r\ncontent-length: {}\r\ncache-control: no-store\r\n",
            self.status,
            self.reason,
            self.content_type(),
            self.text.len()
        );
        date::with(|now| {
            let _ = write!(head, "date: {now}\r\n");
        });
        if let Some(seconds) = self.retry_after {
            let _ = write!(head, "retry-after: {seconds}\r\n");
        }
        if let Some(allow) = self.allow {
            let _ = write!(head, "allow: {allow}\r\n");
        }
        if let Some(location) = &self.location {
            let _ = write!(head, "location: {location}\r\n");
        }
        head.push_str(if close { "connection: close\r\n\r\n" } else { "\r\n" });
        let mut bytes = head.into_bytes();
        if !head_only {
            bytes.extend_from_slice(self.text.as_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maintenance_text_cannot_leave_its_paragraph() {
        let page = Reply::maintenance("<script>alert('1')</script>\nback & \"soon\"\u{7}");
        assert!(
            page.text.contains("<p>&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;<br>back &amp; &quot;soon&quot;</p>")
        );
        assert_eq!((page.status, page.retry_after), (503, Some(30)));
    }

    #[test]
    fn an_answer_to_head_has_the_length_but_not_the_body() {
        let text = String::from_utf8(Reply::not_found().to_http1(true, true)).expect("text");
        assert!(text.contains("content-length: 30\r\n") && text.ends_with("connection: close\r\n\r\n"), "{text}");
    }
}
