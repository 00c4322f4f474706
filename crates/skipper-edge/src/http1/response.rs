use std::mem::MaybeUninit;

use super::{Decoder, chunked::Chunked, request::decimal};
use crate::proxy::{Field, Nominated, classify};

/// Largest head of an answer, in bytes and fields. Applications are ours, so this is generous.
const HEAD_MAX: usize = 128 * 1024;
const FIELDS_MAX: usize = 160;

/// Takes an answer's head, field by field.
pub(crate) trait Fields {
    fn begin(&mut self, status: u16, reason: &[u8]);
    fn field(&mut self, name: &[u8], value: &[u8]);

    /// It is a final answer, and does not say when it was made.
    fn undated(&mut self) {}
}

/// How an answer's body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerBody {
    None,
    Known(u64),
    Chunked,
    UntilClose,
}

impl From<AnswerBody> for Decoder {
    fn from(body: AnswerBody) -> Self {
        match body {
            AnswerBody::None | AnswerBody::Known(0) => Self::Ended,
            AnswerBody::Known(length) => Self::Known(length),
            AnswerBody::Chunked => Self::Chunked(Chunked::Size),
            AnswerBody::UntilClose => Self::UntilClose,
        }
    }
}

/// What an answer's head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) head_len: usize,
    pub(crate) status: u16,
    pub(crate) body: AnswerBody,
    /// The connection may be used again after the body.
    pub(crate) reusable: bool,
}

impl Answered {
    /// An answer before the answer. 101 is a final one.
    pub(crate) const fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }
}

/// The answer is not HTTP/1.1, or ambiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadAnswer;

/// Reads an answer's head from `bytes`. `None`: it is not complete. The fields that may pass go to `to`, the length among
/// them; an interim answer has none.
pub(crate) fn read(
    bytes: &[u8],
    head_only: bool,
    upgrade: bool,
    to: &mut dyn Fields,
) -> Result<Option<Answered>, BadAnswer> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let head_len = match config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut fields) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX => return Ok(None),
        Ok(_) | Err(_) => return Err(BadAnswer),
    };
    let status = parsed.code.filter(|status| (100..=999).contains(status)).ok_or(BadAnswer)?;
    let (mut length, mut chunked, mut dated, mut nominated) = (None, false, false, Nominated::default());
    let mut kinds = [Field::Plain; FIELDS_MAX];
    for (field, kind) in parsed.headers.iter().zip(&mut kinds) {
        *kind = classify(field.name.as_bytes());
        match kind {
            Field::ContentLength => {
                let value = decimal(field.value).ok_or(BadAnswer)?;
                if length.replace(value).is_some_and(|before| before != value) {
                    return Err(BadAnswer);
                }
            }
            Field::TransferEncoding => {
                if chunked || !field.value.eq_ignore_ascii_case(b"chunked") {
                    return Err(BadAnswer);
                }
                chunked = true;
            }
            Field::Connection => nominated.add(field.value).map_err(|()| BadAnswer)?,
            Field::Date => dated = true,
            _ => {}
        }
    }
    let http11 = parsed.version == Some(1);
    if (chunked && (length.is_some() || !http11)) || (status == 101 && !upgrade) {
        return Err(BadAnswer);
    }
    let bodiless = head_only || status < 200 || status == 204 || status == 304;
    let body = match (bodiless, chunked, length) {
        (true, ..) => AnswerBody::None,
        (false, true, _) => AnswerBody::Chunked,
        (false, false, Some(length)) => AnswerBody::Known(length),
        (false, false, None) => AnswerBody::UntilClose,
    };
    let reusable =
        body != AnswerBody::UntilClose && status != 101 && !nominated.close && (http11 || nominated.keep_alive);
    let answered = Answered { head_len, status, body, reusable };
    to.begin(status, parsed.reason.unwrap_or_default().as_bytes());
    for (field, kind) in parsed.headers.iter().zip(&kinds) {
        let passes = match kind {
            Field::Connection
            | Field::ContentLength
            | Field::TransferEncoding
            | Field::HopByHop
            | Field::Deployment => false,
            Field::Upgrade => status == 101 || status == 426,
            _ => !nominated.has(field.name.as_bytes()),
        };
        if passes {
            to.field(field.name.as_bytes(), field.value);
        }
    }
    // 204 has no length; that of 304 and of an answer to HEAD is the one a GET would get.
    if let Some(length) = length.filter(|_| status >= 200 && status != 204) {
        to.field(b"content-length", length.to_string().as_bytes());
    }
    if !dated && !answered.is_interim() {
        to.undated();
    }
    Ok(Some(answered))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen(Vec<String>);
    impl Fields for Seen {
        fn begin(&mut self, status: u16, reason: &[u8]) {
            self.0.push(format!("{status} {}", String::from_utf8_lossy(reason)));
        }
        fn field(&mut self, name: &[u8], value: &[u8]) {
            self.0.push(format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
        }
    }

    fn parse(text: &str, head_only: bool) -> (Result<Option<Answered>, BadAnswer>, String) {
        let mut seen = Seen::default();
        let answered = read(text.as_bytes(), head_only, false, &mut seen);
        (answered, seen.0.join(" | "))
    }

    #[test]
    fn hop_by_hop_and_nominated_fields_stay_here() {
        let (answered, fields) = parse(
            "HTTP/1.1 200 Fine\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nSet-Cookie: a\r\n\
             X-Skipper-Deployment: forged\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\n",
            false,
        );
        let answered = answered.expect("valid").expect("complete");
        assert_eq!((answered.body, answered.reusable), (AnswerBody::Known(5), true));
        assert_eq!(fields, "200 Fine | Set-Cookie: a | content-length: 5");
    }

    #[test]
    fn the_body_is_framed_by_the_rules_of_the_rfc() {
        for (head, head_only, body, reusable) in [
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", false, AnswerBody::Chunked, true),
            ("HTTP/1.1 200 OK\r\n\r\n", false, AnswerBody::UntilClose, false),
            ("HTTP/1.1 204 No\r\nContent-Length: 7\r\n\r\n", false, AnswerBody::None, true),
            ("HTTP/1.1 304 Same\r\nContent-Length: 7\r\n\r\n", false, AnswerBody::None, true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", true, AnswerBody::None, true),
            ("HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n", false, AnswerBody::Known(7), false),
            ("HTTP/1.1 200\r\nContent-Length: 7\r\nContent-Length: 7\r\n\r\n", false, AnswerBody::Known(7), true),
        ] {
            let answered = parse(head, head_only).0.expect(head).expect(head);
            assert_eq!((answered.body, answered.reusable), (body, reusable), "{head}");
        }
        assert_eq!(parse("HTTP/1.1 200 OK\r\nA: b", false).0, Ok(None));
    }

    #[test]
    fn ambiguous_answers_are_refused() {
        for head in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
            "ICY 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        ] {
            assert_eq!(parse(head, false).0, Err(BadAnswer), "{head}");
        }
    }

    #[test]
    fn the_length_of_what_a_get_would_return_is_passed_on() {
        assert!(parse("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", true).1.ends_with("content-length: 7"));
        assert!(!parse("HTTP/1.1 204 No\r\nContent-Length: 7\r\n\r\n", false).1.contains("content-length"));
    }
}
