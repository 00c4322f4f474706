//! Mustache templates over JSON values.
//!
//! [`parse`] turns a text into a tree and knows the language; [`render`] walks the tree and knows what becomes of a value.
//! Other renderers can share the parser.
//!
//! The language: `{{name}}`, `{{a.b.0.c}}`, `{{.}}`, sections `{{#x}}…{{/x}}`, inverted sections `{{^x}}…{{/x}}`,
//! comments `{{! … }}`, other delimiters `{{=<% %>=}}`, raw text `{{{x}}}` and `{{&x}}`; in a list `{{-index}}` (from 1) and
//! the sections `{{#-first}}` and `{{#-last}}`; `{{#map.entrySet}}{{key}}: {{value}}{{/map.entrySet}}`. A line that holds
//! nothing but section tags, comments or changes of delimiters disappears. Partials are refused.
//!
//! **Strict.** A name that nobody gave a value is an error with the nearest known name, in variables and sections alike.
//! A section may ask for a name without a value where the name is declared (the package's values hold it, be it as
//! `null`) and inside another section, where items of a list may well differ.
//!
//! **What counts as false**: `false`, null and the empty list. An empty text, 0 and an empty map are true.
//!
//! **Values never change the document.** `{{x}}` does not paste text into YAML: see [`crate::yaml::Slots`]. Alone and
//! unquoted it is the value itself, with its type, also a list or a map; beside other text, in quotes, in a block scalar
//! or in a key it is text. Colons, quotes, `#`, line breaks or `true` in a value mean nothing to YAML. `{{{x}}}` pastes
//! raw text, for whole blocks of YAML that somebody wrote as a value; lists and maps are pasted as JSON.

mod ast;
mod parse;
mod render;
mod scope;
mod source_map;

pub use ast::{Name, Node, Template};
pub use parse::parse;
pub use render::{Output, render};
pub use scope::Scope;
pub use source_map::SourceMap;
