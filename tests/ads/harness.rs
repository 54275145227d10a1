//! A scripted proxy and the server it talks to.

mod log;
mod wire;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::Node;
use locum::xds::clients::Detail;
use locum::xds::kind::Kind;
use locum::xds::proxy::Admission;
use locum::xds::resource::{Readiness, Resource};
use locum::xds::server::{Listener, Shared, serve};
use locum::xds::snapshot::Snapshot;
pub(crate) use log::Log;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::{Status, Streaming};
use wire::{Client, Heard, Said, Wire};
pub(crate) use wire::{Delta, StateOfTheWorld};

/// How long anything that must happen may take.
pub(crate) const BOUND: Duration = Duration::from_secs(15);

/// What an answer needs.
const ANSWER: &str = "a response came before";

/// The Gateway that most conversations are about.
pub(crate) const GATEWAY: &str = "default/edge";

/// A server on a free port of its own; it stops when this is dropped.
pub(crate) struct Server {
    pub(crate) shared: Shared,
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_at(any_port()).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        Self::start_sharing(address, Shared::with(Admission::LOCUM)).await
    }

    /// A server that is not Locum's, but somebody's who uses the library.
    pub(crate) async fn of_library(admission: Admission) -> Self {
        Self::start_sharing("127.0.0.1:0".parse().unwrap(), Shared::with(admission)).await
    }

    pub(crate) async fn start_sharing(address: SocketAddr, shared: Shared) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        Self::start_with(Listener::Tcp(listener), address, shared)
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
        self.begin_to_stop().ended().await;
    }

    /// Tells the server to end.
    pub(crate) fn begin_to_stop(self) -> Stopping {
        self.stop.send(()).unwrap();
        Stopping(self.served)
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
        self.open(node, gateway).await
    }

    /// The same with a stream in the state of the world.
    pub(crate) async fn connect_sotw(&self, gateway: &str) -> Proxy<'_, StateOfTheWorld> {
        self.open("proxy", gateway).await
    }

    /// The same in either variant.
    pub(crate) async fn open<W: Wire>(&self, node: &str, gateway: &str) -> Proxy<'_, W> {
        let (requests, receiver) = mpsc::channel(16);
        let mut client = Client::connect(format!("http://{}", self.address))
            .await
            .unwrap();
        let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
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
            responses: W::open(&mut client, stream).await.unwrap(),
            wire: W::default(),
            nonces: HashMap::new(),
            heard: 0,
        }
    }

    /// How many responses the proxies of a Gateway were sent.
    fn responses(&self, gateway: &str) -> u64 {
        let reports = self.shared.clients.reports(Detail::Counts);
        let ours = reports.iter().filter(|report| report.gateway == gateway);
        let types = ours.flat_map(|report| report.types.values());
        types.map(|of_type| of_type.sent.responses).sum()
    }

    /// How many requests were for types that are not served.
    fn unserved(&self) -> u64 {
        let unserved = self.counted("locum_xds_unknown_types_total");
        unserved.expect("it is counted")
    }

    /// What the metrics say of one, with its labels, if it was ever counted.
    pub(crate) fn counted(&self, metric: &str) -> Option<u64> {
        let metrics = self.metrics();
        let mut counts = metrics.lines().filter_map(|line| line.strip_prefix(metric));
        counts.find_map(|count| count.strip_prefix(' ')?.parse().ok())
    }

    /// What the metrics say, as text.
    pub(crate) fn metrics(&self) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        self.shared.metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }
}

/// A server that was told to end.
pub(crate) struct Stopping(JoinHandle<()>);

impl Stopping {
    pub(crate) async fn ended(self) {
        let ended = timeout(BOUND, self.0).await;
        ended.expect("the server ends").unwrap();
    }
}

/// Plays a whole conversation between one proxy that speaks delta and a server of its own.
pub(crate) async fn play(conversation: &str) {
    let server = Server::start().await;
    let mut proxy = server.connect(GATEWAY).await;
    proxy.play(conversation).await;
}

/// The same in the state of the world.
pub(crate) async fn play_sotw(conversation: &str) {
    let server = Server::start().await;
    let mut proxy = server.connect_sotw(GATEWAY).await;
    proxy.play(conversation).await;
}

/// A port that is free, on loopback.
pub(crate) fn any_port() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
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
pub(crate) struct Proxy<'server, W: Wire = Delta> {
    server: &'server Server,
    gateway: String,
    /// Until it has been sent.
    pub(crate) node: Option<Node>,
    pub(crate) requests: mpsc::Sender<W::Request>,
    pub(crate) responses: Streaming<W::Response>,
    wire: W,
    /// The nonces of each kind that have not been answered, oldest first.
    nonces: HashMap<Kind, VecDeque<String>>,
    /// How many responses came.
    heard: u64,
}

impl<W: Wire> Proxy<'_, W> {
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
    /// < virtual_host r/a:1=r/x           the same with an alias
    /// < virtual_host r/x:none=r/x        that there is nothing of this name
    /// < nothing                          must be silence: all that has been sent so far was expected
    /// ```
    ///
    /// In the state of the world:
    ///
    /// ```text
    /// > cluster had a:1 b:2              the first request, with version_info
    /// > endpoint a b                     ask for these names: without a response before, or once more
    /// > endpoint ack a b                 the same with an acknowledgement; without names as before
    /// > endpoint none                    ask for no name
    /// > cluster last                     acknowledge the last response, and none before it
    /// > cluster took 1 nack a: no good   answer the last response alone: of those not answered the
    ///                                    first was accepted, and one after it refused, in these words
    /// < endpoint                         a response without resources tells a version
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
        let nonces = self.nonces.entry(kind).or_default();
        let mut said = Said {
            node: self.node.take(),
            ..Said::default()
        };
        if let Some(words) = rest.strip_prefix("nack ") {
            said.nonce = nonces.pop_front().expect(ANSWER);
            said.refusal = Some(words.into());
        } else if let Some(rest) = rest.strip_prefix("took ") {
            let (count, words) = rest.split_once(" nack ").expect("took ... nack ...");
            let accepted = count.parse::<usize>().unwrap().checked_sub(1);
            said.accepted = accepted.map(|index| nonces[index].clone());
            said.nonce = nonces.drain(..).next_back().expect(ANSWER);
            said.refusal = Some(words.into());
        } else {
            for word in rest.split_whitespace() {
                match word {
                    "ack" => said.nonce = nonces.pop_front().expect(ANSWER),
                    "last" => said.nonce = nonces.drain(..).next_back().expect(ANSWER),
                    "stale" => said.nonce = "stale".into(),
                    _ => said.words.push(word),
                }
            }
        }
        let request = self.wire.request(kind, said);
        self.requests.send(request).await.unwrap();
    }

    async fn hear(&mut self, message: &str) {
        let mut expected = message.split_whitespace();
        let kind = kind_of(expected.next().unwrap());
        let expected: BTreeSet<_> = expected.map(str::to_owned).collect();
        let heard = self.response(message).await;
        assert_eq!(
            (kind.type_url(), expected),
            (heard.type_url.as_str(), heard.words),
            "awaiting: {message}"
        );
        self.nonces.entry(kind).or_default().push_back(heard.nonce);
    }

    async fn response(&mut self, awaited: &str) -> Heard {
        let message = timeout(BOUND, self.responses.message()).await;
        let message = message.unwrap_or_else(|_| panic!("awaiting: {awaited}: silence"));
        self.heard += 1;
        let response = message.unwrap().expect("the stream is open");
        self.wire.heard(&response)
    }

    /// Ends the stream; returns what the proxy remembers of it.
    pub(crate) async fn hang_up(self) -> W {
        let Self {
            server,
            gateway,
            requests,
            responses,
            wire,
            ..
        } = self;
        drop((requests, responses));
        eventually("the server lets go of the proxy", || {
            server.shared.clients.count(&gateway) == 0
        })
        .await;
        wire
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

    /// Asks for what is not served and waits until that is counted: what was said before has been
    /// taken in then, and what follows from it was sent.
    async fn hear_nothing(&mut self, line: &str) {
        let before = self.server.unserved();
        let request = W::unserved(self.node.take());
        self.requests.send(request).await.unwrap();
        eventually("all is taken in", || self.server.unserved() > before).await;
        if self.server.responses(&self.gateway) > self.heard {
            let heard = self.response(line).await;
            panic!("awaiting silence: {} {:?}", heard.type_url, heard.words);
        }
    }
}

impl Proxy<'_, StateOfTheWorld> {
    /// Makes it one that has been here before.
    pub(crate) fn remember(&mut self, earlier: StateOfTheWorld) {
        self.wire = earlier.on_another_stream();
    }
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
/// An `eds` cluster refers to the endpoints of its name, as does a `checked` one, whose endpoints are
/// checked; `dns` is resolved by the proxy. What follows `>` is referred to: a cluster's clusters, a
/// listener's routes, a route's clusters; others with their kind, as in `listener l:1 > r extension=f`.
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
        let targets = targets.map(|target| match target.split_once('=') {
            Some((kind, name)) => (kind_of(kind), name.into()),
            None => (target_kind, target.into()),
        });
        resource.references = targets.collect();
        match own.get(2) {
            None => {}
            Some(&"dns") => resource.readiness = Readiness::Dns,
            Some(&found @ ("eds" | "checked")) => {
                resource.readiness = match found {
                    "eds" => Readiness::Endpoints,
                    _ => Readiness::Checks,
                };
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
