//! The two variants of the protocol as a scripted proxy speaks them.

use std::collections::{BTreeSet, HashMap};

use discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use discovery::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3 as discovery;
use envoy_types::pb::google::rpc;
use locum::xds::kind::Kind;
use locum::xds::resource::Version;
use prost::Message as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::resource;

pub(crate) type Client = AggregatedDiscoveryServiceClient<Channel>;

/// What a proxy is to say.
#[derive(Default)]
pub(crate) struct Said<'line> {
    pub(crate) node: Option<Node>,
    pub(crate) nonce: String,
    /// The nonce of a response that it accepted before and did not answer.
    pub(crate) accepted: Option<String>,
    /// Why it refuses the response of that nonce.
    pub(crate) refusal: Option<String>,
    pub(crate) words: Vec<&'line str>,
}

/// A response as the harness looks at it.
pub(crate) struct Heard {
    pub(crate) type_url: String,
    pub(crate) nonce: String,
    /// `name:content` of what it carries, `-name` of what it takes away.
    pub(crate) words: BTreeSet<String>,
}

/// A variant of the protocol, with what a proxy has to remember to speak it.
pub(crate) trait Wire: Default {
    type Request: Send + 'static;
    type Response;

    async fn open(
        client: &mut Client,
        requests: ReceiverStream<Self::Request>,
    ) -> Result<Streaming<Self::Response>, Status>;
    fn request(&mut self, kind: Kind, said: Said<'_>) -> Self::Request;
    fn heard(&mut self, response: &Self::Response) -> Heard;
    /// A request for a type that no server of Locum's serves.
    fn unserved(node: Option<Node>) -> Self::Request;
}

const UNSERVED: &str = "type.googleapis.com/envoy.service.runtime.v3.Runtime";

#[derive(Default)]
pub(crate) struct Delta;

impl Wire for Delta {
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;

    async fn open(
        client: &mut Client,
        requests: ReceiverStream<Self::Request>,
    ) -> Result<Streaming<Self::Response>, Status> {
        let responses = client.delta_aggregated_resources(requests).await?;
        Ok(responses.into_inner())
    }

    fn request(&mut self, kind: Kind, said: Said<'_>) -> Self::Request {
        let mut request = DeltaDiscoveryRequest {
            node: said.node,
            type_url: kind.type_url().into(),
            response_nonce: said.nonce,
            error_detail: said.refusal.map(error),
            ..Default::default()
        };
        for word in said.words {
            match (word, &word[..1]) {
                ("had", _) => {}
                (_, "+") => request.resource_names_subscribe.push(word[1..].into()),
                (_, "-") => request.resource_names_unsubscribe.push(word[1..].into()),
                _ => {
                    let resource = resource(kind, word);
                    let version = resource.version.0.to_string();
                    let versions = &mut request.initial_resource_versions;
                    versions.insert(resource.name.to_string(), version);
                }
            }
        }
        request
    }

    fn unserved(node: Option<Node>) -> Self::Request {
        DeltaDiscoveryRequest {
            node,
            type_url: UNSERVED.into(),
            ..Default::default()
        }
    }

    fn heard(&mut self, response: &Self::Response) -> Heard {
        let kind = Kind::of_type_url(&response.type_url).unwrap();
        let sent = response.resources.iter().map(|found| {
            let aliases = found.aliases.iter().map(|alias| format!("={alias}"));
            let aliases: String = aliases.collect();
            let Some(any) = &found.resource else {
                return format!("{}:none{aliases}", found.name);
            };
            assert_eq!(any.type_url, kind.type_url());
            let word = word(kind, &found.name, &any.value);
            let version = &*resource(kind, &word).version.0;
            assert_eq!(version, found.version, "the version of {word}");
            word + &aliases
        });
        let removed = response.removed_resources.iter();
        Heard {
            type_url: response.type_url.clone(),
            nonce: response.nonce.clone(),
            words: sent.chain(removed.map(|name| format!("-{name}"))).collect(),
        }
    }
}

/// As Envoy speaks it: each request has all names, the last nonce and the version accepted last.
#[derive(Default)]
pub(crate) struct StateOfTheWorld {
    names: HashMap<Kind, Vec<String>>,
    accepted: HashMap<Kind, String>,
    last_nonce: HashMap<Kind, String>,
    /// By nonce.
    versions: HashMap<String, String>,
}

impl StateOfTheWorld {
    /// What is left of it when the stream has ended: nonces are a stream's own.
    pub(crate) fn on_another_stream(self) -> Self {
        Self {
            names: self.names,
            accepted: self.accepted,
            ..Self::default()
        }
    }
}

impl Wire for StateOfTheWorld {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;

    async fn open(
        client: &mut Client,
        requests: ReceiverStream<Self::Request>,
    ) -> Result<Streaming<Self::Response>, Status> {
        let responses = client.stream_aggregated_resources(requests).await?;
        Ok(responses.into_inner())
    }

    fn request(&mut self, kind: Kind, said: Said<'_>) -> Self::Request {
        let (names, had): (Vec<_>, Vec<_>) = said
            .words
            .iter()
            .copied()
            .partition(|word| !word.contains(':'));
        let names: Vec<_> = names.into_iter().filter(|word| *word != "had").collect();
        if !had.is_empty() {
            let had: Vec<_> = had.iter().map(|word| resource(kind, word)).collect();
            let versions = had.iter().map(|one| (&*one.name, &one.version));
            let version = Version::of_set(versions).0.to_string();
            self.accepted.insert(kind, version);
        }
        match *names {
            [] => {}
            ["none"] => drop(self.names.remove(&kind)),
            _ => {
                let names = names.into_iter().map(str::to_owned);
                self.names.insert(kind, names.collect());
            }
        }
        let acknowledged = said.refusal.is_none().then_some(&said.nonce);
        if let Some(nonce) = said.accepted.as_ref().or(acknowledged)
            && let Some(version) = self.versions.get(nonce)
        {
            self.accepted.insert(kind, version.clone());
        }
        let nonce = if said.nonce.is_empty() {
            self.last_nonce.get(&kind).cloned().unwrap_or_default()
        } else {
            said.nonce
        };
        DiscoveryRequest {
            node: said.node,
            type_url: kind.type_url().into(),
            response_nonce: nonce,
            version_info: self.accepted.get(&kind).cloned().unwrap_or_default(),
            resource_names: self.names.get(&kind).cloned().unwrap_or_default(),
            error_detail: said.refusal.map(error),
            ..Default::default()
        }
    }

    fn unserved(node: Option<Node>) -> Self::Request {
        DiscoveryRequest {
            node,
            type_url: UNSERVED.into(),
            ..Default::default()
        }
    }

    fn heard(&mut self, response: &Self::Response) -> Heard {
        let kind = Kind::of_type_url(&response.type_url).unwrap();
        let (nonce, version) = (&response.nonce, &response.version_info);
        self.last_nonce.insert(kind, nonce.clone());
        self.versions.insert(nonce.clone(), version.clone());
        let words = response.resources.iter().map(|any| {
            assert_eq!(any.type_url, kind.type_url());
            // All resources here are clusters, whatever they are called.
            let name = Cluster::decode(&*any.value).unwrap().name;
            word(kind, &name, &any.value)
        });
        Heard {
            type_url: response.type_url.clone(),
            nonce: nonce.clone(),
            words: words.collect(),
        }
    }
}

/// The word for a resource with this body.
fn word(kind: Kind, name: &str, body: &[u8]) -> String {
    let mut words = (1..=9).map(|content| format!("{name}:{content}"));
    let found = words.find(|word| *resource(kind, word).body == *body);
    found.unwrap_or_else(|| format!("{name}:?"))
}

fn error(words: String) -> rpc::Status {
    rpc::Status {
        message: words,
        ..Default::default()
    }
}
