//! Links: where they lead is told by the request, so that a client follows them over the way it came.

use http::{HeaderMap, Uri, header, request::Parts};
use serde::{Serialize, Serializer, ser::SerializeMap as _};

/// A link, or a template of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::api::releases) struct Link {
    pub(in crate::api::releases) href: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::api::releases) templated: bool,
}

impl Link {
    /// A link; a template where it has braces.
    pub(in crate::api::releases) fn to(href: impl Into<String>) -> Self {
        let href = href.into();
        Self { templated: href.contains('{'), href }
    }
}

/// `_links`: relations in order. Links of one relation become a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::api::releases) struct Links(Vec<(&'static str, Vec<Link>)>);

impl Links {
    pub(in crate::api::releases) fn with(mut self, rel: &'static str, link: Link) -> Self {
        match self.0.iter_mut().find(|(known, _)| *known == rel) {
            Some((_, links)) => links.push(link),
            None => self.0.push((rel, vec![link])),
        }
        self
    }

    /// Where the relation leads.
    pub(super) fn first(&self, rel: &str) -> Option<&str> {
        let (_, links) = self.0.iter().find(|(known, _)| *known == rel)?;
        links.first().map(|link| link.href.as_str())
    }

    /// The value of a `Link` header.
    pub(super) fn header(&self) -> String {
        let all = self.0.iter().flat_map(|(rel, links)| links.iter().map(move |link| (rel, &link.href)));
        all.map(|(rel, href)| format!("<{href}>;rel=\"{rel}\"")).collect::<Vec<_>>().join(",")
    }
}

impl Serialize for Links {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (rel, links) in &self.0 {
            match links.as_slice() {
                [one] => map.serialize_entry(rel, one)?,
                several => map.serialize_entry(rel, several)?,
            }
        }
        map.end()
    }
}

/// Under which address the client asked, as a proxy tells that is believed: one of `edge.trusted_proxies`.
#[derive(Debug, Clone)]
pub(crate) struct Through(String);

impl Through {
    /// Out of `X-Forwarded-Proto` and `X-Forwarded-Host`; `None` where the former says nothing that is known.
    pub(crate) fn of(uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        let first = |name: &str| headers.get(name)?.to_str().ok()?.split(',').next().map(str::trim);
        let scheme = ["https", "http"].into_iter().find(|scheme| first("x-forwarded-proto") == Some(scheme))?;
        let asked = first("x-forwarded-host").filter(|host| is_host(host));
        let base = asked.map_or_else(|| base(uri, headers).trim_start_matches("http://").to_owned(), str::to_owned);
        Some(Self(format!("{scheme}://{base}")))
    }
}

/// Scheme, host and port of links.
pub(in crate::api::releases) fn base_of(parts: &Parts) -> String {
    let through = parts.extensions.get::<Through>();
    through.map_or_else(|| base(&parts.uri, &parts.headers), |Through(base)| base.clone())
}

/// Nothing but what a name and a port are made of: it goes into bodies.
fn is_host(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']'))
}

/// `http://host:port`, as the client named it: its Host header, or the authority in HTTP/2. What is forwarded is
/// [`Through`]'s.
pub(in crate::api::releases) fn base(uri: &Uri, headers: &HeaderMap) -> String {
    let host =
        headers.get(header::HOST).and_then(|host| host.to_str().ok()).or_else(|| Some(uri.authority()?.as_str()));
    format!("http://{}", host.filter(|host| is_host(host)).unwrap_or("localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_one_relation_are_a_list_and_templates_say_so() {
        let links = Links::default().with("b", Link::to("/1")).with("a", Link::to("/{x}")).with("b", Link::to("/2"));
        let text = serde_json::to_string(&links).expect("JSON");
        assert_eq!(text, r#"{"b":[{"href":"/1"},{"href":"/2"}],"a":{"href":"/{x}","templated":true}}"#);
        assert_eq!(links.header(), r#"</1>;rel="b",</2>;rel="b",</{x}>;rel="a""#);
    }

    #[test]
    fn a_host_that_is_none_does_not_get_into_links() {
        let of = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().expect("a header"));
            base(&Uri::from_static("/api"), &headers)
        };
        assert_eq!(of("skipper.example.org:7577"), "http://skipper.example.org:7577");
        assert_eq!(of("[::1]:7577"), "http://[::1]:7577");
        assert_eq!(of("x/\"><script>"), "http://localhost");
    }

    #[test]
    fn a_proxy_tells_scheme_and_host() {
        let of = |headers: &[(&'static str, &str)]| {
            let read =
                headers.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
            let headers: HeaderMap = read.collect();
            Through::of(&Uri::from_static("/api"), &headers).map(|Through(base)| base)
        };
        let (proto, named) = ("x-forwarded-proto", "x-forwarded-host");
        assert_eq!(of(&[("host", "a:1"), (proto, "https")]).as_deref(), Some("https://a:1"));
        assert_eq!(of(&[("host", "a"), (proto, "https, http"), (named, "b:2, c")]).as_deref(), Some("https://b:2"));
        assert_eq!(of(&[("host", "a"), (proto, "https"), (named, "\"><script>")]).as_deref(), Some("https://a"));
        assert_eq!(of(&[("host", "a"), (proto, "ftp"), (named, "b")]), None);
        assert_eq!(of(&[("host", "a"), (named, "b")]), None);
    }
}
