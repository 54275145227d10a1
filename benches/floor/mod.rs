//! The floor: a server in the same form as Locum's, over the same transport, that sends constant
//! bytes. It keeps nothing of its proxies: the first request of a type that brings no versions along
//! is answered with the greeting of that type, a change goes to every stream, and what else proxies
//! say is read, counted and dropped.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, Resource as Item};
use envoy_types::pb::google::protobuf::Any;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _};
use locum::xds::kind::Kind;
use locum::xds::resource::Resource;
use locum::xds::server::{
    KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, MAX_MESSAGE_BYTES, MAX_STREAMS_PER_CONNECTION,
};
use locum::xds::snapshot::Snapshot;
use prost::Message as _;
use prost::bytes::{Buf as _, BufMut as _, Bytes};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_stream::wrappers::WatchStream;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// What is sent, and what was heard.
#[derive(Clone, Debug)]
pub(crate) struct Floor {
    /// By type URL.
    greetings: Arc<HashMap<String, Bytes>>,
    changes: watch::Sender<Vec<Bytes>>,
    heard: Arc<Heard>,
}

/// What proxies have said.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    requests: AtomicU64,
    streams: AtomicUsize,
    news: Notify,
}

#[allow(dead_code, reason = "each bench waits in its own way")]
impl Heard {
    /// How many requests came.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Acquire)
    }

    /// How many streams are open.
    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::Acquire)
    }

    /// Waits until so many requests have come.
    pub(crate) async fn reached(&self, requests: u64) {
        loop {
            let news = self.news.notified();
            if self.requests() >= requests {
                return;
            }
            news.await;
        }
    }
}

impl Floor {
    /// Greets with all of a snapshot.
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        let greeting = |kind: Kind| {
            let resources: Vec<_> = snapshot.of_kind(kind).map(|one| &**one).collect();
            (kind.type_url().to_owned(), response(kind, &resources))
        };
        Self {
            greetings: Arc::new(Kind::ALL.into_iter().map(greeting).collect()),
            changes: watch::Sender::default(),
            heard: Arc::default(),
        }
    }

    /// Sends these messages to every stream.
    pub(crate) fn send(&self, messages: Vec<Bytes>) {
        self.changes.send_replace(messages);
    }

    pub(crate) fn heard(&self) -> &Heard {
        &self.heard
    }

    /// Serves as Locum does, until it is dropped.
    pub(crate) async fn serve(self, listener: TcpListener) -> Result<(), tonic::transport::Error> {
        tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION)
            .add_service(self)
            .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
            .await
    }

    /// What is to be said to a request, if anything.
    fn answer(&self, request: Bytes) -> Option<Bytes> {
        let asked = Asked::decode(request).ok()?;
        self.heard.requests.fetch_add(1, Ordering::AcqRel);
        self.heard.news.notify_waiters();
        let is_first = asked.nonce.is_empty() && asked.versions.is_empty();
        let greeting = self.greetings.get(&asked.type_url)?;
        is_first.then(|| greeting.clone())
    }
}

/// The bytes of a response with these resources, as Locum would send them.
pub(crate) fn response(kind: Kind, resources: &[&Resource]) -> Bytes {
    let item = |resource: &&Resource| Item {
        name: resource.name.to_string(),
        version: resource.version.0.to_string(),
        resource: Some(Any {
            type_url: kind.type_url().into(),
            value: resource.body.to_vec(),
        }),
        ..Default::default()
    };
    let message = DeltaDiscoveryResponse {
        type_url: kind.type_url().into(),
        nonce: "1".into(),
        resources: resources.iter().map(item).collect(),
        ..Default::default()
    };
    message.encode_to_vec().into()
}

/// What of a request it looks at.
#[derive(Clone, PartialEq, prost::Message)]
struct Asked {
    #[prost(string, tag = "2")]
    type_url: String,
    #[prost(bytes = "bytes", repeated, tag = "5")]
    versions: Vec<Bytes>,
    #[prost(string, tag = "6")]
    nonce: String,
}

/// An open stream; it is counted out when this is dropped.
struct Open(Floor);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.heard.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

impl StreamingService<Bytes> for Floor {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        self.heard.streams.fetch_add(1, Ordering::AcqRel);
        let open = Open(self.clone());
        let changes = WatchStream::from_changes(self.changes.subscribe());
        let changes = changes.flat_map(|messages| stream::iter(messages.into_iter().map(Ok)));
        let answers = request.into_inner().filter_map(move |request| {
            let answer = request.map(|request| open.0.answer(request));
            ready(answer.transpose())
        });
        ready(Ok(Response::new(stream::select(answers, changes).boxed())))
    }
}

impl NamedService for Floor {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

impl tonic::codegen::Service<http::Request<Body>> for Floor {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let floor = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(Raw).max_decoding_message_size(MAX_MESSAGE_BYTES);
            Ok(grpc.streaming(floor, request).await)
        })
    }
}

/// Messages as bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
