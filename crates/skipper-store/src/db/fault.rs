//! What the drivers' errors mean.

use crate::Error;

impl Error {
    /// Says what a driver's error means; `doing` is a bare verb phrase.
    pub(crate) fn from_sqlx(doing: &'static str, error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(cause) => {
                let code = cause.code().unwrap_or_default().into_owned();
                match classify(&code) {
                    Some(Class::Locked) => Self::Locked { doing },
                    Some(Class::Full) => Self::Full { doing },
                    Some(Class::ReadOnly) => Self::ReadOnly { doing },
                    Some(Class::Corrupt) => Self::corrupt_because(doing, error),
                    Some(Class::NotADatabase) => Self::NotADatabase { location: "the file".into() },
                    Some(Class::CannotOpen) => {
                        Self::CannotOpen { doing, location: String::new(), source: error.into() }
                    }
                    Some(Class::Unavailable) => Self::Unavailable { doing, source: error },
                    None => Self::Database { doing, source: error },
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable { doing, source: error },
            _ => Self::Database { doing, source: error },
        }
    }
}

enum Class {
    Locked,
    Full,
    ReadOnly,
    Corrupt,
    NotADatabase,
    CannotOpen,
    Unavailable,
}

/// PostgreSQL's codes have five characters. SQLite's are decimal numbers, at most four digits long, whose low byte is the
/// primary code.
fn classify(code: &str) -> Option<Class> {
    if code.len() == 5 {
        return match code {
            "40001" | "40P01" | "55P03" => Some(Class::Locked),
            "53100" => Some(Class::Full),
            "25006" => Some(Class::ReadOnly),
            "XX001" | "XX002" => Some(Class::Corrupt),
            "3D000" | "28000" | "28P01" | "3F000" => Some(Class::CannotOpen),
            _ if code.starts_with("08") || code.starts_with("57P") || code.starts_with("53") => {
                Some(Class::Unavailable)
            }
            _ => None,
        };
    }
    match code.parse::<u32>().ok()? & 0xff {
        5 | 6 => Some(Class::Locked),
        8 => Some(Class::ReadOnly),
        11 => Some(Class::Corrupt),
        13 => Some(Class::Full),
        14 => Some(Class::CannotOpen),
        26 => Some(Class::NotADatabase),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_both_databases_are_told_apart() {
        assert!(matches!(classify("5"), Some(Class::Locked)));
        assert!(matches!(classify("517"), Some(Class::Locked)), "an extended code");
        assert!(matches!(classify("13"), Some(Class::Full)));
        assert!(matches!(classify("53100"), Some(Class::Full)));
        assert!(matches!(classify("40P01"), Some(Class::Locked)));
        assert!(matches!(classify("08006"), Some(Class::Unavailable)));
        assert!(classify("2067").is_none() && classify("23505").is_none() && classify("").is_none());
    }
}
