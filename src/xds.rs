//! xDS: snapshots of Envoy resources in, streams that bring them to proxies out.
//!
//! Nothing here knows Kubernetes or Gateway API, so this module is a library of its own: hand it any
//! Envoy resources, and it serves them to Envoys and to gRPC clients, in the delta variant of the
//! protocol and in the state of the world, over one aggregated stream (ADS) or a stream for each type.
//!
//! # In and out
//!
//! A [`Resource`](resource::Resource) is one message of Envoy's API, typed or as JSON. A
//! [`Snapshot`](snapshot::Snapshot) is all resources of one group of proxies at one moment; it never
//! changes, [`with`](snapshot::Snapshot::with) and [`without`](snapshot::Snapshot::without) make the
//! next one. [`Board::publish`](server::Board::publish) makes it the one that the group gets, and
//! [`serve`](server::serve) carries it to all that are connected.
//!
//! A proxy's group is the `node.cluster` of its bootstrap, any text, or its `node.id`, so that each
//! has resources of its own: [`Groups`](proxy::Groups) says which. (Locum has a group for each
//! Gateway and calls it that.)
//!
//! ```
//! use envoy_types::pb::envoy::config::cluster::v3::Cluster;
//! use locum::xds::json;
//! use locum::xds::kind::Kind;
//! use locum::xds::resource::Resource;
//! use locum::xds::server::{Listener, Shared, serve};
//! use locum::xds::snapshot::Snapshot;
//! use tokio::net::TcpListener;
//! use tokio::sync::oneshot;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The server, until it is told to stop.
//! let shared = Shared::default();
//! let listener = Listener::Tcp(TcpListener::bind("127.0.0.1:0").await?);
//! let (stop, stopped) = oneshot::channel::<()>();
//! let server = tokio::spawn(serve(listener, shared.clone(), async {
//!     stopped.await.unwrap_or_default()
//! }));
//!
//! // Resources: of a typed message, and of JSON as Envoy's documentation writes it.
//! let orders = Resource::of(&Cluster {
//!     name: "orders".into(),
//!     ..Default::default()
//! });
//! let payments = json::read(&serde_json::json!({
//!     "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
//!     "name": "payments",
//!     "type": "STRICT_DNS",
//!     "connect_timeout": "1s",
//! }))?;
//!
//! // The first snapshot of a group, and a change to it.
//! let first = Snapshot::new([orders, payments], None);
//! let revision = shared.board.publish("edge", first.clone());
//! let second = first.without(Kind::Cluster, "payments");
//! assert!(shared.board.publish("edge", second) > revision);
//!
//! // `shared.clients.caught_up("edge", revision).await` would wait for the group's proxies.
//! assert_eq!(shared.clients.count("edge"), 0);
//!
//! stop.send(()).expect("the server runs");
//! server.await?;
//! # Ok(())
//! # }
//! ```
//!
//! The programs in `examples/`, of forty lines at most, go on from here: `nodes` changes the
//! resources of each proxy while it is connected, `proxies` shows who is connected, what each has
//! acknowledged and what it refuses, `grpc_service` serves gRPC clients, which need no proxy.
//!
//! # What it promises
//!
//! - **Versions.** A resource's version is a hash of its content, made of canonical bytes (protobuf
//!   leaves the order of maps open): equal in every process and after a restart. What a proxy is
//!   known to have is not sent again, also when it comes back to another server. [`canonical`] says
//!   how.
//! - **Make before break.** Clusters and endpoints come before the listeners and routes that use
//!   them, removals after; a route waits until its clusters can be used. Each wait has a bound:
//!   [`ACK_BOUND`](order::ACK_BOUND), [`DNS_WARMING`](order::DNS_WARMING),
//!   [`RETURN_BOUND`](order::RETURN_BOUND), [`DRAIN_BOUND`](order::DRAIN_BOUND),
//!   [`REMOVAL_BOUND`](order::REMOVAL_BOUND). It goes by what resources refer to, which is read from
//!   them; [`mentions`] says what is seen. In the state of the world a proxy that comes back does not
//!   say what it has; [`Told`](server::Told) knows it, also after a restart if it is kept in a file.
//! - **Refusals.** A proxy that refuses a response (NACK) says at best in words which resource it
//!   means. The guilty one is found, by its name in the words or by halves, and held back in that
//!   form; the others go on, and the proxy keeps the last good form.
//!   [`Clients::refusals`](clients::Clients::refusals) tells of it with the proxy's own words and
//!   the owners that the resource was given.
//! - **Back-pressure.** One response of a type is under way on a stream (of clusters up to
//!   [`MAX_CLUSTER_RESPONSES`](stream::MAX_CLUSTER_RESPONSES)), and the newest snapshot wins: a proxy
//!   that is slow, or never answers, skips what was between, costs bounded memory and delays no
//!   other.
//! - **Virtual hosts apart** (VHDS). All of a route configuration follow it, and what is asked for on
//!   demand is answered, also that there is none. In the state of the world, which has no such thing
//!   in Envoy, route configurations hold them; [`virtual_hosts`] says how they are called.
//! - **Acknowledged.** [`Clients::caught_up`](clients::Clients::caught_up) returns when all that
//!   are connected have taken over, or refused, all of a revision. It has no bound of its own.
//! - **Any state may be published.** A name that nothing answers to is no error of the server's;
//!   [`Snapshot::check_closed`](snapshot::Snapshot::check_closed) finds such before.
//!
//! # Limits
//!
//! - The types of [`Kind`](kind::Kind): listeners, filters' configurations, routes, virtual hosts,
//!   clusters, endpoints, secrets. Others (scoped routes, runtime) are not served: the proxy waits
//!   for its own time-out and goes on. Nor are resource locators (`xdstp`).
//! - Streams, by gRPC: nothing is fetched once, over REST or by a unary call. On a stream of one type
//!   (`ClusterDiscoveryService` and its like) nothing is known of the others, so make before break
//!   holds on aggregated streams only. An Envoy opens such a stream for each of its endpoints and
//!   routes, so it may need many of [`MAX_STREAMS`](server::MAX_STREAMS); to
//!   [`Clients`](clients::Clients) all with one `node.id` are one proxy, which is as far as the last
//!   of them.
//! - Much of the order above is measured on the Envoys of
//!   [`SUPPORTED_ENVOY`](proxy::SUPPORTED_ENVOY). Other versions are served with a line in the log
//!   or, as Locum does it, refused with words: [`Versions`](proxy::Versions) says which.
//! - [`MAX_STREAMS`](server::MAX_STREAMS), of which a group has at most
//!   [`MAX_STREAMS_OF_GROUP`](server::MAX_STREAMS_OF_GROUP); on each
//!   [`MAX_NAMES`](stream::MAX_NAMES) of [`MAX_NAME_BYTES`](stream::MAX_NAME_BYTES) together,
//!   [`MAX_MESSAGE_BYTES`](server::MAX_MESSAGE_BYTES) of a request. A response that need not be
//!   complete is cut at [`RESPONSE_BYTES`](content::RESPONSE_BYTES); in the state of the world a set
//!   of clusters or listeners need be, so the proxy has to take messages of that size.
//! - JSON is read, and canonical bytes are made, by the descriptors that `build.rs` compiles: what
//!   JSON packs of another type is refused, and a typed message that packs one with a map in it may
//!   have another version after a restart, which costs sending it again.
//! - `Listener::Unix` lets in whom the socket's file lets; [`socket`](server::socket) makes it with
//!   its mode.
//! - `Listener::Tcp` is plaintext and believes every `node`; [`Listener::Tls`](server::Listener) is
//!   Locum's mutual TLS, in which a certificate names the group, and so every name of a group is
//!   `namespace/name`.
//! - Nothing is kept on disk but, if you say so, what proxies were told ([`Told`](server::Told));
//!   references added by [`with_reference`](resource::Resource::with_reference) are not in it. After a
//!   start publish before you serve, or proxies wait.
//!
//! # Health and reflection
//!
//! On the same port the server answers `grpc.health.v1`, for itself and for each service: SERVING once
//! there is a snapshot, or when [`Shared::ready`](server::Shared::ready) says so, and NOT_SERVING from
//! the moment when it is to end. Tools that ask by server reflection (such as `grpcurl`) are told which
//! services there are, and the descriptors of all messages in their responses.
//!
//! # Stopping
//!
//! [`serve`](server::serve) takes a future that says when. Then nobody is let in any more, and the
//! connections are told to go elsewhere (GOAWAY) one by one: their streams end with `UNAVAILABLE`, so
//! that proxies look for another server at once, while the others are served on. Over what time,
//! [`Shared::drain`](server::Shared::drain) says; at most [`SHUTDOWN_BOUND`](server::SHUTDOWN_BOUND)
//! later `serve` returns. Proxies keep what they have. To take a group's resources away from its
//! proxies, [`withdraw`](server::Board::withdraw) them.
//!
//! # Inside
//!
//! `resource`, `snapshot` and [`stream`] are pure: messages in, messages out, no socket and no clock.
//! [`server`] is the thin shell around them; another transport could be too.

#![warn(missing_docs)]

pub mod canonical;
pub mod clients;
pub mod config_dump;
pub mod content;
pub mod delta;
pub mod descriptors;
pub mod json;
pub mod kind;
pub mod mentions;
pub mod message;
pub mod metrics;
pub mod order;
pub mod proxy;
pub mod refusal;
pub mod resource;
pub mod server;
pub mod snapshot;
pub mod sotw;
pub mod stream;
pub mod subscription;
pub mod virtual_hosts;
pub(crate) mod wire;
