//! The services of the server, gathered so that health and reflection speak of each.

use std::convert::Infallible;
use std::sync::Arc;

use axum::response::IntoResponse;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::Request;
use tonic::server::NamedService;
use tonic::service::Routes;

use super::reflection;

/// Services, and what they are called.
pub(super) struct Services {
    routes: Routes,
    names: Vec<&'static str>,
}

impl Services {
    /// Those of `routes`, which are called so.
    pub(super) fn beginning_with(
        routes: Routes,
        names: impl Iterator<Item = &'static str>,
    ) -> Self {
        Self {
            routes,
            names: names.collect(),
        }
    }

    pub(super) fn add<S>(&mut self, service: S)
    where
        S: Service<Request<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: IntoResponse,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        self.routes = std::mem::take(&mut self.routes).add_service(service);
    }

    /// All of them, with what tells how they are (made by `health` of their names) and what they
    /// are.
    pub(super) fn described<H>(mut self, health: impl FnOnce(Arc<[&'static str]>) -> H) -> Routes
    where
        H: Service<Request<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        H::Response: IntoResponse,
        H::Future: Send + 'static,
    {
        let health = health(self.names.clone().into());
        self.add(health);
        self.names.extend(reflection::NAMES);
        let names: Arc<[_]> = self.names.into();
        self.routes
            .add_service(reflection::v1(names.clone()))
            .add_service(reflection::v1alpha(names))
    }
}
