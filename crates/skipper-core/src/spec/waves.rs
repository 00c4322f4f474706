use std::{fmt, num::ParseIntError, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Most sizes that are written down; the last one counts for all waves behind it.
const MAX_SIZES: usize = 32;

/// How a rollout goes from place to place: a place is a node, or an account of the server's own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaveTerms {
    /// How many places each wave takes; the last size counts for the waves behind it too. Empty: as many as may be
    /// unavailable, or one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<Portion>,
    /// Most places that may be worked on, away or not healthy at a time, of all that the release has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<Portion>,
    /// What a bad place means to the others.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// What a place that does not get healthy means to the others. It goes back itself in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// No wave begins any more; those that are well stay as they are.
    #[default]
    Stop,
    /// All go back.
    RollBack,
    /// The waves behind it begin all the same.
    Continue,
}

impl OnFailure {
    const ALL: [Self; 3] = [Self::Stop, Self::RollBack, Self::Continue];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::RollBack => "roll-back",
            Self::Continue => "continue",
        }
    }
}

impl FromStr for OnFailure {
    type Err = InvalidTerm;

    fn from_str(text: &str) -> Result<Self, InvalidTerm> {
        Self::ALL.into_iter().find(|word| word.as_str() == text).ok_or(InvalidTerm::OnFailure)
    }
}

/// A number of places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Portion {
    /// So many, at least 1.
    Count(u32),
    /// So many of a hundred, 1 to 100.
    Percent(u8),
    /// All that are left.
    Rest,
}

/// What is no term of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTerm {
    /// No portion.
    #[error("use a number of nodes from 1, a share from 1% to 100%, or `rest`")]
    Portion,
    /// No limit.
    #[error("use a number of nodes from 1, or a share from 1% to 100%")]
    Limit,
    /// No reaction.
    #[error("use `stop`, `roll-back` or `continue`")]
    OnFailure,
    /// Too many sizes.
    #[error("use at most {MAX_SIZES} sizes; the last one counts for all waves behind it")]
    Sizes,
}

impl Portion {
    /// How many of `of` that is: at least 1, shares rounded down.
    #[must_use]
    pub fn count(self, of: usize) -> usize {
        let count = match self {
            Self::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
            Self::Percent(percent) => of.saturating_mul(usize::from(percent)) / 100,
            Self::Rest => of,
        };
        count.max(1)
    }
}

impl FromStr for Portion {
    type Err = InvalidTerm;

    fn from_str(text: &str) -> Result<Self, InvalidTerm> {
        let wrong = |_: ParseIntError| InvalidTerm::Portion;
        let portion = match text.strip_suffix('%') {
            _ if text == "rest" => return Ok(Self::Rest),
            Some(percent) => Self::Percent(percent.parse().map_err(wrong)?),
            None => Self::Count(text.parse().map_err(wrong)?),
        };
        match portion {
            Self::Count(0) | Self::Percent(0 | 101..) => Err(InvalidTerm::Portion),
            portion => Ok(portion),
        }
    }
}

impl fmt::Display for Portion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Rest => f.write_str("rest"),
        }
    }
}

/// A count is a number, everything else a text.
impl Serialize for Portion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u32(*count),
            other => serializer.collect_str(other),
        }
    }
}

impl<'de> Deserialize<'de> for Portion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Count(u32),
            Text(String),
        }
        let text = match Written::deserialize(deserializer).map_err(|_| D::Error::custom(InvalidTerm::Portion))? {
            Written::Count(count) => count.to_string(),
            Written::Text(text) => text,
        };
        text.parse().map_err(D::Error::custom)
    }
}

impl WaveTerms {
    /// Looks whether what was read makes sense together.
    ///
    /// # Errors
    ///
    /// The first term that does not.
    pub fn check(&self) -> Result<(), InvalidTerm> {
        if self.waves.len() > MAX_SIZES {
            return Err(InvalidTerm::Sizes);
        }
        if self.max_unavailable == Some(Portion::Rest) {
            return Err(InvalidTerm::Limit);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read_as_they_are_written() {
        let text = r#"{"waves":[1,"10%","rest"],"max_unavailable":2,"on_failure":"roll-back"}"#;
        let terms: WaveTerms = serde_json::from_str(text).expect("valid");
        assert_eq!(terms.waves, [Portion::Count(1), Portion::Percent(10), Portion::Rest]);
        assert_eq!((terms.max_unavailable, terms.on_failure), (Some(Portion::Count(2)), OnFailure::RollBack));
        assert_eq!(serde_json::to_string(&terms).expect("JSON"), text);
        for bad in ["0", "\"0\"", "\"0%\"", "\"101%\"", "-1", "\"all\"", "1.5", "\"\"", "\"%\"", "null"] {
            serde_json::from_str::<Portion>(bad).expect_err(bad);
        }
        let all = WaveTerms { max_unavailable: Some(Portion::Rest), ..WaveTerms::default() };
        assert_eq!(all.check(), Err(InvalidTerm::Limit));
    }

    #[test]
    fn a_portion_is_never_nothing() {
        assert_eq!(Portion::Percent(10).count(5), 1);
        assert_eq!(Portion::Percent(10).count(39), 3);
        assert_eq!(Portion::Rest.count(7), 7);
        assert_eq!(Portion::Count(9).count(7), 9);
    }
}
