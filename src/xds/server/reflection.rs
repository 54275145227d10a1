//! What is served here, for tools that ask: gRPC's server reflection.
//!
//! In: the names of the services. Out: two services that tell them, with the descriptors of what
//! they say and of every message that an `Any` may hold. Nothing of it is about a Gateway, and all
//! of it is public, so whoever the door lets in may ask.

use std::convert::Infallible;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::server::NamedService;
use tonic_reflection::pb;
use tonic_reflection::server::{Builder, v1, v1alpha};

use crate::xds::descriptors;

/// What the two services are called.
pub(super) const NAMES: [&str; 2] = [
    pb::v1::server_reflection_server::SERVICE_NAME,
    pb::v1alpha::server_reflection_server::SERVICE_NAME,
];

/// A service that is made when it is first asked: the descriptors are large, and hardly anybody
/// asks.
pub(super) struct Lazily<S>(Arc<LazyLock<S, Box<dyn FnOnce() -> S + Send>>>);

impl<S> Lazily<S> {
    fn new(make: impl FnOnce() -> S + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(make))))
    }
}

impl<S> Clone for Lazily<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: NamedService> NamedService for Lazily<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Lazily<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = S::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // What tonic generates always is.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        LazyLock::force(&self.0).clone().call(request)
    }
}

/// What tells of the services with these names.
fn builder(names: &[&'static str]) -> Builder<'static> {
    let sets = [
        descriptors::ENVOY,
        descriptors::LOCUM,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        pb::v1::FILE_DESCRIPTOR_SET,
        pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let builder = sets.into_iter().fold(Builder::configure(), |builder, set| {
        builder.register_encoded_file_descriptor_set(set)
    });
    names
        .iter()
        .fold(builder, |builder, name| builder.with_service_name(*name))
}

const CLOSED: &str = "the descriptor sets are whole";

/// Reflection as it is now.
pub(super) fn v1(
    names: Arc<[&'static str]>,
) -> Lazily<v1::ServerReflectionServer<impl v1::ServerReflection>> {
    Lazily::new(move || builder(&names).build_v1().expect(CLOSED))
}

/// Reflection as older tools ask for it.
pub(super) fn v1alpha(
    names: Arc<[&'static str]>,
) -> Lazily<v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection>> {
    Lazily::new(move || builder(&names).build_v1alpha().expect(CLOSED))
}
