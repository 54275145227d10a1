//! What is to be done next with the Secrets, as a pure function of what they hold.
//!
//! In: the two Secrets as they are, and the moment. Out: one step, or when to look again. What
//! somebody else has put there is used and never changed.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use time::{Duration, OffsetDateTime};

use super::{AUTHORITY, SERVER};
use crate::resource::ObjectName;
use crate::trust::authority::{Authority, IssueError, Issued, ServerNames};
use crate::trust::certificate::{CERTIFICATE, Certificate, Flaw, KEY, KeyPem, TRUST};
use crate::trust::tls::Texts;

/// The annotation of a Secret that Locum makes and renews. Without it a Secret is somebody else's.
const RENEWED_BY: &str = "locum.dev/renewed-by";
const LOCUM: &str = "locum";
/// The type of a Secret that holds a certificate and its key.
const TYPE: &str = "kubernetes.io/tls";
/// How long to leave alone what somebody else renews.
const FOREIGN: Duration = Duration::days(1);

/// What to do next, and what to say when it is done.
pub(super) enum Step {
    Create(Secret, Done),
    /// The Secret with what it was read with, so that a change meanwhile is noticed.
    Replace(Secret, Done),
    /// Nothing before then, unless something changes.
    Wait(OffsetDateTime),
}

/// What was done, as far as proxies feel it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// There was no authority, or it had run out. What another one signed is believed no more.
    NewAuthority,
    /// The same, but the server still has a certificate of another one, and believes it.
    OtherAuthority,
    /// What proxies know goes on.
    Renewed,
}

impl fmt::Display for Done {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NewAuthority => {
                "a new CA was made: credentials that proxies have from an earlier one, if there \
                 was one, are not believed; issue them again with `locum certs`"
            }
            Self::OtherAuthority => {
                "a new CA was made in place of one that is gone: proxies will not believe the next \
                 certificate of the server, so issue their credentials again with `locum certs`"
            }
            Self::Renewed => "Secret written",
        })
    }
}

/// Why there is no certificate for the server.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlanError {
    #[error("Secret {name} is of no use and is left alone, because Locum did not make it: {flaw}")]
    Foreign { name: &'static str, flaw: Flaw },
    #[error("Secret {AUTHORITY} is of no use: {flaw}; delete it, and Locum makes another")]
    Authority { flaw: Flaw },
    #[error(transparent)]
    Issue(#[from] IssueError),
}

/// The next step for Locum's namespace, in which these Secrets are.
pub(super) fn next(
    authority: Option<&Secret>,
    server: Option<&Secret>,
    names: &ServerNames,
    now: OffsetDateTime,
) -> Result<Step, PlanError> {
    if let Some(server) = server.filter(|server| !is_ours(server)) {
        return left_alone(server, now);
    }
    let Some(stored) = authority else {
        let made = Authority::make(now)?;
        let done = match server {
            None => Done::NewAuthority,
            Some(_) => Done::OtherAuthority,
        };
        return Ok(Step::Create(
            secret(AUTHORITY, authority_parts(&made)),
            done,
        ));
    };
    let mut authority = read_authority(stored).map_err(|flaw| match is_ours(stored) {
        true => PlanError::Authority { flaw },
        false => PlanError::Foreign {
            name: AUTHORITY,
            flaw,
        },
    })?;
    if is_ours(stored) && authority.due() <= now {
        let (made, done) = match authority.not_after() > now {
            true => (authority.successor(now)?, Done::Renewed),
            // What it signed has run out with it.
            false => (Authority::make(now)?, Done::NewAuthority),
        };
        return Ok(Step::Replace(with(stored, authority_parts(&made)), done));
    }
    let Some(stored) = server else {
        let issued = authority.server(names, now)?;
        return Ok(Step::Create(secret(SERVER, parts(&issued)), Done::Renewed));
    };
    let until_then = authority.due();
    match kept(stored, &mut authority, names, now) {
        Some((issued, due)) if issued.trust == authority.trust() => {
            Ok(Step::Wait(due.min(until_then)))
        }
        Some((issued, _)) => {
            let trust = authority.trust();
            let renewed = Issued { trust, ..issued };
            Ok(Step::Replace(with(stored, parts(&renewed)), Done::Renewed))
        }
        None => {
            let issued = authority.server(names, now)?;
            Ok(Step::Replace(with(stored, parts(&issued)), Done::Renewed))
        }
    }
}

/// A server's certificate that somebody else put there.
fn left_alone(server: &Secret, now: OffsetDateTime) -> Result<Step, PlanError> {
    match texts(server).and_then(|texts| texts.check()) {
        Ok(()) => Ok(Step::Wait(now + FOREIGN)),
        Err(flaw) => Err(PlanError::Foreign { name: SERVER, flaw }),
    }
}

/// The authority that signs proxies, as the Secrets hold it, with all whom the server believes.
///
/// # Errors
///
/// When `stored` is no authority.
pub(super) fn signer(
    stored: &Secret,
    server: Option<&Secret>,
    now: OffsetDateTime,
) -> Result<Authority, Flaw> {
    let mut authority = read_authority(stored)?;
    if let Some(server) = server {
        also_believe(&mut authority, server, now);
    }
    Ok(authority)
}

/// Whom the server's Secret believes besides `authority` is believed further: proxies may be signed
/// by them.
fn also_believe(authority: &mut Authority, server: &Secret, now: OffsetDateTime) {
    let others = part(server, TRUST).and_then(|trust| Certificate::all(&trust, TRUST));
    // What cannot be read is nobody.
    authority.also_believe(others.unwrap_or_default(), now);
}

/// What the server's Secret holds, and when that is due, unless it has to be issued anew.
fn kept(
    stored: &Secret,
    authority: &mut Authority,
    names: &ServerNames,
    now: OffsetDateTime,
) -> Option<(Issued, OffsetDateTime)> {
    also_believe(authority, stored, now);
    let held = texts(stored).ok()?;
    held.check().ok()?;
    let own = Certificate::all(&held.certificate, CERTIFICATE).ok()?;
    let due = own[0].due();
    let issued = Issued {
        certificate: held.certificate,
        key: held.key,
        trust: held.trust,
    };
    (due > now && names.are_in(&own[0])).then_some((issued, due))
}

/// What a server shows and believes, as a Secret of its form holds it.
///
/// # Errors
///
/// When a part is missing or no text.
pub(super) fn texts(secret: &Secret) -> Result<Texts, Flaw> {
    Ok(Texts {
        certificate: part(secret, CERTIFICATE)?,
        key: KeyPem::new(part(secret, KEY)?),
        trust: part(secret, TRUST)?,
    })
}

/// The authority that a Secret holds.
///
/// # Errors
///
/// When a part is missing, no text, or not what it should be.
pub(super) fn read_authority(secret: &Secret) -> Result<Authority, Flaw> {
    let key = KeyPem::new(part(secret, KEY)?);
    let trust = part(secret, TRUST).ok();
    Authority::from_pem(&part(secret, CERTIFICATE)?, &key, trust.as_deref())
}

fn part(secret: &Secret, name: &str) -> Result<String, Flaw> {
    let missing = || Flaw::Missing { part: name.into() };
    let bytes = secret.data.as_ref().and_then(|data| data.get(name));
    let text = std::str::from_utf8(&bytes.ok_or_else(missing)?.0);
    let text = text.map_err(|_| Flaw::NoCertificate { part: name.into() })?;
    Ok(text.to_owned())
}

fn is_ours(secret: &Secret) -> bool {
    let annotations = secret.metadata.annotations.as_ref();
    annotations
        .and_then(|annotations| annotations.get(RENEWED_BY))
        .is_some_and(|who| who == LOCUM)
}

type Parts = BTreeMap<String, ByteString>;

fn authority_parts(authority: &Authority) -> Parts {
    parts(&authority.issued())
}

/// What a Secret of [`TYPE`] holds of it.
fn parts(issued: &Issued) -> Parts {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let files = issued.files();
    files
        .map(|(name, text)| (name.to_owned(), bytes(text)))
        .into()
}

/// What was issued as a Secret for `kubectl apply`.
pub fn manifest(name: &ObjectName, issued: &Issued) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(name.name.to_string()),
            namespace: Some(name.namespace.to_string()),
            ..ObjectMeta::default()
        },
        type_: Some(TYPE.into()),
        data: Some(parts(issued)),
        ..Secret::default()
    }
}

/// A Secret that Locum renews.
fn secret(name: &str, parts: Parts) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(name.into()),
            annotations: Some([(RENEWED_BY.to_owned(), LOCUM.to_owned())].into()),
            labels: Some([("app.kubernetes.io/name".to_owned(), LOCUM.to_owned())].into()),
            ..ObjectMeta::default()
        },
        type_: Some(TYPE.into()),
        data: Some(parts),
        ..Secret::default()
    }
}

fn with(stored: &Secret, parts: Parts) -> Secret {
    Secret {
        data: Some(parts),
        ..stored.clone()
    }
}

#[cfg(test)]
mod tests;
