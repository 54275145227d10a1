//! The API server, as far as the writer needs it: one request, and what may become of it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, TypeMeta};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::kubernetes::{RequestError, is_absence, within};
use crate::resource::Key;

/// The name under which Kubernetes notes what Locum wrote.
pub const FIELD_MANAGER: &str = "locum";

/// The longest that one request may take; after it the API server counts as away.
const REQUEST_BOUND: Duration = Duration::from_secs(10);

/// One write: fields of an object's status, for the version of the object that they were made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    pub key: Key,
    /// Under which the object is watched.
    pub api_version: Arc<str>,
    pub resource_version: String,
    /// By field of the status; null removes it.
    pub status: Value,
}

/// An object after a write.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    pub resource_version: String,
    pub generation: Option<i64>,
    pub status: Value,
}

/// Why a status could not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Someone else has written the object since it was seen.
    #[error("the object has changed since")]
    Conflict,
    #[error("the object is gone")]
    Gone,
    #[error("Locum may not patch {resource}: {message}. Apply the role in deploy/ again.")]
    Forbidden { resource: String, message: String },
    /// The status itself is not admitted.
    #[error("the API server does not admit the status: {message}")]
    Rejected { message: String },
    #[error("the API server answers {code}: {message}")]
    Failing { code: u16, message: String },
    /// It wants to be asked later, by itself or by whoever stands before it.
    #[error("the API server is overloaded: {message}")]
    Overloaded {
        after: Option<Duration>,
        message: String,
    },
    #[error("{message}")]
    Away { message: String },
}

impl Failure {
    /// The word that metrics use.
    pub fn name(&self) -> &'static str {
        match self {
            Failure::Conflict => "conflict",
            Failure::Gone => "gone",
            Failure::Forbidden { .. } => "forbidden",
            Failure::Rejected { .. } => "rejected",
            Failure::Failing { .. } => "failing",
            Failure::Overloaded { .. } => "overloaded",
            Failure::Away { .. } => "away",
        }
    }
}

/// Where statuses are written.
pub trait StatusApi: Send + Sync + 'static {
    /// Writes fields of one status; the object is then as is returned.
    fn write(&self, write: Write) -> impl Future<Output = Result<Written, Failure>> + Send;
}

/// A Kubernetes API server.
#[derive(Clone)]
pub struct Kubernetes {
    client: Client,
}

impl Kubernetes {
    /// Writes with this client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

impl StatusApi for Kubernetes {
    async fn write(&self, write: Write) -> Result<Written, Failure> {
        let types = TypeMeta {
            api_version: write.api_version.to_string(),
            kind: write.key.manifest_kind().to_owned(),
        };
        let Ok(kind) = GroupVersionKind::try_from(&types) else {
            let message = format!("{} is no apiVersion", write.api_version);
            return Err(Failure::Rejected { message });
        };
        let resource = ApiResource::from_gvk(&kind);
        let client = self.client.clone();
        let namespace = &write.key.object.namespace;
        let api: Api<DynamicObject> = if namespace.is_empty() {
            Api::all_with(client, &resource)
        } else {
            Api::namespaced_with(client, namespace, &resource)
        };
        // With the version the API server takes the patch only if nothing has changed since.
        let patch = Patch::Merge(json!({
            "metadata": { "resourceVersion": write.resource_version },
            "status": write.status,
        }));
        let parameters = PatchParams {
            field_manager: Some(FIELD_MANAGER.into()),
            ..PatchParams::default()
        };
        let request = api.patch_status(write.key.manifest_name(), &parameters, &patch);
        let answer = within(REQUEST_BOUND, request).await;
        let name = write.key.manifest_name();
        let object = answer.map_err(|error| failure(error, &resource, name))?;
        Ok(Written {
            resource_version: object.metadata.resource_version.unwrap_or_default(),
            generation: object.metadata.generation,
            status: object.data.get("status").cloned().unwrap_or_default(),
        })
    }
}

fn failure(error: RequestError, resource: &ApiResource, name: &str) -> Failure {
    let status = match error {
        RequestError::Refused(status) => status,
        other => {
            let message = other.to_string();
            return Failure::Away { message };
        }
    };
    let message = status.message.clone();
    let details = status.details.as_ref();
    let after = details.map_or(0, |details| details.retry_after_seconds);
    let after = (after > 0).then(|| Duration::from_secs(after.into()));
    match status.code {
        409 => Failure::Conflict,
        404 if is_absence(&status, name) => Failure::Gone,
        code @ 404 => Failure::Failing { code, message },
        401 | 403 => Failure::Forbidden {
            resource: format!("{}.{}/status", resource.plural, resource.group),
            message,
        },
        429 | 503 => Failure::Overloaded { after, message },
        code @ 500.. => Failure::Failing { code, message },
        _ => Failure::Rejected { message },
    }
}

#[cfg(test)]
mod tests;
