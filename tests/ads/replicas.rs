//! Several replicas beside each other: the leader sees what the proxies of all of them do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use locum::api::v1::ObserveRequest;
use locum::api::v1::replicas_client::ReplicasClient;
use locum::pipeline::{State, Told};
use locum::replicas::{self, Dial, Member, Metrics, Observer, Own};
use locum::resource::{EndpointSlice, Object, ObjectName};
use locum::status::observations::{
    LINGER, Observation, Observed, Progress, REPLICA_BOUND, Refusal, Verdict,
};
use locum::store::{Change, Store};
use locum::trust::{Authority, Domain, Issued, PROXY_LIFE, ServerNames, Tls};
use locum::xds::proxy::Admission;
use locum::xds::server::{Listener, Shared};
use serde_json::json;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::transport::Endpoint;

use crate::harness::{BOUND, GATEWAY, Proxy, Server};

const NAMESPACE: &str = "locum-system";

/// What both replicas serve.
const RESOURCES: &str = "cluster a:1, listener l:1 > r, route r:1 > a";

/// A replica that serves and knows of no other until it is told.
struct Replica {
    name: &'static str,
    server: Server,
    own: Own,
    states: watch::Sender<Arc<State>>,
}

impl Replica {
    async fn start(name: &'static str) -> Self {
        let (states, receiver) = watch::channel(Arc::<State>::default());
        let (sender, own) = Own::new();
        let shared = Shared {
            own: Some(own.clone()),
            ..Shared::with(Admission::LOCUM)
        };
        tokio::spawn(replicas::watch(shared.clients.clone(), receiver, sender));
        let (listener, address) = listener().await;
        let server = Server::start_with(Listener::Tcp(listener), address, shared);
        Self {
            name,
            server,
            own,
            states,
        }
    }

    /// Serves what was made from this generation of the Gateway.
    async fn translates(&self, generation: i64, resources: &str) {
        self.server.serve(GATEWAY, resources).await;
        let revision = self.server.shared.board.published(GATEWAY).revision;
        let told = Told {
            generation,
            revision,
        };
        self.states.send_modify(|state| {
            let state = Arc::make_mut(state);
            state.revision += 1;
            state.told = [(gateway(), told)].into();
        });
    }

    /// Finds these in the EndpointSlices of Locum's Service, beside itself.
    fn finds(&self, others: &[(&str, SocketAddr)]) {
        let own = (self.name, self.server.address);
        let there = others.iter().copied().chain([own]);
        let store = Arc::new(store(there));
        self.states
            .send_modify(|state| Arc::make_mut(state).store = store);
    }

    /// Leads, with `peers` in the EndpointSlices of Locum's Service.
    fn leads(&self, peers: &[&Replica]) -> Leader {
        let peers = peers
            .iter()
            .map(|replica| (replica.name, replica.server.address));
        self.finds(&peers.collect::<Vec<_>>());
        let (leads, is_leader) = watch::channel(true);
        let (observer, observed) = Observer::new(
            self.own.clone(),
            member(self.name),
            self.states.subscribe(),
            Dial::Plaintext,
            Metrics::default(),
        );
        tokio::spawn(observer.run(is_leader));
        Leader { leads, observed }
    }

    /// A proxy that has acknowledged everything.
    async fn proxy(&self, node: &str) -> Proxy<'_> {
        let mut proxy = self.server.connect_as(node, GATEWAY).await;
        proxy
            .play(
                "> cluster
                 < cluster a:1
                 > cluster ack
                 > listener
                 < listener l:1
                 > listener ack
                 > route +r
                 < route r:1
                 > route ack",
            )
            .await;
        proxy
    }
}

/// The replica that writes.
struct Leader {
    leads: watch::Sender<bool>,
    observed: watch::Receiver<Arc<Observed>>,
}

impl Leader {
    /// Waits until it sees something.
    async fn sees(&mut self, what: &str, so: impl Fn(&Observed) -> bool) {
        let seen = timeout(BOUND, self.observed.wait_for(|observed| so(observed)));
        let seen = seen.await.map(|seen| seen.unwrap().clone());
        assert!(seen.is_ok(), "{what}: {:?}", self.observed.borrow());
    }

    async fn says(&mut self, generation: i64, verdict: Verdict<'_>) {
        let what = format!("{verdict:?} of generation {generation}");
        self.sees(&what, |observed| {
            observed.verdict(&gateway(), generation) == verdict
        })
        .await;
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn member(name: &str) -> Member {
    Member {
        name: name.into(),
        namespace: NAMESPACE.into(),
        ip: None,
    }
}

/// A store with these replicas in EndpointSlices of Locum's Service.
fn store<'a>(replicas: impl Iterator<Item = (&'a str, SocketAddr)>) -> Store {
    let mut store = Store::default();
    for (name, address) in replicas {
        let slice = json!({
            "metadata": {
                "namespace": NAMESPACE,
                "name": name,
                "labels": {"kubernetes.io/service-name": replicas::SERVICE},
            },
            "addressType": "IPv4",
            "ports": [{"name": "xds", "port": address.port()}],
            "endpoints": [{
                "addresses": [address.ip().to_string()],
                "conditions": {"ready": true},
                "targetRef": {"kind": "Pod", "name": name},
            }],
        });
        let slice: EndpointSlice = serde_json::from_value(slice).unwrap();
        store.apply(Change::Applied(Object::EndpointSlice(Arc::new(slice))));
    }
    store
}

fn gateway() -> ObjectName {
    ObjectName::new("default", "edge")
}

#[tokio::test]
async fn the_leader_sees_the_proxies_of_every_replica() {
    let (a, b) = (Replica::start("a").await, Replica::start("b").await);
    a.translates(1, RESOURCES).await;
    b.translates(1, RESOURCES).await;
    let mut leader = a.leads(&[&b]);
    let _mine = a.proxy("of-a").await;
    let mut other = b.proxy("of-b").await;
    leader
        .sees("both proxies", |observed| {
            let proxies = observed.proxies.get(&gateway());
            proxies.is_some_and(|proxies| proxies.keys().eq(["of-a", "of-b"]))
        })
        .await;
    leader.says(1, Verdict::Programmed).await;

    // The peer is the first to see a new generation, and its proxy the first to have it.
    let changed = "cluster a:2, listener l:1 > r, route r:1 > a";
    b.translates(2, changed).await;
    other.play("< cluster a:2").await;
    let late = vec!["of-a", "of-b"];
    leader
        .says(2, Verdict::Waiting { late, connected: 2 })
        .await;
    other.play("> cluster ack").await;
    let late = vec!["of-a"];
    leader
        .says(2, Verdict::Waiting { late, connected: 2 })
        .await;
    a.translates(2, RESOURCES).await;
    leader.says(2, Verdict::Programmed).await;
}

#[tokio::test]
async fn a_refusal_of_another_replicas_proxy_reaches_the_leader() {
    let (a, b) = (Replica::start("a").await, Replica::start("b").await);
    a.translates(1, RESOURCES).await;
    b.translates(1, RESOURCES).await;
    let mut leader = a.leads(&[&b]);
    let mut proxy = b.proxy("of-b").await;
    b.server
        .serve(GATEWAY, "cluster a:2, listener l:1 > r, route r:1 > a")
        .await;
    proxy
        .play(
            "< cluster a:2
             > cluster nack a: no good",
        )
        .await;
    let refusal = Refusal {
        gateway: gateway(),
        node: "of-b".into(),
        kind: "cluster".into(),
        name: "a".into(),
        // The scripted server's owners are no resources.
        owners: Vec::new(),
        message: "a: no good".into(),
    };
    let wanted = [refusal].into();
    leader
        .sees("the refusal", |observed| observed.refusals == wanted)
        .await;
    b.server.serve(GATEWAY, RESOURCES).await;
    leader
        .sees("that it is over", |observed| observed.refusals.is_empty())
        .await;
}

#[tokio::test]
async fn a_replica_that_goes_away_is_forgotten_after_its_bound_and_missed_while_it_is_listed() {
    let (a, b) = (Replica::start("a").await, Replica::start("b").await);
    a.translates(1, RESOURCES).await;
    b.translates(1, RESOURCES).await;
    let mut leader = a.leads(&[&b]);
    let proxy = b.proxy("of-b").await;
    leader.says(1, Verdict::Programmed).await;
    drop(proxy);
    b.server.stop().await;
    let begun = std::time::Instant::now();
    leader.says(1, Verdict::Unknown).await;
    let longest = LINGER + REPLICA_BOUND + Duration::from_secs(1);
    assert!(begun.elapsed() < longest, "{:?}", begun.elapsed());
    a.finds(&[]);
    leader.says(1, Verdict::NoProxies).await;
}

#[tokio::test]
async fn a_replica_that_moved_and_is_not_heard_is_forgotten_after_its_bound() {
    let (a, b) = (Replica::start("a").await, Replica::start("b").await);
    a.translates(1, RESOURCES).await;
    b.translates(1, RESOURCES).await;
    let mut leader = a.leads(&[&b]);
    let _other = b.proxy("of-b").await;
    leader.says(1, Verdict::Programmed).await;
    let (_silent, elsewhere) = listener().await;
    a.finds(&[("b", elsewhere)]);
    let begun = std::time::Instant::now();
    leader.says(1, Verdict::Unknown).await;
    let longest = LINGER + REPLICA_BOUND + Duration::from_secs(1);
    assert!(begun.elapsed() < longest, "{:?}", begun.elapsed());
    a.finds(&[("b", b.server.address)]);
    leader.says(1, Verdict::Programmed).await;
}

#[tokio::test]
async fn a_replica_that_never_answers_holds_nothing_up_but_what_only_it_could_know() {
    let (a, mut b) = (Replica::start("a").await, Replica::start("b").await);
    a.translates(1, RESOURCES).await;
    let (_silent, address) = listener().await;
    b.server.address = address;
    let mut leader = a.leads(&[&b]);
    let _mine = a.proxy("of-a").await;
    leader.says(1, Verdict::Programmed).await;
    assert!(!leader.observed.borrow().complete);
    a.finds(&[]);
    leader
        .sees("all there is", |observed| observed.complete)
        .await;
}

#[tokio::test]
async fn a_replica_that_leads_no_more_says_nothing_of_proxies() {
    let a = Replica::start("a").await;
    a.translates(1, RESOURCES).await;
    let mut leader = a.leads(&[]);
    let _mine = a.proxy("of-a").await;
    leader.says(1, Verdict::Programmed).await;
    leader.leads.send_replace(false);
    leader
        .sees("nothing", |observed| *observed == Observed::default())
        .await;
    leader.leads.send_replace(true);
    leader.says(1, Verdict::Programmed).await;
}

/// Mutual TLS with these credentials.
fn tls(issued: Issued) -> Tls {
    let (tls, renewal) = Tls::waiting(Domain::default(), "the test");
    renewal.renew(&issued.into()).unwrap();
    tls
}

#[tokio::test]
async fn only_replicas_are_told_over_mutual_tls() {
    let now = OffsetDateTime::now_utc();
    let authority = Authority::make(now).unwrap();
    let names = ServerNames::in_cluster(&Domain::default(), "cluster.local");
    let locum = tls(authority.server(&names, now).unwrap());
    let (sender, own) = Own::new();
    let proxy = ("of-b".to_owned(), Progress::Acknowledged { generation: 1 });
    sender.send_replace(Arc::new(Observation {
        proxies: [(gateway(), [proxy].into())].into(),
        ..Observation::default()
    }));
    let (listener, address) = listener().await;
    let shared = Shared {
        own: Some(own),
        ..Shared::with(Admission::LOCUM)
    };
    let listener = Listener::Tls(listener, locum.clone());
    let _b = Server::start_with(listener, address, shared);

    let state = State {
        revision: 1,
        store: Arc::new(store([("b", address)].into_iter())),
        ..State::default()
    };
    let (_states, states) = watch::channel(Arc::new(state));
    let (_own, own) = Own::new();
    let dial = Dial::Tls(locum);
    let (observer, observed) = Observer::new(own, member("a"), states, dial, Metrics::default());
    let (leads, is_leader) = watch::channel(true);
    tokio::spawn(observer.run(is_leader));
    let mut leader = Leader { leads, observed };
    leader.says(1, Verdict::Programmed).await;

    let proxy = authority.proxy(&Domain::default(), &gateway(), PROXY_LIFE, now);
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = tls(proxy.unwrap()).channel(&endpoint, address);
    let told = ReplicasClient::new(channel)
        .observe(ObserveRequest {})
        .await;
    assert_eq!(told.unwrap_err().code(), tonic::Code::PermissionDenied);
}
