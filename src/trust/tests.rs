//! What an authority makes, and whether the other side believes it.

use std::sync::Arc;
use std::time::Duration as StdDuration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{Error, RootCertStore};
use time::{Duration, OffsetDateTime};

use super::*;
use crate::resource::ObjectName;

const START: i64 = 1_800_000_000;

fn start() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(START).unwrap()
}

fn after(days: i64) -> OffsetDateTime {
    start() + Duration::days(days)
}

fn names() -> ServerNames {
    ServerNames::in_cluster(&Domain::default(), "cluster.local")
}

fn gateway() -> ObjectName {
    ObjectName::new("default", "eg")
}

fn proxy(authority: &Authority, now: OffsetDateTime) -> Issued {
    let domain = Domain::default();
    authority
        .proxy(&domain, &gateway(), PROXY_LIFE, now)
        .unwrap()
}

fn read(pem: &str) -> Vec<Certificate> {
    Certificate::all(pem, CERTIFICATE).unwrap()
}

fn roots(trust: &str) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for root in read(trust) {
        roots.add(root.der).unwrap();
    }
    Arc::new(roots)
}

fn at(now: OffsetDateTime) -> UnixTime {
    let seconds = u64::try_from(now.unix_timestamp()).unwrap();
    UnixTime::since_unix_epoch(StdDuration::from_secs(seconds))
}

fn chain(shown: &Issued) -> (CertificateDer<'static>, Vec<CertificateDer<'static>>) {
    let mut shown = read(&shown.certificate).into_iter().map(|one| one.der);
    (shown.next().unwrap(), shown.collect())
}

/// Whether a client that believes `trust` takes this server for `name`.
fn server_is_taken(
    shown: &Issued,
    trust: &str,
    name: &str,
    now: OffsetDateTime,
) -> Result<(), Error> {
    let provider = Arc::new(default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(trust), provider);
    let (own, above) = chain(shown);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let verifier = verifier.build().unwrap();
    verifier.verify_server_cert(&own, &above, &name, &[], at(now))?;
    Ok(())
}

/// Whether a server that believes `trust` takes this client.
fn client_is_taken(shown: &Issued, trust: &str, now: OffsetDateTime) -> Result<(), Error> {
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(trust), provider);
    let (own, above) = chain(shown);
    let verifier = verifier.build().unwrap();
    verifier.verify_client_cert(&own, &above, at(now))?;
    Ok(())
}

#[test]
fn what_an_authority_signs_is_taken_by_who_believes_it() {
    let authority = Authority::make(start()).unwrap();
    let server = authority.server(&names(), start()).unwrap();
    for name in [
        "locum.locum-system",
        "locum.locum-system.svc",
        "locum.locum-system.svc.cluster.local",
    ] {
        server_is_taken(&server, &authority.trust(), name, start()).unwrap();
    }
    server_is_taken(&server, &authority.trust(), "other.svc", start()).unwrap_err();
    // Replicas ask each other with it.
    client_is_taken(&server, &authority.trust(), start()).unwrap();
    let proxy = proxy(&authority, start());
    client_is_taken(&proxy, &authority.trust(), start()).unwrap();
    let uris = &read(&proxy.certificate)[0].uris;
    let identity = Domain::default().identity(uris);
    assert_eq!(identity, Identity::Proxy("default/eg".into()));
    // A proxy cannot pass itself off as Locum.
    let error = server_is_taken(&proxy, &authority.trust(), "locum.locum-system", start());
    error.unwrap_err();
}

#[test]
fn a_stranger_or_one_that_ran_out_is_not_taken() {
    let authority = Authority::make(start()).unwrap();
    let other = Authority::make(start()).unwrap();
    let proxy = proxy(&authority, start());
    client_is_taken(&proxy, &other.trust(), start()).unwrap_err();
    client_is_taken(&proxy, &authority.trust(), after(364)).unwrap();
    client_is_taken(&proxy, &authority.trust(), after(366)).unwrap_err();
    // A clock that is behind by a few minutes is no reason to refuse.
    let before = start() - Duration::minutes(5);
    client_is_taken(&proxy, &authority.trust(), before).unwrap();
}

#[test]
fn a_certificate_is_due_at_two_thirds_of_its_life() {
    let authority = Authority::make(start()).unwrap();
    let server = authority.server(&names(), start()).unwrap();
    let due = read(&server.certificate)[0].due();
    assert!(due > after(59) && due < after(61), "{due}");
    assert!(authority.due() > after(2432) && authority.due() < after(2434));
}

#[test]
fn an_authority_comes_back_from_its_texts() {
    let made = Authority::make(start()).unwrap();
    let trust = made.trust();
    let again = Authority::from_pem(&made.certificate(), &made.key(), Some(&trust)).unwrap();
    let server = again.server(&names(), start()).unwrap();
    server_is_taken(&server, &trust, "locum.locum-system", start()).unwrap();
    assert_eq!(again.trust(), trust);
}

#[test]
fn a_successor_is_believed_by_who_knows_only_the_one_before() {
    let old = Authority::make(start()).unwrap();
    let earlier = proxy(&old, after(2400));
    let new = old.successor(after(2433)).unwrap();
    // As it is stored and read again.
    let trust = new.trust();
    let new = Authority::from_pem(&new.certificate(), &new.key(), Some(&trust)).unwrap();
    let server = new.server(&names(), after(2434)).unwrap();
    let name = "locum.locum-system";
    server_is_taken(&server, &old.trust(), name, after(2434)).unwrap();
    server_is_taken(&server, &trust, name, after(2434)).unwrap();
    // Earlier proxies are still let in, and so are new ones.
    client_is_taken(&earlier, &server.trust, after(2434)).unwrap();
    client_is_taken(&proxy(&new, after(2434)), &server.trust, after(2434)).unwrap();
}

#[test]
fn an_old_authority_is_believed_until_it_runs_out() {
    let old = Authority::make(start()).unwrap();
    let mut new = old.successor(after(2433)).unwrap();
    assert_eq!(read(&new.trust()).len(), 2);
    new.also_believe(Vec::new(), after(3640));
    assert_eq!(read(&new.trust()).len(), 2);
    new.also_believe(Vec::new(), after(3651));
    assert_eq!(read(&new.trust()).len(), 1);
}

#[test]
fn nothing_outlives_the_authority_that_signs_it() {
    let authority = Authority::make(start()).unwrap();
    let late = after(3600);
    let server = authority.server(&names(), late).unwrap();
    assert_eq!(
        read(&server.certificate)[0].not_after,
        authority.not_after()
    );
    let domain = Domain::default();
    let error = authority.proxy(&domain, &gateway(), PROXY_LIFE, late);
    let error = error.unwrap_err().to_string();
    let until = authority.not_after().date().to_string();
    assert!(error.contains(&until), "{error}");
    let error = authority.server(&names(), after(3651)).unwrap_err();
    assert!(error.to_string().contains("ran out"), "{error}");
}

#[test]
fn what_is_wrong_with_a_text_is_said() {
    let authority = Authority::make(start()).unwrap();
    let (certificate, key) = (authority.certificate(), authority.key());
    let other = Authority::make(start()).unwrap().key();
    let leaf = proxy(&authority, start());
    let broken = certificate.replacen("MI", "!!", 1);
    let cases = [
        ("", &key, "tls.crt holds no PEM certificate"),
        (
            &broken,
            &key,
            "tls.crt holds a certificate that cannot be read",
        ),
        (
            &certificate,
            &KeyPem::new(""),
            "tls.key holds no private key",
        ),
        (&certificate, &other, "tls.key is not the key of"),
        (
            &leaf.certificate,
            &leaf.key,
            "tls.crt is the certificate of no CA",
        ),
    ];
    for (certificate, key, said) in cases {
        let flaw = Authority::from_pem(certificate, key, None).unwrap_err();
        assert!(flaw.to_string().contains(said), "{flaw}");
    }
    let mut texts = Texts::from(leaf);
    texts.key = other;
    let (_, renewal) = Tls::waiting(Domain::default(), "");
    let flaw = renewal.renew(&texts).unwrap_err();
    assert!(
        flaw.to_string().contains("tls.key is not the key of"),
        "{flaw}"
    );
}

#[test]
fn an_authority_under_another_shows_the_way_up() {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let params = |name: &str| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let root = params("root").self_signed(&root_key).unwrap();
    let issuer = Issuer::new(params("root"), &root_key);
    let own = params("own").signed_by(&key, &issuer).unwrap();
    let key = KeyPem::new(key.serialize_pem());
    let authority = Authority::from_pem(&own.pem(), &key, Some(&root.pem())).unwrap();
    let server = authority.server(&names(), start()).unwrap();
    assert_eq!(server.trust, root.pem());
    server_is_taken(&server, &root.pem(), "locum.locum-system", start()).unwrap();
}

#[test]
fn keys_are_not_shown() {
    let authority = Authority::make(start()).unwrap();
    let issued = proxy(&authority, start());
    let shown = format!("{authority:?} {issued:?} {:?}", Texts::from(issued.clone()));
    let secret = issued.key.reveal().lines().nth(1).unwrap();
    assert!(
        !shown.contains(secret) && !shown.contains("PRIVATE"),
        "{shown}"
    );
}
