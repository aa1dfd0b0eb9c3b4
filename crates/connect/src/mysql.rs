//! MySQL and MariaDB: connections that calls take turns with, each of which knows the statements
//! that it ran before.

mod classify;
mod target;

use crate::gate::Gate;
use crate::look::{self, Meant};
use crate::tls::Trust;
use base::{Error, Kind, Result};
use mysql_async::Conn;
use mysql_async::prelude::{FromValue, Queryable as _};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use target::Target;
use tokio::sync::{Semaphore, SemaphorePermit};

pub use mysql_async::{Row, Value};

/// So often is work begun anew that met another's.
const TRIES: u32 = 10;
/// The pause before the first time, and the longest.
const PAUSE: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(100)];

/// A connection that was not used for so long is asked whether it is still there.
const STALE: Duration = Duration::from_secs(1);

/// It greets whoever comes, or says why not: behind four bytes, the version of its protocol or 255.
const MEANT: Meant = Meant {
    vendor: "mysql",
    name: "MySQL",
    line: look::GET,
    is_own: |said| matches!(said, [_, _, 0, 0, 10 | 255, ..]),
};

/// Where the server is, and how calls to it are bounded.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `mysql://[user[:password]@]host[:port]/database[?ssl-mode=…]`
    pub url: String,
    /// Whom to trust, and who the client is, with TLS.
    pub trust: Trust,
    /// The most connections.
    pub connections: usize,
    /// How long one call may take, here and on the server.
    pub timeout: Duration,
    /// How many calls are on their way at once; those beyond the connections wait for one.
    pub in_flight: usize,
    /// What every new connection runs.
    pub session: &'static [&'static str],
}

/// A way to the server. Connects when it is first needed.
pub struct Mysql {
    gate: Gate,
    target: Target,
    /// How long a connection may take to be made.
    greeting: Duration,
    permits: Semaphore,
    /// Connections that nobody uses now, and since when.
    idle: Mutex<Vec<(Conn, Instant)>>,
}

/// A connection that one call has for itself.
///
/// One whose call was given up in the middle is closed: nobody knows what it is at.
pub struct Connection<'a> {
    of: &'a Mysql,
    conn: Option<Conn>,
    is_sound: bool,
    _permit: SemaphorePermit<'a>,
}

/// What is done on one connection.
pub trait Work: Sync {
    /// What comes of it.
    type Done: Send;

    /// Does it. May be asked to do so again, from the beginning, where the server, or the work
    /// itself, found it in another's way.
    fn run(
        &self,
        connection: &mut Connection<'_>,
    ) -> impl Future<Output = Result<Self::Done, Failure>> + Send;
}

/// Why work on a connection failed.
#[derive(Debug)]
pub enum Failure {
    /// The server says so, or the connection is lost.
    Server(mysql_async::Error),
    /// The work itself decides so, on what it found.
    Refused(Error),
    /// Another's work came in between.
    Again,
}

impl From<mysql_async::Error> for Failure {
    fn from(error: mysql_async::Error) -> Self {
        Self::Server(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl Failure {
    /// Whether the server refused a row because there is one with its key.
    pub fn is_duplicate(&self) -> bool {
        matches!(self, Self::Server(error) if classify::code(error) == Some(1062))
    }

    /// Whether the server refused a row because a column has no value.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Server(error) if classify::code(error) == Some(1048))
    }

    fn is_in_the_way(&self) -> bool {
        match self {
            // A deadlock; a wait for a lock that took too long.
            Self::Server(error) => matches!(classify::code(error), Some(1205 | 1213)),
            Self::Refused(_) => false,
            Self::Again => true,
        }
    }
}

/// One statement, for its rows.
struct Query<'a>(&'a str, &'a [Value]);

/// Work whose statements take effect together.
struct Together<'a, W> {
    work: &'a W,
    begin: &'a [&'a str],
}

/// A column of a row that was read.
///
/// # Errors
/// `Corrupt` if it is of another type, because the table is not what was meant.
pub fn column<T: FromValue>(row: &mut Row, index: usize) -> Result<T> {
    match row.take_opt(index) {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) => Err(Error::corrupt("a column").with_source(error)),
        None => Err(Error::corrupt("a column that is not there")),
    }
}

/// Checks a URL, of a binding that names authorities of its own or does not.
///
/// # Errors
/// `Invalid`, without the password.
pub fn check(url: &str, has_ca: bool) -> Result<()> {
    Target::parse(url, has_ca).map(drop)
}

impl Mysql {
    /// A way to the server that `settings` name. Connects to nobody yet.
    ///
    /// # Errors
    /// `Invalid` when the URL cannot be read; as [`Trust::client`] where there is TLS.
    pub fn new(settings: &Settings) -> Result<Self> {
        // The client looks for it.
        crate::tls::install();
        let mut target = Target::parse(&settings.url, settings.trust.ca().is_some())?;
        // What hangs on the server, or is left there, ends as it ends here.
        let seconds = settings.timeout.as_secs_f64().max(0.001);
        let whole = settings.timeout.as_secs().max(1);
        let mut session = vec![format!(
            "SET SESSION innodb_lock_wait_timeout = {whole} \
             /*M!100108 , max_statement_time = {seconds} */ \
             /*M!100300 , idle_transaction_timeout = {whole} */"
        )];
        session.extend(settings.session.iter().map(|sql| (*sql).to_owned()));
        target.prepare(&settings.trust, session)?;
        let gate = Gate::new(target.shown.clone(), settings.timeout, settings.in_flight);
        let permits = Semaphore::new(settings.connections.clamp(1, Semaphore::MAX_PERMITS));
        // Sooner than the call, or the call would be what took too long.
        let greeting = settings.timeout.min(Duration::from_secs(5)) * 4 / 5;
        Ok(Self { gate, target, greeting, permits, idle: Mutex::default() })
    }

    /// What it leads to, for messages.
    pub fn server(&self) -> &str {
        self.gate.server()
    }

    /// What came of the first call, or that what answers there is no MySQL, where it shows so.
    ///
    /// # Errors
    /// The call's own; `Invalid` of another kind of server.
    pub async fn recognised<T>(&self, first: Result<T>) -> Result<T> {
        MEANT.recognised(first, &self.target.hosts()).await
    }

    /// Does work that changes nothing; a second time, if its connection turns out to be gone.
    ///
    /// # Errors
    /// What the work says; as [`query`](Self::query) besides.
    pub async fn read<W: Work>(&self, work: &W) -> Result<W::Done> {
        match self.call(work).await {
            Err(error) if error.kind() == Kind::Unavailable => self.call(work).await,
            outcome => outcome,
        }
    }

    /// As [`read`](Self::read), with one statement.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn rows(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>> {
        self.read(&Query(sql, parameters)).await
    }

    /// Runs one statement, which takes effect as a whole.
    ///
    /// # Errors
    /// What the server says, or that it is away; then nobody knows whether it took effect.
    pub async fn query(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>> {
        self.call(&Query(sql, parameters)).await
    }

    /// Does work whose statements take effect together, or not at all where it fails.
    ///
    /// # Errors
    /// What the work says; as [`query`](Self::query) besides.
    pub async fn transaction<W: Work>(&self, work: &W) -> Result<W::Done> {
        self.call(&Together { work, begin: &["START TRANSACTION"] }).await
    }

    /// As [`read`](Self::read), with work whose statements see one moment.
    ///
    /// # Errors
    /// What the work says; as [`query`](Self::query) besides.
    pub async fn snapshot<W: Work>(&self, work: &W) -> Result<W::Done> {
        let begin = [
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT",
        ];
        self.read(&Together { work, begin: &begin }).await
    }

    /// Does work each statement of which takes effect by itself, under one timeout.
    ///
    /// # Errors
    /// What the work says; as [`query`](Self::query) besides.
    pub async fn call<W: Work>(&self, work: &W) -> Result<W::Done> {
        self.gate
            .call(async {
                let mut connection = self.connection().await?;
                let [mut pause, longest] = PAUSE;
                for _ in 1..TRIES {
                    match work.run(&mut connection).await {
                        Err(failure) if failure.is_in_the_way() => {
                            tokio::time::sleep(pause.mul_f64(fastrand::f64())).await;
                            pause = (pause * 2).min(longest);
                        }
                        outcome => return self.finish(&mut connection, outcome),
                    }
                }
                let outcome = work.run(&mut connection).await;
                self.finish(&mut connection, outcome)
            })
            .await
    }

    /// Decides what becomes of a connection after the work, and what the caller is told.
    fn finish<T>(&self, connection: &mut Connection<'_>, outcome: Result<T, Failure>) -> Result<T> {
        connection.is_sound = match &outcome {
            Err(Failure::Server(error)) => !classify::is_lost(error),
            _ => true,
        };
        if !connection.is_sound {
            // Most likely the others are no better.
            self.idle().clear();
        }
        outcome.map_err(|failure| match failure {
            Failure::Refused(error) => error,
            Failure::Server(error) => classify::error(&error, &self.target),
            Failure::Again => {
                Error::exhausted(format!("{}: others are in the way all the time", self.server()))
            }
        })
    }

    async fn connection(&self) -> Result<Connection<'_>> {
        let permit = self.permits.acquire().await;
        let permit = permit.map_err(|error| Error::internal("connections").with_source(error))?;
        let mut connection = Connection { of: self, conn: None, is_sound: false, _permit: permit };
        loop {
            let found = self.idle().pop();
            let Some((mut conn, since)) = found else { break };
            if since.elapsed() < STALE || Box::pin(conn.ping()).await.is_ok() {
                connection.conn = Some(conn);
                return Ok(connection);
            }
        }
        let making = Box::pin(Conn::new(self.target.opts.clone()));
        // The server is who speaks first, so another kind of server would be waited for in vain.
        let Ok(made) = tokio::time::timeout(self.greeting, making).await else {
            let within = base::units::show_duration(self.greeting);
            return Err(Error::unavailable(format!(
                "{} does not greet within {within}; is it MySQL, and does it run?",
                self.server()
            )));
        };
        connection.conn = Some(made.map_err(|error| classify::error(&error, &self.target))?);
        Ok(connection)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Conn, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection<'_> {
    /// Runs a statement, for its rows.
    ///
    /// # Errors
    /// What the server says, or that the connection is lost.
    pub async fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, Failure> {
        let parameters = parameters.to_vec();
        Ok(self.conn()?.exec(sql, parameters).await?)
    }

    /// Runs a statement, for its rows as they come. What `take` refuses ends it, and with it the
    /// connection, on which the rest would still come.
    ///
    /// # Errors
    /// As [`query`](Self::query); what `take` says.
    pub async fn each(
        &mut self,
        sql: &str,
        parameters: Vec<Value>,
        mut take: impl FnMut(Row) -> Result<()> + Send,
    ) -> Result<(), Failure> {
        let mut rows = self.conn()?.exec_iter(sql, parameters).await?;
        while let Some(row) = rows.next().await? {
            if let Err(refused) = take(row) {
                drop(rows);
                self.conn = None;
                return Err(refused.into());
            }
        }
        Ok(())
    }

    /// Runs a statement, for the number of rows that it found to change.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn execute(&mut self, sql: &str, parameters: Vec<Value>) -> Result<u64, Failure> {
        let conn = self.conn()?;
        conn.exec_drop(sql, parameters).await?;
        Ok(conn.affected_rows())
    }

    /// Runs a statement without parameters that is not worth to be kept.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn run(&mut self, sql: &str) -> Result<(), Failure> {
        Ok(self.conn()?.query_drop(sql).await?)
    }

    fn conn(&mut self) -> Result<&mut Conn, Failure> {
        self.conn.as_mut().ok_or_else(|| Error::internal("the connection is closed").into())
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        if self.is_sound
            && let Some(conn) = self.conn.take()
        {
            self.of.idle().push((conn, Instant::now()));
        }
    }
}

impl Work for Query<'_> {
    type Done = Vec<Row>;

    async fn run(&self, connection: &mut Connection<'_>) -> Result<Vec<Row>, Failure> {
        connection.query(self.0, self.1).await
    }
}

impl<W: Work> Work for Together<'_, W> {
    type Done = W::Done;

    async fn run(&self, connection: &mut Connection<'_>) -> Result<W::Done, Failure> {
        for step in self.begin {
            connection.run(step).await?;
        }
        let failure = match self.work.run(connection).await {
            Ok(done) => match connection.run("COMMIT").await {
                Ok(()) => return Ok(done),
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        let is_lost = matches!(&failure, Failure::Server(error) if classify::is_lost(error));
        if !is_lost && connection.conn.is_some() {
            connection.run("ROLLBACK").await?;
        }
        Err(failure)
    }
}

impl fmt::Debug for Mysql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mysql").field("gate", &self.gate).finish_non_exhaustive()
    }
}
