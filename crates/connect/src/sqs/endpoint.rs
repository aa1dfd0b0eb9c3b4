//! Where the service is: a region of Amazon's, or an address of something that speaks its protocol.

use super::Credentials;
use crate::url::Target;
use base::{Error, Result};

/// The region where a URL says none.
const REGION: &str = "us-east-1";
/// The port of HTTPS, which no name of a host has.
const HTTPS: u16 = 443;
const HTTP: u16 = 80;

/// What a URL says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// What errors call it: the region, or `host:port`.
    pub(super) name: String,
    /// `host:port`
    pub(super) host: String,
    pub(super) tls: bool,
    /// The host as requests name it.
    pub(super) authority: String,
    /// Where calls go.
    pub(super) url: String,
    pub(super) region: String,
    pub(super) prefix: Option<String>,
    pub(super) credentials: Option<Credentials>,
    pub(super) is_amazon: bool,
}

impl Endpoint {
    /// Reads a URL.
    ///
    /// # Errors
    /// `Invalid`, without what is secret in it.
    pub(super) fn read(url: &str) -> Result<Self> {
        read(url).ok_or_else(|| {
            Error::invalid(format!("`{}` is no URL of SQS", base::redact(url))).with_hint(
                "write `sqs://REGION[/PREFIX]`, or `sqs://HOST:PORT[/PREFIX][?region=REGION]`",
            )
        })
    }
}

fn read(url: &str) -> Option<Endpoint> {
    let (scheme, rest) = url.split_once("://")?;
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, it)| (rest, Some(it)));
    let (place, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = match prefix {
        "" => None,
        prefix if is_prefix(prefix) => Some(prefix.to_owned()),
        _ => return None,
    };
    let said = query.map(|query| query.strip_prefix("region=").filter(|region| is_word(region)));
    let said = match said {
        Some(None) => return None,
        Some(Some(region)) => Some(region.to_owned()),
        None => None,
    };
    let is_tls = scheme.ends_with("ss");
    let named = place.rsplit_once('@').map_or(place, |(_, host)| host);
    let target = Target::read(&format!("{scheme}://{place}"), "sqs", port(is_tls))?;
    let credentials = target.user.map(|(key, secret)| Credentials { key, secret, token: None });
    if is_region(named) {
        if said.is_some() || is_tls {
            return None;
        }
        let end = if named.starts_with("cn-") { ".cn" } else { "" };
        let host = format!("sqs.{named}.amazonaws.com{end}");
        return Some(Endpoint {
            name: named.to_owned(),
            host: format!("{host}:{HTTPS}"),
            tls: true,
            url: format!("https://{host}/"),
            authority: host,
            region: named.to_owned(),
            prefix,
            credentials,
            is_amazon: true,
        });
    }
    let scheme = if is_tls { "https" } else { "http" };
    // A port that goes without saying is not said.
    let usual = format!(":{}", port(is_tls));
    let authority = target.host.strip_suffix(&usual).unwrap_or(&target.host).to_owned();
    Some(Endpoint {
        name: target.host.clone(),
        host: target.host,
        tls: is_tls,
        url: format!("{scheme}://{authority}/"),
        authority,
        region: said.unwrap_or_else(|| REGION.to_owned()),
        prefix,
        credentials,
        is_amazon: false,
    })
}

fn port(is_tls: bool) -> u16 {
    if is_tls { HTTPS } else { HTTP }
}

/// Whether it is what Amazon calls regions: `eu-central-1`.
fn is_region(name: &str) -> bool {
    let mut words = name.rsplit('-');
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let is_letters =
        |word: &str| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let has_number = words.next().is_some_and(is_number);
    has_number && words.clone().count() > 1 && words.all(is_letters)
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether names of queues can begin with it, with room for what comes after.
fn is_prefix(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.len() <= 40 && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_amazons_and_an_address_is_not() {
        let there = Endpoint::read("sqs://eu-central-1/orders").unwrap();
        assert_eq!(there.host, "sqs.eu-central-1.amazonaws.com:443");
        assert_eq!(there.url, "https://sqs.eu-central-1.amazonaws.com/");
        assert_eq!(
            (there.region.as_str(), there.prefix.as_deref()),
            ("eu-central-1", Some("orders"))
        );
        assert!(there.is_amazon && there.tls && there.credentials.is_none());
        let china = Endpoint::read("sqs://cn-north-1").unwrap();
        assert_eq!(china.authority, "sqs.cn-north-1.amazonaws.com.cn");
        assert!(Endpoint::read("sqs://us-gov-west-1").unwrap().is_amazon);
        let here = Endpoint::read("sqs://AK:s%2Fecret@127.0.0.1:5000?region=eu-west-2").unwrap();
        assert_eq!(
            (here.name.as_str(), here.url.as_str()),
            ("127.0.0.1:5000", "http://127.0.0.1:5000/")
        );
        assert_eq!((here.region.as_str(), here.is_amazon, here.tls), ("eu-west-2", false, false));
        let credentials = here.credentials.unwrap();
        assert_eq!((credentials.key.as_str(), credentials.secret.reveal()), ("AK", "s/ecret"));
        let tls = Endpoint::read("sqss://queues.example/p").unwrap();
        assert_eq!(
            (tls.host.as_str(), tls.authority.as_str()),
            ("queues.example:443", "queues.example")
        );
        assert_eq!(tls.region, REGION);
    }

    #[test]
    fn a_wrong_url_is_told_without_its_secret() {
        for wrong in [
            "sqs:",
            "sqs://",
            "sqs://eu-central-1/a/b",
            "sqs://eu-central-1/a.b",
            "sqs://eu-central-1?region=eu-west-1",
            "sqss://eu-central-1",
            "sqs://h:1?zone=a",
            "sqs://h:1?region=",
            "sqs://AK:hunter2@h:0",
            "sqs://AK:hunter2@h:1/p.q?region=hunter2",
            "sns://eu-central-1",
        ] {
            let error = Endpoint::read(wrong).unwrap_err();
            assert_eq!(error.kind(), base::Kind::Invalid, "{wrong}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
