//! PostgreSQL: a pool of connections, each of which knows the statements that it ran before.

mod classify;
mod probe;
mod tables;
mod target;

use crate::gate::Gate;
use crate::look::{self, Meant};
use crate::tls::Trust;
use base::{Error, Kind, Result};
use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod,
};
pub use probe::Probed;
use std::fmt;
use std::time::Duration;
pub use tables::{lock_number, quoted};
use target::Target;
use tokio_postgres::NoTls;
pub use tokio_postgres::Row;
pub use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres_rustls::MakeRustlsConnect;

/// So often is work begun anew that met another's.
const TRIES: u32 = 6;
/// The pause before the first time.
const PAUSE: Duration = Duration::from_millis(5);

/// It hangs up on a line of text; what stands before it may say why, in its own way.
const MEANT: Meant = Meant {
    vendor: "postgres",
    name: "PostgreSQL",
    line: look::GET,
    is_own: |said| said.starts_with(b"E\0\0"),
};

/// Where the server is, and how calls to it are bounded.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `postgres://[user[:password]@]host[:port][,host…]/database[?sslmode=…]`
    pub url: String,
    /// Whom to trust, and who the client is, with TLS.
    pub trust: Trust,
    /// The most connections.
    pub connections: usize,
    /// How long one call may take, here and on the server.
    pub timeout: Duration,
    /// How many calls are on their way at once; those beyond the connections wait for one.
    pub in_flight: usize,
    /// What every new connection runs, e.g. `SET enable_seqscan = off`.
    pub session: &'static str,
}

/// A way to the server. Connects when it is first needed.
pub struct Postgres {
    gate: Gate,
    pool: Pool,
    target: Target,
}

/// What a statement is given for its `$1`, `$2`, ….
pub type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A connection that one call has for itself.
///
/// One whose call was given up in the middle is closed: nobody knows what it is at.
pub struct Connection {
    /// Taken out when it is closed.
    object: Option<Object>,
    is_sound: bool,
}

/// What is done on one connection.
pub trait Work: Sync {
    /// What comes of it.
    type Done: Send;

    /// Does it. May be asked to do so again, from the beginning, where the server found it in
    /// another's way.
    fn run(
        &self,
        connection: &Connection,
    ) -> impl Future<Output = Result<Self::Done, Failure>> + Send;
}

/// One statement, for its rows.
struct Query<'a>(&'a str, Parameters<'a>);

/// One statement, for the number of rows that it changes.
struct Execute<'a>(&'a str, Parameters<'a>);

/// Statements without parameters.
struct Script<'a>(&'a str);

/// Work whose statements take effect together.
struct Together<'a, W>(&'a W);

/// Statements whose questions go out in one go, and which take effect together.
struct AtOnce<'a> {
    begin: &'static str,
    steps: &'a [(&'a str, Parameters<'a>)],
}

/// How much is known of what took effect, once a call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// It is kept as the server's settings say.
    Safe,
    /// It may be lost in a crash, with what came shortly before. Waits for no disk.
    Lazy,
}

/// Why work on a connection failed.
#[derive(Debug)]
pub enum Failure {
    /// The server says so, or the connection is lost.
    Server(tokio_postgres::Error),
    /// The work itself decides so, on what it found.
    Refused(Error),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// A column of a row that was read.
///
/// # Errors
/// `Corrupt` if it is of another type, because the table is not what was meant.
pub fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T> {
    row.try_get(index).map_err(|error| Error::corrupt("a column").with_source(error))
}

/// Checks a URL, of a binding that names authorities of its own or does not.
///
/// # Errors
/// `Invalid`, without the password.
pub fn check(url: &str, has_ca: bool) -> Result<()> {
    Target::parse(url, has_ca).map(drop)
}

impl Postgres {
    /// A way to the server that `settings` name. Connects to nobody yet.
    ///
    /// # Errors
    /// `Invalid` when the URL cannot be read; as [`Trust::client`] where there is TLS.
    pub fn new(settings: &Settings) -> Result<Self> {
        let mut target = Target::parse(&settings.url, settings.trust.ca().is_some())?;
        target.config.connect_timeout(settings.timeout.min(Duration::from_secs(5)));
        let fast = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match target.tls(&settings.trust)? {
            None => Manager::from_config(target.config.clone(), NoTls, fast),
            Some(tls) => {
                let tls = MakeRustlsConnect::new(tls);
                Manager::from_config(target.config.clone(), tls, fast)
            }
        };
        // What hangs on the server, or is left there, ends as it ends here.
        let limit = settings.timeout.as_millis().clamp(1, i32::MAX as u128);
        let session = format!(
            "SET statement_timeout = {limit}; \
             SET idle_in_transaction_session_timeout = {limit}; {}",
            settings.session
        );
        let begin = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
            let session = session.clone();
            Box::pin(
                async move { client.batch_execute(&session).await.map_err(HookError::Backend) },
            )
        });
        let pool = Pool::builder(manager)
            .max_size(settings.connections.max(1))
            .post_create(begin)
            .build()
            .map_err(|error| Error::internal("making a pool").with_source(error))?;
        let gate = Gate::new(target.shown.clone(), settings.timeout, settings.in_flight);
        Ok(Self { gate, pool, target })
    }

    /// What it leads to, for messages.
    pub fn server(&self) -> &str {
        self.gate.server()
    }

    /// What came of the first call, or that what answers there is no PostgreSQL, where it shows so.
    ///
    /// # Errors
    /// The call's own; `Invalid` of another kind of server.
    pub async fn recognised<T>(&self, first: Result<T>) -> Result<T> {
        MEANT.recognised(first, &self.target.hosts()).await
    }

    /// Runs one statement that changes nothing; a second time, if its connection turns out to be
    /// gone.
    ///
    /// # Errors
    /// What the server says, or that it is away.
    pub async fn read(&self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>> {
        match self.query(sql, parameters).await {
            Err(error) if error.kind() == Kind::Unavailable => self.query(sql, parameters).await,
            outcome => outcome,
        }
    }

    /// Runs one statement, which takes effect as a whole.
    ///
    /// # Errors
    /// What the server says, or that it is away; then nobody knows whether it took effect.
    pub async fn query(&self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>> {
        self.call(&Query(sql, parameters)).await
    }

    /// As [`query`](Self::query), for the number of rows that it changed.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn execute(&self, sql: &str, parameters: Parameters<'_>) -> Result<u64> {
        self.call(&Execute(sql, parameters)).await
    }

    /// Runs statements without parameters, separated by `;`, that take effect together.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn script(&self, sql: &str) -> Result<()> {
        self.transaction(&Script(sql)).await
    }

    /// Runs statements one after the other that take effect together, for the rows of each. All are
    /// sent at once: nobody who holds a lock waits for this host meanwhile.
    ///
    /// # Errors
    /// As [`query`](Self::query), of the first that fails; then none took effect.
    pub async fn at_once(
        &self,
        commit: Commit,
        steps: &[(&str, Parameters<'_>)],
    ) -> Result<Vec<Vec<Row>>> {
        let begin = match commit {
            Commit::Safe => "BEGIN",
            Commit::Lazy => "BEGIN; SET LOCAL synchronous_commit = off",
        };
        self.call(&AtOnce { begin, steps }).await
    }

    /// Does work whose statements take effect together, or not at all where it fails.
    ///
    /// # Errors
    /// What the work says; as [`query`](Self::query) besides.
    pub async fn transaction<W: Work>(&self, work: &W) -> Result<W::Done> {
        self.call(&Together(work)).await
    }

    /// Does work each statement of which takes effect by itself, under one timeout.
    ///
    /// # Errors
    /// What the work says; as [`query`](Self::query) besides.
    pub async fn call<W: Work>(&self, work: &W) -> Result<W::Done> {
        self.gate
            .call(async {
                let mut connection = self.connection().await?;
                let mut tries = 1;
                loop {
                    match work.run(&connection).await {
                        Err(Failure::Server(error))
                            if classify::is_in_the_way(&error) && tries < TRIES =>
                        {
                            let pause = PAUSE * 2_u32.pow(tries);
                            tokio::time::sleep(pause.mul_f64(fastrand::f64())).await;
                            tries += 1;
                        }
                        outcome => return self.finish(&mut connection, outcome),
                    }
                }
            })
            .await
    }

    /// Decides what becomes of a connection after the work, and what the caller is told.
    fn finish<T>(&self, connection: &mut Connection, outcome: Result<T, Failure>) -> Result<T> {
        connection.is_sound = match &outcome {
            Err(Failure::Server(error)) => !classify::is_lost(error),
            _ => true,
        };
        if !connection.is_sound {
            // Most likely the others are no better.
            drop(self.pool.retain(|_, _| false));
        }
        outcome.map_err(|failure| match failure {
            Failure::Refused(error) => error,
            Failure::Server(error) => classify::error(&error, self.server(), &self.target),
        })
    }

    async fn connection(&self) -> Result<Connection> {
        let object = Box::pin(self.pool.get()).await.map_err(|error| match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                classify::error(&error, self.server(), &self.target)
            }
            error => Error::unavailable(self.server().to_owned()).with_source(error),
        })?;
        Ok(Connection { object: Some(object), is_sound: false })
    }
}

impl Work for Query<'_> {
    type Done = Vec<Row>;

    async fn run(&self, connection: &Connection) -> Result<Vec<Row>, Failure> {
        connection.query(self.0, self.1).await
    }
}

impl Work for Execute<'_> {
    type Done = u64;

    async fn run(&self, connection: &Connection) -> Result<u64, Failure> {
        connection.execute(self.0, self.1).await
    }
}

impl Work for Script<'_> {
    type Done = ();

    async fn run(&self, connection: &Connection) -> Result<(), Failure> {
        connection.run(self.0).await
    }
}

impl Work for AtOnce<'_> {
    type Done = Vec<Vec<Row>>;

    async fn run(&self, connection: &Connection) -> Result<Vec<Vec<Row>>, Failure> {
        let client = connection.client()?;
        let mut statements = Vec::with_capacity(self.steps.len());
        for (sql, _) in self.steps {
            statements.push(client.prepare_cached(sql).await?);
        }
        let steps = statements.iter().zip(self.steps);
        let steps = steps.map(|(statement, (_, parameters))| client.query(statement, parameters));
        // They are sent in the order in which they are first polled. Behind one that fails the
        // server refuses the others, and takes the last word for a `ROLLBACK`.
        let (begun, done, committed) = futures::join!(
            client.batch_execute(self.begin),
            futures::future::join_all(steps),
            client.batch_execute("COMMIT"),
        );
        begun?;
        let done = done.into_iter().collect::<Result<_, _>>()?;
        committed?;
        Ok(done)
    }
}

impl<W: Work> Work for Together<'_, W> {
    type Done = W::Done;

    async fn run(&self, connection: &Connection) -> Result<W::Done, Failure> {
        // The first statement need not wait for the answer to this.
        let (begun, done) = tokio::join!(connection.run("BEGIN"), self.0.run(connection));
        let failure = match begun.and(done) {
            Ok(done) => match connection.run("COMMIT").await {
                Ok(()) => return Ok(done),
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        if !matches!(&failure, Failure::Server(error) if classify::is_lost(error)) {
            connection.run("ROLLBACK").await?;
        }
        Err(failure)
    }
}

impl Connection {
    /// Runs a statement, for its rows.
    ///
    /// # Errors
    /// What the server says, or that the connection is lost.
    pub async fn query(&self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, Failure> {
        let client = self.client()?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.query(&statement, parameters).await?)
    }

    /// Runs a statement, for the number of rows that it changed.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn execute(&self, sql: &str, parameters: Parameters<'_>) -> Result<u64, Failure> {
        let client = self.client()?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.execute(&statement, parameters).await?)
    }

    /// Runs statements without parameters that are not worth to be kept, separated by `;`.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn run(&self, sql: &str) -> Result<(), Failure> {
        Ok(self.client()?.batch_execute(sql).await?)
    }

    fn client(&self) -> Result<&Object, Failure> {
        self.object.as_ref().ok_or_else(|| Error::internal("the connection is closed").into())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.is_sound
            && let Some(object) = self.object.take()
        {
            drop(Object::take(object));
        }
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("gate", &self.gate).finish_non_exhaustive()
    }
}
