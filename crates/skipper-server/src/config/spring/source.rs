//! Gathers what was said: arguments, JSON, environment, and the files of every location, in Spring's order.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    super::{Sources, fault::Fault, merge::Origin},
    document::{self, Document},
    environment::{Environment, Layer, Property, Strength},
    location::{self, ENDINGS, Location, Place},
    name::Name,
    profile::{self, Conditions},
    rule,
};

/// Most files of one configuration.
const MAX_FILES: usize = 64;
/// How far files may import one another.
const MAX_IMPORTS: usize = 8;

/// Reads everything. `None` where nobody said anything in Spring's way.
pub(super) fn read(sources: &Sources, faults: &mut Vec<Fault>, warnings: &mut Vec<Fault>) -> Option<Environment> {
    let mut environment = Environment::new(&sources.env, sources.working_dir.clone());
    environment.layers = spoken(sources, faults, warnings);
    let mut reader = Reader {
        sources,
        conditions: Conditions::of(&sources.env),
        names: vec!["application".to_owned()],
        read: BTreeMap::new(),
        environment,
        faults,
        warnings,
    };
    reader.files();
    let environment = reader.environment;
    environment.layers.iter().any(|layer| !layer.properties.is_empty()).then_some(environment)
}

/// Arguments, JSON, `-D`, environment: the strongest first.
fn spoken(sources: &Sources, faults: &mut Vec<Fault>, warnings: &mut Vec<Fault>) -> Vec<Layer> {
    let arguments = given(&sources.arguments, "--");
    let system = given(&sources.arguments, "-D");
    let variables = variables(sources, warnings);
    let find = |properties: &[Property]| {
        let found = properties.iter().rev().find(|property| property.name.uniform() == "spring.application.json");
        found.map(|property| (property.text.clone(), property.origin.clone()))
    };
    let json = find(&arguments).or_else(|| find(&system)).or_else(|| find(&variables));
    let json = json.map_or_else(Vec::new, |(text, origin)| match document::json(&text) {
        Ok(said) => {
            said.into_iter().map(|said| Property { name: said.name, text: said.text, origin: origin.clone() }).collect()
        }
        Err(message) => {
            faults.push(Fault { place: origin.to_string(), message: format!("`spring.application.json` {message}") });
            Vec::new()
        }
    });
    let mut last = Layer::new(Strength::Variable, variables);
    last.variables = true;
    vec![
        Layer::new(Strength::Argument, arguments),
        Layer::new(Strength::Variable, json),
        Layer::new(Strength::Variable, system),
        last,
    ]
}

/// `--key=value` or `-Dkey=value`; values of a repeated argument are joined by commas, as Spring does.
fn given(arguments: &[String], dashes: &str) -> Vec<Property> {
    let mut all: Vec<Property> = Vec::new();
    for argument in arguments.iter().filter_map(|argument| argument.strip_prefix(dashes)) {
        let (key, value) = argument.split_once('=').unwrap_or((argument, ""));
        let name = Name::parse(key);
        match all.iter_mut().find(|property| property.name.uniform() == name.uniform()) {
            Some(before) => {
                before.text.push(',');
                before.text.push_str(value);
            }
            None => all.push(Property { name, text: value.to_owned(), origin: Origin::Flag(format!("{dashes}{key}")) }),
        }
    }
    all
}

/// Variables that stand for known keys. Others may be anybody's, unless their name says that Skipper is meant.
fn variables(sources: &Sources, warnings: &mut Vec<Fault>) -> Vec<Property> {
    let mut all = Vec::new();
    for (variable, text) in &sources.env {
        let lower = variable.to_lowercase();
        let parts: Vec<&str> = lower.split('_').filter(|part| !part.is_empty()).collect();
        let origin = Origin::Env(variable.clone());
        if let Some(name) = rule::of_variable(&parts) {
            all.push(Property { name, text: text.clone(), origin });
        } else if parts.starts_with(&["spring", "cloud", "skipper", "server"]) {
            let name = Name::of(parts.into_iter().map(str::to_owned));
            warnings.push(Fault { place: origin.to_string(), message: rule::unknown(&name) });
        }
    }
    all
}

struct Reader<'a> {
    sources: &'a Sources,
    conditions: Conditions,
    /// Names of files in folders, without their ending.
    names: Vec<String>,
    /// Files that were read, so that each is told once.
    read: BTreeMap<PathBuf, Vec<Document>>,
    environment: Environment,
    faults: &'a mut Vec<Fault>,
    warnings: &'a mut Vec<Fault>,
}

impl Reader<'_> {
    fn files(&mut self) {
        let here = self.sources.working_dir.clone();
        if let Some((names, origin)) = self.setting("spring.config.name") {
            match names.iter().find(|name| name.contains('/')) {
                Some(wrong) => self.fault(&origin, format!("`spring.config.name` = `{wrong}` is a path, not a name")),
                None => self.names = names,
            }
        }
        let given = self.setting("spring.config.location");
        let more = self.setting("spring.config.additionallocation");
        let mut places = match &given {
            Some((texts, origin)) => self.locations(texts, origin),
            None => self.usual(more.is_some(), &here),
        };
        if let Some((texts, origin)) = &more {
            places.extend(self.locations(texts, origin));
        }
        self.profiles(&places);
        let mut layers = Vec::new();
        for bases in places {
            self.place(&bases, 0, &mut layers);
        }
        layers.reverse();
        self.environment.layers.extend(layers);
    }

    /// The files of one location, then those of each profile beside them.
    fn place(&mut self, bases: &[PathBuf], depth: usize, layers: &mut Vec<Layer>) {
        for base in bases {
            self.file(base, depth, layers);
        }
        for profile in self.conditions.profiles.clone() {
            for base in bases {
                self.file(&variant(base, &profile), depth, layers);
            }
        }
    }

    fn fault(&mut self, origin: &Origin, message: String) {
        self.faults.push(Fault { place: origin.to_string(), message });
    }

    fn setting(&mut self, uniform: &str) -> Option<(Vec<String>, Origin)> {
        self.environment.list(uniform).unwrap_or_else(|(property, cause)| {
            self.fault(&property.origin, format!("`{}`: {cause}", property.name));
            None
        })
    }

    /// The files of each named location, whether they are there or not; what must be there and is not is told.
    fn locations(&mut self, texts: &[String], origin: &Origin) -> Vec<Vec<PathBuf>> {
        let here = self.sources.working_dir.clone();
        let all: Vec<Location> = texts.iter().flat_map(|text| location::parse(text, &here)).collect();
        all.iter().map(|location| self.bases(location, origin)).collect()
    }

    /// The working folder and `config` in it: read where they speak of Skipper, or where Spring's way of choosing files
    /// was used. Anything else may be the configuration of another program that happens to lie here.
    fn usual(&mut self, chosen: bool, here: &Path) -> Vec<Vec<PathBuf>> {
        let spoken = ["spring.config.name", "spring.profiles.active", "spring.profiles.include"];
        let chosen = chosen || spoken.iter().any(|key| self.environment.property(key).is_some());
        let mut all = Vec::new();
        for folder in [here.to_owned(), here.join("config")] {
            let bases: Vec<PathBuf> = self.in_folder(&folder).collect();
            if chosen || bases.iter().any(|path| is_about_skipper(path)) {
                all.push(bases);
                continue;
            }
            for path in bases.iter().filter(|path| path.is_file()) {
                let message = format!(
                    "it names nothing of spring.cloud.skipper.server and is not read; --spring.config.location={} reads it",
                    path.display()
                );
                self.warnings.push(Fault { place: path.display().to_string(), message });
            }
        }
        all
    }

    fn in_folder(&self, folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
        let (names, folder) = (self.names.clone(), folder.to_owned());
        names.into_iter().flat_map(move |name| ENDINGS.map(|ending| folder.join(format!("{name}.{ending}"))))
    }

    /// Files that a location stands for, whether they are there or not; a later one is stronger.
    fn bases(&mut self, location: &Location, origin: &Origin) -> Vec<PathBuf> {
        let hint = "write `optional:` before it if it need not be there";
        match &location.place {
            Place::Folder(folder) => {
                if !location.optional && !folder.is_dir() {
                    self.fault(origin, format!("the folder {} is not there; {hint}", folder.display()));
                }
                self.in_folder(folder).collect()
            }
            Place::File(file) => {
                if !file.exists() {
                    if !location.optional {
                        self.fault(origin, format!("the file {} is not there; {hint}", file.display()));
                    }
                } else if let Err(message) = location::ending(file) {
                    self.fault(origin, format!("{} {message}", file.display()));
                    return Vec::new();
                }
                vec![file.clone()]
            }
            Place::ClassPath(name) => {
                let message = format!("`{name}` is not there: this program has no class path; name a file or a folder");
                self.warnings.push(Fault { place: origin.to_string(), message });
                Vec::new()
            }
            Place::Foreign(prefix) => {
                let message = format!("`{prefix}` cannot be read here; write what it holds into a file");
                let told = if location.optional { &mut *self.warnings } else { &mut *self.faults };
                told.push(Fault { place: origin.to_string(), message });
                Vec::new()
            }
        }
    }

    /// Which profiles are active: said outside, else in documents that hold without any.
    fn profiles(&mut self, places: &[Vec<PathBuf>]) {
        let mut groups = BTreeMap::new();
        let mut inside = Vec::new();
        for base in places.iter().flatten() {
            for document in self.documents(base) {
                let conditional = document.iter().any(|said| {
                    matches!(profile::key(&said.name).as_str(), "spring.profiles" | "spring.config.activate.onprofile")
                });
                if !conditional {
                    inside.push((base.clone(), document));
                }
            }
        }
        let properties = |(path, document): (PathBuf, Document)| {
            let property = move |said: document::Said| Property {
                name: said.name,
                text: said.text,
                origin: Origin::File(path.clone(), said.line),
            };
            Layer::new(Strength::File, document.into_iter().map(property).collect())
        };
        let layers = inside.into_iter().rev().map(properties).collect::<Vec<_>>();
        // They are known to the environment only while profiles are looked for; conditions may leave some out.
        let spoken = self.environment.layers.len();
        self.environment.layers.extend(layers);
        let mut named = Vec::new();
        for key in ["spring.profiles.include", "spring.profiles.active"] {
            named.extend(self.setting(key).map_or_else(Vec::new, |(names, _)| names));
        }
        if named.is_empty() {
            named.extend(self.setting("spring.profiles.default").map_or_else(Vec::new, |(names, _)| names));
        }
        let group_names: Vec<String> = self
            .environment
            .layers
            .iter()
            .flat_map(|layer| &layer.properties)
            .filter(|property| property.name.uniform().starts_with("spring.profiles.group."))
            .filter_map(|property| Some(property.name.words().get(3)?.text.clone()))
            .collect();
        for group in group_names {
            let key = format!("spring.profiles.group.{}", super::name::uniform(&group));
            let members = self.setting(&key).map_or_else(Vec::new, |(names, _)| names);
            groups.insert(group, members);
        }
        self.environment.layers.truncate(spoken);
        match profile::active(&named, &groups) {
            Ok(profiles) => self.conditions.profiles = profiles,
            Err(message) => {
                self.faults.push(Fault { place: "spring.profiles".to_owned(), message });
            }
        }
    }

    /// The documents of a file that is there, read once.
    fn documents(&mut self, path: &Path) -> Vec<Document> {
        if let Some(documents) = self.read.get(path) {
            return documents.clone();
        }
        if !path.is_file() {
            return Vec::new();
        }
        let wrong = |line: usize, message: String| Fault {
            place: if line == 0 { path.display().to_string() } else { format!("{}:{line}", path.display()) },
            message,
        };
        let result = if self.read.len() == MAX_FILES {
            Err(wrong(0, format!("more than {MAX_FILES} files")))
        } else {
            location::ending(path)
                .and_then(|ending| Ok((ending, location::text(path)?)))
                .map_err(|message| wrong(0, message))
                .and_then(|(ending, text)| document::read(ending, &text).map_err(|(line, text)| wrong(line, text)))
        };
        let documents = result.unwrap_or_else(|fault| {
            self.faults.push(fault);
            Vec::new()
        });
        self.read.insert(path.to_owned(), documents.clone());
        documents
    }

    /// A layer for each document of a file that counts, the weakest first, with what it imports after it.
    fn file(&mut self, path: &Path, depth: usize, layers: &mut Vec<Layer>) {
        for document in self.documents(path) {
            match self.conditions.hold(&document) {
                Ok(true) => {}
                Ok(false) => continue,
                Err((line, message)) => {
                    self.fault(&Origin::File(path.to_owned(), line), message);
                    continue;
                }
            }
            let property = |said: document::Said| Property {
                name: said.name,
                text: said.text,
                origin: Origin::File(path.to_owned(), said.line),
            };
            let layer = Layer::new(Strength::File, document.into_iter().map(property).collect());
            let imports: Vec<Property> =
                layer.effective().filter(|p| profile::key(&p.name) == "spring.config.import").cloned().collect();
            layers.push(layer);
            for import in imports {
                self.import(path, &import, depth + 1, layers);
            }
        }
    }

    fn import(&mut self, from: &Path, import: &Property, depth: usize, layers: &mut Vec<Layer>) {
        if depth > MAX_IMPORTS {
            return self.fault(&import.origin, format!("files import one another more than {MAX_IMPORTS} deep"));
        }
        let text = match self.environment.resolve(&import.text) {
            Ok(text) => text,
            Err(cause) => return self.fault(&import.origin, format!("`{}`: {cause}", import.name)),
        };
        for location in location::parse(&text, from.parent().unwrap_or(Path::new("/"))) {
            let bases = self.bases(&location, &import.origin);
            self.place(&bases, depth, layers);
        }
    }
}

/// `application-dev.yml` beside `application.yml`.
fn variant(base: &Path, profile: &str) -> PathBuf {
    let stem = base.file_stem().unwrap_or_default().to_string_lossy();
    let ending = base.extension().unwrap_or_default().to_string_lossy();
    base.with_file_name(format!("{stem}-{profile}.{ending}"))
}

/// Whether a file speaks of this server. One that cannot be read does not.
fn is_about_skipper(path: &Path) -> bool {
    let read = || {
        let text = location::text(path).ok()?;
        document::read(location::ending(path).ok()?, &text).ok()
    };
    let about = |document: &Document| {
        document.iter().any(|said| said.name.uniform().starts_with("spring.cloud.skipper.server."))
    };
    read().is_some_and(|documents| documents.iter().any(about))
}
