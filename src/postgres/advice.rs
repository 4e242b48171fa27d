//! What to do about a connection that failed over TLS, for the person who wrote the database URL.
//!
//! What happened is said by the error itself. The invariant: no advice lowers the check that was asked for.

use std::{error::Error, io};

use rustls::CertificateError;

/// What the driver says of a server that answers "no" to TLS; it has no other sign of it.
const NO_TLS: &str = "server does not support TLS";

/// What to do, where the cause is one of TLS.
pub(super) fn advice(error: &tokio_postgres::Error) -> Option<&'static str> {
    let cause = error.source()?;
    if let Some(certificate) = refused(cause) {
        return certificate_advice(certificate);
    }
    (cause.to_string() == NO_TLS)
        .then_some("turn TLS on in the server (`ssl = on`), or change `sslmode` in the database URL")
}

/// Why the server's certificate was refused.
fn refused<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a CertificateError> {
    match cause.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(certificate) => Some(certificate),
        _ => None,
    }
}

fn certificate_advice(certificate: &CertificateError) -> Option<&'static str> {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, UnknownIssuer,
    };
    match certificate {
        UnknownIssuer | BadSignature => Some(
            "name the authority that signed the server's certificate with `sslrootcert` in the database URL",
        ),
        NotValidForName | NotValidForNameContext { .. } => Some(
            "connect to the host by a name in its certificate's subjectAltName, or give it a certificate for this one",
        ),
        Expired | ExpiredContext { .. } => Some("give the server a new certificate"),
        CertificateError::Other(_) => Some(
            "give the server an X.509 v3 certificate of its own, signed by an authority: an authority's own does not \
             serve",
        ),
        _ => None,
    }
}
