//! Both ends of mutual TLS, with whatever credentials are the newest.
//!
//! In: PEM texts, again whenever they change. Out: connections to Locum whose peer is known, and
//! connections from one replica to another. A connection keeps what it began with; the next one
//! uses the newest. Nothing is resumed, so that every connection is verified anew.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use time::OffsetDateTime;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tonic::codegen::Service;
use tonic::transport::{Channel, Endpoint};

use super::authority::Issued;
use super::certificate::{CERTIFICATE, Certificate, Flaw, KEY, KeyPem, TRUST, moment, shown};
use super::handshake::HandshakeError;
use super::identity::{Domain, Identity};

/// How long the other side may take to make itself known.
const HANDSHAKE_BOUND: Duration = Duration::from_secs(10);
/// What is spoken inside, as TLS negotiates it.
const PROTOCOL: &[u8] = b"h2";

/// One side's credentials as PEM texts: what Locum shows, and whom it believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    pub certificate: String,
    pub key: KeyPem,
    pub trust: String,
}

impl Texts {
    /// Whether the parts are whole and fit together.
    ///
    /// # Errors
    ///
    /// Says which part is wrong, and how.
    pub fn check(&self) -> Result<(), Flaw> {
        Credentials::new(self).map(|_| ())
    }
}

impl From<Issued> for Texts {
    fn from(issued: Issued) -> Self {
        Self {
            certificate: issued.certificate,
            key: issued.key,
            trust: issued.trust,
        }
    }
}

/// Credentials that fit together, ready for use.
#[derive(Debug)]
struct Credentials {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    not_after: OffsetDateTime,
    trust_until: OffsetDateTime,
}

/// Until when credentials hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// Locum's own certificate, and those with it that lead to its authority.
    pub own: Timestamp,
    /// The last of the authorities that peers are believed by: while one follows another, the one
    /// before runs out without harm.
    pub authorities: Timestamp,
}

impl Credentials {
    /// Reads the texts and puts them together.
    ///
    /// # Errors
    ///
    /// When one of them is broken, or they do not fit together.
    fn new(texts: &Texts) -> Result<Self, Flaw> {
        let shown = Certificate::all(&texts.certificate, CERTIFICATE)?;
        // Those after it may be for peers who believe an older authority, and run out without harm.
        let own = shown.first().map(|one| one.not_after);
        let not_after = own.expect("there is at least one");
        let mut roots = RootCertStore::empty();
        let trusted = Certificate::all(&texts.trust, TRUST)?;
        let latest = trusted.iter().map(|one| one.not_after).max();
        let trust_until = latest.expect("there is at least one");
        for root in trusted {
            let unusable = |error: rustls::Error| Flaw::Unusable(format!("{TRUST}: {error}"));
            roots.add(root.der).map_err(unusable)?;
        }
        let shown: Vec<_> = shown.into_iter().map(|one| one.der).collect();
        let roots = Arc::new(roots);
        Ok(Self {
            server: Arc::new(server_config(shown.clone(), &texts.key, roots.clone())?),
            client: Arc::new(client_config(shown, &texts.key, roots)?),
            not_after,
            trust_until,
        })
    }
}

fn server_config(
    shown: Vec<CertificateDer<'static>>,
    key: &KeyPem,
    roots: Arc<RootCertStore>,
) -> Result<ServerConfig, Flaw> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
        .build()
        .map_err(|error| Flaw::Unusable(format!("{TRUST}: {error}")))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unfit(&error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(shown, key.der(KEY)?)
        .map_err(|error| unfit(&error))?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client_config(
    shown: Vec<CertificateDer<'static>>,
    key: &KeyPem,
    roots: Arc<RootCertStore>,
) -> Result<ClientConfig, Flaw> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unfit(&error))?
        .with_root_certificates(roots)
        .with_client_auth_cert(shown, key.der(KEY)?)
        .map_err(|error| unfit(&error))?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The certificates in `chain`, whose first one `key` must belong to.
///
/// # Errors
///
/// When a text cannot be read, or the key is another one's.
pub fn pair(chain: &str, key: &KeyPem) -> Result<Vec<Certificate>, Flaw> {
    let shown = Certificate::all(chain, CERTIFICATE)?;
    let ders = shown.iter().map(|one| one.der.clone()).collect();
    CertifiedKey::from_der(ders, key.der(KEY)?, &aws_lc_rs::default_provider())
        .map_err(|error| unfit(&error))?;
    Ok(shown)
}

/// What rustls finds wrong with a certificate and its key.
fn unfit(error: &rustls::Error) -> Flaw {
    match error {
        rustls::Error::InconsistentKeys(_) => Flaw::OtherKey {
            certificate: CERTIFICATE.into(),
            key: KEY.into(),
        },
        other => Flaw::Unusable(format!("{CERTIFICATE} and {KEY}: {other}")),
    }
}

/// Credentials, or what is still waited for.
type Current = Result<Arc<Credentials>, Arc<str>>;

/// Mutual TLS with the newest credentials.
#[derive(Clone, Debug)]
pub struct Tls {
    domain: Domain,
    current: watch::Receiver<Current>,
}

/// Where new credentials are put in. Only the last good ones are used.
#[derive(Debug)]
pub struct Renewal(watch::Sender<Current>);

/// Why a connection did not come about.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The other side came to Locum.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// Locum came to the other side.
    #[error("no TLS: {0}")]
    Connect(#[from] std::io::Error),
    #[error("no TLS within {} s", HANDSHAKE_BOUND.as_secs())]
    Slow,
    #[error("no TLS yet: {0}")]
    NotReady(Arc<str>),
}

impl TlsError {
    /// The cause in one word, by which failures are counted.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Handshake(error) => error.cause(),
            Self::Connect(_) => "connect",
            Self::Slow => "slow",
            Self::NotReady(_) => "not_ready",
        }
    }
}

impl Tls {
    /// Mutual TLS that waits for its first credentials; `why` says for what.
    pub fn waiting(domain: Domain, why: &str) -> (Self, Renewal) {
        let (sender, current) = watch::channel(Err(why.into()));
        (Self { domain, current }, Renewal(sender))
    }

    /// What is missing before connections can be made, if anything is.
    pub fn missing(&self) -> Option<String> {
        match &*self.current.borrow() {
            Err(why) => Some(why.to_string()),
            Ok(credentials) => {
                let until = credentials.not_after;
                let out = until <= OffsetDateTime::now_utc();
                out.then(|| format!("the server's certificate ran out on {}", until.date()))
            }
        }
    }

    /// Until when the newest credentials hold; nothing before the first.
    pub fn expiry(&self) -> Option<Expiry> {
        let current = self.current.borrow();
        let credentials = current.as_ref().ok()?;
        Some(Expiry {
            own: moment(credentials.not_after)?,
            authorities: moment(credentials.trust_until)?,
        })
    }

    /// Waits for the first credentials.
    pub async fn ready(&self) {
        let mut current = self.current.clone();
        if current.wait_for(Result::is_ok).await.is_err() {
            // Nobody is left who could bring any.
            std::future::pending::<()>().await;
        }
    }

    /// Makes a connection that was accepted into one whose peer is known; until when its certificate
    /// holds comes along.
    ///
    /// # Errors
    ///
    /// When the peer speaks no TLS, takes too long, or shows no certificate that can be believed.
    pub async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<(server::TlsStream<TcpStream>, Identity, Option<Timestamp>), TlsError> {
        let config = self.newest()?.server.clone();
        let handshake = TlsAcceptor::from(config).accept(stream);
        let stream = timeout(HANDSHAKE_BOUND, handshake).await;
        let stream = stream.map_err(|_| TlsError::Slow)?;
        let stream = stream.map_err(HandshakeError::from)?;
        let certificates = stream.get_ref().1.peer_certificates();
        let own = certificates.and_then(|certificates| certificates.first());
        let (uris, until) = own.map(|own| shown(own)).unwrap_or_default();
        Ok((stream, self.domain.identity(&uris), until))
    }

    /// A channel to the replica at `address`, which has to show a certificate of Locum's Service.
    /// It connects when it is used, and again when it was broken. The bound of `endpoint` for
    /// connecting counts for all of it, the handshake too.
    pub fn channel(&self, endpoint: &Endpoint, address: SocketAddr) -> Channel {
        endpoint.connect_with_connector_lazy(Connector {
            tls: self.clone(),
            address,
        })
    }

    async fn connect(&self, address: SocketAddr) -> Result<client::TlsStream<TcpStream>, TlsError> {
        let config = self.newest()?.client.clone();
        let name = format!("locum.{}.svc", self.domain.namespace);
        let name = ServerName::try_from(name).expect("a namespace is a DNS label");
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(TlsConnector::from(config).connect(name, stream).await?)
    }

    fn newest(&self) -> Result<Arc<Credentials>, TlsError> {
        self.current.borrow().clone().map_err(TlsError::NotReady)
    }
}

/// Connects to one replica, as a channel asks for it.
#[derive(Clone)]
struct Connector {
    tls: Tls,
    address: SocketAddr,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<client::TlsStream<TcpStream>>;
    type Error = TlsError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { tls, address } = self.clone();
        Box::pin(async move { tls.connect(address).await.map(TokioIo::new) })
    }
}

impl Renewal {
    /// Uses `texts` from the next connection on.
    ///
    /// # Errors
    ///
    /// When they are of no use; then those before stay.
    pub fn renew(&self, texts: &Texts) -> Result<(), Flaw> {
        let credentials = Credentials::new(texts)?;
        self.0
            .send_modify(|current| *current = Ok(Arc::new(credentials)));
        Ok(())
    }

    /// Says what is waited for, as long as there are no credentials.
    pub fn still_waiting(&self, why: &str) {
        self.0.send_if_modified(|current| match current {
            Err(known) if **known != *why => {
                *known = why.into();
                true
            }
            _ => false,
        });
    }
}
