//! Java's side of the tests: the tools, the stand-in for a Boot application, and the original client's class path.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Sources of what is built here.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/java");

/// The stand-in, under the coordinates that packages of the tests and of the field name.
const COORDINATES: &[&str] = &[
    "org.example:tiny:1.0.0",
    "org.example:tiny:1.0.1",
    "org.example:tiny:1.0.2",
    "org.springframework.cloud.stream.app:log-sink-rabbit:1.2.0.RC1",
    "org.springframework.cloud.stream.app:log-sink-rabbit:1.3.0.M1",
];

/// A file Maven repository with the stand-in in it; `tiny-1.0.0.jar` to `tiny-1.0.2.jar` lie at its top. `None`, and a
/// line, where there is no Java to build it with.
pub(crate) fn standin() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            if !has("javac") || !has("java") {
                println!("skipped: an application under Java needs java and javac (default-jdk-headless)");
                return None;
            }
            let sources = Path::new(SOURCES).join("standin");
            Some(built("standin", &[sources.join("build"), sources.join("Tiny.java")], |folder| {
                must(Command::new(sources.join("build")).arg(folder).args(COORDINATES));
            }))
        })
        .as_deref()
}

/// Jars that a platform can run, and the Java that it runs them with when it is not the machine's.
pub(crate) struct Jars {
    /// A file Maven repository.
    pub(crate) repository: PathBuf,
    /// A program that behaves like `java`, as far as it is asked here.
    pub(crate) java: Option<PathBuf>,
    /// Holds both, where they are not from a JDK.
    _folder: Option<tempfile::TempDir>,
}

/// The stand-in, or, where there is no Java, empty jars and a `java` that runs this project's sample in their place.
pub(crate) fn jars() -> Jars {
    if let Some(repository) = standin() {
        return Jars { repository: repository.to_path_buf(), java: None, _folder: None };
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    for coordinates in COORDINATES {
        let parts: Vec<&str> = coordinates.split(':').collect();
        let into = folder.path().join(parts[0].replace('.', "/")).join(parts[1]).join(parts[2]);
        fs::create_dir_all(&into).expect("made");
        let jar = zip(&[("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\nMain-Class: none\n")]);
        fs::write(into.join(format!("{}-{}.jar", parts[1], parts[2])), jar).expect("written");
    }
    let java = folder.path().join("java");
    // What is in SPRING_APPLICATION_JSON is flat, and the port is all that is needed of it.
    let script = format!(
        "#!/bin/bash\ncase \"$*\" in -version) echo 'openjdk version \"17\"' >&2; exit;; esac\n\
         [[ \"$SPRING_APPLICATION_JSON $*\" =~ server.port[\\\"\\':=\\ ]+([0-9]+) ]]\n\
         exec {:?} sample --server.port=\"${{BASH_REMATCH[1]}}\"\n",
        env!("CARGO_BIN_EXE_skipper")
    );
    fs::write(&java, script).expect("written");
    fs::set_permissions(&java, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("set");
    Jars { repository: folder.path().to_path_buf(), java: Some(java), _folder: Some(folder) }
}

/// Class path of the original client 2.11.5 with our main, `Flow`. `None`, and a line, where it cannot be had.
pub(crate) fn client() -> Option<&'static str> {
    static BUILT: OnceLock<Option<String>> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            if !has("javac") || !has("mvn") {
                println!("skipped: the original Java client needs javac and mvn (default-jdk-headless, maven)");
                return None;
            }
            let sources = Path::new(SOURCES).join("client");
            let (pom, main) = (sources.join("pom.xml"), sources.join("Flow.java"));
            let jars = class_path(&pom)?;
            let classes = built("client", &[pom, main.clone()], |folder| {
                must(Command::new("javac").args(["-nowarn", "-cp", &jars, "-d"]).arg(folder).arg(&main));
            });
            Some(format!("{}:{jars}", classes.display()))
        })
        .as_deref()
}

/// The jars of the client, from Maven Central or wherever Maven is told to look, kept under target/.
fn class_path(pom: &Path) -> Option<String> {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("java");
    let list = built("client-jars", &[pom.to_path_buf()], |folder| {
        let out = Command::new("mvn")
            .args(["-q", "-B", "-f"])
            .arg(pom)
            .arg(format!("-Dmaven.repo.local={}", cache.join("m2").display()))
            .arg(format!("-Dmdep.outputFile={}", folder.join("path").display()))
            .arg("dependency:build-classpath")
            .output()
            .expect("mvn starts");
        if !out.status.success() {
            println!("skipped: Maven cannot fetch the original Java client: {}", String::from_utf8_lossy(&out.stdout));
        }
    });
    fs::read_to_string(list.join("path")).ok()
}

/// A folder of that name and those sources, made once and found again by the next run; one that stayed empty is made anew.
fn built(name: &str, sources: &[PathBuf], make: impl FnOnce(&Path)) -> PathBuf {
    let mut bytes = COORDINATES.concat().into_bytes();
    for source in sources {
        bytes.extend(fs::read(source).expect("a source"));
    }
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("java");
    let folder = cache.join(format!("{name}-{}", skipper_core::Sha256::of(&bytes).short()));
    let is_made = || fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some());
    if !is_made() {
        fs::create_dir_all(&cache).expect("made");
        let fresh = tempfile::Builder::new().prefix(name).tempdir_in(&cache).expect("a temporary folder");
        make(fresh.path());
        // Another run may have been quicker.
        if fs::rename(fresh.path(), &folder).is_ok() {
            let _ = fresh.keep();
        }
        assert!(folder.is_dir(), "{} was not made", folder.display());
    }
    folder
}

fn must(command: &mut Command) {
    let out = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
}

fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A package of the field with the stand-in as its application, as a zip.
pub(crate) fn tiny(name: &str, version: &str, jars: &Path) -> Vec<u8> {
    let top = format!("{name}-{version}");
    let package = format!(
        "apiVersion: skipper.spring.io/v1\nkind: SkipperPackageMetadata\nname: {name}\nversion: {version}\n\
         packageSourceUrl: https://example.org/tiny/source\npackageHomeUrl: https://example.org/tiny\n\
         tags: tiny, http\nmaintainer: https://example.org/me\ndescription: The tiny http app.\n"
    );
    let template = format!(
        "apiVersion: skipper.spring.io/v1\nkind: SpringCloudDeployerApplication\nmetadata:\n  name: tiny\n  type: demo\n\
         spec:\n  resource: file://{}/tiny\n  version: {{{{version}}}}\n  applicationProperties:\n    \
         {{{{#spec.applicationProperties.entrySet}}}}\n    {{{{key}}}}: {{{{value}}}}\n    \
         {{{{/spec.applicationProperties.entrySet}}}}\n  deploymentProperties:\n    \
         {{{{#spec.deploymentProperties.entrySet}}}}\n    {{{{key}}}}: {{{{value}}}}\n    \
         {{{{/spec.deploymentProperties.entrySet}}}}\n",
        jars.display()
    );
    zip(&[
        (&format!("{top}/package.yml"), &package),
        (&format!("{top}/values.yml"), &format!("version: {version}\n")),
        (&format!("{top}/templates/tiny.yml"), &template),
    ])
}

/// A zip of these files.
pub(crate) fn zip(files: &[(&str, &str)]) -> Vec<u8> {
    use std::io::Write as _;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in files {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).expect("a file");
        writer.write_all(text.as_bytes()).expect("written");
    }
    writer.finish().expect("finished").into_inner()
}
