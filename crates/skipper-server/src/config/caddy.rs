//! `[caddy]`: the Caddy in front of the edge, and what that means for the edge.

use std::{collections::BTreeSet, net::SocketAddr};

use serde_json::Value as Json;
use skipper_core::route::Host;
use skipper_source::app::{DeployTls, Server};

use super::{
    fault::Fault,
    merge::{Merged, Origin},
    typed::{EdgeConfig, EdgePort},
};
use crate::caddy::{AdminAddress, Dns, Settings, Tls, parse_dial, parse_listen, parse_wildcard};

/// Where the edge listens for a Caddy on the same machine unless it is told otherwise: Caddy has 80 and 443 itself, and 8080 is what half
/// of all applications take.
const UPSTREAM: &str = "127.0.0.1:7580";
/// Peers that are believed where Caddy is on this machine.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1"];

/// Reads the settings; `None` where no Caddy is named. What the edge leaves open follows from them: it listens where Caddy looks for
/// it, without TLS, and believes Caddy who asks.
pub(super) fn build(
    merged: &Merged,
    edge: &mut EdgeConfig,
    listen: &[SocketAddr],
    faults: &mut Vec<Fault>,
) -> Option<Settings> {
    let mut said = Said { merged, faults };
    let admin = said.parse("caddy.admin", AdminAddress::parse);
    let Some(admin) = admin else {
        said.useless();
        return None;
    };
    let upstream = said.parse("caddy.upstream", parse_dial).or_else(|| said.upstream(edge))?;
    said.settle(edge, &upstream);
    let wildcards =
        said.parse("caddy.wildcards", |text| text.split(',').map(|part| parse_wildcard(part.trim())).collect());
    let options = said.parse("caddy.dns.options", |text| match serde_json::from_str(text) {
        Ok(Json::Object(options)) => Ok(options),
        _ => Err("is not a JSON object, as in {\"api_token\": \"{env.DNS_TOKEN}\"}".to_owned()),
    });
    let provider = said.parse("caddy.dns.provider", |text| {
        let good = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
        if good { Ok(text.to_owned()) } else { Err("is not a module of Caddy; write cloudflare, say".to_owned()) }
    });
    let dns = provider.map(|provider| Dns {
        provider,
        options: options.unwrap_or_default(),
        propagation_delay: said.text("caddy.dns.propagation_delay"),
        email: said.text("caddy.dns.email"),
        ca: said.text("caddy.dns.ca"),
    });
    let api_host = said.parse("caddy.api_host", |text| Host::new(text).map_err(|_| "is not a host name".to_owned()));
    let api_upstream = said.parse("caddy.api_upstream", parse_dial).or_else(|| Some(reached(*listen.first()?)));
    let api_internal = said.parse("caddy.api_tls", |word| match word {
        "auto" => Ok(false),
        "internal" => Ok(true),
        _ => Err("is not auto or internal".to_owned()),
    });
    Some(Settings {
        admin,
        upstream,
        listen: said.parse("caddy.listen", parse_listen),
        tls: said
            .parse("caddy.tls", |word| match word {
                "auto" => Ok(Tls::Auto),
                "internal" => Ok(Tls::Internal),
                "off" => Ok(Tls::Off),
                _ => Err("is not auto, internal or off".to_owned()),
            })
            .unwrap_or_default(),
        email: said.text("caddy.email"),
        ca: said.text("caddy.ca"),
        wildcards: wildcards.unwrap_or_default(),
        dns,
        api: api_host.zip(api_upstream),
        api_internal: api_internal.unwrap_or_default(),
    })
}

/// Where `caddy.tls.staging` gets certificates.
const STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// What a `slip.toml` says of Caddy, as settings by key. `domains` are those that apps have for their previews.
#[must_use]
pub(super) fn of_slip(server: &Server, domains: &BTreeSet<String>) -> Vec<(&'static str, String)> {
    let Some(caddy) = &server.caddy else { return Vec::new() };
    let mut all = vec![("caddy.admin", caddy.admin_api.clone())];
    let mut say = |key, value: Option<String>| all.extend(value.map(|value| (key, value)));
    say("caddy.email", caddy.acme_email.clone());
    say("caddy.ca", caddy.acme_ca.clone());
    let deploy = &server.deploy;
    say("caddy.api_host", deploy.domain.as_ref().filter(|_| deploy.tls != DeployTls::Off).map(ToString::to_string));
    say("caddy.api_tls", (deploy.tls == DeployTls::Internal).then(|| "internal".to_owned()));
    let mut domains = domains.clone();
    domains.extend(server.preview.as_ref().map(|preview| preview.domain.to_string()));
    // As there, it is about previews alone.
    if let Some(tls) = caddy.tls.as_ref().filter(|_| !domains.is_empty()) {
        say("caddy.wildcards", Some(domains.into_iter().collect::<Vec<_>>().join(",")));
        say("caddy.dns.provider", Some(tls.dns_provider.clone()));
        say("caddy.dns.options", Some(Json::Object(tls.dns_provider_config.0.clone()).to_string()));
        say("caddy.dns.propagation_delay", Some(tls.propagation_delay.clone()));
        say("caddy.dns.email", Some(tls.email.clone()));
        say("caddy.dns.ca", tls.staging.then(|| STAGING.to_owned()));
    }
    all
}

struct Said<'a> {
    merged: &'a Merged,
    faults: &'a mut Vec<Fault>,
}

impl Said<'_> {
    fn text(&self, key: &str) -> Option<String> {
        Some(self.merged.get(key).text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn parse<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        match parse(&self.text(key)?) {
            Ok(parsed) => Some(parsed),
            Err(why) => {
                let value = self.merged.get(key);
                let shown = if super::setting::find(key).is_some_and(|s| s.secret) { "[secret]" } else { &value.text };
                let message = format!("`{key}` = `{shown}`: {why}");
                self.faults.push(Fault { place: value.origin.to_string(), message });
                None
            }
        }
    }

    /// Without an admin API everything else about Caddy would be passed over in silence.
    fn useless(&mut self) {
        let unset = self.merged.get("caddy.admin").text.trim().is_empty();
        let said = self.merged.settings.iter().find(|(key, value)| {
            unset && key.starts_with("caddy.") && **key != "caddy.admin" && value.origin != Origin::Default
        });
        if let Some((key, value)) = said {
            let message = format!("`{key}` has no effect without `caddy.admin`, for example http://127.0.0.1:2019");
            self.faults.push(Fault { place: value.origin.to_string(), message });
        }
    }

    /// Where Caddy finds the edge when nobody says so.
    fn upstream(&mut self, edge: &EdgeConfig) -> Option<String> {
        match edge.http {
            EdgePort::Auto => Some(UPSTREAM.to_owned()),
            EdgePort::At(address) if address.port() != 0 => Some(reached(address)),
            EdgePort::At(_) | EdgePort::Off => {
                let place = self.merged.get("edge.http").origin.to_string();
                let message =
                    "`edge.http`: Caddy leads host names to it; write `auto` or an address with a port".to_owned();
                self.faults.push(Fault { place, message });
                None
            }
        }
    }

    fn settle(&mut self, edge: &mut EdgeConfig, upstream: &str) {
        let address: Option<SocketAddr> = upstream.parse().ok();
        if edge.http == EdgePort::Auto {
            match address {
                Some(address) => edge.http = EdgePort::At(address),
                None => {
                    let place = self.merged.get("caddy.upstream").origin.to_string();
                    let message = format!(
                        "`caddy.upstream` = `{upstream}`: is no IP address, so that `edge.http` has to say where the edge listens"
                    );
                    self.faults.push(Fault { place, message });
                }
            }
        }
        if edge.https == EdgePort::Auto {
            edge.https = EdgePort::Off;
        }
        let near = address.is_some_and(|address| address.ip().is_loopback());
        if near && self.merged.get("edge.trusted_proxies").origin == Origin::Default {
            edge.trusted_proxies = LOOPBACK.iter().filter_map(|network| network.parse().ok()).collect();
        }
    }
}

/// How something that listens there is reached on this machine.
fn reached(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => format!("127.0.0.1:{}", v4.port()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => format!("[::1]:{}", v6.port()),
        address => address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, path::PathBuf};

    use super::*;
    use crate::config::{self, Config, Sources};

    fn load(toml: &str, flags: &[(&str, String)]) -> Result<Config, String> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("skipper.toml");
        fs::write(&path, toml).expect("written");
        let sources = Sources {
            flags: flags.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
            file: Some(path),
            default_data_dir: PathBuf::from("/var/lib/skipper"),
            working_dir: dir.path().to_owned(),
            ..Sources::default()
        };
        config::load(&sources).map(|loaded| loaded.config).map_err(|faults| faults.to_string())
    }

    #[test]
    fn a_caddy_that_is_named_settles_where_the_edge_listens_and_whom_it_believes() {
        let config = load("", &[]).expect("valid");
        assert!(config.caddy.is_none() && config.edge.trusted_proxies.is_empty());
        assert_eq!((config.edge.http, config.edge.https), (EdgePort::Auto, EdgePort::Auto));

        let config = load("[caddy]\nadmin = \"http://127.0.0.1:2019\"\n", &[]).expect("valid");
        let caddy = config.caddy.expect("it is named");
        assert_eq!((caddy.upstream.as_str(), caddy.tls, caddy.api), (UPSTREAM, Tls::Auto, None));
        assert_eq!(config.edge.http, EdgePort::At(UPSTREAM.parse().expect("an address")));
        assert_eq!((config.edge.https, config.edge.trusted_proxies.len()), (EdgePort::Off, 2));

        let config = load("[edge]\nhttp = \"0.0.0.0:81\"\n[caddy]\nadmin = \"unix//c.sock\"\n", &[]).expect("valid");
        assert_eq!(config.caddy.expect("it is named").upstream, "127.0.0.1:81");
        let far = "[edge]\nhttp = \"10.0.0.1:81\"\n[caddy]\nadmin = \"http://10.0.0.2:2019\"\n";
        assert!(load(far, &[]).expect("valid").edge.trusted_proxies.is_empty(), "who is elsewhere has to be named");
    }

    #[test]
    fn what_cannot_be_is_told_with_its_key() {
        let named = |more: &str| load(&format!("[caddy]\nadmin = \"http://127.0.0.1:2019\"\n{more}"), &[]);
        for (more, told) in [
            ("tls = \"on\"", "`caddy.tls` = `on`"),
            ("listen = \"x\"", "`caddy.listen`"),
            ("upstream = \"edge:80\"", "`edge.http` has to say"),
            ("wildcards = [\"a b\"]", "`caddy.wildcards`"),
            ("[caddy.dns]\nprovider = \"x\"\noptions = \"secret\"", "`caddy.dns.options` = `[secret]`"),
            ("[edge]\nhttp = \"off\"", "Caddy leads host names to it"),
        ] {
            let faults = named(more).expect_err(more);
            assert!(faults.contains(told), "{more}: {faults}");
        }
        let faults = load("[caddy]\ntls = \"off\"", &[]).expect_err("no admin API");
        assert!(faults.contains("`caddy.tls` has no effect without `caddy.admin`"), "{faults}");
        assert!(load("[caddy]\nadmin = \"localhost:2019\"", &[]).expect_err("no URL").contains("`caddy.admin`"));
    }

    #[test]
    fn slips_own_words_mean_the_same() {
        let text = "[server]\nlisten = \"0.0.0.0:7890\"\n[auth]\nsecret = \"k\"\n[registry]\n[storage]\n[caddy]\nadmin_api = \
                    \"http://localhost:2019\"\nacme_email = \"a@b.example\"\n[caddy.tls]\nemail = \"c@d.example\"\ndns_provider = \
                    \"cloudflare\"\nstaging = true\n[caddy.tls.dns_provider_config]\napi_token = \"{env.T}\"\n[preview]\ndomain = \
                    \"p.example\"\n[deploy]\ndomain = \"deploy.example\"\ntls = \"internal\"\n";
        let env = BTreeMap::new();
        let env = skipper_source::app::Environment::new(&env);
        let (server, _) = skipper_source::app::server("slip.toml", text, env).expect("valid");
        let mut said = of_slip(&server, &["q.example".to_owned()].into());
        said.push(("listen", server.listen.to_string()));
        said.push(("admin_token", "0123456789abcdef".to_owned()));
        let caddy = load("", &said).expect("valid").caddy.expect("it is named");
        assert_eq!(caddy.admin.to_string(), "http://localhost:2019");
        assert_eq!(caddy.wildcards, ["*.p.example", "*.q.example"].map(|name| Host::new(name).expect("a host")));
        assert!(caddy.api_internal);
        assert_eq!(caddy.api, Some((Host::new("deploy.example").expect("a host"), "127.0.0.1:7890".to_owned())));
        assert_eq!(caddy.email.as_deref(), Some("a@b.example"));
        let dns = caddy.dns.expect("a challenge");
        assert_eq!((dns.provider.as_str(), dns.propagation_delay.as_deref()), ("cloudflare", Some("2m")));
        assert_eq!((dns.email.as_deref(), dns.ca.as_deref()), (Some("c@d.example"), Some(STAGING)));
        assert_eq!(dns.options.get("api_token"), Some(&Json::from("{env.T}")));
    }
}
