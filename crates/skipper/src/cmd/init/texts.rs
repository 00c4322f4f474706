//! What is written, as text.

use super::Wanted;

/// The unit of the server as it is shipped.
pub(super) const SERVER_UNIT: &str = include_str!("../../../../../deploy/skipper.service");
/// The unit of the edge as it is shipped.
pub(super) const EDGE_UNIT: &str = include_str!("../../../../../deploy/skipper-edge.service");
/// The unit of the agent as it is shipped.
pub(super) const AGENT_UNIT: &str = include_str!("../../../../../deploy/skipper-agent.service");

/// The first app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FirstApp {
    /// Its name.
    pub(super) name: String,
    /// Its image, without a tag.
    pub(super) image: String,
    /// Its host name; without one nobody sends it requests.
    pub(super) host: Option<String>,
    /// Its port in the container.
    pub(super) port: u16,
    /// The path that is asked whether it is healthy.
    pub(super) health: Option<String>,
}

impl FirstApp {
    /// The variable that holds the key of its webhooks.
    pub(super) fn variable(&self) -> String {
        let upper = self.name.to_ascii_uppercase().replace('-', "_");
        // A variable begins with no digit.
        format!("APP_{upper}_SECRET")
    }

    /// Its file.
    pub(super) fn text(&self) -> String {
        let Self { name, image, host, port, health } = self;
        let variable = self.variable();
        let kind = if host.is_none() { "kind = \"worker\"\n" } else { "" };
        let mut text = format!(
            "[app]\nname = {}\nimage = {}\n{kind}# The key of its webhooks: that variable in the server's skipper.env.\nsecret = \"${{{variable}}}\"\n",
            quoted(name),
            quoted(image)
        );
        if let Some(host) = host {
            text.push_str(&format!("\n[routing]\ndomain = {}\nport = {port}\n", quoted(host)));
        }
        text.push_str("\n[health]\n");
        if let Some(path) = health {
            text.push_str(&format!("path = {}\n", quoted(path)));
        }
        text.push_str("\n[deploy]\n");
        text
    }
}

/// `slip.toml`.
pub(super) fn server(wanted: &Wanted) -> String {
    let mut text = format!(
        "[server]\nlisten = {}\n\n[auth]\n# Lets in whoever manages this server, and signs webhooks of apps that have no key of their own.\n\
         secret = \"${{SLIP_SECRET}}\"\n\n[registry]\n# ghcr_token = \"${{GHCR_TOKEN}}\"\n\n[storage]\n\n[runtime]\nbackend = {}\n",
        quoted(&wanted.listen.to_string()),
        quoted(&wanted.backend)
    );
    if let Some(admin) = &wanted.caddy {
        text.push_str(&format!("\n[caddy]\nadmin_api = {}\n", quoted(admin)));
    }
    if let Some(domain) = &wanted.webhook_domain {
        text.push_str(&format!("\n[deploy]\ndomain = {}\n", quoted(domain)));
    }
    text
}

/// What the unit of the server needs to know of this machine.
pub(super) fn server_drop_in(wanted: &Wanted, as_user: Option<&str>, groups: &[&str]) -> String {
    let mut text = String::from("# Written by `skipper init`. Changed by hand it is left alone.\n[Service]\n");
    if let Some(user) = as_user {
        text.push_str(&format!("User={user}\nGroup={user}\n"));
    }
    if !groups.is_empty() {
        text.push_str(&format!("SupplementaryGroups={}\n", groups.join(" ")));
    }
    let env = wanted.env_file();
    text.push_str(&format!("EnvironmentFile={}\nExecStart=\n", env.display()));
    text.push_str(&format!(
        "ExecStart={} server --config {} --data-dir {}\n",
        wanted.program.display(),
        wanted.config_dir.display(),
        wanted.data_dir.display()
    ));
    text
}

/// The same of the edge.
pub(super) fn edge_drop_in(wanted: &Wanted, as_user: Option<&str>) -> String {
    let mut text = String::from("# Written by `skipper init`. Changed by hand it is left alone.\n[Service]\n");
    if let Some(user) = as_user {
        text.push_str(&format!("User={user}\nGroup={user}\n"));
    }
    let data = wanted.data_dir.display();
    text.push_str(&format!(
        "ReadWritePaths={data}\nExecStart=\nExecStart={} edge --data-dir {data}\n",
        wanted.program.display()
    ));
    text
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Whether an environment file has a line for the variable.
pub(super) fn has_variable(text: &str, name: &str) -> bool {
    text.lines().any(|line| line.trim_start().strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('=')))
}

/// An environment file with these variables added where they are missing, each with a value that `make` gives it; `None` where
/// nothing is missing.
pub(super) fn with_variables(text: &str, names: &[String], mut make: impl FnMut(&str) -> String) -> Option<String> {
    let missing: Vec<&String> = names.iter().filter(|name| !has_variable(text, name)).collect();
    if missing.is_empty() {
        return None;
    }
    let mut text = text.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for name in missing {
        text.push_str(&format!("{name}={}\n", make(name)));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_are_there_keep_their_values() {
        let names = ["SLIP_SECRET".to_owned(), "APP_WEB_SECRET".to_owned()];
        let text = with_variables("# keys\nSLIP_SECRET=old", &names, |_| "new".to_owned());
        assert_eq!(text.as_deref(), Some("# keys\nSLIP_SECRET=old\nAPP_WEB_SECRET=new\n"));
        assert_eq!(with_variables(&text.expect("text"), &names, |_| panic!("nothing is missing")), None);
        let other = with_variables("SLIP_SECRET_OLD=1\n", &names[..1], |_| "new".to_owned());
        assert_eq!(other.as_deref(), Some("SLIP_SECRET_OLD=1\nSLIP_SECRET=new\n"));
    }

    #[test]
    fn a_file_of_an_app_is_what_the_server_reads() {
        let app = FirstApp {
            name: "my-app".into(),
            image: "acme/\"web\"".into(),
            host: Some("web.test".into()),
            port: 80,
            health: Some("/up".into()),
        };
        let read: toml::Value = toml::from_str(&app.text()).expect("TOML");
        assert_eq!(read["app"]["image"].as_str(), Some("acme/\"web\""));
        assert_eq!(read["app"]["secret"].as_str(), Some("${APP_MY_APP_SECRET}"));
        assert_eq!((read["routing"]["port"].as_integer(), read["health"]["path"].as_str()), (Some(80), Some("/up")));
        let worker = FirstApp { host: None, health: None, ..app };
        assert_eq!(
            toml::from_str::<toml::Value>(&worker.text()).expect("TOML")["app"]["kind"].as_str(),
            Some("worker")
        );
    }
}
