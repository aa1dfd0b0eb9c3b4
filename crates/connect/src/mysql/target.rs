//! What a URL of MySQL says: where the server is, and whether the way there is encrypted.

use crate::tls::{self, Trust};
use base::{Error, Result};
use mysql_async::{ClientIdentity, Opts, OptsBuilder, SslOpts};

/// How many statements a connection remembers.
const STATEMENTS: usize = 256;

/// A URL that was read.
pub(super) struct Target {
    pub(super) opts: Opts,
    /// The server's name in messages.
    pub(super) shown: String,
    pub(super) has_tls: bool,
}

impl Target {
    /// Reads a URL. `has_ca`: the binding names authorities, so it wants TLS.
    pub(super) fn parse(url: &str, has_ca: bool) -> Result<Self> {
        let shown = base::redact(url);
        let wrong = || Error::invalid(format!("`{shown}` is no URL of a MySQL server"));
        let (rest, mode) = split(url);
        let mode = mode.map(str::to_ascii_lowercase);
        let has_tls = match mode.as_deref() {
            Some("disabled") if has_ca => {
                return Err(Error::invalid("`ca` is for TLS, which `ssl-mode=disabled` turns off"));
            }
            Some("disabled") => false,
            // There is no TLS without knowing whom one talks to.
            Some("required" | "verify_ca" | "verify_identity") => true,
            None => has_ca,
            Some(other) => {
                return Err(wrong().with_source(Error::invalid(format!(
                    "`ssl-mode={other}` is none of disabled, required, verify_identity"
                ))));
            }
        };
        let opts = Opts::from_url(&rest).map_err(|error| wrong().with_source(error))?;
        if opts.db_name().is_none_or(str::is_empty) {
            return Err(wrong().with_source(Error::invalid("it names no database")));
        }
        let shown = match opts.socket() {
            Some(path) => format!("mysql {path}"),
            None => format!("mysql {}:{}", opts.ip_or_hostname(), opts.tcp_port()),
        };
        Ok(Self { opts, shown, has_tls })
    }

    /// Where the server is, as `host:port`, if it has an address.
    pub(super) fn hosts(&self) -> Vec<String> {
        let host = || format!("{}:{}", self.opts.ip_or_hostname(), self.opts.tcp_port());
        self.opts.socket().is_none().then(host).into_iter().collect()
    }

    /// Completes what connections are made with.
    pub(super) fn prepare(&mut self, trust: &Trust, session: Vec<String>) -> Result<()> {
        let tls = match self.has_tls {
            true => Some(ssl(trust)?),
            false => None,
        };
        let builder = OptsBuilder::from_opts(self.opts.clone())
            .ssl_opts(tls)
            // Where the URL leads, and nowhere else.
            .prefer_socket(false)
            .tcp_nodelay(true)
            .stmt_cache_size(STATEMENTS)
            // A row that was found counts, changed or not.
            .client_found_rows(true)
            .setup(session);
        self.opts = builder.into();
        Ok(())
    }
}

fn ssl(trust: &Trust) -> Result<SslOpts> {
    let roots = match trust.ca() {
        Some(pem) => vec![pem.to_vec().into()],
        None => {
            let all = tls::system_certificates()?.into_iter();
            all.map(|certificate| certificate.to_vec().into()).collect()
        }
    };
    let identity = trust.identity().map(|(certificate, key)| {
        ClientIdentity::new(certificate.to_vec().into(), key.to_vec().into())
    });
    let ssl = SslOpts::default().with_root_certs(roots).with_disable_built_in_roots(true);
    Ok(ssl.with_client_identity(identity))
}

/// The URL as the client takes it, without its `ssl-mode`.
fn split(url: &str) -> (String, Option<&str>) {
    match url.split_once("://") {
        Some(("mariadb", rest)) => (format!("mysql://{}", without_mode(rest)), mode(rest)),
        _ => (without_mode(url), mode(url)),
    }
}

fn mode(url: &str) -> Option<&str> {
    let (_, query) = url.split_once('?')?;
    query.split('&').filter_map(|pair| pair.strip_prefix("ssl-mode=")).next_back()
}

fn without_mode(url: &str) -> String {
    let Some((start, query)) = url.split_once('?') else { return url.to_owned() };
    let others: Vec<&str> =
        query.split('&').filter(|pair| !pair.starts_with("ssl-mode=")).collect();
    match others.is_empty() {
        true => start.to_owned(),
        false => format!("{start}?{}", others.join("&")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_tls(url: &str, has_ca: bool) -> bool {
        Target::parse(url, has_ca).unwrap().has_tls
    }

    #[test]
    fn tls_is_as_the_url_says_and_never_less() {
        assert!(!has_tls("mysql://h/d", false));
        assert!(has_tls("mariadb://h/d", true));
        for word in ["REQUIRED", "required", "VERIFY_IDENTITY"] {
            assert!(has_tls(&format!("mysql://h/d?tcp_nodelay=true&ssl-mode={word}"), false));
        }
        assert!(Target::parse("mysql://h/d?ssl-mode=disabled", true).is_err());
        assert!(Target::parse("mysql://h/d?ssl-mode=preferred", false).is_err());
    }

    #[test]
    fn a_wrong_url_is_told_without_its_password() {
        for url in ["mysql://u:hunter2@h:x/d", "mysql://u:hunter2@h/d?nonsense=1", "mysql://h"] {
            let error = Target::parse(url, false).err().unwrap();
            assert_eq!(error.kind(), base::Kind::Invalid, "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        assert_eq!(Target::parse("mariadb://u@h/d", false).unwrap().shown, "mysql h:3306");
    }
}
