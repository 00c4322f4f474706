use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, SqlSafeStr as _, sqlite::SqliteConnectOptions};

use skipper_store::Location;

use crate::{contract, world::World};

contract! {
    the_database_understands_every_statement
}

async fn the_database_understands_every_statement(world: &World) {
    let statements = skipper_store::statements();
    assert!(statements.len() > 100);
    match &world.config.location {
        Location::Sqlite(path) => {
            let mut conn = SqliteConnectOptions::new().filename(path).connect().await.expect("connect");
            for (name, sql) in statements {
                if let Err(error) = (&mut conn).prepare(AssertSqlSafe(sql.to_owned()).into_sql_str()).await {
                    panic!("{name}: {error}: {sql}");
                }
            }
        }
        Location::Postgres(url) => {
            let options: sqlx::postgres::PgConnectOptions = url.parse().expect("a URL");
            let mut conn = options.connect().await.expect("connect");
            for (name, sql) in statements {
                if let Err(error) = (&mut conn).prepare(AssertSqlSafe(sql.to_owned()).into_sql_str()).await {
                    panic!("{name}: {error}: {sql}");
                }
            }
        }
    }
}
