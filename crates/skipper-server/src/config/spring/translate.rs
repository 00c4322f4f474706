//! From Spring's keys to native ones.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fmt,
};

use super::{
    super::{Sources, fault::Fault, merge::Origin},
    environment::{Environment, Property, Strength},
    name::uniform,
    rule::{self, Effect, Form},
};

/// A native key: a setting, or an option of a named entry of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Native {
    /// `database.url`.
    Setting(String),
    /// `platforms.NAME.java_cmd`; the name may hold anything.
    Entry {
        /// `platforms`, `repositories`, `maven.repositories`.
        table: &'static str,
        /// The entry.
        name: String,
        /// The option.
        option: String,
    },
}

impl fmt::Display for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting(key) => f.write_str(key),
            Self::Entry { table, name, option } => write!(f, "{table}.{name}.{option}"),
        }
    }
}

/// A value in Skipper's own form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Said {
    /// As it would stand in `skipper.toml`.
    pub(in super::super) text: String,
    /// Where it was said in Spring's way.
    pub(in super::super) origin: Origin,
    /// How strong it is among native values.
    pub(in super::super) strength: Strength,
}

/// Everything that was said in Spring's way, in Skipper's own form.
#[derive(Debug, Default)]
pub(in super::super) struct Translated {
    /// Native values.
    pub(in super::super) values: BTreeMap<Native, Said>,
    /// Replaces the port of `listen`.
    pub(in super::super) port: Option<Said>,
    /// Replaces the address of `listen`.
    pub(in super::super) address: Option<Said>,
    /// Said when no process may be started here.
    pub(in super::super) no_local: Option<Origin>,
}

/// Tables with named entries, and their prefix in rules.
const TABLES: [&str; 3] = ["platforms", "repositories", "maven.repositories"];

/// What is said of an account of `local`.
const LOCAL_ACCOUNT: &str = "spring.cloud.skipper.server.platform.local.accounts.*.";

/// Begins a value that only a configuration server can read.
const CIPHER: &str = "{cipher}";

/// A property with its rule.
pub(super) struct Hit<'a> {
    /// The place of its source; 0 is the strongest.
    pub(super) layer: usize,
    pub(super) strength: Strength,
    variable: bool,
    pub(super) property: &'a Property,
    pub(super) effect: Effect,
    key: &'static str,
    pub(super) free: Vec<String>,
    /// The number of the list's item that it is.
    item: Option<u32>,
}

impl Hit<'_> {
    /// Whether it makes an account of `local` and says nothing else that has an effect.
    fn only_names_account(&self) -> bool {
        match self.effect {
            Effect::Account => true,
            Effect::Nothing(_) => self.key.starts_with(LOCAL_ACCOUNT),
            _ => false,
        }
    }

    /// A native value that was said here.
    pub(super) fn said(&self, text: String) -> Said {
        Said { text, origin: self.property.origin.clone(), strength: self.strength }
    }
}

/// Translates. What is wrong goes to `faults`, what has no effect to `warnings`; with `strict` unknown keys are faults, and
/// so is an account that has to be left out.
pub(super) fn translate(
    environment: &Environment,
    sources: &Sources,
    faults: &mut Vec<Fault>,
    warnings: &mut Vec<Fault>,
) -> Translated {
    let mut unknown = Vec::new();
    let mut hits = Vec::new();
    for (layer, source) in environment.layers.iter().enumerate() {
        for property in source.effective() {
            if property.text.trim_start().starts_with(CIPHER) {
                let message = format!(
                    "`{}` is encrypted ({{cipher}}), which only a Spring Cloud Config server can read; write \
                     ${{NAME}} and give the value in the environment",
                    property.name
                );
                faults.push(Fault { place: property.origin.to_string(), message });
                continue;
            }
            let Some(found) = rule::of(&property.name) else {
                unknown.push(property);
                continue;
            };
            let mut free = found.free;
            let item =
                if found.rule.key.ends_with("[?]") { free.pop().and_then(|item| item.parse().ok()) } else { None };
            let (effect, key) = (found.rule.effect, found.rule.key);
            let (strength, variable) = (source.strength, source.variables);
            hits.push(Hit { layer, strength, variable, property, effect, key, free, item });
        }
    }
    let mut translator = Translator { environment, sources, faults, warnings, out: Translated::default() };
    translator.natives(&hits);
    translator.repositories(&hits);
    translator.listen(&hits);
    translator.database(&hits);
    translator.user(&hits);
    translator.log(&hits);
    translator.only(&hits);
    translator.local_platform(&hits);
    translator.left_out(&hits);
    translator.without_effect(&hits);
    // By now it is known which keys are there for placeholders of others.
    for property in unknown.into_iter().filter(|property| !environment.was_asked(&property.name.uniform())) {
        let fault = Fault { place: property.origin.to_string(), message: rule::unknown(&property.name) };
        translator.stricter(fault);
    }
    translator.out
}

pub(super) struct Translator<'a> {
    environment: &'a Environment,
    pub(super) sources: &'a Sources,
    faults: &'a mut Vec<Fault>,
    warnings: &'a mut Vec<Fault>,
    pub(super) out: Translated,
}

impl Translator<'_> {
    /// Something is wrong with a property.
    pub(super) fn fault(&mut self, property: &Property, message: &str) {
        let message = format!("`{}`: {message}", property.name);
        self.faults.push(Fault { place: property.origin.to_string(), message });
    }

    /// Something about a property will surprise somebody.
    pub(super) fn warn(&mut self, property: &Property, message: String) {
        self.warnings.push(Fault { place: property.origin.to_string(), message });
    }

    fn stricter(&mut self, fault: Fault) {
        if self.sources.strict { self.faults.push(fault) } else { self.warnings.push(fault) }
    }

    /// The value with its placeholders replaced, in its native form; `None` for a fault and for nothing.
    pub(super) fn text(&mut self, property: &Property, form: Form) -> Option<String> {
        let result = self.environment.resolve(&property.text).map_err(|cause| cause.to_string()).and_then(|text| {
            if text.trim_start().starts_with(CIPHER) {
                return Err("is encrypted ({cipher}), which only a Spring Cloud Config server can read".to_owned());
            }
            written(&text, form)
        });
        match result {
            Ok(text) => Some(text).filter(|text| !text.is_empty()),
            Err(message) => {
                self.fault(property, &message);
                None
            }
        }
    }

    fn put(&mut self, key: Native, said: Said) {
        self.out.values.insert(key, said);
    }

    /// Sets a native setting.
    pub(super) fn set(&mut self, key: &str, said: Said) {
        self.put(Native::Setting(key.to_owned()), said);
    }

    /// Values that are one native value each, items of lists joined.
    fn natives(&mut self, hits: &[Hit<'_>]) {
        let spellings = spellings(hits);
        let mut chosen: BTreeMap<Native, Vec<&Hit<'_>>> = BTreeMap::new();
        for hit in hits {
            let template = match hit.effect {
                Effect::Native(template, _) => template,
                _ if hit.only_names_account() => "platforms.{0}.type",
                _ => continue,
            };
            let key = key_of(template, &hit.free, &spellings);
            if let Native::Entry { table: "platforms", name, .. } = &key {
                // Whatever is said of an account makes it one of `local`.
                let kind = Native::Entry { table: "platforms", name: name.clone(), option: "type".to_owned() };
                self.out.values.entry(kind).or_insert_with(|| hit.said("local".to_owned()));
            }
            match chosen.entry(key) {
                Entry::Vacant(entry) => _ = entry.insert(vec![hit]),
                // Further items of the strongest list; whatever is weaker is hidden.
                Entry::Occupied(mut entry) => {
                    if entry.get()[0].layer == hit.layer && hit.item.is_some() {
                        entry.get_mut().push(hit);
                    }
                }
            }
        }
        for (key, mut hits) in chosen {
            hits.sort_by_key(|hit| hit.item);
            let form = match hits[0].effect {
                Effect::Native(_, form) => form,
                _ => Form::Text,
            };
            let texts: Vec<String> = hits.iter().filter_map(|hit| self.text(hit.property, form)).collect();
            if !texts.is_empty() && !hits[0].only_names_account() {
                self.put(key, hits[0].said(texts.join(",")));
            }
        }
    }

    /// The list of 1.0: entries are merged by their number, as Boot 1.5 did, then go by their name.
    fn repositories(&mut self, hits: &[Hit<'_>]) {
        let mut entries: BTreeMap<u32, BTreeMap<&str, (&Hit<'_>, Form)>> = BTreeMap::new();
        for hit in hits {
            if let (Effect::Repository(field, form), Some(Ok(number))) =
                (hit.effect, hit.free.first().map(|n| n.parse()))
            {
                entries.entry(number).or_default().entry(field).or_insert((hit, form));
            }
        }
        let mut named = BTreeSet::new();
        for fields in entries.into_values() {
            let Some((first, _)) = fields.values().next() else { continue };
            let name = fields.get("name").and_then(|(hit, form)| self.text(hit.property, *form));
            let Some(name) = name else {
                self.fault(first.property, "this entry of the list has no `name`");
                continue;
            };
            if !named.insert(name.clone()) {
                let message = format!("`{name}` is in this list before; what this entry says of it counts");
                self.warn(first.property, message);
            }
            if !fields.contains_key("url") && !fields.contains_key("local") {
                let message = format!("repository `{name}` is left out: it has no `url`, and is not `local: true`");
                self.warn(first.property, message);
                continue;
            }
            for (field, (hit, form)) in fields.into_iter().filter(|(field, _)| *field != "name") {
                if let Some(text) = self.text(hit.property, form) {
                    let key = Native::Entry { table: "repositories", name: name.clone(), option: field.to_owned() };
                    self.put(key, hit.said(text));
                }
            }
        }
        self.class_path();
    }

    /// Repositories inside the Java program are not here.
    fn class_path(&mut self) {
        let inside = |(key, said): (&Native, &Said)| match key {
            Native::Entry { table: "repositories", name, option } if option == "url" => {
                said.text.starts_with("classpath:").then(|| (name.clone(), said.clone()))
            }
            _ => None,
        };
        for (gone, said) in self.out.values.iter().filter_map(inside).collect::<Vec<_>>() {
            self.out
                .values
                .retain(|key, _| !matches!(key, Native::Entry { table: "repositories", name, .. } if *name == gone));
            let message = format!(
                "the repository `{gone}` is left out: `{}` is inside a Java program; name a folder as file:///path or an \
                 address",
                said.text
            );
            self.stricter(Fault { place: said.origin.to_string(), message });
        }
    }

    /// The strongest hit with that effect.
    pub(super) fn strongest<'h>(hits: &'h [Hit<'h>], effect: Effect) -> Option<&'h Hit<'h>> {
        hits.iter().find(|hit| hit.effect == effect)
    }

    fn only(&mut self, hits: &[Hit<'_>]) {
        for hit in hits {
            if let Effect::Only(possible) = hit.effect
                && let Some(text) = self.text(hit.property, Form::Text)
                && text.trim_end_matches('/') != possible.trim_end_matches('/')
            {
                let message = format!("only `{possible}` is possible, not `{text}`; a proxy can serve it elsewhere");
                self.fault(hit.property, &message);
            }
        }
    }

    fn local_platform(&mut self, hits: &[Hit<'_>]) {
        let Some(hit) = Self::strongest(hits, Effect::LocalPlatform) else { return };
        if self.text(hit.property, Form::Bool).as_deref() == Some("false") {
            self.out.no_local = Some(hit.property.origin.clone());
            self.out.values.retain(|key, _| !matches!(key, Native::Entry { table: "platforms", .. }));
        }
    }

    fn left_out(&mut self, hits: &[Hit<'_>]) {
        let mut told: BTreeMap<(&str, String), &Hit<'_>> = BTreeMap::new();
        for hit in hits {
            if let (Effect::LeftOut(kind), Some(name)) = (hit.effect, hit.free.first()) {
                told.entry((kind, uniform(name))).or_insert(hit);
            }
        }
        for ((kind, _), hit) in told {
            let message = format!(
                "the account `{}` of {kind} is left out: this server has no platform of that kind yet; nothing can be \
                 installed there",
                hit.free[0]
            );
            self.stricter(Fault { place: hit.property.origin.to_string(), message });
        }
    }

    /// Keys that are known and do nothing, those of a family together.
    fn without_effect(&mut self, hits: &[Hit<'_>]) {
        let mut families: BTreeMap<&str, (usize, &Hit<'_>)> = BTreeMap::new();
        for hit in hits {
            if let Effect::Nothing(_) = hit.effect {
                families.entry(hit.key).or_insert((0, hit)).0 += 1;
            }
        }
        for (key, (count, hit)) in families {
            let Effect::Nothing(why) = hit.effect else { continue };
            let subject = match count {
                1 => format!("`{}`", hit.property.name),
                count => format!("`{}` ({count} keys)", key.replace("**", "*")),
            };
            self.warn(hit.property, format!("{subject} has no effect: {why}"));
        }
    }
}

/// One spelling for each name of an entry: that of a file or argument, since the environment has only capitals.
fn spellings(hits: &[Hit<'_>]) -> BTreeMap<(&'static str, String), String> {
    let mut all = BTreeMap::new();
    for variable in [false, true] {
        for hit in hits.iter().filter(|hit| hit.variable == variable) {
            let table = match hit.effect {
                Effect::Native(template, _) => table_of(template),
                _ if hit.only_names_account() => Some("platforms"),
                _ => None,
            };
            if let (Some(table), Some(name)) = (table, hit.free.first()) {
                all.entry((table, uniform(name))).or_insert_with(|| name.clone());
            }
        }
    }
    all
}

fn table_of(template: &str) -> Option<&'static str> {
    TABLES.into_iter().find(|table| template.strip_prefix(table).is_some_and(|rest| rest.starts_with(".{0}.")))
}

fn key_of(template: &str, free: &[String], spellings: &BTreeMap<(&'static str, String), String>) -> Native {
    let fill = |text: &str| {
        free.iter().enumerate().fold(text.to_owned(), |text, (at, word)| text.replace(&format!("{{{at}}}"), word))
    };
    match (table_of(template), free.first()) {
        (Some(table), Some(name)) => {
            let option = &template[table.len() + ".{0}.".len()..];
            let name = spellings.get(&(table, uniform(name))).unwrap_or(name).clone();
            Native::Entry { table, name, option: fill(option) }
        }
        _ => Native::Setting(fill(template)),
    }
}

/// A value as it is written natively.
fn written(text: &str, form: Form) -> Result<String, String> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Ok(String::new());
    }
    match form {
        Form::Text => Ok(trimmed.to_owned()),
        Form::Secret => Ok(text.to_owned()),
        Form::Bool => match trimmed.to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Ok("true".to_owned()),
            "false" | "off" | "no" | "0" => Ok("false".to_owned()),
            _ => Err(format!("`{}` is neither true nor false", shorten(trimmed))),
        },
        Form::Seconds => span(trimmed, "s"),
        Form::Millis => span(trimmed, "ms"),
    }
}

/// A number with its unit, unless it has one already.
fn span(text: &str, unit: &str) -> Result<String, String> {
    if text.parse::<u32>().is_ok() {
        return Ok(format!("{text}{unit}"));
    }
    super::super::quantity::parse_span(text).map(|_| text.to_owned())
}

fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}
