//! Reading, and only reading, the database of a slip that ran here: its deploys.

use std::path::Path;

use sqlx::{ConnectOptions as _, Connection as _, Row as _, sqlite::SqliteConnectOptions};

use crate::Error;

/// Most deploys that are read, the newest ones.
const MOST: u32 = 100_000;

/// A deploy of slip's, as it wrote it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlipDeploy {
    /// `dep_…`.
    pub id: String,
    /// The app.
    pub app: String,
    /// The image, without a tag.
    pub image: String,
    /// The tag.
    pub tag: String,
    /// `completed`, `failed`, or where it had got.
    pub status: String,
    /// When it was accepted, as RFC 3339.
    pub started_at: String,
    /// Why it failed.
    pub error: Option<String>,
    /// `webhook`, `cli` or `rollback`.
    pub triggered_by: Option<String>,
}

/// The deploys in a `slip.db`, oldest first. The file is not changed, also where slip has it open.
///
/// # Errors
///
/// [`Error::CannotOpen`] when it cannot be opened, [`Error::Unavailable`] and the like when it is no such database.
pub async fn read_slip(path: &Path) -> Result<Vec<SlipDeploy>, Error> {
    // Whoever may only read the folder cannot open a database with a log beside it, unless that is there already; where it is not, nobody
    // has it open.
    let beside = |end: &str| Path::new(&format!("{}{end}", path.display())).exists();
    let is_closed = !beside("-wal") && !beside("-journal");
    let options = SqliteConnectOptions::new().filename(path).read_only(true).immutable(is_closed);
    let options = options.disable_statement_logging();
    let mut conn = options.connect().await.map_err(|source| Error::CannotOpen {
        doing: "open the database of slip",
        location: path.display().to_string(),
        source: Box::new(source),
    })?;
    let failed = |source| Error::from_sqlx("read the database of slip", source);
    let sql = "SELECT id, app, image, tag, status, started_at, error, triggered_by FROM deploys ORDER BY started_at DESC, id DESC LIMIT $1";
    let rows = sqlx::query(sql).bind(MOST).fetch_all(&mut conn).await.map_err(failed)?;
    let text = |row: &sqlx::sqlite::SqliteRow, column: &str| row.try_get::<String, _>(column);
    let read = rows.iter().rev().map(|row| {
        Ok(SlipDeploy {
            id: text(row, "id")?,
            app: text(row, "app")?,
            image: text(row, "image")?,
            tag: text(row, "tag")?,
            status: text(row, "status")?,
            started_at: text(row, "started_at")?,
            error: row.try_get("error")?,
            triggered_by: row.try_get("triggered_by")?,
        })
    });
    let read = read.collect::<Result<_, sqlx::Error>>().map_err(failed)?;
    conn.close().await.map_err(failed)?;
    Ok(read)
}
