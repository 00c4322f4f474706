//! Everything that was said in Spring's way, by strength, and what a key resolves to.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
};

use super::{
    super::merge::Origin,
    name::{Name, uniform},
    placeholder::{self, Unresolved},
};

/// How strong a value is among those that were not said in Spring's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Strength {
    /// A file: weaker than `skipper.toml`.
    File,
    /// The environment: weaker than Skipper's own variables.
    Variable,
    /// The command line: weaker than Skipper's own flags.
    Argument,
}

/// A property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Property {
    pub(super) name: Name,
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// Properties of one source.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) strength: Strength,
    /// Whether this is the environment, where anything may be meant for somebody else.
    pub(super) variables: bool,
    pub(super) properties: Vec<Property>,
    /// The last property of each uniform name.
    index: HashMap<String, usize>,
}

impl Layer {
    pub(super) fn new(strength: Strength, properties: Vec<Property>) -> Self {
        let index = properties.iter().enumerate().map(|(at, property)| (property.name.uniform(), at)).collect();
        Self { strength, variables: false, properties, index }
    }

    fn get(&self, uniform: &str) -> Option<&Property> {
        self.index.get(uniform).map(|at| &self.properties[*at])
    }

    /// The properties that count: of those with one name the last.
    pub(super) fn effective(&self) -> impl Iterator<Item = &Property> {
        self.properties
            .iter()
            .enumerate()
            .filter(|(at, p)| self.index.get(&p.name.uniform()) == Some(at))
            .map(|(_, p)| p)
    }
}

/// The values of a list, and where it begins.
pub(super) type Listed = (Vec<String>, Origin);

/// All sources, the strongest first.
#[derive(Debug)]
pub(super) struct Environment {
    pub(super) layers: Vec<Layer>,
    variables: BTreeMap<String, String>,
    /// Variables by their letters and digits alone.
    squashed: HashMap<String, String>,
    working_dir: PathBuf,
    /// Uniform names that placeholders have asked for: they are known, whatever they are.
    asked: RefCell<HashSet<String>>,
}

impl Environment {
    pub(super) fn new(variables: &BTreeMap<String, String>, working_dir: PathBuf) -> Self {
        let squashed = variables.keys().map(|name| (uniform(name), name.clone())).collect();
        Self { layers: Vec::new(), variables: variables.clone(), squashed, working_dir, asked: RefCell::default() }
    }

    /// The strongest property of that uniform name.
    pub(super) fn property(&self, uniform: &str) -> Option<&Property> {
        self.layers.iter().find_map(|layer| layer.get(uniform))
    }

    /// The value of a key of the property source itself, with its items where it is a list, and where it was said.
    ///
    /// # Errors
    ///
    /// The property and what its placeholders lack.
    pub(super) fn list(&self, uniform: &str) -> Result<Option<Listed>, (Property, Unresolved)> {
        for layer in &self.layers {
            let items = (0..).map_while(|item| layer.get(&format!("{uniform}.{item}")));
            let found: Vec<&Property> = layer.get(uniform).into_iter().chain(items).collect();
            let Some(first) = found.first() else { continue };
            let mut all = Vec::new();
            for property in &found {
                let text = self.resolve(&property.text).map_err(|cause| ((*property).clone(), cause))?;
                all.extend(text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()));
            }
            return Ok(Some((all, first.origin.clone())));
        }
        Ok(None)
    }

    /// Replaces the placeholders of a text.
    ///
    /// # Errors
    ///
    /// What has no value.
    pub(super) fn resolve(&self, text: &str) -> Result<String, Unresolved> {
        if !text.contains("${") {
            return Ok(text.to_owned());
        }
        placeholder::resolve(text, &mut |key| self.find(key))
    }

    /// Whether a placeholder has asked for this name.
    pub(super) fn was_asked(&self, uniform: &str) -> bool {
        self.asked.borrow().contains(uniform)
    }

    fn find(&self, key: &str) -> Option<String> {
        let name = Name::parse(key).uniform();
        self.asked.borrow_mut().insert(name.clone());
        let among = |strong: bool| {
            let mut layers =
                self.layers.iter().filter(|layer| !layer.variables && strong == (layer.strength > Strength::File));
            layers.find_map(|layer| layer.get(&name)).map(|property| property.text.clone())
        };
        among(true).or_else(|| self.variable(key)).or_else(|| self.built_in(key)).or_else(|| among(false))
    }

    /// An environment variable by its own name, or by that of a property.
    fn variable(&self, key: &str) -> Option<String> {
        let own = self.variables.get(key);
        own.or_else(|| self.variables.get(self.squashed.get(&uniform(key))?)).cloned()
    }

    /// Properties of Java's own that configurations use, and the one that Spring Cloud adds and the guide uses.
    fn built_in(&self, key: &str) -> Option<String> {
        let variable = |name: &str| self.variables.get(name).cloned();
        match key {
            "user.home" => variable("HOME"),
            "user.name" => variable("USER"),
            "user.dir" => Some(self.working_dir.display().to_string()),
            "java.io.tmpdir" => Some(variable("TMPDIR").unwrap_or_else(|| "/tmp".to_owned())),
            "java.home" => variable("JAVA_HOME"),
            "spring.cloud.client.hostname" => Some(rustix::system::uname().nodename().to_string_lossy().into_owned()),
            "file.separator" => Some("/".to_owned()),
            _ => None,
        }
    }
}
