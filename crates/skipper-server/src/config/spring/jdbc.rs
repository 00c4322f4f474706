//! `spring.datasource.url` as an address of a database that this server knows.

use std::path::{Path, PathBuf};

/// What a JDBC address means here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Translated {
    /// `postgres://…`, `sqlite:…`, or empty for the file in the data directory.
    pub(super) url: String,
    /// What is told about it.
    pub(super) note: Option<String>,
}

const H2: &str = "H2 is not read here and SQLite is used instead; `skipper import spring-skipper --from FILE` takes over \
                  what an H2 database holds, from a script dump";

/// Translates; relative files start at `here`, those of `~` at `home`.
///
/// # Errors
///
/// Why there is no such database here, and what to do.
pub(super) fn translate(
    url: &str,
    user: Option<&str>,
    password: Option<&str>,
    here: &Path,
    home: Option<&str>,
) -> Result<Translated, String> {
    let Some(rest) = strip_prefix_ignoring_case(url.trim(), "jdbc:") else {
        return Err("is not a JDBC address; write it as jdbc:postgresql://host:5432/database".to_owned());
    };
    let (kind, rest) = rest.split_once(':').unwrap_or((rest, ""));
    match kind.to_ascii_lowercase().as_str() {
        "postgresql" => postgresql(rest, user, password),
        "h2" => h2(rest, here, home),
        "mysql" => Err(other("MySQL")),
        "mariadb" => Err(other("MariaDB")),
        "oracle" => Err(other("Oracle")),
        "db2" => Err(other("DB2")),
        "sqlserver" => Err(other("SQL Server")),
        "hsqldb" | "derby" | "sqlite" => Err(other(kind)),
        kind => Err(other(&format!("`jdbc:{}:`", kind.chars().take(40).collect::<String>()))),
    }
}

fn other(name: &str) -> String {
    format!(
        "this server keeps its data in PostgreSQL or SQLite, not in {name}; start it with another database, and let \
         `skipper import spring-skipper --from URL` take over repositories, packages and releases through the API of the \
         original server while that still runs"
    )
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

fn h2(rest: &str, here: &Path, home: Option<&str>) -> Result<Translated, String> {
    let name = rest.split(';').next().unwrap_or_default();
    let lower = name.to_ascii_lowercase();
    if lower.starts_with("mem:") || lower == "mem" {
        let note = format!("{H2}; it is kept in the data directory and outlives a restart");
        return Ok(Translated { url: String::new(), note: Some(note) });
    }
    if ["tcp:", "ssl:", "zip:", "nio:", "async:", "split:"].iter().any(|scheme| lower.starts_with(scheme)) {
        return Err(format!("{H2}; name the file of the H2 server, or jdbc:postgresql://…"));
    }
    let file = if lower.starts_with("file:") { &name["file:".len()..] } else { name };
    if file.is_empty() {
        return Err("names no database; write jdbc:h2:file:/path or jdbc:h2:mem:name".to_owned());
    }
    let path = match (file.strip_prefix("~/"), home) {
        (Some(below), Some(home)) => Path::new(home).join(below),
        _ => here.join(file),
    };
    let path: PathBuf = path.components().collect();
    // H2 adds `.mv.db` to the name; this file stands beside it.
    let url = format!("sqlite:{}.sqlite", path.display());
    Ok(Translated { note: Some(format!("{H2}; it is kept in {}", &url["sqlite:".len()..])), url })
}

fn postgresql(rest: &str, user: Option<&str>, password: Option<&str>) -> Result<Translated, String> {
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, database) = match address.strip_prefix("//") {
        Some(address) => address.split_once('/').unwrap_or((address, "")),
        None => ("", address),
    };
    if host.contains(',') {
        return Err("names several hosts; name the one that takes writes".to_owned());
    }
    if host.contains('@') || database.contains('/') {
        return Err("is not an address of PostgreSQL; write it as jdbc:postgresql://host:5432/database".to_owned());
    }
    let host = if host.is_empty() { "localhost" } else { host };
    let (mut user, mut password) = (user.map(str::to_owned), password.map(str::to_owned));
    let mut kept: Vec<String> = Vec::new();
    let mut dropped: Vec<String> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match key {
            // Beside the keys of their own these are weaker, as with Spring's pool.
            "user" => user = user.or_else(|| Some(decode(value))),
            "password" => password = password.or_else(|| Some(decode(value))),
            "sslmode" => kept.push(format!("sslmode={value}")),
            "ssl" if matches!(value, "" | "true") && !query.contains("sslmode=") => {
                kept.push("sslmode=require".to_owned());
            }
            "ssl" => {}
            "sslrootcert" => kept.push(format!("sslrootcert={value}")),
            "sslcert" => kept.push(format!("sslcert={value}")),
            "sslkey" => kept.push(format!("sslkey={value}")),
            "ApplicationName" => kept.push(format!("application_name={value}")),
            "currentSchema" => kept.push(format!("options[search_path]={value}")),
            key => dropped.push(key.chars().take(40).collect()),
        }
    }
    let login = match (user.filter(|user| !user.is_empty()), password.filter(|password| !password.is_empty())) {
        (Some(user), Some(password)) => format!("{}:{}@", encode(&user), encode(&password)),
        (Some(user), None) => format!("{}@", encode(&user)),
        (None, _) => String::new(),
    };
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    let note = (!dropped.is_empty())
        .then(|| format!("these options of the Java driver have no effect here: {}", dropped.join(", ")));
    Ok(Translated { url: format!("postgres://{login}{host}/{}{query}", encode(&decode(database))), note })
}

/// Everything but letters, digits and `-._~` as `%41`.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// What `%41` stands for; what is none stays as it is.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        let decoded = digits.filter(|_| *byte == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(decoded.unwrap_or(*byte));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str, user: Option<&str>, password: Option<&str>) -> Result<String, String> {
        translate(text, user, password, Path::new("/here"), Some("/home/me")).map(|translated| translated.url)
    }

    #[test]
    fn postgresql_keeps_its_host_and_gets_its_login() {
        let with = |text: &str| url(text, Some("us@er"), Some("p/a:s s")).expect(text);
        assert_eq!(with("jdbc:postgresql://db:5433/skipper"), "postgres://us%40er:p%2Fa%3As%20s@db:5433/skipper");
        assert_eq!(with("jdbc:postgresql:skipper"), "postgres://us%40er:p%2Fa%3As%20s@localhost/skipper");
        assert_eq!(with("jdbc:postgresql://[::1]:1/x?user=other"), "postgres://us%40er:p%2Fa%3As%20s@[::1]:1/x");
        assert_eq!(
            url("JDBC:postgresql://db/x?user=a&password=b%26&ssl=true&currentSchema=s", None, None).as_deref(),
            Ok("postgres://a:b%26@db/x?sslmode=require&options[search_path]=s")
        );
        let odd = translate("jdbc:postgresql://db/x?reWriteBatchedInserts=true", None, None, Path::new("/"), None);
        assert!(odd.expect("translated").note.is_some_and(|note| note.ends_with("reWriteBatchedInserts")));
    }

    #[test]
    fn h2_means_sqlite() {
        for (text, expected) in [
            ("jdbc:h2:mem:testdb;DB_CLOSE_DELAY=-1;DB_CLOSE_ON_EXIT=FALSE", ""),
            ("jdbc:h2:file:/data/skipper;AUTO_SERVER=TRUE", "sqlite:/data/skipper.sqlite"),
            ("jdbc:h2:./target/db", "sqlite:/here/target/db.sqlite"),
            ("jdbc:h2:~/db", "sqlite:/home/me/db.sqlite"),
        ] {
            assert_eq!(url(text, Some("sa"), None).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn others_are_named_with_the_way_to_import() {
        for (text, part) in [
            ("jdbc:mysql://h/d", "MySQL"),
            ("jdbc:mariadb://h/d", "MariaDB"),
            ("jdbc:oracle:thin:@h:1:x", "Oracle"),
            ("jdbc:db2://h/d", "DB2"),
            ("jdbc:sqlserver://h;databaseName=x", "SQL Server"),
            ("jdbc:nonsense", "`jdbc:nonsense:`"),
        ] {
            let message = url(text, None, None).expect_err(text);
            assert!(message.contains(part) && message.contains("import spring-skipper"), "{message}");
        }
        for text in ["postgres://h/d", "jdbc:postgresql://a,b/d", "jdbc:h2:tcp://h/d", "jdbc:h2:", "jdbc", ""] {
            assert!(url(text, None, None).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn logins_come_back_whatever_they_hold(user in "\\PC{1,20}", password in "\\PC{1,20}") {
            let text = url("jdbc:postgresql://h/d", Some(&user), Some(&password)).expect("an address");
            let login = text.strip_prefix("postgres://").and_then(|rest| rest.split_once('@')).expect("a login").0;
            let (first, second) = login.split_once(':').expect("both");
            prop_assert_eq!((decode(first), decode(second)), (user, password));
        }

        #[test]
        fn any_address_is_translated_or_refused(text in "(jdbc:(h2|postgresql):)?\\PC{0,40}") {
            let _ = url(&text, None, None);
        }
    }
}
