//! Which host names are served with TLS.

use std::collections::BTreeSet;

use skipper_core::route::Host;

/// Host names that the edge's shared TLS listener serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsHosts {
    /// A certificate is ordered for every name that can have one.
    pub ordered: bool,
    /// Names of the certificates that are there: a host, `*.DOMAIN` for those right below it, and nothing for every name.
    pub filed: BTreeSet<String>,
}

impl TlsHosts {
    /// Whether there is, or could be, a certificate for it.
    #[must_use]
    pub fn serves(&self, host: &Host) -> bool {
        let name = host.as_str();
        let wildcard = || name.split_once('.').is_some_and(|(_, rest)| self.filed.contains(&format!("*.{rest}")));
        (self.ordered && host.is_certifiable()) || self.filed.contains(name) || wildcard() || self.filed.contains("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_for_a_name_for_those_below_it_or_for_all() {
        let host = |name: &str| Host::new(name).expect("a host");
        let hosts =
            |ordered, filed: &[&str]| TlsHosts { ordered, filed: filed.iter().map(|n| (*n).to_owned()).collect() };
        let some = hosts(false, &["web.test", "*.preview.test"]);
        for (name, served) in
            [("web.test", true), ("a.web.test", false), ("x.preview.test", true), ("x.y.preview.test", false)]
        {
            assert_eq!(some.serves(&host(name)), served, "{name}");
        }
        assert!(hosts(false, &[""]).serves(&host("any.test")) && !hosts(false, &[]).serves(&host("any.test")));
        assert!(hosts(true, &[]).serves(&host("any.test")) && !hosts(true, &[]).serves(&host("localhost")));
    }
}
