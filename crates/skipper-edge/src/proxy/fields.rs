//! Which header fields an intermediary acts upon, keeps to itself or passes on.

/// What a field is to the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Host,
    Connection,
    ContentLength,
    TransferEncoding,
    Expect,
    Upgrade,
    Date,
    ForwardedFor,
    ForwardedHost,
    ForwardedProto,
    /// Says something about the client that only a trusted proxy may say.
    OtherForwarding,
    /// The probe's token.
    Verify,
    /// Ours to write in answers, never an application's.
    Deployment,
    /// Meant for the next hop only, or dangerous to applications: dropped.
    HopByHop,
    /// Passed on as it is.
    Plain,
}

/// Fields by name. A name is matched without regard to case, and `_` counts as `-`: many applications see both as the
/// same (CGI and WSGI do), so `X_Forwarded_For` would be a way around the rules for `X-Forwarded-For`.
const KNOWN: [(&[u8], Field); 24] = [
    (b"host", Field::Host),
    (b"connection", Field::Connection),
    (b"content-length", Field::ContentLength),
    (b"transfer-encoding", Field::TransferEncoding),
    (b"expect", Field::Expect),
    (b"upgrade", Field::Upgrade),
    (b"date", Field::Date),
    (b"x-forwarded-for", Field::ForwardedFor),
    (b"x-forwarded-host", Field::ForwardedHost),
    (b"x-forwarded-proto", Field::ForwardedProto),
    (b"x-original-url", Field::OtherForwarding),
    (b"x-rewrite-url", Field::OtherForwarding),
    (b"x-real-ip", Field::OtherForwarding),
    (b"forwarded", Field::OtherForwarding),
    (b"x-skipper-verify", Field::Verify),
    (b"x-skipper-deployment", Field::Deployment),
    (b"keep-alive", Field::HopByHop),
    (b"proxy-connection", Field::HopByHop),
    (b"proxy-authenticate", Field::HopByHop),
    (b"proxy-authorization", Field::HopByHop),
    (b"te", Field::HopByHop),
    (b"trailer", Field::HopByHop),
    (b"http2-settings", Field::HopByHop),
    // "httpoxy": a CGI application would take it for its outgoing proxy.
    (b"proxy", Field::HopByHop),
];

fn same(name: &[u8], known: &[u8]) -> bool {
    name.iter().zip(known).all(|(byte, known)| {
        let byte = if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
        byte == *known
    })
}

/// Every other field of this family is somebody's way to say something about the client.
const FORWARDED: &[u8] = b"x-forwarded-";

/// Names shorter or longer than any known one are plain; most others differ in length or first letter from all of them.
pub(crate) fn classify(name: &[u8]) -> Field {
    let Some(first) = name.first().map(u8::to_ascii_lowercase) else { return Field::HopByHop };
    if !matches!(first, b'c' | b'd' | b'e' | b'f' | b'h' | b'k' | b'p' | b't' | b'u' | b'x') {
        return Field::Plain;
    }
    let found = KNOWN.iter().find(|(known, _)| known.len() == name.len() && known[0] == first && same(name, known));
    match found {
        None if first == b'x' && name.len() > FORWARDED.len() && same(&name[..FORWARDED.len()], FORWARDED) => {
            if name[..FORWARDED.len()].contains(&b'_') { Field::HopByHop } else { Field::OtherForwarding }
        }
        None => Field::Plain,
        // A disguise has no honest use, so it is dropped whoever sent it.
        Some(_) if name.contains(&b'_') => Field::HopByHop,
        Some((_, field)) => *field,
    }
}

/// The comma-separated tokens of a list field, without white space around them.
pub(crate) fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// The field names that `Connection` lists, to be dropped with it.
#[derive(Debug, Default)]
pub(crate) struct Nominated<'a> {
    names: Vec<&'a [u8]>,
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
}

/// More than this many names in `Connection` is an attack.
const NOMINATED_MAX: usize = 32;

impl<'a> Nominated<'a> {
    /// Reads one `Connection` field. `Err`: too many names.
    pub(crate) fn add(&mut self, value: &'a [u8]) -> Result<(), ()> {
        for token in tokens(value) {
            if token.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if token.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else if self.names.len() < NOMINATED_MAX {
                self.names.push(token);
            } else {
                return Err(());
            }
        }
        Ok(())
    }

    pub(crate) fn has(&self, name: &[u8]) -> bool {
        self.names.iter().any(|nominated| nominated.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_in_any_case_and_disguises_are_dropped() {
        for (name, field) in [
            ("Host", Field::Host),
            ("TRANSFER-ENCODING", Field::TransferEncoding),
            ("Transfer_Encoding", Field::HopByHop),
            ("X_Forwarded-For", Field::HopByHop),
            ("x-forwarded-for", Field::ForwardedFor),
            ("X-Forwarded-Prefix", Field::OtherForwarding),
            ("X_Forwarded_User", Field::HopByHop),
            ("X-Forwarded-", Field::Plain),
            ("Date", Field::Date),
            ("Cookie", Field::Plain),
            ("x_custom", Field::Plain),
            ("TE", Field::HopByHop),
            ("Proxy", Field::HopByHop),
            ("", Field::HopByHop),
        ] {
            assert_eq!(classify(name.as_bytes()), field, "{name}");
        }
    }

    #[test]
    fn connection_options_and_nominated_names_are_told_apart() {
        let mut nominated = Nominated::default();
        nominated.add(b" close , X-Secret,, Upgrade").expect("few");
        assert!(nominated.close && nominated.upgrade && !nominated.keep_alive);
        assert!(nominated.has(b"x-secret") && !nominated.has(b"close") && !nominated.has(b""));
        assert!(Nominated::default().add("a,".repeat(33).as_bytes()).is_err());
    }
}
