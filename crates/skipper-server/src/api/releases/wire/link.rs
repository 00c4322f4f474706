use serde::{Serialize, Serializer, ser::SerializeMap as _};

/// One link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::api::releases) struct Link {
    href: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    templated: bool,
}

impl Link {
    /// A link to that address; one with braces says that it is a template.
    pub(in crate::api::releases) fn to(href: impl Into<String>) -> Self {
        let href = href.into();
        Self { templated: href.contains('{'), href }
    }
}

/// `_links`: relations in their order, each with one link or several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::api::releases) struct Links(Vec<(&'static str, Vec<Link>)>);

impl Links {
    /// Without any.
    pub(in crate::api::releases) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a link. A second one of a relation makes a list of both.
    #[must_use]
    pub(in crate::api::releases) fn with(mut self, relation: &'static str, href: impl Into<String>) -> Self {
        let link = Link::to(href);
        match self.0.iter_mut().find(|(known, _)| *known == relation) {
            Some((_, links)) => links.push(link),
            None => self.0.push((relation, vec![link])),
        }
        self
    }
}

impl Serialize for Links {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (relation, links) in &self.0 {
            match links.as_slice() {
                [one] => map.serialize_entry(relation, one)?,
                several => map.serialize_entry(relation, several)?,
            }
        }
        map.end()
    }
}
