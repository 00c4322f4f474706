/// Normalises an authority (`Host` or `:authority`) into `name` (lower case, no port, no trailing dot; an IPv6 address keeps
/// its brackets) and returns the port's text with its colon, or "". `None` for anything that is not a host with an optional
/// port: user names, white space, a second host.
pub(crate) fn normalise<'a>(authority: &'a [u8], name: &mut String) -> Option<&'a str> {
    name.clear();
    let text = std::str::from_utf8(authority).ok()?;
    let (host, port) = if text.starts_with('[') {
        let end = text.find(']')?;
        let address = &text[1..end];
        address.parse::<std::net::Ipv6Addr>().ok()?;
        text.split_at(end + 1)
    } else {
        text.split_at(text.find(':').unwrap_or(text.len()))
    };
    let digits = port.strip_prefix(':').unwrap_or("");
    if !(port.is_empty() || port.starts_with(':')) || digits.len() > 5 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if host.starts_with('[') {
        name.push_str(host);
        name.make_ascii_lowercase();
        return Some(if digits.is_empty() { "" } else { port });
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if host.is_empty() || host.len() > 253 || !host.bytes().all(allowed) {
        return None;
    }
    name.push_str(host);
    name.make_ascii_lowercase();
    Some(if digits.is_empty() { "" } else { port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(authority: &str, expected: Option<(&str, &str)>) {
        let mut name = String::new();
        let port = normalise(authority.as_bytes(), &mut name);
        assert_eq!(port.map(|port| (name.as_str(), port)), expected, "{authority}");
    }

    #[test]
    fn hosts_are_lower_case_without_port_and_dot() {
        check("WWW.Example.org.:8080", Some(("www.example.org", ":8080")));
        check("localhost", Some(("localhost", "")));
        check("a:", Some(("a", "")));
        check("[::1]:80", Some(("[::1]", ":80")));
        check("[FE80::1]", Some(("[fe80::1]", "")));
        check("under_score.local", Some(("under_score.local", "")));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for bad in
            ["", ".", "a b", "u@h", "a,b", "a/b", "a:b", "a:123456", "[::1", "[x]", "[::1]x", "a\tb", "ä", "a:1:2"]
        {
            check(bad, None);
        }
    }
}
