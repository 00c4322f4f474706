use std::{net::IpAddr, net::Ipv4Addr, path::PathBuf, time::Duration};

/// What `skipper sample --help` prints.
pub(crate) const HELP: &str = "\
The sample application: a small HTTP server that can be told to misbehave.

Usage: skipper sample [--NAME=VALUE | --NAME VALUE]...

Each setting is an argument, a key of the JSON in SPRING_APPLICATION_JSON, or the environment variable in brackets; of
several the first of these wins.

  --server.port, --port     where it listens, default 8080; 0 takes a free one   [SERVER_PORT, PORT]
  --server.address          default 127.0.0.1                                    [SERVER_ADDRESS]
  --helloworld.greeting, --greeting
                            what /greeting answers                               [HELLOWORLD_GREETING, GREETING]
  --sample.version          shown by /about and the header x-sample-version      [SAMPLE_VERSION]
  --sample.about            what /about answers instead                          [SAMPLE_ABOUT]

Start and stop (times in milliseconds):
  --sample.ready-after      /health answers 503 until then; `never` for ever     [SAMPLE_READY_AFTER]
  --sample.listen-after     opens its port only then                             [SAMPLE_LISTEN_AFTER]
  --sample.unhealthy-after  /health answers 503 from then on                     [SAMPLE_UNHEALTHY_AFTER]
  --sample.health-file      /health answers 200 only while this file is there    [SAMPLE_HEALTH_FILE]
  --sample.exit-after       ends then; 0 at once, before it listens              [SAMPLE_EXIT_AFTER]
  --sample.exit-code        with this status, default 1                          [SAMPLE_EXIT_CODE]
  --sample.ignore-term      ignores SIGTERM                                      [SAMPLE_IGNORE_TERM]
  --sample.grace            longest it waits for open requests, default 5000     [SAMPLE_GRACE]
  --sample.hang             takes connections and never answers                  [SAMPLE_HANG]
  --sample.child            starts a child that stays until it is killed         [SAMPLE_CHILD]
  --sample.daemonize        starts itself again and leaves                       [SAMPLE_DAEMONIZE]
  --sample.memory           takes that many MiB of memory                        [SAMPLE_MEMORY]

Answers:
  --sample.latency          each answer comes that much later                    [SAMPLE_LATENCY]
  --sample.fail-percent     share of /greeting answered with 500                 [SAMPLE_FAIL_PERCENT]
  --sample.show-env         variables that /env shows, separated by commas       [SAMPLE_SHOW_ENV]
  --sample.data-dir         where /count keeps its counter                       [DATA_DIR]

Paths: / /greeting /about /health /echo /env /count /log?line= /slow?ms= /fail?status= /download?bytes=&rate=
       /upload /events?ms=&count= /ws (WebSocket echo)
";

/// Longest time that a setting may name: a day. Longer ones are mistakes of unit.
const MAX_MILLIS: u64 = 24 * 60 * 60 * 1000;

/// Most memory it takes on demand, in MiB.
const MAX_MEMORY_MIB: u64 = 16 * 1024;

/// How the sample application behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// Where it listens.
    pub(crate) address: IpAddr,
    /// Where it listens; 0 takes a free port.
    pub(crate) port: u16,
    /// What `/greeting` answers.
    pub(crate) greeting: String,
    /// What `/about` and `x-sample-version` say.
    pub(crate) version: String,
    /// What `/about` answers instead of what there is to say.
    pub(crate) about: Option<String>,
    /// Before that, `/health` answers 503.
    pub(crate) ready_after: Ready,
    /// Before that, its port is closed.
    pub(crate) listen_after: Duration,
    /// After that, `/health` answers 503.
    pub(crate) unhealthy_after: Option<Duration>,
    /// `/health` answers 200 only while this file is there.
    pub(crate) health_file: Option<PathBuf>,
    /// It ends by itself then. Zero: before it listens.
    pub(crate) exit_after: Option<Duration>,
    /// Status with which it ends by itself.
    pub(crate) exit_code: u8,
    /// SIGTERM has no effect.
    pub(crate) ignore_term: bool,
    /// Longest it waits for open requests once it was told to stop.
    pub(crate) grace: Duration,
    /// It takes connections and never answers.
    pub(crate) hang: bool,
    /// It starts a child that stays until it is killed.
    pub(crate) child: bool,
    /// It starts itself again and leaves.
    pub(crate) daemonize: bool,
    /// MiB of memory that it takes.
    pub(crate) memory_mib: u64,
    /// Added to each answer.
    pub(crate) latency: Duration,
    /// Share of `/greeting` that is answered with 500.
    pub(crate) fail_percent: u8,
    /// Variables that `/env` shows.
    pub(crate) show_env: Vec<String>,
    /// Where `/count` keeps its counter.
    pub(crate) data_dir: Option<PathBuf>,
}

/// When it begins to be healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ready {
    /// So long after its start.
    After(Duration),
    /// Not at all.
    Never,
}

/// A setting that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` cannot be the {name}: {expected}")]
pub(crate) struct InvalidOption {
    name: &'static str,
    value: String,
    expected: &'static str,
}

impl Options {
    /// Reads the settings from arguments and, through `env`, from the environment.
    ///
    /// Unknown arguments are left alone: an application gets what its package says, and a sample should not refuse it.
    ///
    /// # Errors
    ///
    /// [`InvalidOption`] for the first value that cannot be followed.
    pub(crate) fn read(args: &[String], env: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidOption> {
        let json = env("SPRING_APPLICATION_JSON").map(|text| serde_json::from_str(&text).unwrap_or_default());
        let given = Given { args, json: json.unwrap_or_default(), env: &env };
        let data_dir = given.text(&["sample.data-dir"], &["DATA_DIR"]);
        let host = given.text(&["server.address"], &["SERVER_ADDRESS"]);
        let flag = |arg: &'static str, var: &str| given.flag(arg, var);
        Ok(Self {
            address: match host {
                None => IpAddr::V4(Ipv4Addr::LOCALHOST),
                Some(host) => host.parse().map_err(|_| InvalidOption {
                    name: "address",
                    value: host,
                    expected: "an IP address is expected",
                })?,
            },
            port: given
                .number("port", &["server.port", "port"], &["SERVER_PORT", "PORT"], 65_535)?
                .map_or(8080, |n| u16::try_from(n).expect("bounded by the maximum above")),
            greeting: given
                .text(&["helloworld.greeting", "greeting"], &["HELLOWORLD_GREETING", "GREETING"])
                .unwrap_or_else(|| "Hello World!".into()),
            version: given
                .text(&["sample.version"], &["SAMPLE_VERSION"])
                .unwrap_or_else(|| env!("CARGO_PKG_VERSION").into()),
            about: given.text(&["sample.about"], &["SAMPLE_ABOUT"]),
            ready_after: match given.text(&["sample.ready-after"], &["SAMPLE_READY_AFTER"]).as_deref() {
                Some("never") => Ready::Never,
                _ => Ready::After(given.millis("sample.ready-after", "SAMPLE_READY_AFTER")?.unwrap_or_default()),
            },
            listen_after: given.millis("sample.listen-after", "SAMPLE_LISTEN_AFTER")?.unwrap_or_default(),
            unhealthy_after: given.millis("sample.unhealthy-after", "SAMPLE_UNHEALTHY_AFTER")?,
            health_file: given.text(&["sample.health-file"], &["SAMPLE_HEALTH_FILE"]).map(PathBuf::from),
            exit_after: given.millis("sample.exit-after", "SAMPLE_EXIT_AFTER")?,
            exit_code: given
                .number("exit code", &["sample.exit-code"], &["SAMPLE_EXIT_CODE"], 255)?
                .map_or(1, |n| u8::try_from(n).expect("bounded by the maximum above")),
            ignore_term: flag("sample.ignore-term", "SAMPLE_IGNORE_TERM"),
            grace: given.millis("sample.grace", "SAMPLE_GRACE")?.unwrap_or(Duration::from_secs(5)),
            hang: flag("sample.hang", "SAMPLE_HANG"),
            child: flag("sample.child", "SAMPLE_CHILD"),
            daemonize: flag("sample.daemonize", "SAMPLE_DAEMONIZE"),
            memory_mib: given
                .number("memory in MiB", &["sample.memory"], &["SAMPLE_MEMORY"], MAX_MEMORY_MIB)?
                .unwrap_or(0),
            latency: given.millis("sample.latency", "SAMPLE_LATENCY")?.unwrap_or_default(),
            fail_percent: given
                .number("share of failures", &["sample.fail-percent"], &["SAMPLE_FAIL_PERCENT"], 100)?
                .map_or(0, |n| u8::try_from(n).expect("bounded by the maximum above")),
            show_env: given
                .text(&["sample.show-env"], &["SAMPLE_SHOW_ENV"])
                .map(|names| names.split(',').map(|name| name.trim().to_owned()).collect())
                .unwrap_or_default(),
            data_dir: data_dir.map(PathBuf::from),
        })
    }
}

/// The places a setting may come from.
struct Given<'a> {
    args: &'a [String],
    /// What Spring's deployers hand over in place of arguments: names with dots, as those of arguments.
    json: serde_json::Map<String, serde_json::Value>,
    env: &'a dyn Fn(&str) -> Option<String>,
}

impl Given<'_> {
    /// The last `--NAME=VALUE` or `--NAME VALUE`; a name at the end or before another `--` has the value "".
    fn arg(&self, name: &str) -> Option<String> {
        let mut found = None;
        for (at, arg) in self.args.iter().enumerate() {
            let Some(rest) = arg.strip_prefix("--").and_then(|rest| rest.strip_prefix(name)) else { continue };
            if let Some(value) = rest.strip_prefix('=') {
                found = Some(value.to_owned());
            } else if rest.is_empty() {
                found = Some(self.args.get(at + 1).filter(|next| !next.starts_with("--")).cloned().unwrap_or_default());
            }
        }
        found.or_else(|| match self.json.get(name)? {
            serde_json::Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        })
    }

    fn text(&self, args: &[&str], vars: &[&str]) -> Option<String> {
        args.iter()
            .find_map(|name| self.arg(name))
            .or_else(|| vars.iter().find_map(|name| (self.env)(name)))
            .filter(|value| !value.is_empty())
    }

    fn number(&self, name: &'static str, args: &[&str], vars: &[&str], max: u64) -> Result<Option<u64>, InvalidOption> {
        let Some(value) = self.text(args, vars) else { return Ok(None) };
        match value.parse::<u64>() {
            Ok(number) if number <= max => Ok(Some(number)),
            Ok(_) => Err(InvalidOption { name, value, expected: "it is too large" }),
            Err(_) => Err(InvalidOption { name, value, expected: "a whole number is expected" }),
        }
    }

    fn millis(&self, arg: &'static str, var: &str) -> Result<Option<Duration>, InvalidOption> {
        Ok(self.number(arg, &[arg], &[var], MAX_MILLIS)?.map(Duration::from_millis))
    }

    fn flag(&self, arg: &str, var: &str) -> bool {
        let value = self.arg(arg).or_else(|| (self.env)(var));
        matches!(value.as_deref(), Some("" | "1" | "true" | "yes" | "on"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str], env: &[(&str, &str)]) -> Result<Options, InvalidOption> {
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        Options::read(&args, |name| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn without_settings_it_listens_on_8080_of_the_loopback_and_greets_the_world() {
        let options = read(&[], &[]).expect("defaults are valid");
        assert_eq!((options.port, options.greeting.as_str()), (8080, "Hello World!"));
        assert!(options.address.is_loopback());
        assert_eq!(options.ready_after, Ready::After(Duration::ZERO));
    }

    #[test]
    fn the_port_is_taken_from_springs_names_and_from_the_twelve_factor_name() {
        assert_eq!(read(&["--server.port=1"], &[]).expect("valid").port, 1);
        assert_eq!(read(&["--port", "2"], &[]).expect("valid").port, 2);
        assert_eq!(read(&[], &[("SERVER_PORT", "3")]).expect("valid").port, 3);
        assert_eq!(read(&[], &[("PORT", "4")]).expect("valid").port, 4);
        assert_eq!(read(&["--server.port=5"], &[("PORT", "4")]).expect("valid").port, 5);
    }

    #[test]
    fn springs_json_is_stronger_than_the_environment_and_weaker_than_an_argument() {
        let json = r#"{"server.port": "5", "helloworld.greeting": "Olá", "sample.fail-percent": 7}"#;
        let env = [("SPRING_APPLICATION_JSON", json), ("SERVER_PORT", "6"), ("HELLOWORLD_GREETING", "x")];
        let options = read(&[], &env).expect("valid");
        assert_eq!((options.port, options.greeting.as_str(), options.fail_percent), (5, "Olá", 7));
        assert_eq!(read(&["--server.port=4"], &env).expect("valid").port, 4);
        assert_eq!(read(&[], &[("SPRING_APPLICATION_JSON", "no JSON")]).expect("it is left alone").port, 8080);
    }

    #[test]
    fn the_last_of_two_equal_arguments_wins_and_unknown_ones_are_left_alone() {
        let options = read(&["--greeting=a", "--spring.profiles.active=x", "--greeting", "b"], &[]).expect("valid");
        assert_eq!(options.greeting, "b");
    }

    #[test]
    fn a_flag_needs_no_value() {
        assert!(read(&["--sample.hang", "--greeting=x"], &[]).expect("valid").hang);
        assert!(read(&[], &[("SAMPLE_HANG", "true")]).expect("valid").hang);
        assert!(!read(&["--sample.hang=false"], &[]).expect("valid").hang);
    }

    #[test]
    fn a_sample_that_never_gets_ready_says_so() {
        assert_eq!(read(&[], &[("SAMPLE_READY_AFTER", "never")]).expect("valid").ready_after, Ready::Never);
        assert_eq!(
            read(&["--sample.ready-after=250"], &[]).expect("valid").ready_after,
            Ready::After(Duration::from_millis(250))
        );
    }

    #[test]
    fn a_value_that_is_no_number_is_refused_with_its_name() {
        let error = read(&["--server.port=http"], &[]).expect_err("not a port");
        assert_eq!(error.to_string(), "`http` cannot be the port: a whole number is expected");
        assert!(read(&["--port=70000"], &[]).is_err());
    }
}
