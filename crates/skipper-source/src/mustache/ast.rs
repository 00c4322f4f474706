//! A parsed template.

use crate::finding::Position;

/// A template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its file, for messages.
    pub file: String,
    /// Its parts in order.
    pub nodes: Vec<Node>,
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// Text as it is.
    Text {
        /// Where it starts.
        at: Position,
        /// The text; at most one line with its line break.
        text: String,
    },
    /// A value.
    Variable {
        /// Where the tag starts.
        at: Position,
        /// Of which name.
        name: Name,
        /// `{{{x}}}` or `{{&x}}`.
        raw: bool,
    },
    /// A part that appears once, several times, or not.
    Section {
        /// Where the opening tag starts.
        at: Position,
        /// Depending on which name.
        name: Name,
        /// `{{^x}}`: appears if the value counts as false.
        inverted: bool,
        /// What appears.
        nodes: Vec<Node>,
    },
}

/// A name in a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Checks a name: no white space, no empty part.
    pub(super) fn new(text: &str) -> Option<Self> {
        let parts_are_there = text == "." || text.split('.').all(|part| !part.is_empty());
        (parts_are_there && !text.contains(char::is_whitespace)).then(|| Self(text.to_owned()))
    }

    /// As it is written, without the space around it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `{{.}}`.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.0 == "."
    }

    /// The parts between the dots.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }
}

impl Template {
    /// Every name that occurs, in order, with duplicates.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        fn walk<'a>(nodes: &'a [Node], names: &mut Vec<&'a str>) {
            for node in nodes {
                match node {
                    Node::Text { .. } => {}
                    Node::Variable { name, .. } => names.push(name.as_str()),
                    Node::Section { name, nodes, .. } => {
                        names.push(name.as_str());
                        walk(nodes, names);
                    }
                }
            }
        }
        let mut names = Vec::new();
        walk(&self.nodes, &mut names);
        names
    }
}
