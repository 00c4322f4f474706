//! What an account says of the applications that are written for Spring's deployers, and what one of them says instead.

use std::{
    collections::BTreeMap,
    fmt,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use regex::Regex;

use super::options::Options;

/// How applications are run that were written for Spring's deployers. The defaults are those of its local deployer.
#[derive(Clone)]
pub struct DeployerSettings {
    /// The `java` that runs jars; a plain name is looked for in [`Self::search`].
    pub java_cmd: Option<String>,
    /// A Java installation that is used where no `java_cmd` is named: the server's `JAVA_HOME`.
    pub java_home: Option<PathBuf>,
    /// The server's `PATH`, where `java` is looked for at last.
    pub search: String,
    /// Java installations by the version of Spring Boot that an application names.
    pub java_home_path: BTreeMap<String, PathBuf>,
    /// Options of the virtual machine, separated by white space.
    pub java_opts: String,
    /// Properties are handed over in `SPRING_APPLICATION_JSON` rather than as arguments.
    pub use_spring_application_json: bool,
    /// The patterns of the names in [`Self::inherited`], for people.
    pub env_vars_to_inherit: Vec<String>,
    /// Variables of the server's environment that applications find in theirs.
    pub inherited: BTreeMap<String, String>,
    /// Time between the polite signal and SIGKILL.
    pub shutdown_timeout: Duration,
    /// Where working folders are made instead of the account's own folder.
    pub working_directories_root: Option<PathBuf>,
    /// Working folders go with their instance.
    pub delete_files_on_exit: bool,
    /// Ports that are given out, within those of the server.
    pub port_range: Option<RangeInclusive<u16>>,
    /// The host that is told in an instance's address.
    pub hostname: Option<String>,
    /// Where a debugger connects: a port, or `host:port`. Instances count up from it.
    pub debug: Option<String>,
    /// The virtual machine waits for a debugger.
    pub debug_suspend: bool,
    /// No `stdout_<i>.log` and `stderr_<i>.log` are written.
    pub inherit_logging: bool,
    /// Path that says whether an application has started, instead of its health.
    pub startup_probe: Option<String>,
    /// Path that says whether it is well, once it has started.
    pub health_probe: Option<String>,
}

/// The variables that are inherited unless an account says otherwise, as regular expressions.
pub const ENV_VARS_TO_INHERIT: [&str; 6] = ["TMP", "LANG", "LANGUAGE", "LC_.*", "PATH", "SPRING_APPLICATION_JSON"];

impl Default for DeployerSettings {
    fn default() -> Self {
        Self {
            java_cmd: None,
            java_home: None,
            search: String::new(),
            java_home_path: BTreeMap::new(),
            java_opts: String::new(),
            use_spring_application_json: true,
            env_vars_to_inherit: ENV_VARS_TO_INHERIT.map(str::to_owned).to_vec(),
            inherited: BTreeMap::new(),
            shutdown_timeout: Duration::from_secs(30),
            working_directories_root: None,
            delete_files_on_exit: true,
            port_range: None,
            hostname: None,
            debug: None,
            debug_suspend: true,
            inherit_logging: false,
            startup_probe: None,
            health_probe: None,
        }
    }
}

impl fmt::Debug for DeployerSettings {
    /// Without the environment, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeployerSettings").field("java_cmd", &self.java_cmd).finish_non_exhaustive()
    }
}

/// The variables of `env` whose whole name one of the patterns is. What Skipper itself is told is never among them.
///
/// # Errors
///
/// The pattern that is not one, with the reason.
pub fn inherit<'a>(
    patterns: impl IntoIterator<Item = &'a str>,
    env: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, String> {
    let mut found = BTreeMap::new();
    for pattern in patterns.into_iter().map(str::trim).filter(|pattern| !pattern.is_empty()) {
        let whole =
            Regex::new(&format!("^(?:{pattern})$")).map_err(|_| format!("`{pattern}` is not a regular expression"))?;
        let fits = env.iter().filter(|(name, _)| whole.is_match(name) && !is_ours(name));
        found.extend(fits.map(|(name, value)| (name.clone(), value.clone())));
    }
    Ok(found)
}

/// What tells Skipper its secrets, in Spring's way too, whose names may be written in many.
fn is_ours(name: &str) -> bool {
    const SPRINGS: [&str; 6] = [
        "SPRINGAPPLICATIONJSON",
        "SPRINGDATASOURCE",
        "SPRINGSECURITY",
        "SPRINGCLOUDSKIPPER",
        "MAVENREMOTEREPOSITORIES",
        "MAVENPROXY",
    ];
    let letters: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_uppercase()).collect();
    name.starts_with("SKIPPER_") || name == "ADMIN_TOKEN" || SPRINGS.iter().any(|ours| letters.starts_with(ours))
}

impl DeployerSettings {
    /// As Spring's local deployer writes them; `folder` is the account's own, where working folders are made unless it says
    /// otherwise.
    #[must_use]
    pub fn text(&self, folder: &Path) -> String {
        let home = self.java_home.as_ref().map(|home| home.join("bin/java").display().to_string());
        let java = self.java_cmd.clone().or(home).unwrap_or_else(|| "java".to_owned());
        let options = match self.java_opts.trim() {
            "" => String::new(),
            given => format!("JavaOpts = [{given}], "),
        };
        format!(
            "{options}ShutdownTimeout = [{}], EnvVarsToInherit = [{}], JavaCmd = [{java}], WorkingDirectoriesRoot = [{}], \
             DeleteFilesOnExit = [{}]",
            self.shutdown_timeout.as_secs(),
            self.env_vars_to_inherit.join(","),
            self.working_directories_root.as_deref().unwrap_or(folder).display(),
            self.delete_files_on_exit,
        )
    }

    /// With what an application says instead.
    ///
    /// # Errors
    ///
    /// Every value that cannot be followed, each a sentence.
    pub(super) fn of_app(&self, options: Options<'_>) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let mut own = self.clone();
        let text = |name: &str| options.own(name).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        own.java_cmd = text("javaCmd").or(own.java_cmd);
        own.java_opts = options.own("javaOpts").map_or(own.java_opts, str::to_owned);
        own.java_home_path
            .extend(options.map("javaHomePath").into_iter().map(|(version, home)| (version, home.into())));
        set(&mut own.use_spring_application_json, options, "useSpringApplicationJson", &mut faults);
        set(&mut own.delete_files_on_exit, options, "deleteFilesOnExit", &mut faults);
        set(&mut own.inherit_logging, options, "inheritLogging", &mut faults);
        match options.own("debugSuspend").map(str::to_ascii_lowercase).as_deref() {
            None => {}
            Some("y" | "true") => own.debug_suspend = true,
            Some("n" | "false") => own.debug_suspend = false,
            Some(other) => faults.push(wrong("debugSuspend", other, "y or n")),
        }
        let mut seconds = own.shutdown_timeout.as_secs();
        set(&mut seconds, options, "shutdownTimeout", &mut faults);
        if options.own("shutdownTimeout").is_some() {
            own.shutdown_timeout = Duration::from_secs(seconds.min(3600));
        }
        own.working_directories_root =
            text("workingDirectoriesRoot").map(PathBuf::from).or(own.working_directories_root);
        if let Some(root) = own.working_directories_root.as_ref().filter(|root| !root.is_absolute()) {
            faults.push(wrong("workingDirectoriesRoot", &root.display().to_string(), "an absolute path"));
        }
        own.hostname = text("hostname").or(own.hostname);
        let (address, port) = (text("debugAddress"), text("debugPort"));
        let said_as = if address.is_none() && port.is_some() { "debugPort" } else { "debugAddress" };
        own.debug = address.or(port).or(own.debug);
        if let Some(debug) = &own.debug
            && debug_port(debug).is_none()
        {
            faults.push(wrong(said_as, debug, "a port (1 to 65535), or host:port,"));
        }
        // Followed where the manifest is read.
        set(&mut false, options, "direct", &mut faults);
        own.startup_probe = text("startupProbe.path").or(own.startup_probe);
        own.health_probe = text("healthProbe.path").or(own.health_probe);
        let (mut low, mut high) = own.port_range.as_ref().map_or((1, u16::MAX), |range| (*range.start(), *range.end()));
        set(&mut low, options, "portRange.low", &mut faults);
        set(&mut high, options, "portRange.high", &mut faults);
        if options.own("portRange.low").is_some() || options.own("portRange.high").is_some() {
            own.port_range = Some(low..=high);
        }
        if let Some(patterns) = options.own("envVarsToInherit") {
            match inherit(patterns.split(','), &self.inherited) {
                Ok(fewer) => own.inherited = fewer,
                Err(why) => faults.push(format!("`envVarsToInherit`: {why}")),
            }
        }
        if faults.is_empty() { Ok(own) } else { Err(faults) }
    }
}

fn set<T: FromStr>(into: &mut T, options: Options<'_>, name: &str, faults: &mut Vec<String>) {
    let Some(text) = options.own(name) else { return };
    match text.trim().to_ascii_lowercase().parse() {
        Ok(value) => *into = value,
        Err(_) => {
            let expected = match std::any::type_name::<T>() {
                "bool" => "true or false",
                "u16" => "a port (0 to 65535)",
                _ => "a whole number that is not below 0",
            };
            faults.push(wrong(name, text, expected));
        }
    }
}

fn wrong(name: &str, value: &str, expected: &str) -> String {
    let shown: String = value.chars().take(60).collect();
    format!("`spring.cloud.deployer.local.{name}` = `{shown}`: {expected} is expected")
}

/// Host and port of a debugger's address.
pub(super) fn debug_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    port.parse().ok().filter(|port| *port > 0).map(|port| (host, port))
}

/// MiB, as `1024`, `1024m` or `1g`.
///
/// # Errors
///
/// Spring's own sentence.
pub(crate) fn mebibytes(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("Could not parse '{text}' as a byte size. Expected a number with optional 'm' or 'g' suffix");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let factor = match &text[digits..] {
        "" | "m" | "M" => 1,
        "g" | "G" => 1024,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use skipper_core::spec::Deployer;

    use super::*;

    fn of(options: &[(&str, &str)]) -> Result<DeployerSettings, Vec<String>> {
        let options =
            options.iter().map(|(key, value)| (format!("spring.cloud.deployer.local.{key}"), (*value).to_owned()));
        let deployer = Deployer { properties: BTreeMap::new(), options: options.collect() };
        DeployerSettings::default().of_app(Options::of(Some(&deployer)))
    }

    #[test]
    fn an_application_may_say_otherwise_of_everything() {
        let own = of(&[
            ("java-cmd", "/jdk/bin/java"),
            ("shutdownTimeout", "5"),
            ("use-spring-application-json", "FALSE"),
            ("debug-suspend", "n"),
            ("debugPort", "5005"),
            ("port-range.low", "21000"),
            ("healthProbe.path", "/live"),
        ])
        .expect("all of it is right");
        assert_eq!(own.java_cmd.as_deref(), Some("/jdk/bin/java"));
        assert_eq!(own.shutdown_timeout, Duration::from_secs(5));
        assert!(!own.use_spring_application_json && !own.debug_suspend);
        assert_eq!((own.debug.as_deref(), own.port_range), (Some("5005"), Some(21_000..=65_535)));
        assert_eq!(own.health_probe.as_deref(), Some("/live"));
        let faults = of(&[("shutdownTimeout", "soon"), ("deleteFilesOnExit", "maybe"), ("debugAddress", "here")]);
        assert_eq!(faults.expect_err("none of it is right").len(), 3);
    }

    #[test]
    fn settings_are_told_as_springs_deployer_tells_them() {
        let usual = "ShutdownTimeout = [30], EnvVarsToInherit = [TMP,LANG,LANGUAGE,LC_.*,PATH,SPRING_APPLICATION_JSON], \
            JavaCmd = [java], WorkingDirectoriesRoot = [/var/lib], DeleteFilesOnExit = [true]";
        assert_eq!(DeployerSettings::default().text(Path::new("/var/lib")), usual);
        let own = DeployerSettings {
            java_home: Some("/jdk".into()),
            java_opts: "-Xmx64m -Da=b".to_owned(),
            working_directories_root: Some("/work".into()),
            delete_files_on_exit: false,
            ..DeployerSettings::default()
        };
        let text = own.text(Path::new("/var/lib"));
        assert!(text.starts_with("JavaOpts = [-Xmx64m -Da=b], ShutdownTimeout = [30], "), "{text}");
        let end = "JavaCmd = [/jdk/bin/java], WorkingDirectoriesRoot = [/work], DeleteFilesOnExit = [false]";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn only_what_a_pattern_names_wholly_is_inherited_and_nothing_of_ours() {
        let of_spring = [
            "SPRING_APPLICATION_JSON",
            "SPRING_DATASOURCE_PASSWORD",
            "spring.security.user.password",
            "MAVEN_REMOTE_REPOSITORIES_OWN_AUTH_PASSWORD",
        ];
        let env = ["PATH", "PATHS", "LC_ALL", "SKIPPER_SECRET_KEY", "ADMIN_TOKEN", "OWN"].into_iter().chain(of_spring);
        let env = env.map(|name| (name.to_owned(), "x".to_owned())).collect();
        let names = |patterns: &[&str]| -> Vec<String> {
            inherit(patterns.iter().copied(), &env).expect("they are patterns").into_keys().collect()
        };
        assert_eq!(names(&ENV_VARS_TO_INHERIT), ["LC_ALL", "PATH"]);
        assert_eq!(names(&[".*"]), ["LC_ALL", "OWN", "PATH", "PATHS"]);
        assert!(inherit(["("], &env).is_err());
    }

    #[test]
    fn sizes_are_in_mebibytes_unless_said_otherwise() {
        for (text, is) in [("1024", 1024), ("512m", 512), ("2g", 2048), ("1G", 1024)] {
            assert_eq!(mebibytes(text), Ok(is));
        }
        for wrong in ["", "m", "1k", "1.5g", "-1", "1 g", "99999999999999999999g"] {
            let said = mebibytes(wrong).expect_err(wrong);
            assert!(said.starts_with(&format!("Could not parse '{wrong}' as a byte size.")), "{said}");
        }
    }
}
