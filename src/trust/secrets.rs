//! Locum's own certificate as a Secret in its namespace: used by every replica, made and renewed by
//! the one that may write.
//!
//! `locum-ca` holds the authority, `locum-server` what the server shows and whom it believes. A
//! `locum-server` that somebody else put there, such as cert-manager, is used as it is; then there
//! need be no `locum-ca`. To stop believing an authority, delete both: no new connection is then
//! accepted from what it signed, and streams that are open stay until they end, at the latest when
//! the replicas are restarted. Keys are in Secrets and in memory only.

mod plan;

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watch_object};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::authority::{Authority, ServerNames};
use super::certificate::Flaw;
use super::identity::Domain;
use super::tls::{Renewal, Tls};
use crate::kubernetes::{RequestError, within};
use crate::resource::ObjectName;
use plan::{Done, PlanError, Step, next, texts};

pub use plan::manifest;

/// The Secret with the authority.
pub const AUTHORITY: &str = "locum-ca";
/// The Secret with the server's certificate.
pub const SERVER: &str = "locum-server";

/// How long the API server may take for one answer.
const ANSWER_BOUND: Duration = Duration::from_secs(10);
/// Certificates are looked at this often at least: clocks jump, and sleep stops them.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);
/// The pause after something went wrong.
const PAUSE: Duration = Duration::from_secs(5);
/// The most steps at once: an authority and a certificate, each made by somebody else meanwhile.
const MAX_STEPS: usize = 6;

/// Why the Secrets are not as they should be.
#[derive(Debug, thiserror::Error)]
enum SecretsError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Api(#[from] RequestError),
    #[error("others keep changing the Secrets {AUTHORITY} and {SERVER}")]
    Restless,
}

/// Why there is nobody in the cluster who could sign.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    #[error("Secret {secret} cannot be read: {error}")]
    Unread {
        secret: ObjectName,
        error: RequestError,
    },
    #[error(
        "there is no Secret {0}: Locum makes it when it first runs there. If another CA signed \
         Secret {SERVER}, such as cert-manager's, that CA has to sign the proxies too"
    )]
    Absent(ObjectName),
    #[error("Secret {secret} is of no use: {flaw}")]
    Useless { secret: ObjectName, flaw: Flaw },
}

/// The authority that signs the proxies of the Locum in `namespace`, with all whom its server
/// believes.
///
/// # Errors
///
/// When the Secrets cannot be read, or the authority is not there or of no use.
pub async fn signer(
    client: Client,
    namespace: &str,
    now: OffsetDateTime,
) -> Result<Authority, SignerError> {
    let api: Api<Secret> = Api::namespaced(client, namespace);
    let named = |name: &str| ObjectName::new(namespace, name);
    let ask = async |name: &str| {
        let answer = answered(api.get_opt(name)).await;
        answer.map_err(|error| SignerError::Unread {
            secret: named(name),
            error,
        })
    };
    let stored = ask(AUTHORITY).await?;
    let stored = stored.ok_or_else(|| SignerError::Absent(named(AUTHORITY)))?;
    let server = ask(SERVER).await?;
    plan::signer(&stored, server.as_ref(), now).map_err(|flaw| SignerError::Useless {
        secret: named(AUTHORITY),
        flaw,
    })
}

/// Keeps the Secrets, and uses what they hold.
pub struct Secrets {
    api: Api<Secret>,
    names: ServerNames,
    may_write: watch::Receiver<bool>,
    renewal: Renewal,
    server: Seen,
}

/// The server's Secret as last seen.
enum Seen {
    NotYet,
    Absent,
    There(Box<Secret>),
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Secrets")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl Secrets {
    /// Mutual TLS with what the Secrets in Locum's namespace hold, and what keeps it so while it
    /// [runs](Self::run). Only while `may_write` says so is anything made or renewed.
    pub fn new(
        client: Client,
        domain: Domain,
        cluster_domain: &str,
        may_write: watch::Receiver<bool>,
    ) -> (Tls, Self) {
        let api = Api::namespaced(client, &domain.namespace);
        let names = ServerNames::in_cluster(&domain, cluster_domain);
        let (tls, renewal) = Tls::waiting(domain, "the API server has not been asked yet");
        let secrets = Self {
            api,
            names,
            may_write,
            renewal,
            server: Seen::NotYet,
        };
        (tls, secrets)
    }

    /// Keeps the Secrets until it is dropped. The API server may be away: what was last seen is
    /// used further.
    pub async fn run(mut self) {
        // Unlike the watches of `source::kubernetes`: ARCHITECTURE.md says why that does no harm.
        let mut changes = pin!(watch_object(self.api.clone(), SERVER).default_backoff());
        let mut again = Instant::now();
        loop {
            tokio::select! {
                seen = changes.next() => match seen {
                    Some(Ok(Some(server))) => self.saw(Seen::There(Box::new(server))),
                    Some(Ok(None)) => self.saw(Seen::Absent),
                    Some(Err(error)) => {
                        let error = failure(error);
                        self.cannot(&format!("Secret {SERVER} cannot be watched: {error}"));
                        continue;
                    }
                    // The watch has no end of its own.
                    None => return,
                },
                () = changed(&mut self.may_write) => {}
                () = sleep_until(again) => {}
            }
            again = Instant::now() + self.tend().await;
        }
    }

    fn saw(&mut self, server: Seen) {
        let before = std::mem::replace(&mut self.server, server);
        if let (Seen::There(before), Seen::There(now)) = (&before, &self.server)
            && before.data == now.data
        {
            return;
        }
        match &self.server {
            Seen::There(server) => {
                let used = texts(server).and_then(|texts| self.renewal.renew(&texts));
                match used {
                    Ok(()) => tracing::info!("certificate of Secret {SERVER} in use"),
                    Err(flaw) => self.cannot(&format!("Secret {SERVER} is of no use: {flaw}")),
                }
            }
            _ => self.renewal.still_waiting(&format!(
                "Secret {SERVER} is not there yet; the replica that holds the Lease makes it"
            )),
        }
    }

    /// Logs what is wrong, and says it where readiness is asked for.
    fn cannot(&self, why: &str) {
        tracing::warn!("{why}");
        self.renewal.still_waiting(why);
    }

    /// Does what is due, if that is this replica's business, and returns how long there is nothing
    /// to do.
    async fn tend(&mut self) -> Duration {
        if !*self.may_write.borrow() || matches!(self.server, Seen::NotYet) {
            return LOOK_AGAIN;
        }
        match self.do_what_is_due().await {
            Ok(until) => {
                let left = until - OffsetDateTime::now_utc();
                Duration::try_from(left).map_or(PAUSE, |left| left.clamp(PAUSE, LOOK_AGAIN))
            }
            Err(error) => {
                self.cannot(&error.to_string());
                PAUSE
            }
        }
    }

    async fn do_what_is_due(&mut self) -> Result<OffsetDateTime, SecretsError> {
        for _ in 0..MAX_STEPS {
            let authority = answered(self.api.get_opt(AUTHORITY)).await?;
            let server = match &self.server {
                Seen::There(server) => Some(&**server),
                _ => None,
            };
            let now = OffsetDateTime::now_utc();
            let (written, done) = match next(authority.as_ref(), server, &self.names, now)? {
                Step::Wait(until) => return Ok(until),
                Step::Create(secret, done) => {
                    let parameters = PostParams::default();
                    (answered(self.api.create(&parameters, &secret)).await, done)
                }
                Step::Replace(secret, done) => {
                    let patch = Patch::Merge(json!({
                        // With it the API server refuses when it holds a later one.
                        "metadata": {"resourceVersion": secret.metadata.resource_version},
                        "data": secret.data,
                    }));
                    let (name, parameters) = (secret.name_any(), PatchParams::default());
                    let patched = self.api.patch(&name, &parameters, &patch);
                    (answered(patched).await, done)
                }
            };
            match written {
                Ok(secret) => {
                    let name = secret.name_any();
                    match done {
                        // Where Locum has never run, the first of these is how it begins.
                        Done::NewAuthority | Done::Renewed => tracing::info!(name, "{done}"),
                        Done::OtherAuthority => tracing::warn!(name, "{done}"),
                    }
                    if secret.name_any() == SERVER {
                        self.saw(Seen::There(Box::new(secret)));
                    }
                }
                // Another replica, or the user, was quicker.
                Err(error) if error.code() == Some(409) => {
                    let server = answered(self.api.get_opt(SERVER)).await?;
                    self.saw(server.map_or(Seen::Absent, |server| Seen::There(Box::new(server))));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(SecretsError::Restless)
    }
}

/// Resolves when the value changes; never when nobody can change it any more.
async fn changed(value: &mut watch::Receiver<bool>) {
    if value.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn answered<T>(question: impl Future<Output = kube::Result<T>>) -> Result<T, RequestError> {
    within(ANSWER_BOUND, question).await
}

/// Why the watch has to begin anew, in the words of a request.
fn failure(error: watcher::Error) -> RequestError {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => error.into(),
        watcher::Error::WatchError(status) => RequestError::Refused(status),
        watcher::Error::NoResourceVersion => {
            RequestError::Illegible("a list without a resourceVersion".into())
        }
    }
}
