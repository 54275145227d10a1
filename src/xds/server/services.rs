//! The discovery services: the aggregated one, whose streams carry all types, and one for each type.
//!
//! All of them open a stream of the same machine; they differ in what may be asked for on it. What is
//! fetched once, over REST or a unary call, is not served: it would be old at once.

use std::pin::Pin;
use std::sync::Arc;

use discovery::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::cluster::v3::cluster_discovery_service_server::{
    ClusterDiscoveryService, ClusterDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3 as discovery;
use envoy_types::pb::envoy::service::endpoint::v3::endpoint_discovery_service_server::{
    EndpointDiscoveryService, EndpointDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::extension::v3::extension_config_discovery_service_server::{
    ExtensionConfigDiscoveryService, ExtensionConfigDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::listener::v3::listener_discovery_service_server::{
    ListenerDiscoveryService, ListenerDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::route::v3::route_discovery_service_server::{
    RouteDiscoveryService, RouteDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::route::v3::virtual_host_discovery_service_server::{
    VirtualHostDiscoveryService, VirtualHostDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_server::{
    SecretDiscoveryService, SecretDiscoveryServiceServer,
};
use futures::StreamExt;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::{Routes, RoutesBuilder};
use tonic::{Request, Response, Status, Streaming};

use super::complaints::Complaints;
use super::stream::Session;
use super::{MAX_MESSAGE_BYTES, MAX_STREAMS, Shared, stopped};
use crate::trust::Peer;
use crate::xds::kind::Kind;
use crate::xds::stream::{MAX_NOTICES, MAX_RESPONSES};
use crate::xds::{delta, message, sotw};

/// What every discovery service serves.
#[derive(Clone, Debug)]
pub(super) struct Discovery {
    pub(super) shared: Shared,
    pub(super) complaints: Arc<Complaints>,
    /// Holds a value as long as the server is to run.
    pub(super) running: watch::Receiver<bool>,
    pub(super) places: Arc<Semaphore>,
}

type Responses<T> = Pin<Box<dyn futures::Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Discovery {
    type StreamAggregatedResourcesStream = Responses<discovery::DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<discovery::DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<discovery::DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        self.open(request, None, sotw::message)
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<discovery::DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        self.open(request, None, delta::message)
    }
}

/// The services of one type, each with its methods for the two variants and the one that fetches.
macro_rules! of_one_type {
    ($($service:ident: $kind:ident by
        $stream:ident -> $streamed:ident, $delta:ident -> $differences:ident, $fetch:ident;)*) => {
        $(#[tonic::async_trait]
        impl $service for Discovery {
            type $streamed = Responses<discovery::DiscoveryResponse>;
            type $differences = Responses<discovery::DeltaDiscoveryResponse>;

            async fn $stream(
                &self,
                request: Request<Streaming<discovery::DiscoveryRequest>>,
            ) -> Result<Response<Self::$streamed>, Status> {
                self.open(request, Some(Kind::$kind), sotw::message)
            }

            async fn $delta(
                &self,
                request: Request<Streaming<discovery::DeltaDiscoveryRequest>>,
            ) -> Result<Response<Self::$differences>, Status> {
                self.open(request, Some(Kind::$kind), delta::message)
            }

            async fn $fetch(
                &self,
                _: Request<discovery::DiscoveryRequest>,
            ) -> Result<Response<discovery::DiscoveryResponse>, Status> {
                Err(Status::unimplemented("resources are streamed, not fetched"))
            }
        })*
    };
}

of_one_type! {
    SecretDiscoveryService: Secret by stream_secrets -> StreamSecretsStream,
        delta_secrets -> DeltaSecretsStream, fetch_secrets;
    ClusterDiscoveryService: Cluster by stream_clusters -> StreamClustersStream,
        delta_clusters -> DeltaClustersStream, fetch_clusters;
    EndpointDiscoveryService: Endpoint by stream_endpoints -> StreamEndpointsStream,
        delta_endpoints -> DeltaEndpointsStream, fetch_endpoints;
    ListenerDiscoveryService: Listener by stream_listeners -> StreamListenersStream,
        delta_listeners -> DeltaListenersStream, fetch_listeners;
    ExtensionConfigDiscoveryService: Extension by
        stream_extension_configs -> StreamExtensionConfigsStream,
        delta_extension_configs -> DeltaExtensionConfigsStream, fetch_extension_configs;
    RouteDiscoveryService: Route by stream_routes -> StreamRoutesStream,
        delta_routes -> DeltaRoutesStream, fetch_routes;
}

/// In delta only, as Envoy has it.
#[tonic::async_trait]
impl VirtualHostDiscoveryService for Discovery {
    type DeltaVirtualHostsStream = Responses<discovery::DeltaDiscoveryResponse>;

    async fn delta_virtual_hosts(
        &self,
        request: Request<Streaming<discovery::DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaVirtualHostsStream>, Status> {
        self.open(request, Some(Kind::VirtualHost), delta::message)
    }
}

/// Every service of a list, with the limit of what a proxy may send.
macro_rules! routes {
    ($discovery:ident: $($server:ident)*) => {{
        let mut routes = RoutesBuilder::default();
        $(routes.add_service(
            $server::new($discovery.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES),
        );)*
        routes.routes()
    }};
}

impl Discovery {
    /// All services.
    pub(super) fn routes(self) -> Routes {
        routes! {self:
            AggregatedDiscoveryServiceServer
            SecretDiscoveryServiceServer
            ClusterDiscoveryServiceServer
            EndpointDiscoveryServiceServer
            ListenerDiscoveryServiceServer
            ExtensionConfigDiscoveryServiceServer
            RouteDiscoveryServiceServer
            VirtualHostDiscoveryServiceServer
        }
    }

    /// Opens a stream of the variant that the requests are of; `only` is the type of the service,
    /// if it has one.
    fn open<R, M>(
        &self,
        request: Request<Streaming<R>>,
        only: Option<Kind>,
        message: fn(&message::Response) -> M,
    ) -> Result<Response<Responses<M>>, Status>
    where
        R: message::Request + Send + Sync + 'static,
        M: 'static,
    {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            self.shared.metrics.rejected();
            return Err(Status::resource_exhausted(format!(
                "{MAX_STREAMS} streams are open already"
            )));
        };
        let peer = Peer::of(&request);
        let (sender, receiver) = mpsc::channel(MAX_RESPONSES + MAX_NOTICES + 1);
        let session = Session {
            shared: self.shared.clone(),
            complaints: self.complaints.clone(),
            peer,
            only,
            requests: request.into_inner(),
            responses: sender,
        };
        let stopped = stopped(self.running.clone());
        tokio::spawn(async move {
            session.run(stopped).await;
            drop(place);
        });
        // Resources are copied into a message when the transport asks for it, not before: one that
        // nobody reads costs references only.
        let messages = ReceiverStream::new(receiver)
            .map(move |response: Result<_, Status>| Ok(message(&response?)));
        Ok(Response::new(Box::pin(messages)))
    }
}
