//! What this program trusts when it connects to others by TLS, for every client that leaves the choice to us.

use std::{io, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    client::WebPkiServerVerifier,
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};

/// Why no connection by TLS can be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{file} holds no certificate of an authority: {cause}")]
    Authority { file: String, cause: io::Error },
    #[error("{file} cannot be used to prove who we are: {cause}")]
    Identity { file: String, cause: pem::Error },
    #[error("`sslcert` and `sslkey` go together in the database URL: one of them is missing")]
    HalfIdentity,
    #[error("this system's certificates of authorities cannot be read")]
    System,
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// Trusts the authorities in this PEM file alone, or those of the system.
pub(crate) fn client(authorities: Option<&Path>) -> Result<ClientConfig, Error> {
    let roots = roots(authorities)?;
    Ok(ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Looks at a server's certificates against the same authorities.
pub(crate) fn verifier(authorities: Option<&Path>) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let roots = Arc::new(roots(authorities)?);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider()).build();
    verifier.map_err(|error| Error::Tls(rustls::Error::General(error.to_string())))
}

/// Our own certificate, with those between it and its authority, and its key, out of PEM files.
pub(crate) fn identity(
    certificate: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
    let refused = |file: &Path, cause| Error::Identity { file: file.display().to_string(), cause };
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    Ok((
        chain.map_err(|cause| refused(certificate, cause))?,
        PrivateKeyDer::from_pem_file(key).map_err(|cause| refused(key, cause))?,
    ))
}

/// The cryptography of every connection.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn roots(authorities: Option<&Path>) -> Result<RootCertStore, Error> {
    match authorities {
        Some(file) => {
            read(file).map_err(|cause| Error::Authority { file: file.display().to_string(), cause })
        }
        None => system(),
    }
}

/// The authorities in a PEM file; one that cannot be read spoils it all, and so does none.
fn read(file: &Path) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(io::Error::other)? {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    if roots.is_empty() {
        return Err(io::Error::other("the file has none"));
    }
    Ok(roots)
}

fn system() -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(Error::System) } else { Ok(roots) }
}
