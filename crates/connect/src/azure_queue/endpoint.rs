//! Where the queues are: an account of Azure's, or an address of something that speaks as it does.

use crate::url::address;
use base::{Error, Result};

/// What stands behind an account's name.
const AZURE: &str = "queue.core.windows.net";

/// What a URL says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// What errors call it: the account, or `host:port`.
    pub(super) name: String,
    /// `host:port`
    pub(super) host: String,
    pub(super) tls: bool,
    /// The host as requests name it.
    pub(super) authority: String,
    pub(super) account: String,
    pub(super) prefix: Option<String>,
    pub(super) is_azure: bool,
}

impl Endpoint {
    /// Reads a URL.
    ///
    /// # Errors
    /// `Invalid`, without what is secret in it.
    pub(super) fn read(url: &str) -> Result<Self> {
        read(url).ok_or_else(|| {
            Error::invalid(format!("`{}` is no URL of queues of Azure", base::redact(url)))
                .with_hint(
                    "write `azure-queue://ACCOUNT[/PREFIX]`, or \
                     `azure-queue://HOST:PORT/ACCOUNT[/PREFIX]`",
                )
        })
    }

    /// The path of what is in the account.
    pub(super) fn path(&self, path: &[&str]) -> String {
        let account = if self.is_azure { "" } else { &self.account };
        let all = [account].into_iter().filter(|it| !it.is_empty()).chain(path.iter().copied());
        let path: String = all.flat_map(|word| ["/", word]).collect();
        if path.is_empty() { "/".to_owned() } else { path }
    }
}

fn read(url: &str) -> Option<Endpoint> {
    let (scheme, rest) = url.split_once("://")?;
    let tls = match scheme {
        "azure-queue" => false,
        "azure-queues" => true,
        _ => return None,
    };
    let mut words = rest.strip_suffix('/').unwrap_or(rest).split('/');
    let first = words.next()?;
    if is_account(first) && !tls {
        let authority = format!("{first}.{AZURE}");
        let endpoint = Endpoint {
            name: first.to_owned(),
            host: format!("{authority}:443"),
            tls: true,
            authority,
            account: first.to_owned(),
            prefix: words.next().map(str::to_owned),
            is_azure: true,
        };
        return words.next().is_none().then_some(endpoint);
    }
    let usual = if tls { 443 } else { 80 };
    let host = address(first, usual)?;
    let authority = host.strip_suffix(&format!(":{usual}")).unwrap_or(&host).to_owned();
    let account = words.next().filter(|account| is_account(account))?.to_owned();
    let prefix = words.next().map(str::to_owned);
    let name = host.clone();
    let endpoint = Endpoint { name, host, tls, authority, account, prefix, is_azure: false };
    words.next().is_none().then_some(endpoint)
}

/// Whether it is what Azure calls accounts: 3 to 24 small letters and digits.
fn is_account(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (3..=24).contains(&name.len()) && name.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_azures_and_an_address_is_not() {
        let there = Endpoint::read("azure-queue://shop1/orders").unwrap();
        assert_eq!(there.host, "shop1.queue.core.windows.net:443");
        assert_eq!((there.account.as_str(), there.prefix.as_deref()), ("shop1", Some("orders")));
        assert_eq!((there.path(&["q"]), there.path(&[])), ("/q".to_owned(), "/".to_owned()));
        let here = Endpoint::read("azure-queue://127.0.0.1:10001/devstoreaccount1").unwrap();
        assert_eq!(
            (here.name.as_str(), here.tls, here.is_azure),
            ("127.0.0.1:10001", false, false)
        );
        assert_eq!(here.path(&["q", "messages"]), "/devstoreaccount1/q/messages");
        let tls = Endpoint::read("azure-queues://queues.example/shop1").unwrap();
        assert_eq!(
            (tls.host.as_str(), tls.authority.as_str()),
            ("queues.example:443", "queues.example")
        );
        for wrong in [
            "azure-queue:",
            "azure-queue://",
            "azure-queue://Shop",
            "azure-queue://shop1/a/b",
            "azure-queue://h:1",
            "azure-queue://h:0/shop1",
            "azure-queue://h:1/shop1/a/b",
            "azure-blob://shop1",
        ] {
            assert_eq!(Endpoint::read(wrong).unwrap_err().kind(), base::Kind::Invalid, "{wrong}");
        }
    }
}
