//! Backends behind TLS: an authority made for the case, and a front that ends TLS before an echo.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// Who signs certificates in a case.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, as PEM texts.
pub(crate) struct Certified {
    chain: String,
    key: String,
}

impl Authority {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Left out, it would be called as what it signs is, and this would pass for signing itself.
        let name = DnType::CommonName;
        params.distinguished_name.push(name, "an authority");
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);
        Ok(Self { issuer, pem })
    }

    /// A certificate for these names and addresses, of a server or a client.
    pub(crate) fn certify(&self, names: &[&str]) -> anyhow::Result<Certified> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names)?;
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate()?;
        Ok(Certified {
            chain: params.signed_by(&key, &self.issuer)?.pem(),
            key: key.serialize_pem(),
        })
    }

    /// A ConfigMap that says that this authority is to be believed.
    pub(crate) fn config_map(&self, name: &str) -> String {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  ca.crt: |\n{}---\n",
            indented(&self.pem)
        )
    }
}

impl Certified {
    /// A Secret that holds it.
    pub(crate) fn secret(&self, name: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\ntype: kubernetes.io/tls\nstringData:\n  \
             tls.crt: |\n{}  tls.key: |\n{}---\n",
            indented(&self.chain),
            indented(&self.key)
        )
    }
}

/// What ends TLS before a backend. It ends when dropped.
pub(crate) struct Front {
    address: SocketAddr,
    behind: SocketAddr,
    config: Arc<ServerConfig>,
    /// The server names that clients asked for.
    names: Arc<Mutex<BTreeSet<Option<String>>>>,
    serving: Option<JoinHandle<()>>,
}

impl Drop for Front {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

impl Front {
    /// A front at `address` for the backend `behind`, which asks clients for a certificate of
    /// `clients` where there is such an authority.
    pub(crate) async fn start(
        address: SocketAddr,
        behind: SocketAddr,
        certified: &Certified,
        clients: Option<&Authority>,
    ) -> anyhow::Result<Self> {
        let provider = Arc::new(default_provider());
        let config = ServerConfig::builder_with_provider(provider.clone());
        let config = config.with_safe_default_protocol_versions()?;
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes())?)?;
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build()?;
                config.with_client_cert_verifier(verifier)
            }
        };
        let chain = CertificateDer::from_pem_slice(certified.chain.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(certified.key.as_bytes())?;
        let mut config = config.with_single_cert(vec![chain], key)?;
        // What is behind speaks nothing else: a client that is let choose h2 gets nowhere.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut front = Self {
            address,
            behind,
            config: config.into(),
            names: Arc::default(),
            serving: None,
        };
        front.revive().await?;
        Ok(front)
    }

    /// Dies as a process does. Has happened when this returns.
    pub(crate) async fn kill(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            // It was ended, so that this is an error, as it should be.
            let _ = serving.await;
        }
    }

    /// Serves again, on the address it had.
    pub(crate) async fn revive(&mut self) -> anyhow::Result<()> {
        self.kill().await;
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(self.address)?;
        let listener = socket.listen(1024)?;
        let acceptor = TlsAcceptor::from(self.config.clone());
        let (names, behind) = (self.names.clone(), self.behind);
        self.serving = Some(tokio::spawn(serve(listener, acceptor, names, behind)));
        Ok(())
    }

    /// The server names that clients have asked for so far, in the end none among them.
    pub(crate) fn names(&self) -> Vec<Option<String>> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().cloned().collect()
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    names: Arc<Mutex<BTreeSet<Option<String>>>>,
    behind: SocketAddr,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { return };
                let (acceptor, names) = (acceptor.clone(), names.clone());
                connections.spawn(async move {
                    // A client that does not like the certificate, or has none, is gone.
                    let Ok(mut client) = acceptor.accept(client).await else { return };
                    let name = client.get_ref().1.server_name().map(str::to_owned);
                    names.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
                    if let Ok(mut server) = TcpStream::connect(behind).await {
                        // Ends with either side; how is no matter.
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A text as the value of a field in YAML.
fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}
