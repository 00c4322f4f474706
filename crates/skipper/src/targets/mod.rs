//! Which server the client talks to, and where each part of the answer comes from: flag, environment, file, default.

mod file;

pub(crate) use file::{TargetEntry, TargetsFile, write_private};

use std::path::{Path, PathBuf};

use crate::{
    failure::{Exit, Failure},
    surroundings::Surroundings,
};

/// Where a server listens unless it was told otherwise.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:7577";

/// What an address comes from that nobody named.
pub(crate) const THE_DEFAULT: &str = "the default";

/// Where slip's daemon listens.
const SLIP_URL: &str = "http://localhost:7890";

/// Longest token file that is read.
const MAX_TOKEN: u64 = 4096;

/// A value and where it comes from, in words: `--url`, `SKIPPER_URL`, `target prod`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin<T> {
    /// The value.
    pub(crate) value: T,
    /// Where it comes from.
    pub(crate) origin: String,
}

impl<T> Origin<T> {
    fn new(value: T, origin: impl Into<String>) -> Self {
        Self { value, origin: origin.into() }
    }
}

/// What the command line says about the server to talk to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connection {
    /// `--url`.
    pub(crate) url: Option<String>,
    /// `--token`.
    pub(crate) token: Option<String>,
    /// `--token-file`.
    pub(crate) token_file: Option<PathBuf>,
    /// `--tenant`.
    pub(crate) tenant: Option<String>,
    /// `--target`.
    pub(crate) target: Option<String>,
    /// `--ca-file`.
    pub(crate) ca_file: Option<PathBuf>,
    /// What the shell was started with, as Spring's shell has it.
    pub(crate) credentials: Option<Credentials>,
    /// Believe every certificate.
    pub(crate) trust_anybody: bool,
}

impl Connection {
    /// This one, and what it leaves open as `base` has it. What lets us in belongs to a server: it goes to no other.
    pub(crate) fn over(self, base: &Self) -> Self {
        let base = base.clone();
        let tenant = self.tenant.or(base.tenant);
        if self.url.is_some() || self.target.is_some() {
            return Self { tenant, ..self };
        }
        let given = self.token.is_some() || self.token_file.is_some();
        Self {
            url: base.url,
            target: base.target,
            token: self.token.or(if given { None } else { base.token }),
            token_file: self.token_file.or(if given { None } else { base.token_file }),
            credentials: if given { None } else { base.credentials },
            tenant,
            ca_file: self.ca_file.or(base.ca_file),
            trust_anybody: self.trust_anybody || base.trust_anybody,
        }
    }
}

/// Whether that is where a server is looked for by itself.
pub(crate) fn is_default(url: &str) -> bool {
    let url = url.trim_end_matches('/').trim_end_matches("/api");
    matches!(url, DEFAULT_URL | "http://localhost:7577" | "localhost:7577" | "127.0.0.1:7577")
}

/// What lets us in. The secret is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// A token, sent as `Bearer`.
    Token(String),
    /// A person's name and password, sent as `Basic`.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: String,
    },
    /// A command that prints the value of the `Authorization` header; run anew for each request.
    Command(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind())
    }
}

impl Credentials {
    /// What it is, in a word or two.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Basic { .. } => "password",
            Self::Command(_) => "credentials command",
        }
    }
}

/// A server, and how to speak to it.
#[derive(Clone)]
pub(crate) struct Target {
    /// Its address.
    pub(crate) url: Origin<String>,
    /// What lets us in.
    pub(crate) credentials: Option<Origin<Credentials>>,
    /// For which tenant.
    pub(crate) tenant: Option<Origin<String>>,
    /// Who vouches for its certificate, beside those the system trusts.
    pub(crate) ca_file: Option<PathBuf>,
    /// Believe every certificate.
    pub(crate) trust_anybody: bool,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let credentials = self.credentials.as_ref().map(|credentials| credentials.origin.as_str());
        f.debug_struct("Target").field("url", &self.url).field("credentials", &credentials).finish_non_exhaustive()
    }
}

impl Target {
    /// An address that nothing else is known of; name and password may stand in it, as `http://name:password@host`.
    pub(crate) fn at(url: &str) -> Self {
        const ORIGIN: &str = "the command line";
        let mut plain = url.to_owned();
        let mut credentials = None;
        if let Ok(mut parsed) = url::Url::parse(url)
            && !parsed.username().is_empty()
        {
            let username = parsed.username().to_owned();
            let password = parsed.password().unwrap_or_default().to_owned();
            credentials = Some(Origin::new(Credentials::Basic { username, password }, ORIGIN));
            // Fails only for addresses that cannot have a user, and this one has one.
            let _ = parsed.set_username("");
            let _ = parsed.set_password(None);
            plain = parsed.to_string();
        }
        let url = Origin::new(plain.trim_end_matches('/').to_owned(), ORIGIN);
        Self { url, credentials, tenant: None, ca_file: None, trust_anybody: false }
    }
}

/// Decides which server to talk to.
///
/// # Errors
///
/// A target or token file that is not there or not readable, a configuration file that is not understood.
pub(crate) fn resolve(connection: &Connection, surroundings: &Surroundings) -> Result<Target, Failure> {
    let file = TargetsFile::read(surroundings)?;
    let from_env = |name: &str| surroundings.var(name).map(|value| Origin::new(value.to_owned(), name));
    // Of two names the one of the program that was called is the stronger.
    let either = |own: &str, slips: &str| match surroundings.is_slip {
        true => from_env(slips).or_else(|| from_env(own)),
        false => from_env(own).or_else(|| from_env(slips)),
    };
    let flag = |value: &Option<String>, name: &str| value.clone().map(|value| Origin::new(value, name));

    let chosen = match (&connection.target, surroundings.var("SKIPPER_TARGET"), &file.current) {
        (Some(name), _, _) => Some((file.find(name)?, Origin::new(name.clone(), "--target"))),
        (None, Some(name), _) => Some((file.find(name)?, Origin::new(name.to_owned(), "SKIPPER_TARGET"))),
        (None, None, Some(name)) => Some((file.find(name)?, Origin::new(name.clone(), "the current target"))),
        (None, None, None) => None,
    };
    // A target that was named on the command line is stronger than an address in the environment.
    let named = connection.target.is_some();
    let of_target = chosen.as_ref().map(|(entry, name)| {
        (entry, Origin::new(entry.url.clone(), format!("target {} ({})", name.value, name.origin)))
    });
    let url = flag(&connection.url, "--url")
        .or_else(|| if named { of_target.as_ref().map(|(_, url)| url.clone()) } else { None })
        .or_else(|| either("SKIPPER_URL", "SLIP_SERVER"))
        .or_else(|| of_target.as_ref().map(|(_, url)| url.clone()))
        .or_else(|| if surroundings.is_slip { None } else { started_here(surroundings) })
        .unwrap_or_else(|| {
            let default = if surroundings.is_slip { SLIP_URL } else { DEFAULT_URL };
            Origin::new(default.to_owned(), THE_DEFAULT)
        });
    // A target's token is for that target's address and is sent nowhere else.
    let entry = of_target.as_ref().filter(|(_, of_target)| same_server(&of_target.value, &url.value));

    let from_file = |path: &Path, origin: &str| {
        let word = secret_from(&surroundings.resolve(path), origin)?;
        Ok(Some(Origin::new(Credentials::Token(word.value), word.origin)))
    };
    let token = |word: String, origin: &str| Ok(Some(Origin::new(Credentials::Token(word), origin)));
    let credentials = match (&connection.token, &connection.token_file, &connection.credentials) {
        (Some(word), _, _) => token(word.clone(), "--token"),
        (None, Some(path), _) => from_file(path, "--token-file"),
        (None, None, Some(given)) => Ok(Some(Origin::new(given.clone(), "the shell's command line"))),
        (None, None, None) => {
            match (either("SKIPPER_TOKEN", "SLIP_TOKEN"), surroundings.var("SKIPPER_TOKEN_FILE"), entry) {
                (Some(found), _, _) if !named => token(found.value, &found.origin),
                (_, Some(path), _) if !named => from_file(Path::new(path), "SKIPPER_TOKEN_FILE"),
                (found, _, entry) => match entry.map(|(entry, origin)| of_entry(entry, &origin.origin)).transpose()? {
                    Some(Some(credentials)) => Ok(Some(credentials)),
                    // The server's own word for it, where nothing that is meant for a client says anything.
                    _ => match found.or_else(|| from_env("ADMIN_TOKEN")) {
                        Some(found) => token(found.value, &found.origin),
                        None => Ok(None),
                    },
                },
            }
        }
    }?;
    let tenant = flag(&connection.tenant, "--tenant")
        .or_else(|| from_env("SKIPPER_TENANT"))
        .or_else(|| entry.and_then(|(entry, url)| Some(Origin::new(entry.tenant.clone()?, url.origin.clone()))));
    let ca_file = connection
        .ca_file
        .as_deref()
        .or_else(|| surroundings.var("SKIPPER_CA_FILE").map(Path::new))
        .map(|path| surroundings.resolve(path))
        .or_else(|| entry.and_then(|(entry, _)| entry.ca_file.clone()));
    if let Some(path) = &ca_file
        && !path.is_file()
    {
        return Err(Failure::error(format!("there is no certificate file {}", path.display()))
            .hint("--ca-file takes a PEM file with the certificate that vouches for the server"));
    }
    let trust_anybody = connection.trust_anybody || entry.is_some_and(|(entry, _)| entry.skip_ssl_validation);
    Ok(Target { url, credentials, tenant, ca_file, trust_anybody })
}

/// Where a server listens that was started in this environment: what HOST and PORT say, as in its container.
fn started_here(surroundings: &Surroundings) -> Option<Origin<String>> {
    let port: u16 = surroundings.var("PORT")?.parse().ok().filter(|port| *port != 0)?;
    let host = match surroundings.var("HOST").unwrap_or_default() {
        "" | "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" | "[::]" => "[::1]".to_owned(),
        v6 if v6.contains(':') && !v6.starts_with('[') => format!("[{v6}]"),
        host => host.to_owned(),
    };
    Some(Origin::new(format!("http://{host}:{port}"), "PORT"))
}

/// The key that deploys are signed with, where no command line gives one: `SLIP_SECRET`, else that of the target.
///
/// # Errors
///
/// A target or a key file that is not there or not readable.
pub(crate) fn signing_key(
    connection: &Connection,
    surroundings: &Surroundings,
) -> Result<Option<Origin<String>>, Failure> {
    if let Some(key) = surroundings.var("SLIP_SECRET").filter(|_| connection.target.is_none()) {
        return Ok(Some(Origin::new(key.to_owned(), "SLIP_SECRET")));
    }
    let file = TargetsFile::read(surroundings)?;
    let name = connection.target.as_deref().or_else(|| surroundings.var("SKIPPER_TARGET")).or(file.current.as_deref());
    let Some(name) = name else { return Ok(None) };
    let entry = file.find(name)?;
    let url = resolve(connection, surroundings)?.url.value;
    // As a token, it is for that target's address alone.
    let Some(path) = entry.secret_file.as_deref().filter(|_| same_server(&entry.url, &url)) else { return Ok(None) };
    key_from(path, &format!("target {name}")).map(Some)
}

/// The key of webhooks that a file holds.
///
/// # Errors
///
/// It is not there, not readable, or empty.
pub(crate) fn key_from(path: &Path, origin: &str) -> Result<Origin<String>, Failure> {
    match text_from(path) {
        Ok(key) if !key.is_empty() => Ok(Origin::new(key, format!("{origin}, {}", path.display()))),
        Ok(_) => Err("it is empty".to_owned()),
        Err(why) => Err(why),
    }
    .map_err(|why| {
        Failure::new(Exit::Auth, format!("read the key file {} ({origin}): {why}", path.display()))
            .hint("put the key of the app's webhooks alone into that file, readable by you only")
    })
}

/// What the file knows that lets us into that server.
fn of_entry(entry: &TargetEntry, origin: &str) -> Result<Option<Origin<Credentials>>, Failure> {
    if let Some(path) = &entry.token_file {
        let word = secret_from(path, origin)?;
        return Ok(Some(Origin::new(Credentials::Token(word.value), word.origin)));
    }
    if let Some(command) = &entry.credentials_command {
        return Ok(Some(Origin::new(Credentials::Command(command.clone()), origin)));
    }
    let (Some(username), Some(path)) = (&entry.username, &entry.password_file) else { return Ok(None) };
    let password = text_from(path).map_err(|why| {
        Failure::new(Exit::Auth, format!("read the password file {} ({origin}): {why}", path.display()))
            .hint("`skipper config --uri URL --username NAME` asks for the password anew")
    })?;
    let credentials = Credentials::Basic { username: username.clone(), password };
    Ok(Some(Origin::new(credentials, origin)))
}

/// Whether two addresses are the same one.
pub(crate) fn same_server(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}

fn secret_from(path: &Path, origin: &str) -> Result<Origin<String>, Failure> {
    let unreadable = |why: String| {
        Failure::new(Exit::Auth, format!("read the token file {} ({origin}): {why}", path.display()))
            .hint("put the token alone into that file, readable by you only")
    };
    let text = text_from(path).map_err(unreadable)?;
    let token = text.trim();
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(unreadable("it does not hold exactly one word".to_owned()));
    }
    Ok(Origin::new(token.to_owned(), format!("{origin}, {}", path.display())))
}

/// The one word that a file holds.
///
/// # Errors
///
/// It is not there, not readable, or holds something else.
pub(crate) fn one_word(path: &Path, origin: &str) -> Result<String, Failure> {
    secret_from(path, origin).map(|found| found.value)
}

/// What a small file holds, without the end of its line.
fn text_from(path: &Path) -> Result<String, String> {
    let meta = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if meta.len() > MAX_TOKEN {
        return Err(format!("it has {} bytes; a token has less than {MAX_TOKEN}", meta.len()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(config: &str) -> (tempfile::TempDir, Surroundings) {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::create_dir_all(dir.path().join("skipper")).expect("dir");
        std::fs::write(dir.path().join("tok"), "secret-1\n").expect("token");
        let config = config.replace("$DIR", &dir.path().display().to_string());
        std::fs::write(dir.path().join("skipper/config.toml"), config).expect("config");
        let surroundings = Surroundings::of(&[("XDG_CONFIG_HOME", &dir.path().display().to_string())]);
        (dir, surroundings)
    }

    fn token(word: &str) -> Credentials {
        Credentials::Token(word.into())
    }

    const PROD: &str =
        "current = \"prod\"\n[targets.prod]\nurl = \"https://p\"\ntoken_file = \"$DIR/tok\"\ntenant = \"t\"\n";

    #[test]
    fn without_anything_the_server_is_on_this_machine() {
        let target = resolve(&Connection::default(), &Surroundings::of(&[])).expect("resolves");
        assert_eq!((target.url.value.as_str(), target.url.origin.as_str()), (DEFAULT_URL, "the default"));
        assert!(target.credentials.is_none());
    }

    #[test]
    fn the_current_target_gives_address_token_and_tenant() {
        let (_dir, surroundings) = home(PROD);
        let target = resolve(&Connection::default(), &surroundings).expect("resolves");
        assert_eq!(target.url.value, "https://p");
        assert_eq!(target.credentials.expect("token").value, token("secret-1"));
        assert_eq!(target.tenant.expect("tenant").value, "t");
    }

    #[test]
    fn the_token_of_a_target_is_not_sent_to_another_address() {
        let (_dir, surroundings) = home(PROD);
        let elsewhere = Connection { url: Some("http://evil".into()), ..Connection::default() };
        let target = resolve(&elsewhere, &surroundings).expect("resolves");
        assert!(target.credentials.is_none() && target.tenant.is_none());
    }

    #[test]
    fn a_flag_is_stronger_than_the_environment_and_that_than_the_file() {
        let (dir, _) = home(PROD);
        let config_home = dir.path().display().to_string();
        let surroundings = Surroundings::of(&[
            ("XDG_CONFIG_HOME", &config_home),
            ("SKIPPER_URL", "http://env"),
            ("SKIPPER_TOKEN", "env-token"),
        ]);
        let from_env = resolve(&Connection::default(), &surroundings).expect("resolves");
        assert_eq!((from_env.url.value.as_str(), from_env.url.origin.as_str()), ("http://env", "SKIPPER_URL"));
        let named = Connection { target: Some("prod".into()), ..Connection::default() };
        let from_target = resolve(&named, &surroundings).expect("resolves");
        assert_eq!(from_target.url.value, "https://p");
        assert_eq!(from_target.credentials.expect("token").value, token("secret-1"));
        let flags = Connection { url: Some("http://flag".into()), token: Some("x".into()), ..Connection::default() };
        let from_flags = resolve(&flags, &surroundings).expect("resolves");
        let found = from_flags.credentials.map(|found| (found.value, found.origin));
        assert_eq!(found, Some((token("x"), "--token".into())));
    }

    #[test]
    fn a_target_may_know_a_password_or_a_command_instead_of_a_token() {
        let (dir, surroundings) = home(
            "[targets.a]\nurl = \"http://a\"\nusername = \"ann\"\npassword_file = \"$DIR/pw\"\nskip_ssl_validation = true\n[targets.b]\nurl = \"http://b\"\ncredentials_command = \"echo x\"\n",
        );
        std::fs::write(dir.path().join("pw"), "two words\n").expect("written");
        let of = |name: &str| {
            let named = Connection { target: Some(name.into()), ..Connection::default() };
            resolve(&named, &surroundings).expect("resolves")
        };
        let basic = Credentials::Basic { username: "ann".into(), password: "two words".into() };
        assert_eq!(of("a").credentials.expect("known").value, basic);
        assert!(of("a").trust_anybody && !of("b").trust_anybody);
        assert_eq!(of("b").credentials.expect("known").value, Credentials::Command("echo x".into()));
    }

    #[test]
    fn a_line_of_the_shell_takes_from_the_shell_what_it_leaves_open_but_no_secret_elsewhere() {
        let base = Connection {
            url: Some("http://a".into()),
            token: Some("x".into()),
            tenant: Some("t".into()),
            ..Connection::default()
        };
        let same = Connection::default().over(&base);
        assert_eq!((same.url, same.token, same.tenant), (base.url.clone(), base.token.clone(), base.tenant.clone()));
        let elsewhere = Connection { url: Some("http://b".into()), ..Connection::default() }.over(&base);
        assert_eq!((elsewhere.url.as_deref(), elsewhere.token), (Some("http://b"), None));
        let other = Connection { token_file: Some("f".into()), ..Connection::default() }.over(&base);
        assert_eq!((other.url, other.token, other.token_file), (base.url, None, Some("f".into())));
    }

    #[test]
    fn an_unknown_target_and_an_unreadable_token_are_named() {
        let (_dir, surroundings) = home(PROD);
        let wrong = Connection { target: Some("prd".into()), ..Connection::default() };
        let failure = resolve(&wrong, &surroundings).expect_err("unknown");
        assert_eq!(failure.exit, Exit::NotFound);
        assert!(failure.hint.expect("hint").contains("prod"));
        let missing = Connection { token_file: Some("/nowhere/tok".into()), ..Connection::default() };
        assert_eq!(resolve(&missing, &surroundings).expect_err("missing").exit, Exit::Auth);
    }
}
