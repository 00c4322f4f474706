use std::{fmt::Display, str::FromStr};

use serde::de::DeserializeOwned;
use skipper_core::time::Timestamp;
use sqlx::{Decode, Postgres, Row as _, Sqlite, Type, postgres::PgRow, sqlite::SqliteRow};

use crate::Error;

/// A row of either database. Anything that does not read as expected is [`Error::Corrupt`] and names its column.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Pg(PgRow),
}

impl Row {
    fn get<T>(&self, column: &str) -> Result<T, Error>
    where
        T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>,
    {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Pg(row) => row.try_get(column),
        }
        .map_err(|e| Error::corrupt_because(format!("column {column}"), e))
    }

    pub(crate) fn int(&self, column: &str) -> Result<i64, Error> {
        self.get(column)
    }

    pub(crate) fn maybe_int(&self, column: &str) -> Result<Option<i64>, Error> {
        self.get(column)
    }

    /// A counter; never negative.
    pub(crate) fn count(&self, column: &str) -> Result<u64, Error> {
        u64::try_from(self.int(column)?).map_err(|e| Error::corrupt_because(format!("column {column}"), e))
    }

    pub(crate) fn maybe_count(&self, column: &str) -> Result<Option<u64>, Error> {
        self.maybe_int(column)?
            .map(u64::try_from)
            .transpose()
            .map_err(|e| Error::corrupt_because(format!("column {column}"), e))
    }

    /// A number that must fit a smaller type.
    pub(crate) fn small<T: TryFrom<i64>>(&self, column: &str) -> Result<T, Error> {
        T::try_from(self.int(column)?).map_err(|_| Error::corrupt(format!("column {column} is out of range")))
    }

    pub(crate) fn flag(&self, column: &str) -> Result<bool, Error> {
        Ok(self.int(column)? != 0)
    }

    pub(crate) fn time(&self, column: &str) -> Result<Timestamp, Error> {
        self.int(column).map(Timestamp::from_micros)
    }

    pub(crate) fn maybe_time(&self, column: &str) -> Result<Option<Timestamp>, Error> {
        Ok(self.maybe_int(column)?.map(Timestamp::from_micros))
    }

    pub(crate) fn text(&self, column: &str) -> Result<String, Error> {
        self.get(column)
    }

    pub(crate) fn maybe_text(&self, column: &str) -> Result<Option<String>, Error> {
        self.get(column)
    }

    pub(crate) fn bytes(&self, column: &str) -> Result<Vec<u8>, Error> {
        self.get(column)
    }

    pub(crate) fn maybe_bytes(&self, column: &str) -> Result<Option<Vec<u8>>, Error> {
        self.get(column)
    }

    /// Text with a shape of its own: an id, a name, a digest.
    pub(crate) fn parse<T>(&self, column: &str) -> Result<T, Error>
    where
        T: FromStr,
        T::Err: Display,
    {
        parse(column, &self.text(column)?)
    }

    pub(crate) fn maybe_parse<T>(&self, column: &str) -> Result<Option<T>, Error>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.maybe_text(column)?.map(|text| parse(column, &text)).transpose()
    }

    /// A word of a fixed set.
    pub(crate) fn word<T>(&self, column: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, Error> {
        let text = self.text(column)?;
        read(&text).ok_or_else(|| Error::corrupt(format!("column {column} holds the unknown word `{text}`")))
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, Error> {
        json(column, &self.text(column)?)
    }

    pub(crate) fn maybe_json<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>, Error> {
        self.maybe_text(column)?.map(|text| json(column, &text)).transpose()
    }
}

fn parse<T>(column: &str, text: &str) -> Result<T, Error>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(|e: T::Err| Error::corrupt_because(format!("column {column}"), e.to_string()))
}

fn json<T: DeserializeOwned>(column: &str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|e| Error::corrupt_because(format!("column {column}"), e))
}
