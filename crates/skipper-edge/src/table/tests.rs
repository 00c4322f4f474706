use proptest::prelude::*;
use skipper_core::{
    id::ReleaseId,
    name::AppName,
    route::{PathPrefix, ServiceId},
};

use super::*;

fn cell() -> Arc<Cell> {
    let id = ServiceId {
        release: "0198c3f0-0000-7000-8000-000000000001".parse::<ReleaseId>().expect("uuid"),
        app: AppName::new("web").expect("name"),
    };
    Arc::new(Cell::new(id, State::Moved))
}

/// What `find` means, written for reading: of all routes that match, the one with the most specific host, then the
/// longest prefix.
fn naive<'a>(keys: &'a [RouteKey], listener: Listener, host: Option<&str>, path: &str) -> Option<&'a RouteKey> {
    let rank = |key: &RouteKey| match (key.host.as_ref().map(Host::as_str), host) {
        (None, _) => Some(0),
        (Some(pattern), Some(host)) if pattern == host => Some(2),
        (Some(pattern), Some(host)) => {
            let rest = pattern.strip_prefix('*')?;
            let label = host.strip_suffix(rest)?;
            (!label.is_empty() && !label.contains('.')).then_some(1)
        }
        (Some(_), None) => None,
    };
    keys.iter()
        .filter(|key| key.listener == listener && key.path.matches(path))
        .filter_map(|key| Some((rank(key)?, key.path.as_str().len(), key)))
        .max_by_key(|(rank, length, _)| (*rank, *length))
        .map(|(_, _, key)| key)
}

fn keys() -> impl Strategy<Value = RouteKey> {
    let host =
        prop_oneof![Just(None), prop::sample::select(vec!["a.b", "*.b", "c.a.b", "*.a.b", "b", "x.y"]).prop_map(Some),];
    let path = prop::sample::select(vec!["/", "/a", "/a/b", "/a/b/c", "/ab", "/b", "/a/c"]);
    let listener = prop::sample::select(vec![Listener::Http, Listener::Https, Listener::Port(8080)]);
    (listener, host, path).prop_map(|(listener, host, path)| RouteKey {
        listener,
        host: host.map(|host| Host::new(host).expect("host")),
        path: PathPrefix::new(path).expect("path"),
    })
}

proptest! {
    #[test]
    fn a_route_is_found_as_by_trying_all_of_them(
        present in prop::collection::vec(keys(), 0..40),
        gone in prop::collection::vec(keys(), 0..20),
        host in prop::option::of("[abcxy.*]{0,6}"),
        path in "(/[abc]{0,2}){1,5}",
    ) {
        let mut table = Table::default();
        let mut model: Vec<RouteKey> = Vec::new();
        for key in &present {
            table.insert(key, cell(), 0);
            if !model.contains(key) {
                model.push(key.clone());
            }
        }
        for key in &gone {
            table.remove(key);
            model.retain(|kept| kept != key);
        }
        prop_assert_eq!(table.len(), model.len());
        for listener in [Listener::Http, Listener::Https, Listener::Port(8080), Listener::Port(1)] {
            for host in [host.as_deref(), Some("a.b"), Some("c.a.b"), Some("z.b"), Some("b"), None] {
                let found = table.find(listener, host, &path).map(|route| &*route.key);
                prop_assert_eq!(found, naive(&model, listener, host, &path), "{:?} {:?} {}", listener, host, path);
            }
        }
        for key in &model {
            prop_assert!(table.owner(key).is_some());
        }
    }
}

#[test]
fn a_wildcard_stands_for_one_label_and_yields_to_the_exact_name() {
    let mut table = Table::default();
    let key = |host: &str| RouteKey {
        listener: Listener::Http,
        host: Some(Host::new(host).expect("host")),
        path: PathPrefix::default(),
    };
    table.insert(&key("*.example.org"), cell(), 1);
    table.insert(&key("www.example.org"), cell(), 2);
    let port = |host: &str| table.find(Listener::Http, Some(host), "/").map(|route| route.port);
    assert_eq!(port("www.example.org"), Some(2));
    assert_eq!(port("api.example.org"), Some(1));
    assert_eq!(port("a.api.example.org"), None);
    assert_eq!(port("example.org"), None);
    assert_eq!(port(".example.org"), None);
}
