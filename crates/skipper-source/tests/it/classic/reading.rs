use skipper_source::{
    Package, Renderer,
    classic::yaml::{self, Generation, Layout, Typing},
};

use super::vectors;
use crate::zip_bytes::{entry, zip};

const METADATA: &str = "apiVersion: v1\nkind: skipper\nname: log\nversion: 1.0.0.RELEASE\ntags: sink, logging\n\
    packageHomeUrl: https://example.org\nappVersion: unknown key\nmaintainer: null\n";

fn zipped(files: &[(&str, &str)]) -> Vec<u8> {
    zip(&files.iter().map(|(path, text)| entry(path, text)).collect::<Vec<_>>())
}

fn read(files: &[(&str, &str)]) -> Package {
    Package::from_zip(&zipped(files)).expect("it is a package")
}

#[test]
fn a_zip_is_read_as_the_field_lays_it_out() {
    let package = read(&[
        ("log-1.0.0/Package.YAML", METADATA),
        ("log-1.0.0/VALUES.yml", "# kept\na: 1\n"),
        ("log-1.0.0/templates/b.yml", "b"),
        ("log-1.0.0/templates/ayaml", "a"),
        ("log-1.0.0/templates/.hidden.yml", "no"),
        ("log-1.0.0/templates/deeper/c.yml", "no"),
        ("log-1.0.0/templates/README.md", "no"),
        ("log-1.0.0/Packages/time/package.yml", "name: time\nversion: '2'\n"),
        ("log-1.0.0/my-manifest.yml", "kept"),
        ("log-1.0.0/.DS_Store", "no"),
        ("__MACOSX/log-1.0.0/._package.yml", "no"),
        ("README.md", "beside the root"),
    ]);
    let Package::Classic(classic) = &package else { panic!("{package:?}") };
    let names: Vec<&str> = classic.templates().map(|template| template.name).collect();
    assert_eq!(names, ["ayaml", "b.yml"]);
    assert_eq!(package.values_text(), "# kept\na: 1\n");
    assert_eq!(classic.packages()[0].metadata().unwrap().name.as_str(), "time");
    assert_eq!(classic.manifests()[0].path, "my-manifest.yml");
    let metadata = package.metadata().unwrap();
    assert_eq!((metadata.name.as_str(), metadata.version.as_str()), ("log", "1.0.0.RELEASE"));
    assert_eq!(metadata.api_version.as_deref(), Some("v1"));
    assert_eq!(metadata.tags, ["sink", "logging"]);
    assert_eq!(metadata.tags_text.as_deref(), Some("sink, logging"));
    assert_eq!(metadata.home.as_deref(), Some("https://example.org"));
    assert_eq!(metadata.maintainer, None);
}

#[test]
fn the_api_version_picks_the_renderer() {
    for (metadata, renderer) in [
        ("apiVersion: v1\nname: a\nversion: 1.0.0\n", Renderer::Classic1),
        ("apiVersion: v2\nname: a\nversion: 1.0.0\n", Renderer::Classic1),
        ("apiVersion: skipper.spring.io/v1\nname: a\nversion: 1.0.0\n", Renderer::Classic2),
        (
            "!!org.springframework.cloud.skipper.domain.PackageMetadata\napiVersion: null\nname: a\nversion: 1.0.0\n",
            Renderer::Classic2,
        ),
        ("apiVersion: v7\nkind: skipper\nname: a\nversion: 1.0.0\n", Renderer::Classic2),
        ("apiVersion: 1\nname: a\nversion: 1.0.0\n", Renderer::Classic2),
        ("apiVersion: example.org/packages\nkind: Package\nname: a\nversion: 1.0.0\n", Renderer::Classic2),
        ("apiVersion: skipper/v2\nkind: Package\nname: a\nversion: 1.0.0\n", Renderer::Native),
    ] {
        let package = read(&[("a-1.0.0/package.yml", metadata)]);
        assert_eq!(package.renderer(), renderer, "{metadata}");
        package.metadata().unwrap_or_else(|faults| panic!("{metadata}: {faults}"));
    }
}

#[test]
fn what_is_nearly_our_own_api_version_is_told_so() {
    for version in
        ["skipper/v1", "skipper/v3", "Skipper/V2", "skiper/v2", "skipperv2", "skipper.v2", "' skipper/v2'", "''"]
    {
        let metadata = format!("apiVersion: {version}\nkind: Package\nname: a\nversion: 1.0.0\n");
        let package = read(&[("a/package.yml", &metadata)]);
        assert_eq!(package.renderer(), Renderer::Native, "{version}");
        let faults = package.metadata().expect_err(version).to_string();
        assert!(faults.contains("apiVersion: must be") && faults.contains("skipper/v2"), "{faults}");
    }
}

#[test]
fn what_is_no_package_says_why() {
    let refused = |files: &[(&str, &str)]| Package::from_zip(&zipped(files)).expect_err("no package").to_string();
    assert!(Package::from_zip(&[]).is_err(), "a zip of no bytes");
    let two = refused(&[("a-1/package.yml", METADATA), ("b-1/package.yml", METADATA)]);
    assert!(two.contains("more than one package"), "{two}");
    let twice = refused(&[("a-1/package.yml", METADATA), ("a-1/package.yaml", METADATA)]);
    assert!(twice.contains("keep one"), "{twice}");
    let plain = refused(&[("a-1/package.yml", METADATA), ("a-1/packages/b.zip", "")]);
    assert!(plain.contains("a folder for each package"), "{plain}");
    let without = refused(&[("a-1/package.yml", METADATA), ("a-1/packages/b/values.yml", "")]);
    assert!(without.contains("there is no `packages/b/package.yml`"), "{without}");
}

#[test]
fn tags_that_name_java_classes_are_refused() {
    let metadata = "apiVersion: v1\nname: a\nversion: 1.0.0\norigin: !!javax.script.ScriptEngineManager [x]\n";
    let package = Package::of_zip(&zipped(&[("a-1/package.yml", metadata)]), Some(Renderer::Classic1)).unwrap();
    let faults = package.metadata().unwrap_err().to_string();
    assert!(faults.contains("names a Java class") && faults.contains("package.yml:4"), "{faults}");
}

#[test]
fn every_zip_of_the_vectors_is_read() {
    let Some(folder) = vectors::folder() else { return };
    let zips = vectors::files(&folder, &|path| path.extension().is_some_and(|ending| ending == "zip"));
    let mut read = 0;
    for path in zips.iter().filter(|path| !path.to_string_lossy().contains("vanakkam.py")) {
        let bytes = std::fs::read(path).unwrap();
        match Package::from_zip(&bytes) {
            Ok(package) => {
                assert!(matches!(package, Package::Classic(_)), "{}", path.display());
                package.metadata().unwrap_or_else(|faults| panic!("{}: {faults}", path.display()));
                read += 1;
            }
            Err(error) => assert!(bytes.is_empty(), "{}: {error}", path.display()),
        }
    }
    assert!(read > 10, "{read}");
}

#[test]
fn collections_with_tags_are_lists_and_maps() {
    let written = |text: &str| {
        let value = yaml::load("values", text, Typing::Typed(Generation::Two));
        value.map(|value| yaml::dump(&value, Layout::Auto, Generation::Two)).map_err(|faults| faults.to_string())
    };
    assert_eq!(written("a: !!omap [x: 1, y: 2, x: 3]\n").expect("a map"), "a: {x: 3, y: 2}\n");
    assert_eq!(written("a: !!pairs\n- x: 1\n- y: [1, 2]\n").expect("a list"), "a:\n- [x, 1]\n- - y\n  - [1, 2]\n");
    assert_eq!(written("a: !!set {x, y}\n").expect("a list"), "a: [x, y]\n");
    assert_eq!(written("a: {\n  b: 1,\n}\nc: [\n1\n]\n").expect("closed on a later line"), "a: {b: 1}\nc: [1]\n");
    for bad in ["a: !!omap [{x: 1, y: 2}]", "a: !!pairs [1]", "a: !!pairs {x: 1}"] {
        assert!(written(bad).is_err(), "{bad}");
    }
}
