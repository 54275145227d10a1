use super::*;
use crate::resource::ObjectName;
use crate::trust::authority::PROXY_LIFE;
use crate::trust::identity::Domain;

fn after(days: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap() + Duration::days(days)
}

fn names() -> ServerNames {
    ServerNames::in_cluster(&Domain::default(), "cluster.local")
}

/// A namespace in which every step is done.
#[derive(Default)]
struct Namespace {
    authority: Option<Secret>,
    server: Option<Secret>,
}

impl Namespace {
    /// Does everything that is due, and returns when there is more, and what was written.
    fn tended(&mut self, now: OffsetDateTime) -> (OffsetDateTime, Vec<String>) {
        let mut written = Vec::new();
        loop {
            let step = next(self.authority.as_ref(), self.server.as_ref(), &names(), now);
            let (word, secret) = match step.unwrap() {
                Step::Wait(until) => return (until, written),
                Step::Create(secret, done) => (said("create", done), secret),
                Step::Replace(secret, done) => (said("replace", done), secret),
            };
            let name = secret.metadata.name.clone().unwrap();
            written.push(format!("{word} {name}"));
            match &*name {
                AUTHORITY => self.authority = Some(secret),
                _ => self.server = Some(secret),
            }
            assert!(written.len() < 6, "{written:?}");
        }
    }

    fn new() -> Self {
        let mut namespace = Self::default();
        namespace.tended(after(0));
        namespace
    }

    fn leaf(&self) -> Certificate {
        let texts = texts(self.server.as_ref().unwrap()).unwrap();
        Certificate::all(&texts.certificate, CERTIFICATE)
            .unwrap()
            .remove(0)
    }

    fn believed(&self) -> Vec<Certificate> {
        let texts = texts(self.server.as_ref().unwrap()).unwrap();
        Certificate::all(&texts.trust, TRUST).unwrap()
    }
}

/// What is done, and to whom that is news.
fn said(word: &str, done: Done) -> String {
    match done {
        Done::NewAuthority => format!("{word} anew"),
        Done::OtherAuthority => format!("{word} another"),
        Done::Renewed => word.into(),
    }
}

fn not_ours(mut secret: Secret) -> Secret {
    secret.metadata.annotations = None;
    secret
}

#[test]
fn what_is_missing_is_made_once() {
    let mut namespace = Namespace::default();
    let (until, written) = namespace.tended(after(0));
    assert_eq!(written, ["create anew locum-ca", "create locum-server"]);
    assert!(until > after(59) && until < after(61), "{until}");
    assert_eq!(namespace.tended(after(1)), (until, Vec::new()));
    texts(&namespace.server.unwrap()).unwrap().check().unwrap();
}

#[test]
fn a_server_certificate_is_renewed_at_two_thirds_of_its_life() {
    let mut namespace = Namespace::new();
    let (first, believed) = (namespace.leaf(), namespace.believed());
    assert_eq!(namespace.tended(after(61)).1, ["replace locum-server"]);
    assert_ne!(namespace.leaf(), first);
    assert_eq!(namespace.believed(), believed);
}

#[test]
fn a_server_certificate_without_all_names_is_issued_anew() {
    let mut namespace = Namespace::new();
    let authority = read_authority(namespace.authority.as_ref().unwrap()).unwrap();
    let other = ServerNames {
        hosts: vec!["locum.elsewhere".into()],
        uris: Vec::new(),
    };
    let issued = authority.server(&other, after(0)).unwrap();
    let stored = namespace.server.take().unwrap();
    namespace.server = Some(with(&stored, parts(&issued)));
    assert_eq!(namespace.tended(after(1)).1, ["replace locum-server"]);
    assert!(names().are_in(&namespace.leaf()));
}

#[test]
fn a_broken_secret_of_ours_is_made_again_and_anothers_is_left_alone() {
    let mut namespace = Namespace::new();
    let mut broken = namespace.server.clone().unwrap();
    broken.data.as_mut().unwrap().remove(KEY);
    namespace.server = Some(broken.clone());
    assert_eq!(namespace.tended(after(1)).1, ["replace locum-server"]);
    let theirs = not_ours(broken);
    let error = next(None, Some(&theirs), &names(), after(1)).err().unwrap();
    let error = error.to_string();
    assert!(
        error.contains("locum-server") && error.contains("tls.key is missing"),
        "{error}"
    );
}

#[test]
fn a_server_certificate_of_cert_manager_needs_no_authority() {
    let made = Namespace::new();
    let mut namespace = Namespace {
        authority: None,
        server: made.server.map(not_ours),
    };
    assert!(namespace.tended(after(80)).1.is_empty());
}

#[test]
fn an_authority_of_somebody_else_signs_and_is_not_renewed() {
    let made = Namespace::new();
    let mut namespace = Namespace {
        authority: made.authority.map(not_ours),
        server: None,
    };
    assert_eq!(namespace.tended(after(3000)).1, ["create locum-server"]);
    let authority = namespace.authority.as_ref();
    let error = next(authority, namespace.server.as_ref(), &names(), after(3651));
    let error = error.err().unwrap().to_string();
    assert!(error.contains("ran out"), "{error}");
}

#[test]
fn an_authority_hands_over_and_is_believed_until_it_runs_out() {
    let mut namespace = Namespace::new();
    namespace.tended(after(2400));
    let leaf = namespace.leaf();
    let (_, written) = namespace.tended(after(2434));
    assert_eq!(written, ["replace locum-ca", "replace locum-server"]);
    assert_eq!(namespace.leaf(), leaf, "what is good is shown further");
    assert_eq!(namespace.believed().len(), 2);
    namespace.tended(after(2500));
    assert_ne!(namespace.leaf(), leaf);
    assert_eq!(namespace.believed().len(), 2);
    namespace.tended(after(3700));
    assert_eq!(namespace.believed().len(), 1);
}

#[test]
fn who_has_credentials_of_an_authority_that_is_gone_is_told_to_get_others() {
    for (done, words) in [
        (
            Done::NewAuthority,
            "from an earlier one, if there was one, are not believed",
        ),
        (
            Done::OtherAuthority,
            "proxies will not believe the next certificate",
        ),
    ] {
        let said = done.to_string();
        assert!(said.contains("a new CA was made"), "{said}");
        assert!(
            said.contains(words) && said.contains("`locum certs`"),
            "{said}"
        );
    }
    // Nobody has signed what is good for longer than the authority.
    let mut namespace = Namespace::new();
    let (_, written) = namespace.tended(after(4000));
    assert_eq!(written[0], "replace anew locum-ca");
}

#[test]
fn an_authority_that_was_deleted_is_made_anew_and_the_old_one_still_believed() {
    let mut namespace = Namespace::new();
    let old = read_authority(&namespace.authority.take().unwrap()).unwrap();
    let leaf = namespace.leaf();
    let (_, written) = namespace.tended(after(1));
    assert_eq!(written, ["create another locum-ca", "replace locum-server"]);
    assert_eq!(
        namespace.leaf(),
        leaf,
        "proxies that know the old one still come in"
    );
    let gateway = ObjectName::new("default", "eg");
    let proxy = old.proxy(&Domain::default(), &gateway, PROXY_LIFE, after(0));
    let old = Certificate::all(&proxy.unwrap().trust, TRUST).unwrap();
    assert!(namespace.believed().contains(&old[0]));
    let stored = namespace.authority.as_ref().unwrap();
    let signs = signer(stored, namespace.server.as_ref(), after(1)).unwrap();
    let told = Certificate::all(&signs.trust(), TRUST).unwrap();
    assert!(told.contains(&old[0]), "who is signed now still knows it");
}

#[test]
fn a_broken_authority_is_said_and_not_replaced() {
    let mut namespace = Namespace::new();
    let parts = namespace.authority.as_mut().unwrap().data.as_mut().unwrap();
    parts.insert(CERTIFICATE.into(), ByteString(b"nothing".to_vec()));
    let error = next(
        namespace.authority.as_ref(),
        namespace.server.as_ref(),
        &names(),
        after(1),
    );
    let error = error.err().unwrap().to_string();
    assert!(
        error.contains("locum-ca") && error.contains("delete it"),
        "{error}"
    );
}
