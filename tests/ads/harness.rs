//! A scripted proxy and the server it talks to.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3 as discovery;
use envoy_types::pb::google::rpc;
use locum::xds::clients::Detail;
use locum::xds::kind::Kind;
use locum::xds::resource::{Readiness, Resource};
use locum::xds::server::{Listener, ServeError, Shared, serve};
use locum::xds::snapshot::Snapshot;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::{Status, Streaming};

/// How long anything that must happen may take.
pub(crate) const BOUND: Duration = Duration::from_secs(15);

/// The Gateway that most conversations are about.
pub(crate) const GATEWAY: &str = "default/edge";

/// A server on a free port of its own; it stops when this is dropped.
pub(crate) struct Server {
    pub(crate) shared: Shared,
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), ServeError>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        Self::start_with(Listener::Tcp(listener), address, Shared::default())
    }

    pub(crate) fn start_with(listener: Listener, address: SocketAddr, shared: Shared) -> Self {
        let (stop, stopped) = oneshot::channel();
        let served = serve(listener, shared.clone(), async {
            stopped.await.unwrap_or_default();
        });
        Self {
            shared,
            address,
            stop,
            served: tokio::spawn(served),
        }
    }

    /// Ends the server as its process does when it is told to.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        let ended = timeout(BOUND, self.served).await;
        ended.expect("the server ends").unwrap().unwrap();
    }

    /// Publishes a snapshot and waits until every connected proxy's stream has taken it up.
    pub(crate) async fn serve(&self, gateway: &str, resources: &str) {
        let snapshot = Snapshot::new(resources_of(resources), None);
        self.shared.board.publish(gateway, Arc::new(snapshot));
        let revision = self.shared.board.published(gateway).revision;
        eventually("streams take up the snapshot", || {
            let reports = self.shared.clients.reports(Detail::Counts);
            let mut ours = reports.iter().filter(|report| report.gateway == gateway);
            ours.all(|report| report.revision >= revision)
        })
        .await;
    }

    /// A proxy with an open stream that has said nothing yet.
    pub(crate) async fn connect(&self, gateway: &str) -> Proxy<'_> {
        self.connect_as("proxy", gateway).await
    }

    /// The same with a `node.id` of its own.
    pub(crate) async fn connect_as(&self, node: &str, gateway: &str) -> Proxy<'_> {
        let (requests, receiver) = mpsc::channel(16);
        let mut client =
            AggregatedDiscoveryServiceClient::connect(format!("http://{}", self.address))
                .await
                .unwrap();
        let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
        let responses = client.delta_aggregated_resources(stream).await.unwrap();
        let node = Node {
            id: node.into(),
            cluster: gateway.into(),
            ..Default::default()
        };
        Proxy {
            server: self,
            gateway: gateway.into(),
            node: Some(node),
            requests,
            responses: responses.into_inner(),
            nonces: HashMap::new(),
            fences: 0,
        }
    }
}

/// Plays a whole conversation between one proxy and a server of its own.
pub(crate) async fn play(conversation: &str) {
    let server = Server::start().await;
    server.connect(GATEWAY).await.play(conversation).await;
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let waited = timeout(BOUND, async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}: not within {BOUND:?}");
}

/// A proxy that says what it is told to.
pub(crate) struct Proxy<'server> {
    server: &'server Server,
    gateway: String,
    /// Until it has been sent.
    pub(crate) node: Option<Node>,
    pub(crate) requests: mpsc::Sender<DeltaDiscoveryRequest>,
    pub(crate) responses: Streaming<DeltaDiscoveryResponse>,
    /// The nonces of each kind that have not been answered, oldest first.
    nonces: HashMap<Kind, VecDeque<String>>,
    fences: u32,
}

impl Proxy<'_> {
    /// Plays a conversation, a line for each message:
    ///
    /// ```text
    /// serve cluster a:1, endpoint a:2    publish a snapshot: `name:content`, see [`resources_of`]
    /// > cluster                          the first request, for everything
    /// > cluster had a:1 b:2              the same, with initial_resource_versions
    /// > endpoint +a -b                   subscribe and unsubscribe
    /// > cluster ack                      acknowledge the oldest response not answered; subscriptions may follow
    /// > cluster nack a: no good          refuse it, in these words
    /// > cluster stale                    acknowledge a response that is not the last
    /// < cluster a:1 b:1 -c               must be the next response: resources and removals, in any order
    /// < nothing                          must be silence: all that has been sent so far was expected
    /// ```
    pub(crate) async fn play(&mut self, conversation: &str) {
        for line in conversation.lines().map(str::trim) {
            match line.split_once(' ') {
                Some(("serve", resources)) => self.server.serve(&self.gateway, resources).await,
                Some((">", message)) => self.say(message).await,
                Some(("<", "nothing")) => self.hear_nothing(line).await,
                Some(("<", message)) => self.hear(message).await,
                _ => assert!(line.is_empty(), "what is {line:?}?"),
            }
        }
    }

    async fn say(&mut self, message: &str) {
        let (kind, rest) = message.split_once(' ').unwrap_or((message, ""));
        let kind = kind_of(kind);
        let mut request = DeltaDiscoveryRequest {
            node: self.node.take(),
            type_url: kind.type_url().into(),
            ..Default::default()
        };
        let mut nonce = || {
            let nonces = self.nonces.entry(kind).or_default();
            nonces.pop_front().expect("a response came before")
        };
        if let Some(words) = rest.strip_prefix("nack ") {
            request.response_nonce = nonce();
            request.error_detail = Some(rpc::Status {
                message: words.into(),
                ..Default::default()
            });
            return self.send(request).await;
        }
        for word in rest.split_whitespace() {
            match (word, &word[..1]) {
                ("ack", _) => request.response_nonce = nonce(),
                ("stale", _) => request.response_nonce = "stale".into(),
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
        self.send(request).await;
    }

    async fn send(&mut self, request: DeltaDiscoveryRequest) {
        self.requests.send(request).await.unwrap();
    }

    async fn hear(&mut self, message: &str) {
        let mut expected = message.split_whitespace();
        let kind = kind_of(expected.next().unwrap());
        let expected: BTreeSet<_> = expected.map(str::to_owned).collect();
        let response = self.response(message).await;
        assert_eq!(
            (kind.type_url(), expected),
            (response.type_url.as_str(), words(kind, &response)),
            "awaiting: {message}"
        );
        self.nonces
            .entry(kind)
            .or_default()
            .push_back(response.nonce);
    }

    async fn response(&mut self, awaited: &str) -> DeltaDiscoveryResponse {
        let message = timeout(BOUND, self.responses.message()).await;
        let message = message.unwrap_or_else(|_| panic!("awaiting: {awaited}: silence"));
        message.unwrap().expect("the stream is open")
    }

    /// The status that ends the stream.
    pub(crate) async fn end(mut self) -> Status {
        let ended = timeout(BOUND, async {
            loop {
                if let Err(status) = self.responses.message().await {
                    return status;
                }
            }
        });
        ended.await.expect("the server ends the stream")
    }

    /// Asks for a secret that does not exist: what was on its way before comes before the answer.
    async fn hear_nothing(&mut self, line: &str) {
        self.fences += 1;
        let fence = format!("fence-{}", self.fences);
        self.say(&format!("secret +{fence}")).await;
        let response = self.response(line).await;
        let found = (response.type_url.as_str(), words(Kind::Secret, &response));
        let fence = BTreeSet::from([format!("-{fence}")]);
        assert_eq!(found, (Kind::Secret.type_url(), fence), "awaiting silence");
        self.nonces
            .entry(Kind::Secret)
            .or_default()
            .push_back(response.nonce);
        self.say("secret ack").await;
    }
}

fn words(kind: Kind, response: &DeltaDiscoveryResponse) -> BTreeSet<String> {
    let sent = response.resources.iter().map(|found| {
        let word = (1..=9).map(|content| format!("{}:{content}", found.name));
        let mut word = word.filter(|word| *resource(kind, word).version.0 == *found.version);
        let word = word.next().unwrap_or_else(|| format!("{}:?", found.name));
        let any = found.resource.as_ref().unwrap();
        assert_eq!(any.type_url, kind.type_url());
        assert_eq!(any.value, *resource(kind, &word).body, "the body of {word}");
        word
    });
    let removed = response.removed_resources.iter();
    sent.chain(removed.map(|name| format!("-{name}"))).collect()
}

fn kind_of(name: &str) -> Kind {
    let mut kinds = Kind::ALL.into_iter();
    kinds
        .find(|kind| kind.name() == name)
        .unwrap_or_else(|| panic!("{name:?} is no kind"))
}

/// A resource named and filled by `name:content`.
pub(crate) fn resource(kind: Kind, word: &str) -> Resource {
    let (name, content) = word.split_once(':').expect("name:content");
    // What stands in the message means nothing to the server.
    let message = Cluster {
        name: name.into(),
        alt_stat_name: content.into(),
        ..Default::default()
    };
    Resource::new(kind, name, &message)
}

/// Resources from a list such as `cluster a:1 eds, endpoint a:1, listener l:1 > r, route r:1 > a`.
/// An `eds` cluster refers to the endpoints of its name, `dns` is resolved by the proxy; what
/// follows `>` is referred to: a cluster's clusters, a listener's routes, a route's clusters.
pub(crate) fn resources_of(list: &str) -> Vec<Resource> {
    let list = list
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty());
    list.map(|item| {
        let (own, targets) = item.split_once('>').unwrap_or((item, ""));
        let own: Vec<_> = own.split_whitespace().collect();
        let kind = kind_of(own[0]);
        let mut resource = resource(kind, own[1]);
        let target_kind = match kind {
            Kind::Listener => Kind::Route,
            _ => Kind::Cluster,
        };
        let targets = targets.split_whitespace();
        resource.references = targets.map(|name| (target_kind, name.into())).collect();
        match own.get(2) {
            None => {}
            Some(&"dns") => resource.readiness = Readiness::Dns,
            Some(&"eds") => {
                resource.readiness = Readiness::Endpoints;
                resource
                    .references
                    .insert((Kind::Endpoint, resource.name.clone()));
            }
            Some(other) => panic!("{other:?} is no way to find endpoints"),
        }
        resource.owners = Arc::new([format!("owner of {}", resource.name)]);
        resource
    })
    .collect()
}
