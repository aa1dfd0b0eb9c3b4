//! What TLS said no to, however deep it lies in a client's error, and what to do about it.

use rustls::{AlertDescription, CertificateError, Error as Tls};
use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

/// What there is to mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// The server does not speak TLS.
    Plain,
    /// The server's certificate, or the client's, with what to do.
    Certificate(&'static str),
}

/// What TLS said, if it did.
pub(crate) fn said<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Tls> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(said) = error.downcast_ref::<Tls>() {
            return Some(said);
        }
        cause = held(error).or_else(|| error.source());
    }
    None
}

/// What an error holds that passes on the source of what it holds, not that itself.
fn held<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    if let Some(shared) = error.downcast_ref::<Arc<dyn StdError + Send + Sync>>() {
        return Some(&**shared);
    }
    let held: &(dyn StdError + 'static) = error.downcast_ref::<io::Error>()?.get_ref()?;
    Some(held)
}

/// What is wrong, where it is nothing that passes.
pub(crate) fn wrong(said: &Tls) -> Option<Wrong> {
    Some(match said {
        Tls::InvalidMessage(_) => Wrong::Plain,
        Tls::InvalidCertificate(wrong) => Wrong::Certificate(of_certificate(wrong)),
        Tls::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::HandshakeFailure,
        ) => Wrong::Certificate("it wants another certificate; give `certificate` and `key`"),
        _ => return None,
    })
}

fn of_certificate(wrong: &CertificateError) -> &'static str {
    match wrong {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the certificate is for another name: write that name in the URL"
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => "renew the server's certificate",
        _ => "name the authority that signed the certificate: `ca = \"FILE\"`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tls_says_is_found_however_deep_it_lies() {
        let unknown = Tls::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(said(&unknown), Some(&unknown));
        let io = io::Error::other(unknown.clone());
        assert_eq!(said(&io), Some(&unknown));
        let deeper = base::Error::unavailable("a call").with_source(io);
        assert_eq!(said(&deeper), Some(&unknown));
        let shared: Arc<dyn StdError + Send + Sync> = Arc::new(io::Error::other(unknown.clone()));
        assert_eq!(said(&base::Error::internal("x").with_source(shared)), Some(&unknown));
        assert_eq!(said(&io::Error::other("refused")), None);
    }

    #[test]
    fn what_tls_says_no_to_has_a_hint() {
        let hint = |said: Tls| match wrong(&said) {
            Some(Wrong::Certificate(hint)) => hint,
            other => panic!("{other:?}"),
        };
        let certificate = |wrong| hint(Tls::InvalidCertificate(wrong));
        assert!(certificate(CertificateError::UnknownIssuer).contains("`ca = "));
        assert!(certificate(CertificateError::NotValidForName).contains("another name"));
        assert!(certificate(CertificateError::Expired).contains("renew"));
        let asked = Tls::AlertReceived(AlertDescription::CertificateRequired);
        assert!(hint(asked).contains("`certificate` and `key`"));
        let plain = Tls::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        assert_eq!(wrong(&plain), Some(Wrong::Plain));
        assert_eq!(wrong(&Tls::HandshakeNotComplete), None);
    }
}
