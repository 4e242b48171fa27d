//! How a session is made: the one place that reads a database URL and does TLS as it says.
//!
//! `sslmode`, `sslrootcert`, `sslcert` and `sslkey` mean what they mean to libpq (PostgreSQL documentation, 34.19): `prefer`
//! and `require` encrypt without checking the certificate, unless authorities are named; `verify-ca` checks who signed it,
//! `verify-full` the name too. Without `sslrootcert` the last two trust the authorities of the system.

use std::{
    future::poll_fn,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use percent_encoding::percent_decode_str;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::sleep;
use tokio_postgres::{
    AsyncMessage, Client, Config, Connection, Socket, config::SslMode, tls::MakeTlsConnect,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Error;
use crate::{tls, trouble::Trouble};

/// What every session sets, so that no statement depends on the server's or the user's settings, and no name means what
/// another login put into a schema of its own (CVE-2018-1058). Statements are not compiled (`jit`): that takes ten milliseconds and more
/// at each of them, and is chosen by what a plan is thought to cost, which for a batch of appends is far from what it does.
const SESSION_OPTIONS: &str = "-c TimeZone=UTC -c DateStyle=ISO,YMD -c IntervalStyle=iso_8601 -c bytea_output=hex \
                               -c extra_float_digits=1 -c lc_monetary=C -c lc_numeric=C -c lc_time=C \
                               -c transform_null_equals=off -c default_transaction_isolation=read\\ committed \
                               -c client_min_messages=warning -c jit=off -c search_path=pg_catalog,pg_temp";

/// Wait before connecting again.
const RECONNECT_WAIT: Duration = Duration::from_millis(500);
/// What lasted for longer was a session, and no vain try to have one.
const THERE: Duration = Duration::from_secs(10);

type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// A connection outside any pool; whoever asks for it drives it.
pub async fn connect(
    url: &SecretString,
    tcp_user_timeout: Duration,
) -> Result<(Client, Connection<Socket, Stream>), Error> {
    let (config, tls) = session(url, tcp_user_timeout)?;
    Ok(config.connect(tls).await?)
}

/// Gives `hear` the payload of each notification; drives the connection meanwhile, and returns how it ended.
pub async fn notifications(mut connection: Connection<Socket, Stream>, mut hear: impl FnMut(&str)) -> Error {
    loop {
        match poll_fn(|cx| connection.poll_message(cx)).await {
            Some(Ok(AsyncMessage::Notification(notification))) => hear(notification.payload()),
            Some(Ok(_)) => {}
            Some(Err(error)) => return error.into(),
            None => return Error::Ended,
        }
    }
}

/// Sessions one after the other, for what needs one all the time.
pub struct Sessions {
    lost: &'static str,
    trouble: Trouble,
    began: Instant,
}

impl Sessions {
    /// `lost` is said of a session that ends: what it means to be without.
    pub fn new(lost: &'static str) -> Self {
        Self { lost, trouble: Trouble::new(lost), began: Instant::now() }
    }

    /// Waits until it is time for another session after one that ended by this error, or was not to be had.
    pub async fn next(&mut self, error: Error) {
        if self.began.elapsed() > THERE {
            self.trouble = Trouble::new(self.lost);
        }
        self.trouble.say(error);
        sleep(RECONNECT_WAIT).await;
        self.began = Instant::now();
    }
}

/// Settings of one session, and how it does TLS.
pub fn session(url: &SecretString, tcp_user_timeout: Duration) -> Result<(Config, MakeRustlsConnect), Error> {
    let (url, wanted) = split(url.expose_secret())?;
    let mut config: Config = url.parse().map_err(Error::Url)?;
    let options = match config.get_options() {
        // The last one counts.
        Some(own) => format!("{own} {SESSION_OPTIONS}"),
        None => SESSION_OPTIONS.to_owned(),
    };
    config
        .options(options)
        .application_name("annals")
        .ssl_mode(wanted.mode)
        .tcp_user_timeout(tcp_user_timeout)
        .connect_timeout(tcp_user_timeout)
        .keepalives_idle(tcp_user_timeout)
        .keepalives_interval(tcp_user_timeout);
    Ok((config, MakeRustlsConnect::new(wanted.client()?)))
}

/// What a URL says about TLS.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    mode: SslMode,
    checks: Checks,
    authorities: Option<PathBuf>,
    /// Files of our own certificate and its key.
    own: (Option<PathBuf>, Option<PathBuf>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checks {
    Nothing,
    Chain,
    ChainAndName,
}

/// Takes what concerns TLS out of a URL. The driver's other form, `host=… sslmode=…`, is refused: what it says of TLS would
/// not be seen here.
fn split(url: &str) -> Result<(String, Wanted), Error> {
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(Error::NoUrl);
    }
    // A `?` before the `@` is the password's.
    let place = url.find('@').unwrap_or(0);
    let end = url[place..].find('?').map_or(url.len(), |at| place + at);
    let (base, query) = (&url[..end], url[end..].trim_start_matches('?'));
    let (mut rest, mut mode, mut authorities, mut own) = (Vec::new(), None, None, (None, None));
    let mut is_system = false;
    let path = |file| Some(PathBuf::from(&*percent_decode_str(file).decode_utf8_lossy()));
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("sslmode", value)) => mode = Some(value),
            Some(("sslrootcert", "system")) => (authorities, is_system) = (None, true),
            Some(("sslrootcert", file)) => (authorities, is_system) = (path(file), false),
            Some(("sslcert", file)) => own.0 = path(file),
            Some(("sslkey", file)) => own.1 = path(file),
            _ => rest.push(parameter),
        }
    }
    let chain_if_named = if authorities.is_some() { Checks::Chain } else { Checks::Nothing };
    let (mode, checks) = match mode.unwrap_or(if is_system { "verify-full" } else { "prefer" }) {
        // Anybody can have a certificate of those authorities, for a name of their own.
        weak @ ("disable" | "allow" | "prefer" | "require" | "verify-ca") if is_system => {
            return Err(Error::SystemAuthorities(weak.to_owned()));
        }
        "disable" => (SslMode::Disable, Checks::Nothing),
        "allow" | "prefer" => (SslMode::Prefer, chain_if_named),
        "require" => (SslMode::Require, chain_if_named),
        "verify-ca" => (SslMode::Require, Checks::Chain),
        "verify-full" => (SslMode::Require, Checks::ChainAndName),
        other => return Err(Error::SslMode(other.to_owned())),
    };
    let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
    Ok((url, Wanted { mode, checks, authorities, own }))
}

impl Wanted {
    fn client(&self) -> Result<ClientConfig, tls::Error> {
        let authorities = self.authorities.as_deref();
        let provider = tls::provider();
        let verifier: Arc<dyn ServerCertVerifier> = match self.checks {
            Checks::ChainAndName => tls::verifier(authorities)?,
            Checks::Chain => {
                Arc::new(AnyName { chain: Some(tls::verifier(authorities)?), provider: provider.clone() })
            }
            Checks::Nothing => Arc::new(AnyName { chain: None, provider: provider.clone() }),
        };
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        match &self.own {
            (Some(certificate), Some(key)) => {
                let (chain, key) = tls::identity(certificate, key)?;
                Ok(client.with_client_auth_cert(chain, key)?)
            }
            (None, None) => Ok(client.with_no_client_auth()),
            _ => Err(tls::Error::HalfIdentity),
        }
    }
}

/// Looks at the chain, if at all, and not at the name.
#[derive(Debug)]
struct AnyName {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        match chain.verify_server_cert(end, between, name, ocsp, now) {
            // The name is looked at last.
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
