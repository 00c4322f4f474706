//! `[caddy]`: the Caddy in front of the edge, and what that means for the edge.

use std::net::SocketAddr;

use serde_json::Value as Json;
use skipper_core::route::Host;

use super::{
    fault::Fault,
    merge::{Merged, Origin},
    typed::{EdgeConfig, EdgePort},
};
use crate::caddy::{AdminAddress, Dns, Settings, Tls, parse_dial, parse_listen, parse_wildcard};

/// Where the edge listens for a Caddy on the same machine unless it is told otherwise: Caddy has 80 and 443 itself.
const UPSTREAM: &str = "127.0.0.1:8080";
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
    })
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
