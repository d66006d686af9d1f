//! The store in Postgres.
//!
//! - Revisions commit in order: each change locks the one row of `head`, increments its revision,
//!   and keeps the lock until it has committed. A sequence is not enough: of two transactions, the
//!   one with the greater number may commit first.
//! - `changes` is the log of deltas. A watch first LISTENs, then reads the log after its revision,
//!   and reads it again after each notification. So the watch misses no commit. A notification
//!   carries no data: lost or merged notifications do no harm.
//! - A lease is a row with the time of its end, by the server's clock, `clock_timestamp()`. A
//!   keep-alive or a publication changes the row only if the row exists and the lease has not
//!   ended. A listing of the live nodes first deletes the rows of ended leases. So a node that was
//!   missing in a listing cannot come back, even if the clock is set back. The end of a lease sends
//!   no notification: the stream of live nodes reads again when the next lease is due.
//! - The office is such a row too. A change holds a lock on this row until the change has
//!   committed, so no successor can take the office in between.
//!
//! The server's clock is the time of day. If it is set forward, leases end early, perhaps before
//! their nodes notice: slew the clock, do not step it. The server needs synchronous commit, and a
//! synchronous standby if it fails over.

use super::{
    Draft, Error, Ledger, Member, Membership, Registration, Result, Retired, TableSource, Term,
};
use crate::model::{Delta, Revision, Session, Table};
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Row};

/// The time after which a silent LISTEN is checked.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

struct Shared {
    config: Config,
    schema: String,
    patience: Duration,
    /// Two connections, so that a long listing does not delay a keep-alive.
    leases: Mutex<Option<Client>>,
    table: Mutex<Option<Client>>,
}

/// A client of Postgres.
#[derive(Clone)]
pub struct Postgres {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").field("schema", &self.shared.schema).finish_non_exhaustive()
    }
}

/// Converts the server's error. An error that a retry cannot mend (access, no such database, wrong
/// tables) goes to the user.
fn failed(e: tokio_postgres::Error) -> Error {
    match e.as_db_error() {
        Some(said)
            if ["28", "3D", "42"].iter().any(|class| said.code().code().starts_with(class)) =>
        {
            Error::Usage(format!("postgres: {}", said.message()))
        }
        Some(said) => Error::Unavailable(said.message().to_owned()),
        None => Error::Unavailable(
            std::error::Error::source(&e).map_or(e.to_string(), |e| e.to_string()),
        ),
    }
}

type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Postgres {
    /// Makes a client of the server and database of `url`, whose tables are in the schema `prefix`.
    pub async fn open(url: &str, prefix: &str, patience: Duration) -> Result<Self> {
        let mut config: Config =
            url.parse().map_err(|e| Error::Usage(format!("--store {url:?}: {e}")))?;
        let more = format!(
            "-c search_path={prefix} -c statement_timeout={} {}",
            patience.as_millis().max(1),
            config.get_options().unwrap_or_default()
        );
        config
            .options(more)
            .connect_timeout(patience)
            .tcp_user_timeout(patience)
            .application_name("cluster");
        let postgres = Self {
            shared: Arc::new(Shared {
                config,
                schema: prefix.to_owned(),
                patience,
                leases: Mutex::default(),
                table: Mutex::default(),
            }),
        };
        match postgres.make_tables().await {
            // The server may start later. The first client that misses the tables makes them.
            Ok(()) | Err(Error::Unavailable(_)) => Ok(postgres),
            Err(e) => Err(e),
        }
    }

    async fn in_time<T>(
        &self,
        what: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        match tokio::time::timeout(self.shared.patience, what).await {
            Ok(done) => done.map_err(failed),
            Err(_) => Err(Error::Unavailable("no answer in time".into())),
        }
    }

    /// Opens a connection, and returns it with its notifications.
    async fn connect(&self) -> Result<(Client, mpsc::UnboundedReceiver<()>)> {
        let (client, mut connection) = self.in_time(self.shared.config.connect(NoTls)).await?;
        let (told, notifications) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut messages = futures::stream::poll_fn(move |cx| connection.poll_message(cx));
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notification(_) = message {
                    // The notifications may have no receiver.
                    let _ = told.send(());
                }
            }
        });
        Ok((client, notifications))
    }

    async fn make_tables(&self) -> Result<()> {
        let (client, _) = self.connect().await?;
        let schema = &self.shared.schema;
        // "IF NOT EXISTS" is not enough if two clients come at the same time: the lock, held to the
        // end, lets one go first.
        let script = format!(
            "BEGIN; SELECT pg_advisory_xact_lock(hashtext('async-rcu cluster')); \
             CREATE SCHEMA IF NOT EXISTS {schema}; {} COMMIT;",
            include_str!("schema.sql")
        );
        self.in_time(client.batch_execute(&script)).await
    }

    /// Runs an operation on one of the two connections. A connection that failed is not used again.
    async fn on<T>(
        &self,
        link: &Mutex<Option<Client>>,
        what: impl AsyncFnOnce(&mut Client) -> std::result::Result<T, tokio_postgres::Error>,
    ) -> Result<T> {
        let mut link = link.lock().await;
        if link.as_ref().is_none_or(Client::is_closed) {
            self.make_tables().await?;
            *link = Some(self.connect().await?.0);
        }
        // The client is taken out during the operation: if the operation is dropped half way, the
        // connection goes with it.
        let Some(mut client) = link.take() else {
            return Err(Error::Unavailable("no connection".into()));
        };
        let done = self.in_time(what(&mut client)).await;
        if done.is_ok() {
            *link = Some(client);
        }
        done
    }

    async fn query(
        &self,
        link: &Mutex<Option<Client>>,
        sql: &str,
        params: Params<'_>,
    ) -> Result<Vec<Row>> {
        self.on(link, async |client| client.query(sql, params).await).await
    }

    async fn listen(&self, channel: &str) -> Result<(Client, mpsc::UnboundedReceiver<()>)> {
        let (client, notifications) = self.connect().await?;
        let listen = format!("LISTEN {}_{channel}", self.shared.schema);
        self.in_time(client.batch_execute(&listen)).await?;
        Ok((client, notifications))
    }

    fn channel(&self, name: &str) -> String {
        format!("{}_{name}", self.shared.schema)
    }

    async fn deltas_after(&self, client: &Client, after: Revision) -> Result<Vec<Delta>> {
        // One statement sees one state of both tables.
        let sql = "SELECT h.compacted, c.revision, c.previous, c.file, c.changes \
                   FROM head h LEFT JOIN changes c ON c.revision > $1 ORDER BY c.revision";
        let rows = self.in_time(client.query(sql, &[&after])).await?;
        let mut deltas = Vec::new();
        for row in rows {
            if row.get::<_, Revision>(0) > after {
                return Err(Error::Compacted { after });
            }
            if let Some(revision) = row.get::<_, Option<Revision>>(1) {
                let changes = serde_json::from_str(row.get(4))
                    .map_err(|e| Error::Corrupt(format!("changes: {e}")))?;
                deltas.push(Delta { revision, previous: row.get(2), file: row.get(3), changes });
            }
        }
        Ok(deltas)
    }

    /// Returns the live nodes, and how long the first of their leases lasts unless it is prolonged.
    async fn members(&self, client: &Client) -> Result<(Vec<Member>, Duration)> {
        let ended = "DELETE FROM nodes WHERE until <= clock_timestamp()";
        self.in_time(client.execute(ended, &[])).await?;
        let sql = "SELECT session, name, used, \
                   extract(epoch FROM until - clock_timestamp())::double precision \
                   FROM nodes ORDER BY session";
        let rows = self.in_time(client.query(sql, &[])).await?;
        let mut first = LOOK_AGAIN;
        let mut members = Vec::new();
        for row in rows {
            first = first.min(Duration::from_secs_f64(row.get::<_, f64>(3).max(0.001)));
            members.push(Member { session: row.get(0), name: row.get(1), used: row.get(2) });
        }
        Ok((members, first))
    }
}

/// Waits for a notification and takes all that have come, or returns after `longest`.
async fn told(notifications: &mut mpsc::UnboundedReceiver<()>, longest: Duration) -> Result<()> {
    match tokio::time::timeout(longest, notifications.recv()).await {
        Ok(Some(())) => {
            while notifications.try_recv().is_ok() {}
            Ok(())
        }
        Ok(None) => Err(Error::Unavailable("the connection has ended".into())),
        Err(_) => Ok(()),
    }
}

#[async_trait]
impl TableSource for Postgres {
    async fn snapshot(&self) -> Result<(Revision, Table)> {
        let sql =
            "SELECT h.revision, h.file, e.key, e.value FROM head h LEFT JOIN entries e ON true";
        let rows = self.query(&self.shared.table, sql, &[]).await?;
        let Some(first) = rows.first() else {
            return Err(Error::Corrupt("the table `head` is empty".into()));
        };
        let entries =
            rows.iter().filter_map(|row| Some((row.get::<_, Option<String>>(2)?, row.get(3))));
        Ok((first.get(0), Table::new(entries, first.get(1))))
    }

    fn watch(&self, after: Revision) -> BoxStream<'static, Result<Delta>> {
        let postgres = self.clone();
        Box::pin(async_stream::try_stream! {
            let (client, mut notifications) = postgres.listen("table").await?;
            let mut at = after;
            loop {
                for delta in postgres.deltas_after(&client, at).await? {
                    at = delta.revision;
                    yield delta;
                }
                told(&mut notifications, LOOK_AGAIN).await?;
            }
        })
    }
}

#[async_trait]
impl Membership for Postgres {
    async fn register(&self, name: &str, ttl: Duration) -> Result<Registration> {
        let sql = "WITH new AS (INSERT INTO nodes (name, used, ttl, until) \
                   VALUES ($1, 0, $2, clock_timestamp() + make_interval(secs => $2)) \
                   RETURNING session) \
                   SELECT session, pg_notify($3, '') FROM new";
        let params: Params<'_> = &[&name, &ttl.as_secs_f64(), &self.channel("nodes")];
        let rows = self.query(&self.shared.leases, sql, params).await?;
        let row =
            rows.first().ok_or_else(|| Error::Corrupt("the insert returned no row".into()))?;
        Ok(Registration { session: row.get(0), ttl })
    }

    async fn keep_alive(&self, session: Session) -> Result<()> {
        let sql = "UPDATE nodes SET until = clock_timestamp() + make_interval(secs => ttl) \
                   WHERE session = $1 AND until > clock_timestamp() RETURNING 1";
        let rows = self.query(&self.shared.leases, sql, &[&session]).await?;
        if rows.is_empty() { Err(Error::LeaseLost) } else { Ok(()) }
    }

    async fn publish(&self, session: Session, used: Revision) -> Result<()> {
        let sql = "WITH done AS (UPDATE nodes SET used = $2 \
                   WHERE session = $1 AND until > clock_timestamp() RETURNING 1) \
                   SELECT pg_notify($3, '') FROM done";
        let params: Params<'_> = &[&session, &used, &self.channel("nodes")];
        let rows = self.query(&self.shared.leases, sql, params).await?;
        if rows.is_empty() { Err(Error::LeaseLost) } else { Ok(()) }
    }

    async fn leave(&self, session: Session) -> Result<()> {
        let sql = "WITH done AS (DELETE FROM nodes WHERE session = $1 RETURNING 1) SELECT \
                   pg_notify($2, '') FROM done";
        self.query(&self.shared.leases, sql, &[&session, &self.channel("nodes")]).await?;
        Ok(())
    }

    fn live(&self) -> BoxStream<'static, Result<Vec<Member>>> {
        let postgres = self.clone();
        Box::pin(async_stream::try_stream! {
            let (client, mut notifications) = postgres.listen("nodes").await?;
            let mut last = None;
            loop {
                let (members, next_end) = postgres.members(&client).await?;
                if last.as_ref() != Some(&members) {
                    last = Some(members.clone());
                    yield members;
                }
                told(&mut notifications, next_end).await?;
            }
        })
    }
}

#[async_trait]
impl Ledger for Postgres {
    async fn take_office(&self, name: &str, ttl: Duration) -> Result<Term> {
        let sql = "INSERT INTO office VALUES (true, nextval('numbers'), $1, $2, \
                   clock_timestamp() + make_interval(secs => $2)) \
                   ON CONFLICT (one) DO UPDATE SET term = excluded.term, holder = excluded.holder, \
                   ttl = excluded.ttl, until = excluded.until \
                   WHERE office.until <= clock_timestamp() RETURNING term";
        let rows = self.query(&self.shared.leases, sql, &[&name, &ttl.as_secs_f64()]).await?;
        if let Some(row) = rows.first() {
            return Ok(row.get(0));
        }
        let rows = self.query(&self.shared.leases, "SELECT holder FROM office", &[]).await?;
        let holder = rows.first().map_or_else(|| "another".into(), |row| row.get(0));
        Err(Error::Occupied { holder })
    }

    async fn stay(&self, term: Term) -> Result<()> {
        let sql = "UPDATE office SET until = clock_timestamp() + make_interval(secs => ttl) \
                   WHERE term = $1 AND until > clock_timestamp() RETURNING 1";
        let rows = self.query(&self.shared.leases, sql, &[&term]).await?;
        if rows.is_empty() { Err(Error::Deposed) } else { Ok(()) }
    }

    async fn resign(&self, term: Term) -> Result<()> {
        self.query(&self.shared.leases, "DELETE FROM office WHERE term = $1", &[&term]).await?;
        Ok(())
    }

    async fn put(&self, term: Term, draft: &Draft) -> Result<Revision> {
        let log = serde_json::to_string(&draft.changes)
            .map_err(|e| Error::Corrupt(format!("changes: {e}")))?;
        let channel = self.channel("table");
        self.on(&self.shared.table, async |client| {
            let t = client.transaction().await?;
            let head = t.query_one("SELECT revision, file FROM head FOR UPDATE", &[]).await?;
            let (previous, current): (Revision, Option<String>) = (head.get(0), head.get(1));
            let office = "SELECT 1 FROM office WHERE term = $1 AND until > clock_timestamp() FOR \
                          SHARE";
            if t.query_opt(office, &[&term]).await?.is_none() {
                return Ok(Err(Error::Deposed));
            }
            if current != draft.replaces {
                return Ok(Err(Error::Conflict));
            }
            let revision = previous + 1;
            for change in &draft.changes {
                match &change.value {
                    Some(value) => {
                        let sql = "INSERT INTO entries VALUES ($1, $2) ON CONFLICT (key) DO UPDATE \
                                   SET value = excluded.value";
                        t.execute(sql, &[&change.key, value]).await?
                    }
                    None => t.execute("DELETE FROM entries WHERE key = $1", &[&change.key]).await?,
                };
            }
            let sql = "INSERT INTO changes VALUES ($1, $2, $3, $4)";
            t.execute(sql, &[&revision, &previous, &draft.file, &log]).await?;
            if let Some(file) = &draft.replaces {
                t.execute("INSERT INTO retired VALUES ($1, $2)", &[file, &revision]).await?;
            }
            let sql = "UPDATE head SET revision = $1, file = $2";
            t.execute(sql, &[&revision, &draft.file]).await?;
            t.execute("SELECT pg_notify($1, '')", &[&channel]).await?;
            t.commit().await?;
            Ok(Ok(revision))
        })
        .await?
    }

    async fn retired(&self) -> Result<Vec<Retired>> {
        let rows = self
            .query(&self.shared.table, "SELECT file, since FROM retired ORDER BY since", &[])
            .await?;
        Ok(rows.iter().map(|row| Retired { file: row.get(0), since: row.get(1) }).collect())
    }

    async fn forget(&self, term: Term, file: &str) -> Result<()> {
        let sql = "WITH here AS (SELECT 1 FROM office \
                   WHERE term = $1 AND until > clock_timestamp()), \
                   done AS (DELETE FROM retired WHERE file = $2 AND EXISTS (SELECT FROM here)) \
                   SELECT 1 FROM here";
        let rows = self.query(&self.shared.table, sql, &[&term, &file]).await?;
        if rows.is_empty() { Err(Error::Deposed) } else { Ok(()) }
    }

    async fn compact(&self, through: Revision) -> Result<()> {
        let sql = "WITH done AS (UPDATE head SET \
                   compacted = greatest(compacted, least($1, revision)) RETURNING compacted) \
                   DELETE FROM changes USING done WHERE changes.revision <= done.compacted";
        self.query(&self.shared.table, sql, &[&through]).await?;
        Ok(())
    }

    fn owns_log(&self) -> bool {
        true
    }
}
