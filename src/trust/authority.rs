//! The certificate authority: makes itself, its successor, and the certificates it signs.
//!
//! Pure but for the random keys: the moment comes in, PEM text goes out. Nothing that is signed
//! outlives what signed it.

use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SanType,
};
use time::{Duration, OffsetDateTime};

use super::certificate::{CERTIFICATE, Certificate, Flaw, KEY, KeyPem, TRUST, pems};
use super::identity::Domain;
use crate::resource::ObjectName;

/// How long an authority is good for.
const AUTHORITY_LIFE: Duration = Duration::days(3650);
/// How long a server's certificate is good for; it is renewed by itself.
pub const SERVER_LIFE: Duration = Duration::days(90);
/// How long a proxy's certificate is good for unless its maker says otherwise.
pub const PROXY_LIFE: Duration = Duration::days(365);
/// Certificates are good since a little before they were made: clocks differ.
const CLOCK_DIFFERENCE: Duration = Duration::minutes(10);
/// The most authorities that are believed at once; the newest stay. Rotation by itself needs two.
const MAX_TRUSTED: usize = 8;

/// Why something was not issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("{0:?} cannot stand in a certificate as a name")]
    Name(String),
    #[error(
        "a certificate until {} would outlive the CA that signs it, which runs out on {}",
        wanted.date(), authority.date()
    )]
    Outlives {
        wanted: OffsetDateTime,
        authority: OffsetDateTime,
    },
    #[error("the CA ran out on {}", .0.date())]
    RunOut(OffsetDateTime),
    #[error("signing failed: {0}")]
    Signing(#[from] rcgen::Error),
}

/// A certificate with its key, and whom its holder is to believe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The certificate first, then those that lead to an authority that the other side knows.
    pub certificate: String,
    pub key: KeyPem,
    pub trust: String,
}

impl Issued {
    /// What goes into the files, or the parts of a Secret, of these names.
    pub fn files(&self) -> [(&'static str, &str); 3] {
        [
            (TRUST, &self.trust),
            (KEY, self.key.reveal()),
            (CERTIFICATE, &self.certificate),
        ]
    }
}

/// What a server is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerNames {
    /// DNS names and addresses.
    pub hosts: Vec<String>,
    pub uris: Vec<String>,
}

impl ServerNames {
    /// The names of Locum's Service, the same for every replica, and Locum's own URI.
    pub fn in_cluster(domain: &Domain, cluster_domain: &str) -> Self {
        let service = format!("locum.{}", domain.namespace);
        Self {
            hosts: vec![
                format!("{service}.svc"),
                service.clone(),
                format!("{service}.svc.{cluster_domain}"),
            ],
            uris: vec![domain.locum()],
        }
    }

    /// Whether `certificate` bears all of these names.
    pub fn are_in(&self, certificate: &Certificate) -> bool {
        let hosts = self.hosts.iter();
        let uris = self.uris.iter();
        hosts
            .into_iter()
            .all(|host| certificate.hosts.contains(host))
            && uris.into_iter().all(|uri| certificate.uris.contains(uri))
    }
}

/// A certificate authority with its key.
pub struct Authority {
    /// Its own certificate first, then those by which it can also be reached: an authority above
    /// it, or the one before it.
    certificates: Vec<Certificate>,
    /// The authorities to believe: itself, and those before it whose signatures may still be
    /// around.
    trusted: Vec<Certificate>,
    key: KeyPair,
}

impl fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Authority")
            .field("certificates", &self.certificates)
            .field("trusted", &self.trusted)
            .field("key", &"redacted")
            .finish()
    }
}

impl Authority {
    /// A new authority, good from now on.
    ///
    /// # Errors
    ///
    /// When the random generator or the signing fails.
    pub fn make(now: OffsetDateTime) -> Result<Self, IssueError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let own = authority(&key, now, now + AUTHORITY_LIFE).self_signed(&key)?;
        let own = read(&own.pem());
        Ok(Self {
            trusted: own.clone(),
            certificates: own,
            key,
        })
    }

    /// The authority that `certificate` and `key` are, as PEM texts. `trust` is what else is to be
    /// believed.
    ///
    /// # Errors
    ///
    /// When a text cannot be read, the key is another one's, or the certificate is no CA's.
    pub fn from_pem(certificate: &str, key: &KeyPem, trust: Option<&str>) -> Result<Self, Flaw> {
        let certificates = Certificate::all(certificate, CERTIFICATE)?;
        let own = &certificates[0];
        if !own.is_authority {
            let part = CERTIFICATE.into();
            return Err(Flaw::NoAuthority { part });
        }
        let key = KeyPair::try_from(&key.der(KEY)?).map_err(|error| Flaw::Key {
            part: KEY.into(),
            why: error.to_string(),
        })?;
        if key.subject_public_key_info() != own.public_key {
            return Err(Flaw::OtherKey {
                certificate: CERTIFICATE.into(),
                key: KEY.into(),
            });
        }
        let given = match trust {
            Some(trust) => Certificate::all(trust, TRUST)?,
            None => Vec::new(),
        };
        let roots = certificates.iter().filter(|one| one.is_root).cloned();
        let mut trusted = merged(roots.chain(given));
        if trusted.is_empty() {
            trusted.push(own.clone());
        }
        Ok(Self {
            certificates,
            trusted,
            key,
        })
    }

    /// The one to follow this one. Who knows only this one believes what the successor signs too:
    /// this one vouches for it, and servers show that.
    ///
    /// # Errors
    ///
    /// When this one has run out, or signing fails.
    pub fn successor(&self, now: OffsetDateTime) -> Result<Self, IssueError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let own = authority(&key, now, now + AUTHORITY_LIFE).self_signed(&key)?;
        let until = self.certificates[0].not_after;
        let vouched = authority(&key, now, until).signed_by(&key, &self.issuer(now)?)?;
        let own = read(&own.pem());
        let mut successor = Self {
            certificates: own.iter().cloned().chain(read(&vouched.pem())).collect(),
            trusted: own,
            key,
        };
        successor.also_believe(self.trusted.clone(), now);
        Ok(successor)
    }

    /// Believes those of `others` too that have not run out.
    pub fn also_believe(&mut self, others: Vec<Certificate>, now: OffsetDateTime) {
        let mine = std::mem::take(&mut self.trusted);
        let all = merged(mine.into_iter().chain(others));
        let good = all.into_iter().filter(|one| one.not_after > now);
        self.trusted = good.take(MAX_TRUSTED).collect();
    }

    /// A server's certificate, good for [`SERVER_LIFE`] or as long as the authority. Its holder may
    /// be a client too: replicas ask each other.
    ///
    /// # Errors
    ///
    /// When a name cannot stand in a certificate, the authority has run out, or signing fails.
    pub fn server(&self, names: &ServerNames, now: OffsetDateTime) -> Result<Issued, IssueError> {
        let mut params = leaf("locum", now, (now + SERVER_LIFE).min(self.not_after()));
        for host in &names.hosts {
            params.subject_alt_names.push(match host.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name(host)?),
            });
        }
        for uri in &names.uris {
            params.subject_alt_names.push(SanType::URI(name(uri)?));
        }
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self.issue(&params, now)
    }

    /// The certificate of a proxy of `gateway`, good for `life`.
    ///
    /// # Errors
    ///
    /// When it would outlive the authority, or signing fails.
    pub fn proxy(
        &self,
        domain: &Domain,
        gateway: &ObjectName,
        life: Duration,
        now: OffsetDateTime,
    ) -> Result<Issued, IssueError> {
        let until = now + life;
        if until > self.not_after() {
            return Err(IssueError::Outlives {
                wanted: until,
                authority: self.not_after(),
            });
        }
        let mut params = leaf("envoy", now, until);
        let uri = domain.proxy(gateway);
        params.subject_alt_names.push(SanType::URI(name(&uri)?));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(&params, now)
    }

    /// Its own certificate, and those by which it can also be reached.
    pub fn certificate(&self) -> String {
        pems(&self.certificates)
    }

    pub fn key(&self) -> KeyPem {
        KeyPem::new(self.key.serialize_pem())
    }

    /// The authorities to believe, itself among them.
    pub fn trust(&self) -> String {
        pems(&self.trusted)
    }

    /// Its own certificate with its key, as it is kept.
    pub fn issued(&self) -> Issued {
        Issued {
            certificate: self.certificate(),
            key: self.key(),
            trust: self.trust(),
        }
    }

    /// When it runs out.
    pub fn not_after(&self) -> OffsetDateTime {
        self.certificates[0].not_after
    }

    /// When a successor is to take over.
    pub fn due(&self) -> OffsetDateTime {
        self.certificates[0].due()
    }

    fn issue(&self, params: &CertificateParams, now: OffsetDateTime) -> Result<Issued, IssueError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer(now)?)?;
        let above = self.certificates.iter().filter(|one| !one.is_root);
        Ok(Issued {
            certificate: certificate.pem() + &pems(above),
            key: KeyPem::new(key.serialize_pem()),
            trust: self.trust(),
        })
    }

    fn issuer(&self, now: OffsetDateTime) -> Result<Issuer<'_, &KeyPair>, IssueError> {
        let own = &self.certificates[0];
        if own.not_after <= now {
            return Err(IssueError::RunOut(own.not_after));
        }
        Ok(Issuer::from_ca_cert_der(&own.der, &self.key)?)
    }
}

/// Each certificate once, in the order in which they come.
fn merged(certificates: impl IntoIterator<Item = Certificate>) -> Vec<Certificate> {
    let mut once: Vec<Certificate> = Vec::new();
    for certificate in certificates {
        if !once.iter().any(|known| known.der == certificate.der) {
            once.push(certificate);
        }
    }
    once
}

/// The parameters of an authority with this key. Each key has a subject of its own, so that who
/// verifies tries the right one.
fn authority(key: &KeyPair, now: OffsetDateTime, until: OffsetDateTime) -> CertificateParams {
    let mut params = validity(now, until);
    let id: String = params.key_identifier(key)[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    params.distinguished_name = subject(&format!("Locum CA {id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf(common_name: &str, now: OffsetDateTime, until: OffsetDateTime) -> CertificateParams {
    let mut params = validity(now, until);
    params.distinguished_name = subject(common_name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

fn validity(now: OffsetDateTime, until: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = now - CLOCK_DIFFERENCE;
    params.not_after = until;
    params
}

fn subject(common_name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "Locum");
    subject.push(DnType::CommonName, common_name);
    subject
}

/// A name in the form of a certificate, which is ASCII.
fn name(text: &str) -> Result<rcgen::string::Ia5String, IssueError> {
    text.try_into()
        .map_err(|_| IssueError::Name(text.to_owned()))
}

fn read(pem: &str) -> Vec<Certificate> {
    Certificate::all(pem, CERTIFICATE).expect("what was just signed can be read")
}
