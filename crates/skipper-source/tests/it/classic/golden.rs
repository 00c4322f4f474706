//! What the original's own classes gave, byte for byte.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use skipper_source::{
    Package, Renderer, UserValues,
    classic::{
        self, mustache,
        yaml::{self, Generation, Layout, Typing},
    },
};

use super::vectors;

const NONE: UserValues<'_> = UserValues { tree: &Json::Null, raw: None };

/// One generation's folder of golden files.
struct Golden {
    folder: PathBuf,
    name: &'static str,
    renderer: Renderer,
    generation: Generation,
}

impl Golden {
    fn both() -> Option<[Self; 2]> {
        let folder = vectors::folder()?;
        let golden = |name, renderer, generation| Self { folder: folder.clone(), name, renderer, generation };
        Some([golden("m1", Renderer::Classic1, Generation::One), golden("v2", Renderer::Classic2, Generation::Two)])
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.join("derived-golden").join(self.name).join(below)
    }

    /// The sources that this generation's cases are made of.
    fn sources(&self) -> PathBuf {
        self.folder.join(if self.name == "m1" { "M1-549e4c71" } else { "v2.11.5-aded7695" })
    }

    fn core(&self) -> PathBuf {
        self.sources().join("spring-cloud-skipper-server-core/src/test/resources")
    }

    fn service(&self) -> PathBuf {
        self.core().join("org/springframework/cloud/skipper/server/service")
    }

    /// The package of a case: a zip where there is one, else its sources.
    fn package(&self, set: &str, name: &str) -> Package {
        let stem = name.rsplit_once('-').map_or(name, |(stem, _)| stem);
        let sample =
            self.folder.join(if self.name == "m1" { "sample-repository-46a43a6" } else { "sample-repository-d3c81ae" });
        let library = self.sources().join("spring-cloud-skipper/src");
        let core = self.core();
        let places = match set {
            "core-module-sources" => {
                vec![library.join(format!("test/resources/repositories/sources/test/{stem}/{name}"))]
            }
            "experimental-repo" => {
                let repository = sample.join("src/main/resources/static/repository/experimental");
                vec![repository.join(format!("{stem}/{name}.zip"))]
            }
            "generic-template" => {
                let template = library.join("main/resources/org/springframework/cloud/skipper/io/generic-template.yml");
                let text = std::fs::read_to_string(template).expect("the template is there");
                return named("log.yml", &text);
            }
            _ => {
                let zips = [stem, "python", "log"]
                    .map(|folder| core.join(format!("repositories/binaries/test/{folder}/{name}.zip")));
                let sources = [stem, "python", "log"]
                    .map(|folder| core.join(format!("repositories/sources/test/{folder}/{name}")));
                zips.into_iter().chain([self.service().join(format!("{name}.zip"))]).chain(sources).collect()
            }
        };
        let place = places.iter().find(|place| place.exists()).unwrap_or_else(|| panic!("{set}/{name}: {places:?}"));
        let read = if place.is_dir() {
            Package::from_dir(place, Some(self.renderer))
        } else {
            Package::of_zip(&std::fs::read(place).expect("a readable zip"), Some(self.renderer))
        };
        read.unwrap_or_else(|error| panic!("{}: {error}", place.display()))
    }
}

/// A package of one template.
fn named(template: &str, text: &str) -> Package {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("templates")).expect("a folder");
    std::fs::write(folder.path().join("package.yml"), "name: any\nversion: 1.0.0\n").expect("a file");
    std::fs::write(folder.path().join("templates").join(template), text).expect("a file");
    Package::from_dir(folder.path(), Some(Renderer::Classic2)).expect("a package")
}

fn manifest(package: &Package, values: UserValues<'_>, renderer: Renderer) -> Result<String, String> {
    let Package::Classic(package) = package else { panic!("read as one of the field's") };
    classic::manifest(package, values, renderer).map(|manifest| manifest.text).map_err(|faults| faults.to_string())
}

#[test]
fn every_manifest_is_the_same() {
    let Some(both) = Golden::both() else { return };
    for golden in both {
        let folder = golden.path("manifest");
        let mut seen = 0;
        for path in vectors::files(&folder, &|path| is_result(path)) {
            let relative: Vec<String> =
                path.strip_prefix(&folder).unwrap().iter().map(|part| part.to_string_lossy().into_owned()).collect();
            let (set, name) = (&relative[0], if relative.len() > 2 { &relative[1] } else { "any" });
            let (case, kind) = relative.last().and_then(|file| file.split_once('.')).unwrap();
            let values = std::fs::read_to_string(path.with_file_name(format!("{case}.values.yml"))).ok();
            let user = UserValues { raw: values.as_deref(), ..NONE };
            let made = manifest(&golden.package(set, name), user, golden.renderer);
            let what = path.display();
            match (kind, made) {
                ("error.txt", Err(_)) => {}
                ("error.txt", Ok(text)) => panic!("{what}: must fail and gave\n{text}"),
                (_, made) => {
                    let text = made.unwrap_or_else(|faults| panic!("{what}: {faults}"));
                    assert_eq!(text, std::fs::read_to_string(&path).unwrap(), "{what}");
                }
            }
            seen += 1;
        }
        assert!(seen > 10, "{}: {seen}", golden.name);
    }
}

fn is_result(path: &Path) -> bool {
    let name = path.to_string_lossy();
    name.ends_with(".manifest.yml") || name.ends_with(".error.txt")
}

#[test]
fn every_merge_is_the_same() {
    let Some(both) = Golden::both() else { return };
    for golden in both {
        let package = Package::from_dir(&golden.service().join("ticktock-1.0.0"), Some(golden.renderer)).unwrap();
        let over = std::fs::read_to_string(golden.path("merge/ticktock.values.yml")).unwrap();
        for (case, raw) in [("defaults", None), ("override", Some(over.as_str()))] {
            let Package::Classic(package) = &package else { panic!() };
            let values = classic::manifest(package, UserValues { raw, ..NONE }, golden.renderer).unwrap().values;
            let merged = yaml::dump(&values, Layout::Block, golden.generation);
            let expected = std::fs::read_to_string(golden.path(&format!("merge/ticktock.{case}.merged.yml"))).unwrap();
            assert_eq!(merged, expected, "{} {case}", golden.name);
        }
    }
}

#[test]
fn every_properties_option_is_the_same() {
    let Some(both) = Golden::both() else { return };
    for golden in both {
        let cases = std::fs::read_to_string(golden.path("properties-option.jsonl")).unwrap();
        let mut seen = 0;
        for case in cases.lines().filter(|line| !line.trim().is_empty()) {
            let case: Json = serde_json::from_str(case).unwrap();
            let text = case["properties"].as_str().unwrap();
            let made = classic::properties_values(text, golden.generation);
            match case["yaml"].as_str() {
                Some(expected) => assert_eq!(made.unwrap(), expected, "{}: {text}", golden.name),
                None => assert!(made.is_err(), "{}: {text} gave {made:?}", golden.name),
            }
            seen += 1;
        }
        assert!(seen > 10, "{seen}");
    }
}

#[test]
fn every_template_is_the_same() {
    let Some(folder) = vectors::folder() else { return };
    let cases = std::fs::read_to_string(folder.join("derived-golden/jmustache.jsonl")).unwrap();
    for case in cases.lines().filter(|line| !line.trim().is_empty()) {
        let case: Json = serde_json::from_str(case).unwrap();
        for (generation, key) in [(Generation::One, "output_1.13"), (Generation::Two, "output_1.15")] {
            let data = case["data_yaml"].as_str().unwrap();
            let model = yaml::load("data", data, Typing::Typed(generation)).unwrap();
            let template = case["template"].as_str().unwrap();
            let made = mustache::parse(template).and_then(|tree| mustache::render(&tree, &model, None, generation));
            let expected = case.get(key).or_else(|| case.get("output")).unwrap();
            match (expected.as_str(), made) {
                (Some(text), made) => assert_eq!(made.as_deref(), Ok(text), "{template} with {data}"),
                (None, Err(message)) => {
                    let error = expected["error"].as_str().unwrap();
                    assert!(error.ends_with(&format!(": {message}")), "{template} with {data}: {message} for {error}");
                }
                (None, Ok(text)) => panic!("{template} with {data}: must fail and gave {text}"),
            }
        }
    }
}

#[test]
fn a_manifest_of_the_guide_has_its_length() {
    let Some([golden, _]) = Golden::both() else { return };
    let text = manifest(&golden.package("test-repo", "log-1.0.0"), NONE, golden.renderer).unwrap();
    assert_eq!(text.len(), 343);
}
