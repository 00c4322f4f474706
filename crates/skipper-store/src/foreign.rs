//! Reading, and only reading, a PostgreSQL database that belongs to another program: every row as a JSON document.

use std::{collections::BTreeMap, str::FromStr as _, time::Duration};

use serde_json::{Map, Value};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _,
    postgres::{PgConnectOptions, PgConnection},
};

use crate::Error;

/// Longest wait for the server's answer.
const ANSWER: Duration = Duration::from_secs(60);
/// Most rows of a table.
const MAX_ROWS: u32 = 2_000_000;

/// The tables of the wanted names that are there, each row as an object. Bytes are `\x` and hexadecimal digits. What is kept
/// as a large object (a number in a column of type `oid`, or in one of the columns `texts`) is put in its place.
///
/// # Errors
///
/// [`Error::CannotOpen`] when the server cannot be reached or refuses, [`Error::Unavailable`] when reading fails.
pub async fn read_postgres(url: &str, wanted: &[&str], texts: &[&str]) -> Result<BTreeMap<String, Vec<Value>>, Error> {
    let location = || url.rsplit_once('@').map_or_else(|| url.to_owned(), |(_, host)| format!("postgres://{host}"));
    let refused = |source: sqlx::Error| Error::CannotOpen {
        doing: "open the database of the other program",
        location: location(),
        source: Box::new(source),
    };
    let options =
        PgConnectOptions::from_str(url).map_err(refused)?.application_name("skipper").disable_statement_logging();
    let mut conn = tokio::time::timeout(ANSWER, options.connect())
        .await
        .map_err(|_| sqlx::Error::PoolTimedOut)
        .flatten()
        .map_err(refused)?;
    let failed = |source| Error::from_sqlx("read the database of the other program", source);
    let mut found = BTreeMap::new();
    // One point in time for all of it, and no way to change anything.
    sqlx::raw_sql("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .execute(&mut conn)
        .await
        .map_err(failed)?;
    for name in wanted {
        if let Some(rows) = table(&mut conn, name, texts).await.map_err(failed)? {
            found.insert((*name).to_owned(), rows);
        }
    }
    conn.close().await.map_err(failed)?;
    Ok(found)
}

async fn table(conn: &mut PgConnection, name: &str, texts: &[&str]) -> Result<Option<Vec<Value>>, sqlx::Error> {
    let columns = sqlx::query(
        "SELECT column_name::text, data_type::text FROM information_schema.columns \
         WHERE table_schema = current_schema() AND table_name = $1",
    )
    .bind(name)
    .fetch_all(&mut *conn)
    .await?;
    if columns.is_empty() {
        return Ok(None);
    }
    let columns: Vec<(String, bool)> = columns
        .iter()
        .map(|row| Ok((row.try_get::<String, _>(0)?, row.try_get::<String, _>(1)? == "oid")))
        .collect::<Result<_, sqlx::Error>>()?;
    // The name is one of ours, and was just found among the tables.
    let sql = format!("SELECT row_to_json(t)::text FROM \"{name}\" t LIMIT {MAX_ROWS}");
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *conn).await?;
    let mut documents = Vec::with_capacity(rows.len());
    for row in rows {
        let text: String = row.try_get(0)?;
        let Ok(Value::Object(mut document)) = serde_json::from_str(&text) else { continue };
        for (column, is_oid) in &columns {
            let as_text = texts.contains(&column.as_str());
            if *is_oid || as_text {
                large_object(conn, &mut document, column, *is_oid && !as_text).await?;
            }
        }
        documents.push(Value::Object(document));
    }
    Ok(Some(documents))
}

/// Replaces a large object's number by what it holds; what is no such number stays.
async fn large_object(
    conn: &mut PgConnection,
    document: &mut Map<String, Value>,
    column: &str,
    bytes: bool,
) -> Result<(), sqlx::Error> {
    let number = match document.get(column) {
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(text)) if text.len() <= 10 && !text.is_empty() => text.parse().ok(),
        _ => None,
    };
    let Some(number) = number else { return Ok(()) };
    let found =
        sqlx::query("SELECT lo_get(oid) FROM pg_catalog.pg_largeobject_metadata WHERE oid = CAST($1 AS BIGINT)::oid")
            .bind(number)
            .fetch_optional(conn)
            .await?;
    let Some(found) = found else { return Ok(()) };
    let content: Vec<u8> = found.try_get(0)?;
    let value = if bytes {
        let hex: String = content.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("\\x{hex}")
    } else {
        String::from_utf8_lossy(&content).into_owned()
    };
    document.insert(column.to_owned(), Value::String(value));
    Ok(())
}
