//! From a tree and values to text.

use serde_json::Value;

use super::{
    ast::{Name, Node, Template},
    scope::{Found, Scope},
    source_map::SourceMap,
};
use crate::{
    finding::{Faults, Finding, Findings, Position},
    yaml::{SlotError, Slots, display},
};

/// Longest rendered text.
const MAX_OUTPUT: usize = 4 << 20;
/// Most faults of one template that are named; looking for the nearest name takes time.
const MAX_FAULTS: usize = 30;
/// Most turns of all sections together.
const MAX_TURNS: usize = 100_000;

/// What comes of a template.
#[derive(Debug)]
pub struct Output {
    /// YAML with tokens in the place of values.
    pub text: String,
    /// Where each part of it was written.
    pub map: SourceMap,
}

/// Renders a template to YAML. Values go to `slots`; the text holds their tokens.
///
/// # Errors
///
/// Every name without a value that was met; or the one bound that was broken.
pub fn render(template: &Template, scope: &Scope<'_>, slots: &mut Slots) -> Result<Output, Faults> {
    let mut renderer = Renderer {
        file: &template.file,
        text: String::new(),
        at: Position { line: 1, column: 1 },
        map: SourceMap::default(),
        findings: Findings::new(),
        turns: 0,
        slots,
    };
    if let Err(Stop(finding)) = renderer.nodes(&template.nodes, scope) {
        renderer.findings.push(*finding);
    }
    let Renderer { text, map, findings, .. } = renderer;
    findings.into_result().map(|_| Output { text, map })
}

/// Rendering cannot go on.
struct Stop(Box<Finding>);

struct Renderer<'a> {
    file: &'a str,
    text: String,
    at: Position,
    map: SourceMap,
    findings: Findings,
    turns: usize,
    slots: &'a mut Slots,
}

impl Renderer<'_> {
    fn nodes(&mut self, nodes: &[Node], scope: &Scope<'_>) -> Result<(), Stop> {
        for node in nodes {
            if self.findings.len() > MAX_FAULTS {
                return Ok(());
            }
            match node {
                Node::Text { at, text } if Slots::is_reserved(text) => {
                    self.findings.push(self.error(*at, "template-text", SlotError::Reserved.to_string()));
                }
                Node::Text { at, text } => self.push(text, *at, true)?,
                Node::Variable { at, name, raw } => self.variable(*at, name, *raw, scope)?,
                Node::Section { at, name, inverted, nodes } => self.section(*at, name, *inverted, nodes, scope)?,
            }
        }
        Ok(())
    }

    fn variable(&mut self, at: Position, name: &Name, raw: bool, scope: &Scope<'_>) -> Result<(), Stop> {
        let found = match scope.find(name) {
            Found::Value(value) => value.clone(),
            Found::Made(value) => value,
            Found::Unknown(hint) => {
                self.unknown(at, name, hint);
                return Ok(());
            }
            Found::Nothing => Value::Null,
        };
        if found.is_null() {
            let name = name.as_str();
            let finding = self.error(at, "value-missing", format!("`{name}` has no value"));
            self.findings.push(finding.path(name).hint(format!("set it with --set {}{name}=…", scope.prefix())));
            return Ok(());
        }
        if raw {
            let text = display(&found).unwrap_or_else(|| found.to_string());
            if Slots::is_reserved(&text) {
                self.findings.push(self.error(at, "template-value", SlotError::Reserved.to_string()));
                return Ok(());
            }
            return self.push(&text, at, false);
        }
        match self.slots.add(found) {
            Ok(token) => self.push(&token, at, false),
            Err(error) => Err(Stop(Box::new(self.error(at, "template-size", error.to_string())))),
        }
    }

    fn section(
        &mut self,
        at: Position,
        name: &Name,
        inverted: bool,
        nodes: &[Node],
        scope: &Scope<'_>,
    ) -> Result<(), Stop> {
        let made;
        let value = match scope.find(name) {
            Found::Value(value) => value,
            Found::Made(value) => {
                made = value;
                &made
            }
            Found::Unknown(hint) if scope.is_outermost() => {
                self.unknown(at, name, hint);
                return Ok(());
            }
            Found::Unknown(_) | Found::Nothing => &Value::Null,
        };
        let truth = match value {
            Value::Null | Value::Bool(false) => false,
            Value::Array(items) => !items.is_empty(),
            _ => true,
        };
        match value {
            _ if truth == inverted => Ok(()),
            _ if inverted => self.nodes(nodes, scope),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.turn(at)?;
                    self.nodes(nodes, &scope.inner(item, Some((index, items.len()))))?;
                }
                Ok(())
            }
            // A truth value only decides; it is nothing to go into, so that names mean the same inside as outside.
            Value::Bool(_) => self.nodes(nodes, scope),
            value => {
                self.turn(at)?;
                self.nodes(nodes, &scope.inner(value, None))
            }
        }
    }

    fn turn(&mut self, at: Position) -> Result<(), Stop> {
        self.turns += 1;
        if self.turns > MAX_TURNS {
            let message = format!("the sections of this template turn more than {MAX_TURNS} times");
            return Err(Stop(Box::new(self.error(at, "template-size", message))));
        }
        Ok(())
    }

    fn push(&mut self, text: &str, written: Position, copied: bool) -> Result<(), Stop> {
        if self.text.len() + text.len() > MAX_OUTPUT {
            let message = format!("the rendered text is longer than {} MiB", MAX_OUTPUT >> 20);
            return Err(Stop(Box::new(self.error(written, "template-size", message))));
        }
        self.map.push(self.at, written, copied);
        self.text.push_str(text);
        for c in text.chars() {
            if c == '\n' {
                self.at = Position { line: self.at.line + 1, column: 1 };
            } else {
                self.at.column += 1;
            }
        }
        Ok(())
    }

    fn unknown(&mut self, at: Position, name: &Name, hint: Option<String>) {
        let message = format!("`{}` is not known", name.as_str());
        self.findings.push(self.error(at, "name-unknown", message).path(name.as_str()).hint(hint));
    }

    fn error(&self, at: Position, code: &'static str, message: String) -> Finding {
        Finding::error(code, message).in_file(self.file).at(at)
    }
}
