use skipper_core::{
    Sha256,
    id::{Id, OrderId},
    time::Timestamp,
};
use sqlx::{
    AssertSqlSafe, Postgres, SqlSafeStr, SqlStr, Sqlite, postgres::PgArguments, query::Query, sqlite::SqliteArguments,
};

/// A parameter of a statement.
#[derive(Debug, Clone)]
pub(crate) enum Arg {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Vec<u8>),
    NoBytes,
}

/// `args![a, b]`: the parameters `$1`, `$2` of a statement.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::db::Arg::from($value)),*] };
}
pub(crate) use args;

/// Counters of this crate start at 1 and count up by one, so none comes near the limit.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl From<i64> for Arg {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}
impl From<u64> for Arg {
    fn from(value: u64) -> Self {
        Self::Int(Some(int(value)))
    }
}
impl From<u32> for Arg {
    fn from(value: u32) -> Self {
        Self::Int(Some(i64::from(value)))
    }
}
impl From<bool> for Arg {
    fn from(value: bool) -> Self {
        Self::Int(Some(i64::from(value)))
    }
}
impl From<Option<i64>> for Arg {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}
impl From<Option<u64>> for Arg {
    fn from(value: Option<u64>) -> Self {
        Self::Int(value.map(int))
    }
}
impl From<Timestamp> for Arg {
    fn from(value: Timestamp) -> Self {
        Self::Int(Some(value.as_micros()))
    }
}
impl From<Option<Timestamp>> for Arg {
    fn from(value: Option<Timestamp>) -> Self {
        Self::Int(value.map(Timestamp::as_micros))
    }
}
impl From<&str> for Arg {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}
impl From<String> for Arg {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}
impl From<Option<&str>> for Arg {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}
impl From<Option<String>> for Arg {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}
impl<K> From<Id<K>> for Arg {
    fn from(value: Id<K>) -> Self {
        Self::Text(Some(value.to_string()))
    }
}
impl From<OrderId> for Arg {
    fn from(value: OrderId) -> Self {
        Self::Text(Some(value.to_string()))
    }
}
impl From<Sha256> for Arg {
    fn from(value: Sha256) -> Self {
        Self::Text(Some(value.to_string()))
    }
}
impl From<Vec<u8>> for Arg {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

macro_rules! bind {
    ($query:expr, $args:expr) => {{
        let mut query = $query;
        for arg in $args {
            query = match arg {
                Arg::Int(value) => query.bind(value),
                Arg::Text(value) => query.bind(value),
                Arg::Bytes(value) => query.bind(value),
                Arg::NoBytes => query.bind(None::<Vec<u8>>),
            };
        }
        query
    }};
}

/// Statements as one, for SQLite: parameters are counted through.
pub(crate) fn joined(
    before: Vec<(&'static str, Vec<Arg>)>,
    last: &'static str,
    last_args: Vec<Arg>,
) -> (SqlStr, Vec<Arg>) {
    if before.is_empty() {
        return (last.into_sql_str(), last_args);
    }
    let (mut text, mut all) = (String::new(), Vec::new());
    for (sql, args) in before.into_iter().chain([(last, last_args)]) {
        if !text.is_empty() {
            text.push_str("; ");
        }
        let mut parts = sql.split('$');
        text.push_str(parts.next().unwrap_or_default());
        for part in parts {
            text.push('$');
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = part.split_at(digits);
            match number.parse::<usize>() {
                Ok(number) => text.push_str(&(number + all.len()).to_string()),
                // The root of a path in a document.
                Err(_) => text.push_str(number),
            }
            text.push_str(rest);
        }
        all.extend(args);
    }
    (AssertSqlSafe(text).into_sql_str(), all)
}

pub(crate) fn sqlite_query(sql: impl SqlSafeStr, args: Vec<Arg>) -> Query<'static, Sqlite, SqliteArguments> {
    bind!(sqlx::query::<Sqlite>(sql), args)
}

pub(crate) fn pg_query(sql: impl SqlSafeStr, args: Vec<Arg>) -> Query<'static, Postgres, PgArguments> {
    bind!(sqlx::query::<Postgres>(sql), args)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_joined_statements_are_counted_through() {
        let before = vec![("UPDATE a SET b = $2 WHERE c = $1", args!["c", 1_i64]), ("DELETE FROM d", args![])];
        let path = "SELECT json_extract(e, '$.f') FROM g WHERE h = $1 OR h = $12";
        let (sql, all) = joined(before, path, args![2_i64]);
        assert_eq!(
            sql.as_str(),
            "UPDATE a SET b = $2 WHERE c = $1; DELETE FROM d; SELECT json_extract(e, '$.f') FROM g WHERE h = $3 OR h = $14"
        );
        assert_eq!(all.len(), 3);
        assert_eq!(joined(Vec::new(), path, args![2_i64]).0.as_str(), path);
    }
}
