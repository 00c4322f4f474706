//! Native values that several of Spring's keys say together: the address, the database, the user, the levels of the log.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    jdbc,
    rule::{Effect, Form, Part},
    translate::{Hit, Said, Translator},
};

impl Translator<'_> {
    /// `server.port` and `server.address`, each a half of `listen`.
    pub(super) fn listen(&mut self, hits: &[Hit<'_>]) {
        if let Some(hit) = Self::strongest(hits, Effect::Port)
            && let Some(text) = self.text(hit.property, Form::Text)
        {
            match text.trim().parse::<u16>() {
                Ok(port) => self.out.port = Some(hit.said(port.to_string())),
                Err(_) => self.fault(hit.property, &format!("`{text}` is not a port; write a number up to 65535")),
            }
        }
        if let Some(hit) = Self::strongest(hits, Effect::Address)
            && let Some(text) = self.text(hit.property, Form::Text)
        {
            let text = text.trim();
            let shown = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text);
            match (shown.parse::<IpAddr>(), shown) {
                (Ok(IpAddr::V4(v4)), _) => self.out.address = Some(hit.said(v4.to_string())),
                (Ok(IpAddr::V6(v6)), _) => self.out.address = Some(hit.said(format!("[{v6}]"))),
                (_, "localhost") => self.out.address = Some(hit.said("127.0.0.1".to_owned())),
                _ => self.fault(hit.property, &format!("`{text}` is not an IP address")),
            }
        }
    }

    /// Address, user and password of the database in one URL.
    pub(super) fn database(&mut self, hits: &[Hit<'_>]) {
        let part = |part| Self::strongest(hits, Effect::Database(part));
        let Some(url) = part(Part::Url) else { return };
        let user = part(Part::Name).and_then(|hit| self.text(hit.property, Form::Text));
        let password = part(Part::Password).and_then(|hit| self.text(hit.property, Form::Secret));
        let Some(text) = self.text(url.property, Form::Text) else { return };
        let home = self.sources.env.get("HOME").map(String::as_str);
        match jdbc::translate(&text, user.as_deref(), password.as_deref(), &self.sources.working_dir, home) {
            Ok(translated) => {
                if let Some(note) = translated.note {
                    self.warn(url.property, format!("`{}`: {note}", url.property.name));
                }
                self.set("database.url", url.said(translated.url));
            }
            Err(message) => self.fault(url.property, &message),
        }
    }

    /// The one user with a password, and what their roles allow.
    pub(super) fn user(&mut self, hits: &[Hit<'_>]) {
        let part = |part| Self::strongest(hits, Effect::User(part));
        let Some(any) = part(Part::Name).or_else(|| part(Part::Password)).or_else(|| part(Part::Roles)) else { return };
        let name = match part(Part::Name) {
            Some(hit) => self.text(hit.property, Form::Text).map(|text| hit.said(text)),
            // Spring's own default.
            None => Some(any.said("user".to_owned())),
        };
        let Some(password) = part(Part::Password) else {
            let message = "a user needs a password: set spring.security.user.password, best in the environment";
            return self.fault(any.property, message);
        };
        let Some(text) = self.text(password.property, Form::Secret) else { return };
        let plain = match text.strip_prefix("{noop}") {
            Some(plain) => plain.to_owned(),
            None if text.starts_with('{') && text.contains('}') => {
                let message = "only {noop} and plain passwords are understood; a token is kept as its hash: \
                               `skipper token create`";
                return self.fault(password.property, message);
            }
            None => text,
        };
        let roles = hits.iter().filter(|hit| hit.effect == Effect::User(Part::Roles));
        let strongest = roles.clone().map(|hit| hit.layer).min();
        let named: Vec<&Hit<'_>> = roles.filter(|hit| Some(hit.layer) == strongest).collect();
        let role = match named.first() {
            None => Some(any.said("operator".to_owned())),
            Some(first) => {
                let texts: Vec<String> = named.iter().filter_map(|hit| self.text(hit.property, Form::Text)).collect();
                match role_of(&texts) {
                    Ok(role) => Some(first.said(role.to_owned())),
                    Err(message) => {
                        self.fault(first.property, &message);
                        None
                    }
                }
            }
        };
        self.set("security.user.password", password.said(plain));
        for (key, said) in [("security.user.name", name), ("security.user.role", role)] {
            if let Some(said) = said {
                self.set(key, said);
            }
        }
    }

    /// Levels of the loggers that have a counterpart; those of Java's libraries have none.
    pub(super) fn log(&mut self, hits: &[Hit<'_>]) {
        let mut levels: BTreeMap<&str, (&Hit<'_>, String)> = BTreeMap::new();
        let mut others: Vec<&Hit<'_>> = Vec::new();
        for hit in hits.iter().filter(|hit| hit.effect == Effect::Log) {
            let logger = hit.free.first().map_or("", String::as_str).to_ascii_lowercase();
            let target = match logger.as_str() {
                "root" => "",
                "org.springframework.cloud.skipper.server.deployer" => "skipper_platform",
                name if name.starts_with("org.springframework.cloud.skipper") => "skipper",
                name if name.starts_with("org.springframework.cloud.deployer") => "skipper_platform",
                _ => {
                    others.push(hit);
                    continue;
                }
            };
            let Some(text) = self.text(hit.property, Form::Text) else { continue };
            match level_of(&text) {
                Some(level) => _ = levels.entry(target).or_insert((hit, level.to_owned())),
                None => {
                    self.fault(
                        hit.property,
                        &format!("`{text}` is not a level; write DEBUG, INFO, WARN, ERROR or OFF"),
                    );
                }
            }
        }
        if let Some(first) = others.first() {
            let message =
                format!("`logging.level` of {} loggers has no effect: they are Java's libraries", others.len());
            self.warn(first.property, message);
        }
        let Some((first, _)) = levels.values().max_by_key(|(hit, _)| hit.strength) else { return };
        let said = first.said(String::new());
        let root = levels.get("").map_or("info", |(_, level)| level.as_str());
        let below = levels.iter().filter(|(target, _)| !target.is_empty());
        let parts =
            std::iter::once(root.to_owned()).chain(below.map(|(target, (_, level))| format!("{target}={level}")));
        let text = parts.collect::<Vec<_>>().join(",");
        self.set("log.level", Said { text, ..said });
    }
}

fn level_of(text: &str) -> Option<&'static str> {
    match text.trim().to_ascii_lowercase().as_str() {
        "trace" => Some("trace"),
        "debug" => Some("debug"),
        "info" => Some("info"),
        "warn" => Some("warn"),
        "error" | "fatal" => Some("error"),
        "off" | "false" => Some("off"),
        _ => None,
    }
}

/// The most that the named roles allow together.
fn role_of(texts: &[String]) -> Result<&'static str, String> {
    let mut best = 0;
    for word in texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|word| !word.is_empty()) {
        let upper = word.to_ascii_uppercase();
        best = best.max(match upper.strip_prefix("ROLE_").unwrap_or(&upper) {
            "VIEW" => 1,
            "CREATE" => 2,
            "MANAGE" => 3,
            _ => 0,
        });
    }
    match best {
        1 => Ok("viewer"),
        2 => Ok("operator"),
        3 => Ok("admin"),
        _ => Err("names none of the roles VIEW, CREATE and MANAGE, so the user could do nothing".to_owned()),
    }
}
