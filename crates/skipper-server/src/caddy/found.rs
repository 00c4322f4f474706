//! How Caddy reads its own configuration, as far as that decides who gets a request.

use std::ops::RangeInclusive;

use serde_json::Value;

/// What a route does with the requests for a host name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// Nothing.
    None,
    /// It may take them: it matches any host, a wildcard above the name, or something that is not known before the request.
    Might,
    /// It names the host.
    Names,
}

/// What a route does with the requests for `host`, in lower case; `*.x` asks for everything below x.
pub(super) fn claim(route: &Value, host: &str) -> Claim {
    let sets = route.get("match").and_then(Value::as_array).filter(|sets| !sets.is_empty());
    let Some(sets) = sets else { return Claim::Might };
    let mut claim = Claim::None;
    for set in sets {
        let Some(patterns) = set.get("host").and_then(Value::as_array) else {
            claim = Claim::Might;
            continue;
        };
        for pattern in patterns.iter().filter_map(Value::as_str) {
            if pattern.eq_ignore_ascii_case(host) {
                return Claim::Names;
            }
            if covers(pattern, host) {
                claim = Claim::Might;
            }
        }
    }
    claim
}

/// Whether everything that `host` stands for falls under Caddy's pattern.
pub(super) fn covers(pattern: &str, host: &str) -> bool {
    // Filled in for each request.
    if pattern.contains('{') {
        return true;
    }
    let (mut left, mut right) = (pattern.split('.'), host.split('.'));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(label), Some(of)) if label == "*" || label.eq_ignore_ascii_case(of) => {}
            _ => return false,
        }
    }
}

/// The host names of a route, in lower case.
pub(super) fn hosts(route: &Value) -> Vec<String> {
    let sets = route.get("match").and_then(Value::as_array).into_iter().flatten();
    let lists = sets.filter_map(|set| set.get("host")?.as_array());
    lists.flatten().filter_map(Value::as_str).map(str::to_ascii_lowercase).collect()
}

/// The id that something has in the admin API.
pub(super) fn id(value: &Value) -> &str {
    value.get("@id").and_then(Value::as_str).unwrap_or_default()
}

/// Where a route of a single reverse proxy sends its requests, if it is one.
pub(super) fn dial(route: &Value) -> Option<&str> {
    route.get("handle")?.get(0)?.get("upstreams")?.get(0)?.get("dial")?.as_str()
}

/// The ports of a listen address of TCP, and whether it is for every address of the machine.
pub(super) fn ports(listen: &str) -> Option<(RangeInclusive<u16>, bool)> {
    let address = match listen.split_once('/') {
        Some((network, address)) if network.starts_with("tcp") => address,
        Some(_) => return None,
        None => listen,
    };
    let (host, ports) = address.rsplit_once(':')?;
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let everywhere = matches!(host, "" | "0.0.0.0" | "[::]");
    Some((first.parse().ok()?..=last.parse().ok()?, everywhere))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_route_claims_what_caddy_would_send_it() {
        let claims = |route: Value| claim(&route, "a.example.org");
        assert_eq!(claims(json!({"handle": []})), Claim::Might);
        assert_eq!(claims(json!({"match": []})), Claim::Might);
        assert_eq!(claims(json!({"match": [{"path": ["/x"]}]})), Claim::Might);
        assert_eq!(claims(json!({"match": [{"host": ["b.example.org", "A.Example.org"]}]})), Claim::Names);
        assert_eq!(claims(json!({"match": [{"host": ["*.example.org"]}]})), Claim::Might);
        assert_eq!(claims(json!({"match": [{"host": ["{env.HOST}"]}]})), Claim::Might);
        assert_eq!(claims(json!({"match": [{"host": ["*.org", "example.org", "*"]}]})), Claim::None);
        assert_eq!(claim(&json!({"match": [{"host": ["a.example.org"]}]}), "*.example.org"), Claim::None);
        assert_eq!(claim(&json!({"match": [{"host": ["*.example.org"]}]}), "*.example.org"), Claim::Names);
    }

    #[test]
    fn ports_of_listen_addresses_are_read_as_caddy_reads_them() {
        assert_eq!(ports(":443"), Some((443..=443, true)));
        assert_eq!(ports("tcp/0.0.0.0:443"), Some((443..=443, true)));
        assert_eq!(ports("tcp4/127.0.0.1:8000-8010"), Some((8000..=8010, false)));
        assert_eq!(ports("[::1]:443"), Some((443..=443, false)));
        for none in ["unix//run/x.sock", "udp/:443", "fd/3", "{env.A}", "x", ":{env.PORT}"] {
            assert_eq!(ports(none), None, "{none}");
        }
    }
}
