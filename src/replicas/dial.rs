//! How one replica reaches another.

use std::net::SocketAddr;
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use crate::trust::Tls;

/// How long a connection to another replica may take to come about.
const CONNECT_BOUND: Duration = Duration::from_secs(2);

/// How often a silent replica is asked for a sign of life, and how long that may take.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_BOUND: Duration = Duration::from_secs(5);

/// The way to other replicas.
#[derive(Clone, Debug)]
pub enum Dial {
    /// Anyone could listen in, and could be at the other end.
    Plaintext,
    /// Only Locum can be at the other end.
    Tls(Tls),
}

impl Dial {
    /// A channel to the replica at `address`. It connects when it is used.
    pub(super) fn channel(&self, address: SocketAddr) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        let endpoint = endpoint
            .expect("a socket address makes a URI")
            .connect_timeout(CONNECT_BOUND)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_BOUND)
            .keep_alive_while_idle(true);
        match self {
            Self::Plaintext => endpoint.connect_lazy(),
            Self::Tls(tls) => tls.channel(&endpoint, address),
        }
    }
}
