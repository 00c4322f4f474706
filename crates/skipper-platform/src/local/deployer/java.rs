//! Finding Java, and what it is called with.

use std::{
    fs,
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use skipper_core::port::{Error, ErrorKind};

use super::settings::DeployerSettings;

/// Largest directory of a jar that is read: about half a million entries.
const DIRECTORY_BYTES: u64 = 64 << 20;
/// Largest manifest that is read.
const MANIFEST_BYTES: u64 = 1 << 20;
/// The end record of a zip with the longest comment.
const END_BYTES: u64 = 22 + 65_535;

/// The program that runs jars.
///
/// # Errors
///
/// `java-missing`, which says where it was looked for and what to do.
pub(super) fn find(settings: &DeployerSettings, boot_version: Option<&str>) -> Result<PathBuf, Error> {
    if let Some(home) = boot_version.and_then(|version| settings.java_home_path.get(version)) {
        return program(&home.join("bin/java"), "the account's Java for that version of Spring Boot");
    }
    if let Some(command) = &settings.java_cmd {
        if command.contains('/') {
            return program(Path::new(command), "`java_cmd`");
        }
        return in_path(&settings.search, command).ok_or_else(|| missing(&format!("there is no `{command}` in PATH")));
    }
    if let Some(home) = &settings.java_home
        && let Ok(found) = program(&home.join("bin/java"), "JAVA_HOME")
    {
        return Ok(found);
    }
    in_path(&settings.search, "java")
        .ok_or_else(|| missing("there is neither a JAVA_HOME with one nor a `java` in PATH"))
}

fn program(path: &Path, what: &str) -> Result<PathBuf, Error> {
    if is_program(path) {
        return Ok(path.to_owned());
    }
    Err(missing(&format!("{what} names {}, which is no program", path.display())))
}

fn in_path(search: &str, name: &str) -> Option<PathBuf> {
    let dirs = search.split(':').filter(|dir| dir.starts_with('/'));
    dirs.map(|dir| Path::new(dir).join(name)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn missing(why: &str) -> Error {
    Error::new(ErrorKind::Permanent, "java-missing", format!("a jar needs Java, and none was found here: {why}")).hint(
        "install a Java runtime on the host of the server (for example the package openjdk-17-jre-headless), or name one in \
         `java_cmd` of the platform account or in JAVA_HOME of the server",
    )
}

/// What Java is called with, up to the application's own arguments.
pub(super) struct Call<'a> {
    pub(super) options: Vec<String>,
    /// Class path and class instead of the jar.
    pub(super) main: Option<(&'a str, &'a str)>,
}

impl Call<'_> {
    pub(super) fn words(&self, java: &str, jar: &str) -> Vec<String> {
        let mut words = vec![java.to_owned()];
        words.extend(self.options.iter().cloned());
        match self.main {
            Some((classpath, main)) => words.extend(["-cp", classpath, main].map(str::to_owned)),
            None => words.extend(["-jar", jar].map(str::to_owned)),
        }
        words
    }
}

/// Whether a file begins as a zip does.
pub(super) fn is_zip(path: &Path) -> bool {
    let mut start = [0; 4];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *b"PK\x03\x04"
}

/// Refuses a file that `java -jar` could not run. Blocking.
///
/// # Errors
///
/// `not-a-jar`.
pub(super) fn check_jar(path: &Path, shown: &str) -> Result<(), Error> {
    let refused = |why: String, hint: &str| {
        Err(Error::new(ErrorKind::Permanent, "not-a-jar", format!("{shown} {why}")).hint(hint.to_owned()))
    };
    let manifest = match manifest(path) {
        Ok(manifest) => manifest,
        Err(why) => {
            return refused(
                format!("is not a jar: {why}"),
                "see what is really there: a page that asks to log in, a pointer file?",
            );
        }
    };
    let main = manifest.lines().any(|line| line.len() > 11 && line[..11].eq_ignore_ascii_case("main-class:"));
    if main {
        return Ok(());
    }
    refused(
        "is a jar without a main class".to_owned(),
        "build an executable jar (spring-boot-maven-plugin's repackage), or set spring.cloud.deployer.local.main and .classpath",
    )
}

fn manifest(path: &Path) -> Result<String, String> {
    let words = |error: io::Error| error.to_string();
    let mut file = fs::File::open(path).map_err(words)?;
    let length = file.metadata().map_err(words)?.len();
    bounded_directory(&mut file, length)?;
    let mut zip = zip::ZipArchive::new(io::BufReader::new(file)).map_err(|error| error.to_string())?;
    let entry = zip.by_name("META-INF/MANIFEST.MF").map_err(|_| "it has no META-INF/MANIFEST.MF".to_owned())?;
    let mut text = Vec::new();
    entry.take(MANIFEST_BYTES).read_to_end(&mut text).map_err(words)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The directory is read into memory as a whole, and a hostile one may be as large as the file.
fn bounded_directory(file: &mut fs::File, length: u64) -> Result<(), String> {
    let words = |error: io::Error| error.to_string();
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(length.saturating_sub(END_BYTES))).map_err(words)?;
    file.read_to_end(&mut tail).map_err(words)?;
    let end = tail.windows(4).rposition(|bytes| bytes == b"PK\x05\x06").ok_or("it does not end as a zip does")?;
    let size: [u8; 4] = tail.get(end + 12..end + 16).and_then(|bytes| bytes.try_into().ok()).ok_or("it is cut off")?;
    file.rewind().map_err(words)?;
    if u64::from(u32::from_le_bytes(size)) > DIRECTORY_BYTES {
        return Err("its directory is too large".to_owned());
    }
    Ok(())
}
