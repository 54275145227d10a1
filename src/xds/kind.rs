//! The kinds of Envoy resources, in the order in which a proxy has to get them.

use std::fmt;

/// A kind of Envoy resource. The order is make before break: a later kind refers to earlier ones,
/// so additions go in this order and removals in reverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A certificate, a key or what to trust (SDS).
    Secret,
    /// A cluster (CDS).
    Cluster,
    /// A cluster's endpoints, a ClusterLoadAssignment (EDS).
    Endpoint,
    /// A listener (LDS).
    Listener,
    /// A filter's configuration, a TypedExtensionConfig (ECDS).
    Extension,
    /// A route configuration (RDS).
    Route,
    /// A virtual host of a route configuration that has them apart (VHDS). It is called
    /// `<route configuration>/<host>`.
    VirtualHost,
}

impl Kind {
    /// Every kind, in order.
    pub const ALL: [Kind; 7] = [
        Kind::Secret,
        Kind::Cluster,
        Kind::Endpoint,
        Kind::Listener,
        Kind::Extension,
        Kind::Route,
        Kind::VirtualHost,
    ];

    /// The type URL that discovery requests and responses carry.
    pub fn type_url(self) -> &'static str {
        match self {
            Kind::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            Kind::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Kind::Endpoint => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Kind::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Kind::Extension => "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            Kind::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            Kind::VirtualHost => "type.googleapis.com/envoy.config.route.v3.VirtualHost",
        }
    }

    /// The kind with this type URL.
    pub fn of_type_url(url: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.type_url() == url)
    }

    /// The kind with this [name](Kind::name).
    pub fn of_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The word that commands and metrics use: `cluster`, `endpoint`, ...
    pub fn name(self) -> &'static str {
        match self {
            Kind::Secret => "secret",
            Kind::Cluster => "cluster",
            Kind::Endpoint => "endpoint",
            Kind::Listener => "listener",
            Kind::Extension => "extension",
            Kind::Route => "route",
            Kind::VirtualHost => "virtual_host",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
