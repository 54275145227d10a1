//! Certificates of listeners: whether what a listener refers to is there and may be used.
//!
//! In: a listener's `tls`, Secrets and grants. Out: why a reference leads nowhere. No key is looked
//! into here.

use super::grants::{From, Grants};
use super::listeners::Refusal;
use crate::resource::{Kind, ObjectName, Secret};
use crate::status::reasons;
use crate::translate::read::Reader;
use gateway_api::apis::standard::gateways::{
    GatewayListeners, GatewayListenersTlsCertificateRefs as Reference,
};

/// What a Secret with a certificate holds.
const PARTS: [&str; 2] = ["tls.crt", "tls.key"];

/// Where certificates are looked up.
pub(super) struct Certificates<'a, 's> {
    pub(super) reader: &'s Reader<'a>,
    pub(super) grants: &'s Grants<'a>,
}

impl Certificates<'_, '_> {
    /// The first reference of a listener that leads nowhere: its place, and why.
    pub(super) fn flaw(
        &self,
        listener: &GatewayListeners,
        namespace: &str,
    ) -> Option<(usize, Refusal)> {
        let references = listener.tls.as_ref()?.certificate_refs.as_ref()?;
        let mut flaws = references.iter().enumerate();
        flaws.find_map(|(index, reference)| Some((index, self.refusal(reference, namespace)?)))
    }

    fn refusal(&self, reference: &Reference, namespace: &str) -> Option<Refusal> {
        let invalid = |message| {
            Some(Refusal {
                reason: reasons::INVALID_CERTIFICATE_REF,
                message,
            })
        };
        let group = reference.group.as_deref().unwrap_or_default();
        let kind = reference.kind.as_deref().unwrap_or(Kind::Secret.name());
        if (group, kind) != (Kind::Secret.group(), Kind::Secret.name()) {
            let shown = if group.is_empty() { "core" } else { group };
            return invalid(format!(
                "Kind {kind} of group {shown} is not supported; only Secret is."
            ));
        }
        let object = reference.namespace.as_deref().unwrap_or(namespace);
        let object = ObjectName::new(object, &reference.name);
        let from = From {
            group: Kind::Gateway.group(),
            kind: Kind::Gateway.name(),
            namespace,
        };
        if !self.grants.permit(from, group, kind, &object) {
            return Some(Refusal {
                reason: reasons::REF_NOT_PERMITTED,
                message: format!(
                    "Secret {object} is in another namespace and no ReferenceGrant there permits \
                     Gateways of namespace {namespace} to refer to it."
                ),
            });
        }
        let Some(secret) = self.reader.get::<Secret>(&object.namespace, &object.name) else {
            return invalid(format!(
                "Secret {object} does not exist or may not be read."
            ));
        };
        let has = |part: &&str| {
            let data = secret.data.as_ref().and_then(|data| data.get(*part));
            let text = secret.string_data.as_ref().and_then(|data| data.get(*part));
            data.is_some_and(|data| !data.0.is_empty()) || text.is_some_and(|text| !text.is_empty())
        };
        match PARTS.iter().find(|part| !has(part)) {
            Some(part) => invalid(format!("Secret {object} has no {part}.")),
            None => None,
        }
    }
}
