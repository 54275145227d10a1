//! Server reflection: a tool that knows nothing learns what is served.

use std::collections::BTreeMap;

use locum::replicas::Own;
use locum::xds::server::Shared;
use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_reflect::prost_types::{FileDescriptorProto, FileDescriptorSet};
use tonic::transport::{Channel, Endpoint};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::{v1, v1alpha};

use crate::harness::{Server, any_port};

const SERVICES: [&str; 13] = [
    "envoy.service.cluster.v3.ClusterDiscoveryService",
    DISCOVERY,
    "envoy.service.endpoint.v3.EndpointDiscoveryService",
    "envoy.service.extension.v3.ExtensionConfigDiscoveryService",
    "envoy.service.listener.v3.ListenerDiscoveryService",
    "envoy.service.load_stats.v3.LoadReportingService",
    "envoy.service.route.v3.RouteDiscoveryService",
    "envoy.service.route.v3.VirtualHostDiscoveryService",
    "envoy.service.secret.v3.SecretDiscoveryService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "locum.v1.Serving",
];

const DISCOVERY: &str = "envoy.service.discovery.v3.AggregatedDiscoveryService";

fn connection(server: &Server) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address));
    endpoint.unwrap().connect_lazy()
}

async fn ask(channel: &Channel, question: MessageRequest) -> MessageResponse {
    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    };
    let mut client = ServerReflectionClient::new(channel.clone());
    let requests = futures::stream::iter([request]);
    let mut answers = client
        .server_reflection_info(requests)
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    answer.message_response.unwrap()
}

async fn services(channel: &Channel) -> Vec<String> {
    let listed = ask(channel, MessageRequest::ListServices(String::new())).await;
    let MessageResponse::ListServicesResponse(listed) = listed else {
        panic!("{listed:?}");
    };
    let mut names: Vec<_> = listed
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    names.sort();
    names
}

async fn files(channel: &Channel, question: MessageRequest) -> Vec<FileDescriptorProto> {
    let asked = format!("{question:?}");
    let found = ask(channel, question).await;
    let MessageResponse::FileDescriptorResponse(found) = found else {
        panic!("{asked}: {found:?}");
    };
    let files = found.file_descriptor_proto.iter();
    files
        .map(|file| FileDescriptorProto::decode(&**file).unwrap())
        .collect()
}

/// All that is known of these symbols, as tools gather it: file by file.
async fn gathered(channel: &Channel, symbols: &[&str]) -> DescriptorPool {
    let mut wanted: Vec<_> = symbols
        .iter()
        .map(|name| MessageRequest::FileContainingSymbol((*name).into()))
        .collect();
    let mut known = BTreeMap::new();
    while let Some(question) = wanted.pop() {
        for file in files(channel, question).await {
            let names = file.dependency.iter();
            let further = names.filter(|name| !known.contains_key(*name));
            wanted.extend(further.cloned().map(MessageRequest::FileByFilename));
            known.insert(file.name().to_owned(), file);
        }
    }
    let file = known.into_values().collect();
    DescriptorPool::from_file_descriptor_set(FileDescriptorSet { file }).unwrap()
}

#[tokio::test]
async fn what_is_served_is_listed_and_described_in_full() {
    let server = Server::start().await;
    let channel = connection(&server);
    assert_eq!(services(&channel).await, SERVICES);
    // What stands in an `Any` is described too, so that tools can show a response.
    let cluster = "envoy.config.cluster.v3.Cluster";
    let manager =
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    let symbols: Vec<_> = SERVICES.into_iter().chain([cluster, manager]).collect();
    let pool = gathered(&channel, &symbols).await;
    for name in SERVICES {
        let service = pool.get_service_by_name(name);
        let methods = service.expect(name).methods().count();
        assert!(methods > 0, "{name}");
    }
    let delta = pool
        .get_service_by_name(DISCOVERY)
        .unwrap()
        .methods()
        .find(|method| method.name() == "DeltaAggregatedResources");
    let request = delta.unwrap().input();
    assert!(
        request
            .get_field_by_name("initial_resource_versions")
            .is_some()
    );
    assert!(pool.get_message_by_name(cluster).is_some());
    assert!(pool.get_message_by_name(manager).is_some());
}

#[tokio::test]
async fn what_only_replicas_have_is_listed_where_it_is() {
    let shared = Shared {
        own: Some(Own::new().1),
        ..Shared::default()
    };
    let server = Server::start_sharing(any_port(), shared).await;
    let listed = services(&connection(&server)).await;
    assert!(
        listed.contains(&"locum.v1.Replicas".to_owned()),
        "{listed:?}"
    );
    gathered(&connection(&server), &["locum.v1.Replicas"]).await;
}

#[tokio::test]
async fn older_tools_are_told_the_same() {
    use v1alpha::server_reflection_client::ServerReflectionClient;
    use v1alpha::server_reflection_request::MessageRequest;
    use v1alpha::server_reflection_response::MessageResponse;
    let server = Server::start().await;
    let mut client = ServerReflectionClient::new(connection(&server));
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let requests = futures::stream::iter([request]);
    let answers = client.server_reflection_info(requests).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(listed)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let mut names: Vec<_> = listed
        .service
        .iter()
        .map(|service| &*service.name)
        .collect();
    names.sort_unstable();
    assert_eq!(names, SERVICES);
}
