//! The one place that knows there are two databases.
//!
//! Every statement is one text that both understand, kept in a constant beside the table it is about (see
//! [`statements!`]). Parameters go in as [`Arg`]s and results come out as [`Row`]s, so that a statement is compiled once and
//! not once for each database. All numbers are 64-bit integers (truth is 0 or 1, time is microseconds), all ids and JSON
//! documents are text.

mod args;
mod fault;
mod lent;
mod line;
mod row;
mod txn;

pub(crate) use args::{Arg, args, joined, pg_query, sqlite_query};
pub(crate) use lent::{Connections, Lent};
pub(crate) use line::{Head, Line};
pub(crate) use row::Row;
pub(crate) use txn::{Reading, Txn};

use std::sync::Arc;

use sqlx::PgPool;

/// Microseconds by PostgreSQL's clock, not the transaction's begin: a wait for a lock may lie in between.
pub(crate) const PG_NOW: &str = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";

use crate::Error;

/// Names the SQL texts of a file, and lists them for the test that prepares each one on both databases.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* pub(crate) const $name: &str = $sql;)*
        pub(crate) const STATEMENTS: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}
pub(crate) use statements;

/// Runs the same expression on whichever database it is.
macro_rules! on {
    ($either:expr, $bound:ident => $sqlite:expr, $pg:expr) => {
        match $either {
            $crate::db::Either::Sqlite($bound) => $sqlite,
            $crate::db::Either::Pg($bound) => $pg,
        }
    };
}
pub(crate) use on;

/// One of two: the choice is made once, by the address of the database.
#[derive(Debug)]
pub(crate) enum Either<S, P> {
    Sqlite(S),
    Pg(P),
}

/// Connections to SQLite: exactly one writes, so that writers queue (see [`Line`]) and never meet `SQLITE_BUSY`; a few read,
/// each with a snapshot of its own (WAL).
#[derive(Debug)]
pub(crate) struct SqlitePools {
    pub(crate) write: Arc<Connections>,
    pub(crate) read: Arc<Connections>,
}

/// The database.
pub(crate) type Db = Either<SqlitePools, PgPool>;

impl Db {
    /// All rows of a reading statement.
    pub(crate) async fn all(&self, doing: &'static str, sql: &'static str, args: Vec<Arg>) -> Result<Vec<Row>, Error> {
        on!(self, db =>
            async { sqlite_query(sql, args).fetch_all(&mut *db.read.lend().await?).await }.await.map(|rows| rows.into_iter().map(Row::Sqlite).collect()),
            pg_query(sql, args).fetch_all(db).await.map(|rows| rows.into_iter().map(Row::Pg).collect()))
        .map_err(|e| Error::from_sqlx(doing, e))
    }

    /// The first row of a reading statement.
    pub(crate) async fn one(
        &self,
        doing: &'static str,
        sql: &'static str,
        args: Vec<Arg>,
    ) -> Result<Option<Row>, Error> {
        on!(self, db =>
            async { sqlite_query(sql, args).fetch_optional(&mut *db.read.lend().await?).await }.await.map(|row| row.map(Row::Sqlite)),
            pg_query(sql, args).fetch_optional(db).await.map(|row| row.map(Row::Pg)))
        .map_err(|e| Error::from_sqlx(doing, e))
    }
}
