//! What is wrong with something that people wrote: where, what, and what to do about it.

use std::fmt;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It works; something about it will surprise somebody.
    Warning,
    /// It does not work.
    Error,
}

impl Severity {
    /// The word that people and machines read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A place in a text; both count from 1, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A stable word for machines, for example `unknown-key`.
    pub code: &'static str,
    /// The file, relative to the package; empty when it is not about a file.
    pub file: String,
    /// Where in the file, when that is known.
    pub at: Option<Position>,
    /// Where in the document or the values, for example `spec.ports[0].name`; empty when it is not about a key.
    pub path: String,
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// What to do about it, where something is known.
    pub hint: Option<String>,
}

impl Finding {
    /// An error.
    #[must_use]
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            file: String::new(),
            at: None,
            path: String::new(),
            message: message.into(),
            hint: None,
        }
    }

    /// A warning.
    #[must_use]
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Says in which file.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<String>) -> Self {
        self.file = file.into();
        self
    }

    /// Says where in the file.
    #[must_use]
    pub fn at(mut self, position: impl Into<Option<Position>>) -> Self {
        self.at = position.into();
        self
    }

    /// Says at which key.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = hint.into();
        self
    }
}

/// `templates/web.yml:7:3: spec.replicas: must be a whole number; try …`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            f.write_str(&self.file)?;
            if let Some(at) = self.at {
                write!(f, ":{at}")?;
            }
            f.write_str(": ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// Why something cannot be used: at least one error, and possibly warnings, in the order of files and lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<Finding>);

/// How many findings a message names; a broken file can hold thousands, and nobody reads past the first few.
const SHOWN: usize = 20;
/// How many findings are kept at all.
const KEPT: usize = 200;

impl Faults {
    /// A single fault.
    #[must_use]
    pub fn one(finding: Finding) -> Self {
        Self(vec![finding])
    }

    /// Everything that was found.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.0
    }

    /// Everything that was found.
    #[must_use]
    pub fn into_findings(self) -> Vec<Finding> {
        self.0
    }

    /// The stable word of the first error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.0.iter().find(|f| f.severity == Severity::Error).map_or("invalid", |f| f.code)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.0.iter().filter(|f| f.severity == Severity::Error).enumerate() {
            if index == SHOWN {
                return write!(f, "\nand {} more", self.0.len() - SHOWN);
            }
            write!(f, "{}{finding}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

impl From<Finding> for Faults {
    fn from(finding: Finding) -> Self {
        Self::one(finding)
    }
}

/// Findings as they are gathered, bounded.
#[derive(Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one, unless there are far too many already.
    pub fn push(&mut self, finding: Finding) {
        if self.0.len() < KEPT {
            self.0.push(finding);
        }
    }

    /// Adds all of `more`.
    pub fn extend(&mut self, more: impl IntoIterator<Item = Finding>) {
        more.into_iter().for_each(|finding| self.push(finding));
    }

    /// Adds the findings of a failure and keeps a success.
    pub fn take<T>(&mut self, result: Result<T, Faults>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(faults) => {
                self.extend(faults.into_findings());
                None
            }
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|f| f.severity == Severity::Error)
    }

    /// What was gathered, by file and line.
    #[must_use]
    pub fn into_vec(mut self) -> Vec<Finding> {
        self.0.sort_by(|a, b| (&a.file, a.at).cmp(&(&b.file, b.at)));
        self.0
    }

    /// The warnings, when there is no error.
    ///
    /// # Errors
    ///
    /// [`Faults`] with everything that was gathered, when one of them is an error.
    pub fn into_result(self) -> Result<Vec<Finding>, Faults> {
        let failed = self.has_errors();
        let all = self.into_vec();
        if failed { Err(Faults(all)) } else { Ok(all) }
    }
}
