//! The discovery services: the aggregated one, whose streams carry all types, and one for each type.
//!
//! All of them open a stream of the same machine; they differ in what may be asked for on it. What is
//! fetched once, over REST or a unary call, is not served: it would be old at once.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::service::Routes;
use tonic::{Request, Status};

use super::complaints::Complaints;
use super::places::Places;
use super::requests::{Requests, must_be_plain};
use super::stream::Session;
use super::{Shared, responses};
use crate::trust::Peer;
use crate::xds::kind::Kind;
use crate::xds::message;
use crate::xds::stream::{MAX_NOTICES, MAX_RESPONSES};

/// The services: the type of each, if it has one, its full name, and what its methods are called
/// after `Stream` and `Delta`.
const SERVICES: [(Option<Kind>, &str, &str); 8] = [
    (
        None,
        "envoy.service.discovery.v3.AggregatedDiscoveryService",
        "AggregatedResources",
    ),
    (
        Some(Kind::Secret),
        "envoy.service.secret.v3.SecretDiscoveryService",
        "Secrets",
    ),
    (
        Some(Kind::Cluster),
        "envoy.service.cluster.v3.ClusterDiscoveryService",
        "Clusters",
    ),
    (
        Some(Kind::Endpoint),
        "envoy.service.endpoint.v3.EndpointDiscoveryService",
        "Endpoints",
    ),
    (
        Some(Kind::Listener),
        "envoy.service.listener.v3.ListenerDiscoveryService",
        "Listeners",
    ),
    (
        Some(Kind::Extension),
        "envoy.service.extension.v3.ExtensionConfigDiscoveryService",
        "ExtensionConfigs",
    ),
    (
        Some(Kind::Route),
        "envoy.service.route.v3.RouteDiscoveryService",
        "Routes",
    ),
    (
        Some(Kind::VirtualHost),
        "envoy.service.route.v3.VirtualHostDiscoveryService",
        "VirtualHosts",
    ),
];

/// What the services are called.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SERVICES.into_iter().map(|(_, name, _)| name)
}

/// What every discovery service serves.
#[derive(Clone, Debug)]
pub(super) struct Discovery {
    pub(super) shared: Shared,
    pub(super) complaints: Arc<Complaints>,
    pub(super) places: Arc<Places>,
}

/// One method of a service; its requests say of which variant.
#[derive(Debug)]
struct Method<R> {
    discovery: Discovery,
    /// The type of the service, if it has one.
    only: Option<Kind>,
    requests: PhantomData<fn() -> R>,
}

impl<R> Clone for Method<R> {
    fn clone(&self) -> Self {
        Self::new(&self.discovery, self.only)
    }
}

impl<R> Method<R> {
    fn new(discovery: &Discovery, only: Option<Kind>) -> Self {
        Self {
            discovery: discovery.clone(),
            only,
            requests: PhantomData,
        }
    }
}

impl<R> Service<http::Request<axum::body::Body>> for Method<R>
where
    R: message::Request + prost::Message + Default + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<axum::body::Body>) -> Self::Future {
        let answer = must_be_plain(request.headers());
        let answer = answer.and_then(|()| self.discovery.open::<R>(request, self.only));
        ready(Ok(answer.unwrap_or_else(Status::into_http)))
    }
}

impl Discovery {
    /// All services.
    pub(super) fn routes(&self) -> Routes {
        let mut router = Routes::default().into_axum_router();
        for (only, service, resources) in SERVICES {
            let path = |variant| format!("/{service}/{variant}{resources}");
            let delta = Method::<DeltaDiscoveryRequest>::new(self, only);
            router = router.route_service(&path("Delta"), delta);
            // Virtual hosts come in delta only, as Envoy has it.
            if only != Some(Kind::VirtualHost) {
                let stream = Method::<DiscoveryRequest>::new(self, only);
                router = router.route_service(&path("Stream"), stream);
            }
        }
        router.into()
    }

    /// Opens a stream of the variant that the requests are of; `only` is the type of the service,
    /// if it has one.
    fn open<R>(
        &self,
        request: http::Request<axum::body::Body>,
        only: Option<Kind>,
    ) -> Result<http::Response<Body>, Status>
    where
        R: message::Request + prost::Message + Default + 'static,
    {
        let request = Request::from_http(request);
        let peer = Peer::of(&request);
        let place = self.places.take(peer.gateway()).map_err(|full| {
            self.shared.metrics.rejected();
            Status::resource_exhausted(full.to_string())
        })?;
        let (sender, said) = mpsc::channel(MAX_RESPONSES + MAX_NOTICES + 1);
        let session = Box::new(Session {
            shared: self.shared.clone(),
            complaints: self.complaints.clone(),
            peer,
            place,
            only,
            requests: Requests::<R>::of(Body::new(request.into_inner())),
            responses: sender,
        });
        tokio::spawn(session.run());
        Ok(responses::answer(R::VARIANT, said))
    }
}
