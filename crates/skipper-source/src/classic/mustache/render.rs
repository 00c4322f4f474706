//! From a tree and values to text.

use super::{
    fetch::Item,
    tree::{Segment, Template},
};
use crate::classic::{value::Value, yaml::Generation};

/// Longest rendered text.
const MAX_OUTPUT: usize = 4 << 20;
/// Most segments that are gone through, those of a section once for each turn, and the turns themselves.
const MAX_STEPS: usize = 500_000;

/// Renders a template with a model. `around` is what is known outside of the model, and is asked last.
///
/// # Errors
///
/// What is wrong, as the original says it: a name that means nothing or has no value, or a bound that is broken.
pub fn render(
    template: &Template,
    model: &Value,
    around: Option<&Value>,
    generation: Generation,
) -> Result<String, String> {
    let outermost = around.map(|around| Context { item: Item::of(around), place: Place::default(), outer: None });
    let context = Context { item: Item::of(model), place: Place::default(), outer: outermost.as_ref() };
    let mut renderer = Renderer { out: String::new(), steps: 0, generation };
    renderer.segments(&template.segments, &context)?;
    Ok(renderer.out)
}

/// Where in a list a context is.
#[derive(Clone, Copy, Default)]
struct Place {
    index: usize,
    first: bool,
    last: bool,
}

struct Context<'a> {
    item: Item<'a>,
    place: Place,
    outer: Option<&'a Context<'a>>,
}

struct Renderer {
    out: String,
    steps: usize,
    generation: Generation,
}

impl Renderer {
    fn segments(&mut self, segments: &[Segment], context: &Context<'_>) -> Result<(), String> {
        for segment in segments {
            self.step(1)?;
            match segment {
                Segment::Text(text) => self.push(&text.text)?,
                Segment::Silent => {}
                Segment::Partial => return Err("Template loading not configured".to_owned()),
                Segment::Variable { name, line, raw } => self.variable(name, *line, *raw, context)?,
                Segment::Section { name, line, inverted, segments } => {
                    self.section(name, *line, *inverted, segments, context)?;
                }
            }
        }
        Ok(())
    }

    fn step(&mut self, count: usize) -> Result<(), String> {
        self.steps += count;
        if self.steps > MAX_STEPS {
            return Err(format!("the sections of this template repeat more than {MAX_STEPS} parts"));
        }
        Ok(())
    }

    fn variable(&mut self, name: &str, line: usize, raw: bool, context: &Context<'_>) -> Result<(), String> {
        let item = find(context, name, line)?.ok_or_else(|| unknown(name, line))?;
        if item.is_null() {
            let message = if is_this(name) && self.generation == Generation::Two {
                format!("Resolved '.' to null (which is disallowed), on line {line}")
            } else {
                format!("No key, method or field with name '{name}' on line {line}")
            };
            return Err(message);
        }
        let text = item.to_string();
        if raw { self.push(&text) } else { self.push(&escaped(&text)) }
    }

    fn section(
        &mut self,
        name: &str,
        line: usize,
        inverted: bool,
        segments: &[Segment],
        context: &Context<'_>,
    ) -> Result<(), String> {
        let item = match found_in_section(context, name, line)? {
            Some(item) if !item.is_null() => item,
            _ if inverted => return self.segments(segments, context),
            _ => return Ok(()),
        };
        if let Some(items) = turns(&item) {
            self.step(items.len())?;
            if inverted {
                return if items.is_empty() { self.segments(segments, context) } else { Ok(()) };
            }
            for (index, item) in items.iter().enumerate() {
                let place = Place { index: index + 1, first: index == 0, last: index + 1 == items.len() };
                self.segments(segments, &Context { item: item.clone(), place, outer: Some(context) })?;
            }
            return Ok(());
        }
        match &item {
            Item::Value(value) => match **value {
                Value::Bool(truth) if truth != inverted => self.segments(segments, context),
                Value::Bool(_) => Ok(()),
                _ if inverted => Ok(()),
                _ => self.within(item, segments, context),
            },
            _ if inverted => Ok(()),
            _ => self.within(item, segments, context),
        }
    }

    /// Goes into a value that is no list.
    fn within(&mut self, item: Item<'_>, segments: &[Segment], context: &Context<'_>) -> Result<(), String> {
        let place = match self.generation {
            Generation::One => Place::default(),
            Generation::Two => context.place,
        };
        self.segments(segments, &Context { item, place, outer: Some(context) })
    }

    fn push(&mut self, text: &str) -> Result<(), String> {
        if self.out.len() + text.len() > MAX_OUTPUT {
            return Err(format!("the rendered text is longer than {} MiB", MAX_OUTPUT >> 20));
        }
        self.out.push_str(text);
        Ok(())
    }
}

/// What a section goes through, where it is something to go through.
fn turns<'a>(item: &Item<'a>) -> Option<Vec<Item<'a>>> {
    match item {
        Item::Entries(map) => Some(map.iter().map(|(key, value)| Item::Entry(key, value)).collect()),
        Item::Value(std::borrow::Cow::Borrowed(Value::List(items))) => Some(items.iter().map(Item::of).collect()),
        _ => None,
    }
}

/// The value of a section's name: what is missing is nothing.
fn found_in_section<'a>(context: &Context<'a>, name: &str, line: usize) -> Result<Option<Item<'a>>, String> {
    look_up(context, name, line, true)
}

fn find<'a>(context: &Context<'a>, name: &str, line: usize) -> Result<Option<Item<'a>>, String> {
    look_up(context, name, line, false)
}

/// The value of a name: as a whole up the contexts, then part by part. `None` where nobody knows it.
fn look_up<'a>(context: &Context<'a>, name: &str, line: usize, lenient: bool) -> Result<Option<Item<'a>>, String> {
    if let Some(found) = up_the_contexts(context, name, line)? {
        return Ok(Some(found));
    }
    if is_this(name) || !name.contains('.') {
        return Ok(None);
    }
    let mut parts: Vec<&str> = name.split('.').collect();
    while parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    let Some((first, rest)) = parts.split_first() else {
        return Err(format!("the name `{name}` on line {line} has no parts"));
    };
    let mut item = match up_the_contexts(context, first, line)? {
        Some(item) => item,
        None if lenient => return Ok(None),
        None => return Err(unknown(first, line)),
    };
    for (index, part) in rest.iter().enumerate() {
        if item.is_null() {
            return Ok(Some(item));
        }
        item = match if is_this(part) { Some(item) } else { item.get(part) } {
            Some(next) => next,
            None if lenient || index + 1 == rest.len() => return Ok(None),
            None => {
                return Err(format!(
                    "Missing context for compound variable '{name}' on line {line}. '{part}' was not found."
                ));
            }
        };
    }
    Ok(Some(item))
}

fn up_the_contexts<'a>(context: &Context<'a>, name: &str, line: usize) -> Result<Option<Item<'a>>, String> {
    match name {
        "-first" => return Ok(Some(Item::made(context.place.first))),
        "-last" => return Ok(Some(Item::made(context.place.last))),
        "-index" => return Ok(Some(Item::made(context.place.index))),
        _ if is_this(name) => return Ok(Some(context.item.clone())),
        _ => {}
    }
    let mut here = Some(context);
    while let Some(context) = here {
        if context.item.is_null() {
            return Err(format!("Null context for variable '{name}' on line {line}"));
        }
        if let Some(found) = context.item.get(name) {
            return Ok(Some(found));
        }
        here = context.outer;
    }
    Ok(None)
}

fn is_this(name: &str) -> bool {
    matches!(name, "." | "this")
}

fn unknown(name: &str, line: usize) -> String {
    format!("No method or field with name '{name}' on line {line}")
}

/// For HTML, which manifests are not; but so it has always been, and what was installed is compared with it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&quot;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '`' => out.push_str("&#x60;"),
            '=' => out.push_str("&#x3D;"),
            c => out.push(c),
        }
    }
    out
}
