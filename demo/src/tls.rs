//! TLS of backends: an authority made for a test, the certificates that it signs, and how a server
//! shows them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// The files of a certificate and of its key.
const CHAIN: &str = "tls.crt";
const KEY: &str = "tls.key";

/// Who signs certificates in a test.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, as PEM texts.
pub struct Certified {
    chain: String,
    key: String,
}

impl Authority {
    /// A new one, which nobody believes yet.
    ///
    /// # Errors
    ///
    /// When there is no key to be had.
    pub fn new() -> anyhow::Result<Self> {
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
    ///
    /// # Errors
    ///
    /// When one of them is no name.
    pub fn certify(&self, names: &[&str]) -> anyhow::Result<Certified> {
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

    /// Its own certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A ConfigMap that says that this authority is to be believed.
    pub fn config_map(&self, name: &str) -> String {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  ca.crt: |\n{}---\n",
            indented(&self.pem)
        )
    }
}

impl Certified {
    /// Reads what [`Certified::write`] has written.
    ///
    /// # Errors
    ///
    /// When a file is not there.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).with_context(|| path.display().to_string())
        };
        Ok(Self {
            chain: read(CHAIN)?,
            key: read(KEY)?,
        })
    }

    /// Writes it to two files of a folder.
    ///
    /// # Errors
    ///
    /// When they cannot be written.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        for (name, text) in [(CHAIN, &self.chain), (KEY, &self.key)] {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    /// A server of HTTP/1.1 that shows it, and asks clients for a certificate of `clients` where
    /// there is such an authority.
    ///
    /// # Errors
    ///
    /// When certificate and key do not belong together.
    pub fn server(&self, clients: Option<&Authority>) -> anyhow::Result<ServerConfig> {
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
        let chain = CertificateDer::from_pem_slice(self.chain.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())?;
        let mut config = config.with_single_cert(vec![chain], key)?;
        // The servers speak nothing else: a client that is let choose h2 gets nowhere.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// A Secret that holds it.
    pub fn secret(&self, name: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\ntype: kubernetes.io/tls\nstringData:\n  \
             tls.crt: |\n{}  tls.key: |\n{}---\n",
            indented(&self.chain),
            indented(&self.key)
        )
    }
}

/// A text as the value of a field in YAML.
fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}
