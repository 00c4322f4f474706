//! Schemas of PostgreSQL, each of which is a database to whoever uses it.

use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, postgres::PgConnectOptions};

/// URL of a new, empty schema; `None` where there is no PostgreSQL. A database of its own for each test would be three
/// hundred files each time.
pub(crate) async fn schema(name: &str) -> Option<String> {
    let server = testkit::postgres::url()?;
    admin(server, &[format!("DROP SCHEMA IF EXISTS {name} CASCADE"), format!("CREATE SCHEMA {name}")]).await;
    let join = if server.contains('?') { '&' } else { '?' };
    Some(format!("{server}{join}options[search_path]={name}"))
}

/// Removes a schema with all that is in it.
pub(crate) async fn remove(url: &str) {
    let Some(server) = testkit::postgres::url() else { return };
    let name = url.rsplit('=').next().expect("a URL made above");
    admin(server, &[format!("DROP SCHEMA IF EXISTS {name} CASCADE")]).await;
}

async fn admin(server: &str, statements: &[String]) {
    let mut conn = connect(server).await;
    for sql in statements {
        sqlx::query(AssertSqlSafe(sql.clone())).execute(&mut conn).await.expect("make or drop a schema");
    }
    conn.close().await.expect("close");
}

async fn connect(url: &str) -> sqlx::PgConnection {
    let options: PgConnectOptions = url.parse().expect("a URL");
    options.disable_statement_logging().connect().await.expect("PostgreSQL answers")
}
