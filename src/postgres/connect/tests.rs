//! Against a server that does the first steps of Postgres' protocol, and TLS.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::*;

fn authority(dir: &Path, name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(dir.join(name), authority.pem()).unwrap();
    authority
}

fn server_config(authority: &CertifiedIssuer<'static, KeyPair>, host: &str) -> ServerConfig {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([host.to_owned()]).unwrap().signed_by(&key, authority).unwrap();
    ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap()
}

/// Whether a client that was given this URL's query goes on beyond the handshake.
async fn is_trusted(server: &ServerConfig, query: &str) -> bool {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://u@localhost:{}/d?{query}", listener.local_addr().unwrap().port());
    let client = tokio::spawn(async move { connect(&url.into(), Duration::from_secs(10)).await.map(drop) });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut asked = [0; 8];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!(asked[4..], 80_877_103_u32.to_be_bytes(), "a request for TLS");
    stream.write_all(b"S").await.unwrap();
    let handshake = TlsAcceptor::from(Arc::new(server.clone())).accept(stream).await;
    let went_on = match handshake {
        Ok(mut stream) => stream.read(&mut asked).await.is_ok_and(|bytes| bytes > 0),
        Err(_) => false,
    };
    assert!(client.await.unwrap().is_err(), "it is no Postgres");
    went_on
}

#[tokio::test]
async fn each_mode_trusts_whom_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let ours = authority(dir.path(), "ours.pem");
    authority(dir.path(), "others.pem");
    let (good, misnamed) = (server_config(&ours, "localhost"), server_config(&ours, "elsewhere"));
    let with = |mode: &str, file: &str| {
        format!("sslmode={mode}&sslrootcert={}&connect_timeout=9", dir.path().join(file).display())
    };
    for (mode, trusts) in [("require", true), ("verify-ca", true), ("verify-full", false)] {
        assert!(is_trusted(&good, &with(mode, "ours.pem")).await, "{mode}");
        assert!(!is_trusted(&good, &with(mode, "others.pem")).await, "{mode}");
        assert_eq!(is_trusted(&misnamed, &with(mode, "ours.pem")).await, trusts, "{mode}");
    }
    let system = "sslrootcert=system";
    assert!(!is_trusted(&good, system).await, "nobody of the system's authorities knows it");
    for weak in ["disable", "prefer", "require", "verify-ca"] {
        let refused = split(&format!("postgres://u@h/d?{system}&sslmode={weak}"));
        assert!(matches!(refused, Err(Error::SystemAuthorities(mode)) if mode == weak), "{weak}");
    }
    assert!(is_trusted(&misnamed, "sslmode=require").await);
    assert!(is_trusted(&misnamed, "").await);
}

#[test]
fn what_concerns_tls_is_taken_out() {
    let (url, wanted) =
        split("postgres://h/d?options=-c%20a%3Db&sslmode=verify-full&sslrootcert=/a%20b").unwrap();
    assert_eq!(url, "postgres://h/d?options=-c%20a%3Db");
    let authorities = Some(PathBuf::from("/a b"));
    let own = (None, None);
    assert_eq!(wanted, Wanted { mode: SslMode::Require, checks: Checks::ChainAndName, authorities, own });
    let half = "postgres://h/d?sslcert=/a".to_owned();
    assert!(matches!(session(&half.into(), Duration::ZERO), Err(Error::Tls(tls::Error::HalfIdentity))));
    let (url, wanted) = split("postgres://h/d").unwrap();
    assert_eq!(
        (url.as_str(), wanted.mode, wanted.checks),
        ("postgres://h/d", SslMode::Prefer, Checks::Nothing)
    );
    assert!(matches!(split("postgres://h/d?sslmode=maybe"), Err(Error::SslMode(_))));
    assert!(matches!(split("host=h dbname=d sslmode=require"), Err(Error::NoUrl)));
    let (url, wanted) = split("postgresql://u:a?b=c@h/d?sslmode=require").unwrap();
    assert_eq!((url.as_str(), wanted.mode), ("postgresql://u:a?b=c@h/d", SslMode::Require));
    let missing = "postgres://h/d?sslmode=verify-full&sslrootcert=/nonexistent".to_owned();
    assert!(matches!(session(&missing.into(), Duration::ZERO), Err(Error::Tls(_))));
}
