//! Each vendor's client with the vendor's bare commands: what nobody can be faster than.

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use bytes::Bytes;
use mysql_async::prelude::Queryable as _;
use std::sync::Arc;

/// As many connections as the backends open where one is not enough.
const CONNECTIONS: usize = 16;

/// A get and a set, and nothing else.
#[async_trait]
pub(crate) trait Bare: Send + Sync {
    async fn get(&self, key: &str) -> Result<()>;
    async fn set(&self, key: &str, value: &[u8]) -> Result<()>;
}

/// The bare client of a backend's server.
///
/// # Errors
/// When the server does not take it.
pub(crate) async fn open(backend: &str, url: &str) -> Result<Option<Arc<dyn Bare>>> {
    Ok(match backend {
        "redis" => {
            let client = redis::Client::open(url)?;
            Some(Arc::new(Redis(client.get_multiplexed_async_connection().await?)))
        }
        "postgres" => Some(Arc::new(Postgres::open(url).await?)),
        "mysql" => Some(Arc::new(Mysql::open(url).await?)),
        "nats" => Some(Arc::new(Nats::open(url).await?)),
        "etcd" => {
            let address = url.trim_start_matches("etcd://");
            Some(Arc::new(Etcd(etcd_client::Client::connect([address], None).await?)))
        }
        _ => None,
    })
}

struct Redis(redis::aio::MultiplexedConnection);

#[async_trait]
impl Bare for Redis {
    async fn get(&self, key: &str) -> Result<()> {
        let mut connection = self.0.clone();
        let found: Option<Vec<u8>> =
            redis::cmd("GET").arg(key).query_async(&mut connection).await?;
        drop(found);
        Ok(())
    }

    async fn set(&self, key: &str, value: &[u8]) -> Result<()> {
        let mut connection = self.0.clone();
        redis::cmd("SET").arg(key).arg(value).query_async::<()>(&mut connection).await?;
        Ok(())
    }
}

struct Postgres(deadpool_postgres::Pool);

impl Postgres {
    async fn open(url: &str) -> Result<Self> {
        let manager = deadpool_postgres::Manager::new(url.parse()?, tokio_postgres::NoTls);
        let pool = deadpool_postgres::Pool::builder(manager).max_size(CONNECTIONS).build()?;
        pool.get()
            .await?
            .batch_execute("CREATE TABLE IF NOT EXISTS bare (key text PRIMARY KEY, value bytea)")
            .await?;
        Ok(Self(pool))
    }
}

#[async_trait]
impl Bare for Postgres {
    async fn get(&self, key: &str) -> Result<()> {
        let client = self.0.get().await?;
        let query = client.prepare_cached("SELECT value FROM bare WHERE key = $1").await?;
        let found: Option<Vec<u8>> = client.query_opt(&query, &[&key]).await?.map(|row| row.get(0));
        drop(found);
        Ok(())
    }

    async fn set(&self, key: &str, value: &[u8]) -> Result<()> {
        let client = self.0.get().await?;
        let query = client
            .prepare_cached(
                "INSERT INTO bare (key, value) VALUES ($1, $2) \
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            )
            .await?;
        client.execute(&query, &[&key, &value]).await?;
        Ok(())
    }
}

struct Mysql(mysql_async::Pool);

impl Mysql {
    async fn open(url: &str) -> Result<Self> {
        let url = url.replacen("mariadb:", "mysql:", 1);
        let limits = mysql_async::PoolConstraints::new(CONNECTIONS, CONNECTIONS)
            .context("as many as as many")?;
        let options = mysql_async::OptsBuilder::from_opts(mysql_async::Opts::from_url(&url)?)
            .pool_opts(mysql_async::PoolOpts::new().with_constraints(limits));
        let pool = mysql_async::Pool::new(options);
        let mut connection = pool.get_conn().await?;
        connection
            .query_drop(
                "CREATE TABLE IF NOT EXISTS bare (k varbinary(255) PRIMARY KEY, v longblob)",
            )
            .await?;
        drop(connection);
        Ok(Self(pool))
    }
}

#[async_trait]
impl Bare for Mysql {
    async fn get(&self, key: &str) -> Result<()> {
        let mut connection = self.0.get_conn().await?;
        let found: Option<Vec<u8>> =
            connection.exec_first("SELECT v FROM bare WHERE k = ?", (key,)).await?;
        drop(found);
        Ok(())
    }

    async fn set(&self, key: &str, value: &[u8]) -> Result<()> {
        let mut connection = self.0.get_conn().await?;
        let query = "INSERT INTO bare (k, v) VALUES (?, ?) ON DUPLICATE KEY UPDATE v = VALUES(v)";
        connection.exec_drop(query, (key, value)).await?;
        Ok(())
    }
}

struct Nats(async_nats::jetstream::kv::Store);

impl Nats {
    /// The bucket is made by hand: servers before 2.10 answer the client's own way unreadably.
    async fn open(url: &str) -> Result<Self> {
        let context = async_nats::jetstream::new(async_nats::connect(url).await?);
        let stream = async_nats::jetstream::stream::Config {
            name: "KV_bare".to_owned(),
            subjects: vec!["$KV.bare.>".to_owned()],
            max_messages_per_subject: 1,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            ..Default::default()
        };
        context.get_or_create_stream(stream).await?;
        Ok(Self(context.get_key_value("bare").await?))
    }
}

#[async_trait]
impl Bare for Nats {
    async fn get(&self, key: &str) -> Result<()> {
        drop(self.0.get(key).await?);
        Ok(())
    }

    async fn set(&self, key: &str, value: &[u8]) -> Result<()> {
        self.0.put(key, Bytes::copy_from_slice(value)).await?;
        Ok(())
    }
}

struct Etcd(etcd_client::Client);

#[async_trait]
impl Bare for Etcd {
    async fn get(&self, key: &str) -> Result<()> {
        let mut client = self.0.clone();
        drop(client.get(key, None).await?);
        Ok(())
    }

    async fn set(&self, key: &str, value: &[u8]) -> Result<()> {
        let mut client = self.0.clone();
        client.put(key, value, None).await?;
        Ok(())
    }
}
