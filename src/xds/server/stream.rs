//! One stream's task: brings messages, snapshots and the passing of time to the stream's machine,
//! and its responses to the transport.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::Status;

use crate::trust::Peer;
use crate::xds::clients::Connection;
use crate::xds::kind::Kind;
use crate::xds::message::{Event, Output, Request};
use crate::xds::proxy::Proxy;
use crate::xds::server::complaints::Complaints;
use crate::xds::server::places::Place;
use crate::xds::server::requests::Requests;
use crate::xds::server::responses::Said;
use crate::xds::server::{Published, Shared};
use crate::xds::stream::Stream;

/// How long a proxy may take to say who it is.
pub(super) const FIRST_MESSAGE_BOUND: Duration = Duration::from_secs(15);

/// How long a Gateway may take to appear after its proxy, before that is said.
const GATEWAY_BOUND: Duration = Duration::from_secs(3);

/// How long the transport may take to accept the status that ends a stream.
const LAST_WORD_BOUND: Duration = Duration::from_secs(1);

/// What a proxy hears when it is to look for another server.
fn leaving() -> Status {
    Status::unavailable("the server is going away")
}

/// A stream before its first message. It is boxed, as is the conversation: what a task moves has room
/// in it twice, and there are thousands of tasks.
pub(super) struct Session<R> {
    pub(super) shared: Shared,
    pub(super) complaints: Arc<Complaints>,
    pub(super) peer: Peer,
    pub(super) place: Place,
    /// The type of the service that it is a stream of; nothing if all come over it.
    pub(super) only: Option<Kind>,
    pub(super) requests: Requests<R>,
    /// Holds every response and notice that may be under way, and the status that ends the stream.
    /// Its room is made at once, for 32 pointers at least, so what it holds is kept small.
    pub(super) responses: mpsc::Sender<Said>,
}

/// A stream whose proxy is known.
struct Conversation<R> {
    session: Box<Session<R>>,
    proxy: Proxy,
    connection: Connection,
    board: watch::Receiver<Published>,
    /// The revision of the snapshot that the machine has.
    revision: u64,
    start: Instant,
}

impl<R: Request + prost::Message + Default> Session<R> {
    /// Serves the stream until the proxy or the server ends it.
    pub(super) async fn run(mut self: Box<Self>) {
        let _open = self.shared.metrics.stream();
        let responses = self.responses.clone();
        let left = self.peer.line().left();
        let introduced = tokio::select! {
            introduced = self.introduced() => introduced,
            () = left => Err(leaving()),
        };
        let begun = introduced.and_then(|(proxy, first)| self.begin(proxy, &first));
        let ended = match begun {
            Ok(conversation) => conversation.until_it_ends().await,
            Err(status) => Err(status),
        };
        if let Err(status) = ended {
            tracing::debug!(%status, "discovery stream ended");
            // If the proxy does not even take this, it finds the stream closed.
            let _ = timeout(LAST_WORD_BOUND, responses.send(Err(status))).await;
        }
    }

    /// The first message and who sent it.
    async fn introduced(&mut self) -> Result<(Proxy, R), Status> {
        let first = timeout(FIRST_MESSAGE_BOUND, self.requests.next())
            .await
            .map_err(|_| Status::deadline_exceeded("no discovery request in time"))??
            .ok_or_else(|| Status::cancelled("the stream was closed before its first request"))?;
        let proxy = self.proxy(first.node());
        let proxy = proxy.map_err(|status| self.refuse(status))?;
        let place = self.place.belong_to(&proxy.gateway);
        place.map_err(|full| self.refuse(Status::resource_exhausted(full.to_string())))?;
        Ok((proxy, first))
    }

    /// Notes that the proxy is refused.
    fn refuse(&self, status: Status) -> Status {
        self.shared.metrics.rejected();
        let what = format!("proxy refused: {}", status.message());
        self.complaints.warn(&self.peer, &what);
        status
    }

    /// Who the proxy says it is, if its certificate says so too.
    fn proxy(&self, node: Option<&Node>) -> Result<Proxy, Status> {
        let proxy = self.shared.admission.admit(node)?;
        self.peer.may_be_proxy_of(&proxy.gateway)?;
        if let Err(unsupported) = proxy.supported() {
            tracing::warn!(node = proxy.id, "{unsupported}; it is served all the same");
        }
        Ok(proxy)
    }

    /// Takes in the first message and answers it. The message is let go of: an Envoy says in it all
    /// that it can do.
    fn begin(self: Box<Self>, proxy: Proxy, first: &R) -> Result<Box<Conversation<R>>, Status> {
        let variant = R::VARIANT;
        let (stream, of) = match self.only {
            None => (Stream::new(variant), "all types"),
            Some(kind) => (Stream::of_one_type(variant, kind), kind.name()),
        };
        tracing::info!(
            node = proxy.id,
            gateway = proxy.gateway,
            variant = variant.name(),
            of,
            "proxy connected"
        );
        let mut conversation = Box::new(Conversation {
            connection: self.shared.clients.connect(
                proxy.clone(),
                self.peer.address(),
                self.peer.certificate_expires(),
                stream,
            ),
            board: self.shared.board.subscribe(&proxy.gateway),
            session: self,
            proxy,
            revision: 0,
            start: Instant::now(),
        });
        conversation.take_snapshot()?;
        conversation.take_request(first)?;
        Ok(conversation)
    }
}

impl<R: Request + prost::Message + Default> Conversation<R> {
    async fn until_it_ends(mut self: Box<Self>) -> Result<(), Status> {
        let ended = self.go_on().await;
        let Proxy { id, gateway, .. } = &self.proxy;
        tracing::info!(node = id, gateway, "proxy disconnected");
        ended
    }

    async fn go_on(&mut self) -> Result<(), Status> {
        let left = self.session.peer.line().left();
        tokio::pin!(left);
        let board = self.session.shared.board.clone();
        let late = async {
            board.completed().await;
            sleep(GATEWAY_BOUND).await;
        };
        tokio::pin!(late);
        let mut is_early = true;
        loop {
            let deadline = self.connection.deadline();
            let elapsed = async {
                match deadline {
                    Some(deadline) => sleep_until(self.start + deadline).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                message = self.session.requests.next() => match message? {
                    Some(request) => self.take_request(&request)?,
                    None => return Ok(()),
                },
                changed = self.board.changed() => {
                    if changed.is_err() {
                        return Err(leaving());
                    }
                    self.take_snapshot()?;
                }
                () = elapsed => {
                    let now = self.start.elapsed();
                    let output = self.connection.with(self.revision, |stream| Ok::<_, Status>(stream.elapsed(now)));
                    self.pass_on(output?)?;
                }
                () = &mut late, if is_early => {
                    is_early = false;
                    self.look_for_gateway();
                }
                () = &mut left => return Err(leaving()),
                () = self.session.responses.closed() => return Ok(()),
            }
        }
    }

    fn take_request(&mut self, request: &R) -> Result<(), Status> {
        self.session.shared.metrics.request();
        self.proxy
            .must_be(request.node())
            .map_err(|refused| self.session.refuse(refused.into()))?;
        let now = self.start.elapsed();
        let (told, gateway) = (&self.session.shared.told, &self.proxy.gateway);
        let output = self
            .connection
            .with(self.revision, |stream| {
                if let Some((kind, version)) = stream.brings_along(request)
                    && let Some(set) = told.recall(gateway, kind, version)
                {
                    stream.recall(kind, set);
                }
                if let Some((kind, version)) = stream.leaves(request) {
                    told.forget(gateway, kind, version);
                }
                stream.request(now, request)
            })
            .map_err(|limit| {
                self.session.shared.metrics.rejected();
                tracing::warn!(node = self.proxy.id, "stream ended: {limit}");
                Status::resource_exhausted(limit.to_string())
            })?;
        self.pass_on(output)
    }

    /// Says so if the proxy is connected for nothing.
    fn look_for_gateway(&self) {
        let Proxy { id, gateway, .. } = &self.proxy;
        if !self.board.borrow().is_there() {
            tracing::warn!(
                node = id,
                gateway,
                "Locum has no such Gateway, and sends the proxy nothing until there is one: it \
                 does not exist, its class is not Locum's, or --namespaces or --selector leave it \
                 out"
            );
        }
    }

    /// Takes over the newest snapshot, if there is one.
    fn take_snapshot(&mut self) -> Result<(), Status> {
        let Published {
            revision, snapshot, ..
        } = self.board.borrow_and_update().clone();
        let Some(snapshot) = snapshot else {
            return Ok(());
        };
        self.revision = revision;
        let now = self.start.elapsed();
        let output = self.connection.with(revision, |stream| {
            Ok::<_, Status>(stream.snapshot(now, snapshot))
        })?;
        self.pass_on(output)
    }

    fn pass_on(&self, output: Output) -> Result<(), Status> {
        self.session.shared.metrics.output(&output);
        for event in &output.events {
            self.log(event);
        }
        for response in output.responses {
            // Before it is sent: what a proxy has, the next server is to know.
            if let Some(version) = response.set() {
                let shared = &self.session.shared;
                let (kind, resources) = (response.kind, &response.resources);
                shared
                    .told
                    .note(&self.proxy.gateway, kind, version, resources);
            }
            match self.session.responses.try_send(Ok(Box::new(response))) {
                // A closed channel is noticed by the loop.
                Ok(()) | Err(TrySendError::Closed(_)) => {}
                // What may be under way fits; only a proxy that answers what it did not read, or
                // goes on asking for names and giving them up without reading, gets here.
                Err(TrySendError::Full(_)) => {
                    return Err(Status::resource_exhausted("responses are not being read"));
                }
            }
        }
        Ok(())
    }

    fn log(&self, event: &Event) {
        let Proxy {
            id: node, gateway, ..
        } = &self.proxy;
        match event {
            Event::Refused {
                kind,
                message,
                guilty,
            } if guilty.is_empty() => {
                tracing::warn!(node, gateway, %kind, message, "proxy refused a response; looking for the cause");
            }
            Event::Refused {
                kind,
                message,
                guilty,
            } => {
                for resource in guilty {
                    tracing::warn!(node, gateway, %kind, name = %resource.name, message, "proxy refused a resource");
                }
            }
            Event::Expired(expired) => {
                let (kind, name) = (expired.kind, &expired.name);
                tracing::warn!(node, gateway, %kind, %name, awaited = ?expired.awaited, "waited long enough; going on");
            }
            Event::UnknownType { type_url } => {
                tracing::warn!(
                    node,
                    gateway,
                    type_url,
                    "proxy asks for a type that is not served"
                );
            }
            Event::Unsupported { what } => {
                tracing::warn!(node, gateway, what, "proxy uses what is not served");
            }
            Event::Acknowledged { kind, after } => {
                tracing::trace!(node, gateway, %kind, ?after, "acknowledged");
            }
            Event::Stale { kind } => tracing::debug!(node, gateway, %kind, "stale nonce"),
            Event::RefusalsChanged => {}
        }
    }
}
