//! Copying every table from one database to the other kind. The columns are read from the SQLite side; both have the same.

use futures::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, SqliteConnection};

use crate::{
    Error,
    db::{Arg, pg_query, sqlite_query},
    schema::TABLES,
};

const DOING: &str = "copy the database";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    Text,
    Bytes,
}

struct Table {
    name: &'static str,
    columns: Vec<(String, Kind)>,
}

impl Table {
    fn select(&self) -> String {
        format!("SELECT {} FROM {}", self.names(), self.name)
    }

    fn insert(&self) -> String {
        let holes: Vec<_> = (1..=self.columns.len()).map(|n| format!("${n}")).collect();
        format!("INSERT INTO {} ({}) VALUES ({})", self.name, self.names(), holes.join(", "))
    }

    fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// One row as parameters of the insert.
macro_rules! values {
    ($table:expr, $row:expr) => {
        $table
            .columns
            .iter()
            .enumerate()
            .map(|(i, (_, kind))| {
                Ok(match kind {
                    Kind::Int => Arg::Int($row.try_get(i)?),
                    Kind::Text => Arg::Text($row.try_get(i)?),
                    Kind::Bytes => match $row.try_get::<Option<Vec<u8>>, _>(i)? {
                        Some(bytes) => Arg::Bytes(bytes),
                        None => Arg::NoBytes,
                    },
                })
            })
            .collect::<Result<Vec<Arg>, sqlx::Error>>()
            .map_err(broke)
    };
}

fn broke(error: sqlx::Error) -> Error {
    Error::from_sqlx(DOING, error)
}

async fn tables(conn: &mut SqliteConnection) -> Result<Vec<Table>, Error> {
    let mut tables = Vec::new();
    for name in TABLES {
        let rows = sqlx::query("SELECT name, type FROM pragma_table_info($1) ORDER BY cid")
            .bind(*name)
            .fetch_all(&mut *conn)
            .await
            .map_err(broke)?;
        let columns = rows
            .iter()
            .map(|row| {
                let kind = match row.try_get::<String, _>(1)?.as_str() {
                    "INTEGER" => Kind::Int,
                    "BLOB" => Kind::Bytes,
                    _ => Kind::Text,
                };
                Ok((row.try_get(0)?, kind))
            })
            .collect::<Result<_, _>>()
            .map_err(broke)?;
        tables.push(Table { name, columns });
    }
    Ok(tables)
}

/// Fills an empty SQLite database.
pub(crate) async fn into_sqlite(from: &mut PgConnection, to: &mut SqliteConnection) -> Result<(), Error> {
    let tables = tables(to).await?;
    let mut txn = to.begin().await.map_err(broke)?;
    for table in &tables {
        let mut rows = pg_query(AssertSqlSafe(table.select()), Vec::new()).fetch(&mut *from);
        while let Some(row) = rows.try_next().await.map_err(broke)? {
            let values = values!(table, row)?;
            sqlite_query(AssertSqlSafe(table.insert()), values).execute(&mut *txn).await.map_err(broke)?;
        }
    }
    txn.commit().await.map_err(broke)
}

/// Fills an empty PostgreSQL database, within the caller's transaction.
pub(crate) async fn into_postgres(from: &mut SqliteConnection, to: &mut PgConnection) -> Result<(), Error> {
    for table in &tables(from).await? {
        let mut rows = sqlite_query(AssertSqlSafe(table.select()), Vec::new()).fetch(&mut *from);
        while let Some(row) = rows.try_next().await.map_err(broke)? {
            let values = values!(table, row)?;
            pg_query(AssertSqlSafe(table.insert()), values).execute(&mut *to).await.map_err(broke)?;
        }
        drop(rows);
        if table.columns.iter().any(|(name, _)| name == "num") {
            // The identity goes on after the rows that came with numbers of their own.
            let name = table.name;
            let restart = format!(
                "SELECT setval(pg_get_serial_sequence('{name}', 'num'), (SELECT COALESCE(MAX(num), 0) + 1 FROM {name}), false)"
            );
            pg_query(AssertSqlSafe(restart), Vec::new()).execute(&mut *to).await.map_err(broke)?;
        }
    }
    Ok(())
}
