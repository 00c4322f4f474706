//! Waking other processes that share the PostgreSQL database. On SQLite there is one process, and nothing to do.

use std::{sync::Arc, time::Duration};

use sqlx::{
    PgPool, Postgres, Transaction,
    postgres::{PgListener, PgNotification},
};

use crate::{
    db::{Db, args, pg_query},
    event,
    store::Shared,
};

const CHANNEL: &str = "skipper";
/// A channel is the whole database's, and each of its schemas may hold a store: so the schema's name goes first.
const NOTIFY: &str = "SELECT pg_notify('skipper', concat(current_schema(), ' ', $1))";
const SCHEMA: &str = "SELECT CAST(current_schema() AS TEXT)";
/// A database server that restarts is back within seconds; asking more often helps nobody.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

pub(crate) async fn notify(
    conn: &mut Transaction<'static, Postgres>,
    seq: Option<u64>,
    wakes: bool,
) -> Result<(), sqlx::Error> {
    let payload = format!("{} {}", seq.unwrap_or(0), u8::from(wakes));
    pg_query(NOTIFY, args![payload]).execute(&mut **conn).await.map(drop)
}

/// Listens until the store is closed. Ends early for no reason: whatever breaks is tried again.
pub(crate) fn start(shared: &Arc<Shared>) {
    let Db::Pg(pool) = &shared.db else { return };
    let (pool, listening) = (pool.clone(), shared.clone());
    shared.tasks.spawn(async move {
        let stop = listening.stop.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = listen(&pool, &listening) => {}
        }
    });
}

async fn listen(pool: &PgPool, shared: &Shared) {
    loop {
        if let Err(error) = listen_once(pool, shared).await {
            tracing::warn!(%error, "the database's notifications are interrupted; listening again");
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

async fn listen_once(pool: &PgPool, shared: &Shared) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    let schema: String = sqlx::query_scalar(SCHEMA).fetch_one(pool).await?;
    look(shared).await;
    loop {
        match listener.try_recv().await? {
            Some(told) => hear(&told, &schema, shared),
            // The connection broke and is back: what was told meanwhile is lost.
            None => look(shared).await,
        }
    }
}

/// Reads what a notification would have said.
async fn look(shared: &Shared) {
    if let Ok(seq) = event::head(&shared.db).await {
        shared.published(Some(seq), true);
    }
}

fn hear(told: &PgNotification, schema: &str, shared: &Shared) {
    let Some(told) = told.payload().strip_prefix(schema).and_then(|rest| rest.strip_prefix(' ')) else { return };
    let mut words = told.split(' ').map(str::parse::<u64>);
    if let (Some(Ok(seq)), Some(Ok(wakes)), None) = (words.next(), words.next(), words.next()) {
        shared.published((seq > 0).then_some(seq), wakes > 0);
    }
}
