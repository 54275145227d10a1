//! Resources: the objects that Locum reads, typed and validated, whether they come from Kubernetes
//! or from files.
//!
//! In: a JSON value of one object (`parse`). Out: an [`Object`] whose fields are what its CRD would
//! admit, or the list of what is wrong with it. Nothing here reads a file, a socket or a clock.

pub mod backend;
pub mod byte_size;
pub mod crds;
pub mod duration;
pub mod failover_policy;
pub mod fault;
pub mod guard;
pub mod key;
pub mod names;
pub mod parse;
mod rules;
pub mod schema;
pub mod service_import;
pub mod traffic_policy;

use std::fmt;
use std::sync::Arc;

pub use gateway_api::apis::standard::gatewayclasses::GatewayClass;
pub use gateway_api::apis::standard::gateways::Gateway;
// The experimental type, because the standard one drops `retry` and `sessionPersistence` without a
// word.
pub use gateway_api::apis::experimental::httproutes::HttpRoute;
pub use gateway_api::apis::standard::referencegrants::ReferenceGrant;
pub use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
pub use k8s_openapi::api::discovery::v1::EndpointSlice;

pub use backend::Backend;
pub use byte_size::ByteSize;
pub use duration::Duration;
pub use failover_policy::FailoverPolicy;
pub use guard::Guard;
pub use key::{Key, Kind, ObjectName};
pub use service_import::ServiceImport;
pub use traffic_policy::BackendTrafficPolicy;

/// A typed resource that the store can hold and a [`crate::translate::read::Reader`] can hand out.
pub trait Resource: Sized + Send + Sync + 'static {
    /// The kind under which the store files it.
    const KIND: Kind;
    /// The typed object inside, or nothing if `object` is of another kind.
    fn of(object: &Object) -> Option<&Arc<Self>>;
}

macro_rules! objects {
    ($($kind:ident($ty:ty)),* $(,)?) => {
        /// One resource of a kind that Locum knows.
        #[derive(Clone)]
        pub enum Object {
            $($kind(Arc<$ty>),)*
        }

        impl Object {
            /// The kind of the object.
            pub fn kind(&self) -> Kind {
                match self { $(Object::$kind(_) => Kind::$kind,)* }
            }

            /// The Kubernetes metadata of the object.
            pub fn metadata(&self) -> &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                match self { $(Object::$kind(object) => &object.metadata,)* }
            }
        }

        impl fmt::Debug for Object {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // What a Secret holds must not get out by way of what holds the Secret.
                if let Object::Secret(_) = self {
                    return write!(f, "{}", self.key());
                }
                match self { $(Object::$kind(object) => object.fmt(f),)* }
            }
        }

        $(impl Resource for $ty {
            const KIND: Kind = Kind::$kind;
            fn of(object: &Object) -> Option<&Arc<Self>> {
                match object { Object::$kind(typed) => Some(typed), _ => None }
            }
        })*
    };
}

objects! {
    GatewayClass(GatewayClass),
    Gateway(Gateway),
    HttpRoute(HttpRoute),
    ReferenceGrant(ReferenceGrant),
    Service(Service),
    ServiceImport(ServiceImport),
    EndpointSlice(EndpointSlice),
    Secret(Secret),
    ConfigMap(ConfigMap),
    Namespace(Namespace),
    Backend(Backend),
    BackendTrafficPolicy(BackendTrafficPolicy),
    FailoverPolicy(FailoverPolicy),
    Guard(Guard),
}

impl Object {
    /// Where the object is filed: its kind, namespace (empty for cluster-scoped kinds) and name.
    pub fn key(&self) -> Key {
        match self {
            Object::Guard(guard) => guard.key(),
            _ => Key::of(self.kind(), self.metadata()),
        }
    }
}
