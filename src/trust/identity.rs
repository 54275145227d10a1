//! Who a certificate says its holder is: SPIFFE names, and the one check made of them.
//!
//! A proxy's certificate names its Gateway (`spiffe://<trust domain>/ns/<namespace>/gateway/<name>`),
//! a Locum's its service account (`spiffe://<trust domain>/ns/<namespace>/sa/locum`). What a
//! connection may do is decided here and nowhere else.

use std::fmt;
use std::net::SocketAddr;

use jiff::Timestamp;
use tonic::Status;

use super::line::Line;
use crate::resource::ObjectName;

/// The service account whose name a Locum's certificate bears.
const SERVICE_ACCOUNT: &str = "locum";

/// Where Locum runs unless it is told.
pub const NAMESPACE: &str = "locum-system";
/// The trust domain unless it is told another one.
pub const TRUST_DOMAIN: &str = "cluster.local";

/// Where Locum runs, as certificates have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// The SPIFFE trust domain, such as `cluster.local`.
    pub trust_domain: String,
    /// Locum's own namespace.
    pub namespace: String,
}

impl Default for Domain {
    fn default() -> Self {
        Self {
            trust_domain: TRUST_DOMAIN.into(),
            namespace: NAMESPACE.into(),
        }
    }
}

impl Domain {
    /// The URI that stands in the certificate of a proxy of `gateway`.
    pub fn proxy(&self, gateway: &ObjectName) -> String {
        let (namespace, name) = (&gateway.namespace, &gateway.name);
        format!(
            "spiffe://{}/ns/{namespace}/gateway/{name}",
            self.trust_domain
        )
    }

    /// The URI that stands in the certificate of a Locum.
    pub fn locum(&self) -> String {
        let Self {
            trust_domain,
            namespace,
        } = self;
        format!("spiffe://{trust_domain}/ns/{namespace}/sa/{SERVICE_ACCOUNT}")
    }

    /// Who bears these URIs.
    pub fn identity(&self, uris: &[String]) -> Identity {
        let mine = format!("spiffe://{}/ns/", self.trust_domain);
        let known = uris.iter().find_map(|uri| {
            let parts: Vec<_> = uri.strip_prefix(&mine)?.split('/').collect();
            match parts[..] {
                [namespace, "gateway", name] if !namespace.is_empty() && !name.is_empty() => {
                    Some(Identity::Proxy(format!("{namespace}/{name}")))
                }
                _ => (*uri == self.locum()).then_some(Identity::Locum),
            }
        });
        known.unwrap_or_else(|| Identity::Stranger(uris.to_vec()))
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Nobody asked: the connection is in plaintext.
    Unasked,
    /// A proxy of this Gateway (`namespace/name`).
    Proxy(String),
    /// Another replica of Locum.
    Locum,
    /// Somebody whose certificate is signed by the right CA and bears none of our names, but these
    /// URIs.
    Stranger(Vec<String>),
}

/// The other end of a connection. It travels with each request of the connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// `None` for a Unix socket.
    address: Option<SocketAddr>,
    identity: Identity,
    /// Until when the certificate holds that it showed.
    certificate_expires: Option<Timestamp>,
    line: Line,
}

impl fmt::Display for Peer {
    /// Where the peer is, as people write it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => address.fmt(formatter),
            None => formatter.write_str("a Unix socket"),
        }
    }
}

impl Peer {
    /// Who is at the other end of a connection that was accepted from `address`, if it has one.
    pub fn new(address: Option<SocketAddr>, identity: Identity) -> Self {
        // A socket for both families sees an IPv4 peer as an IPv6 one.
        let as_written = |address: SocketAddr| match address.ip().to_canonical() {
            ip if ip.is_ipv4() => SocketAddr::new(ip, address.port()),
            _ => address,
        };
        Self {
            address: address.map(as_written),
            identity,
            certificate_expires: None,
            line: Line::default(),
        }
    }

    /// The same with a certificate that holds until then.
    pub fn until(self, certificate_expires: Option<Timestamp>) -> Self {
        Self {
            certificate_expires,
            ..self
        }
    }

    /// Until when the certificate holds that the peer showed when it connected; nothing in plaintext.
    pub fn certificate_expires(&self) -> Option<Timestamp> {
        self.certificate_expires
    }

    /// Where the peer is; `None` for a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The connection that the peer is at the other end of.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Who sent `request`.
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        let peer = request.extensions().get::<Self>().cloned();
        peer.expect("the server's connections say who their peer is")
    }

    /// The Gateway (`namespace/name`) that the peer's certificate is for; nothing if it is for none, or
    /// nobody asked.
    pub fn gateway(&self) -> Option<&str> {
        match &self.identity {
            Identity::Proxy(gateway) => Some(gateway),
            Identity::Unasked | Identity::Locum | Identity::Stranger(_) => None,
        }
    }

    /// Lets through who may call itself a proxy of `gateway` (`namespace/name`).
    ///
    /// # Errors
    ///
    /// PERMISSION_DENIED with what the certificate says instead; the connection ends after it.
    pub fn may_be_proxy_of(&self, gateway: &str) -> Result<(), Status> {
        match &self.identity {
            Identity::Unasked => Ok(()),
            Identity::Proxy(own) if own == gateway => Ok(()),
            other => Err(self.denied(format!(
                "node.cluster is {gateway}, but the certificate is for {}",
                other.in_words()
            ))),
        }
    }

    /// Lets through another replica of Locum.
    ///
    /// # Errors
    ///
    /// PERMISSION_DENIED with what the certificate says instead; the connection ends after it.
    pub fn must_be_locum(&self) -> Result<(), Status> {
        match &self.identity {
            Identity::Unasked | Identity::Locum => Ok(()),
            other => Err(self.denied(format!(
                "this is for replicas of Locum, but the certificate is for {}",
                other.in_words()
            ))),
        }
    }

    /// The certificate holds for as long as its connection, and keep-alives would hold that for
    /// ever: only on another connection can the peer show a certificate that was corrected.
    fn denied(&self, why: String) -> Status {
        self.line.hang_up();
        Status::permission_denied(why)
    }
}

impl Identity {
    fn in_words(&self) -> String {
        match self {
            Self::Unasked => "nobody".into(),
            Self::Proxy(gateway) => format!("a proxy of Gateway {gateway}"),
            Self::Locum => "Locum itself".into(),
            Self::Stranger(uris) if uris.is_empty() => {
                "no Gateway: it has no URI spiffe://TRUST-DOMAIN/ns/NAMESPACE/gateway/NAME".into()
            }
            Self::Stranger(uris) => format!("{}, which is no Gateway here", uris.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uris: &[&str]) -> Peer {
        let uris: Vec<_> = uris.iter().map(|uri| (*uri).to_owned()).collect();
        Peer::new(None, Domain::default().identity(&uris))
    }

    #[test]
    fn a_peer_is_named_by_its_address_as_people_write_it() {
        for (address, written) in [
            (Some("[::ffff:10.244.0.22]:44850"), "10.244.0.22:44850"),
            (Some("10.244.0.22:44850"), "10.244.0.22:44850"),
            (Some("[fd00::1]:44850"), "[fd00::1]:44850"),
            (None, "a Unix socket"),
        ] {
            let address = address.map(|address| address.parse().unwrap());
            assert_eq!(Peer::new(address, Identity::Unasked).to_string(), written);
        }
    }

    #[test]
    fn a_proxy_is_known_by_its_gateway_and_may_be_no_other() {
        let uri = Domain::default().proxy(&ObjectName::new("default", "eg"));
        assert_eq!(uri, "spiffe://cluster.local/ns/default/gateway/eg");
        let peer = peer(&[&uri]);
        assert!(peer.may_be_proxy_of("default/eg").is_ok());
        let refused = peer.may_be_proxy_of("default/other").unwrap_err();
        assert_eq!(refused.code(), tonic::Code::PermissionDenied);
        for name in ["default/other", "default/eg"] {
            assert!(refused.message().contains(name), "{refused}");
        }
        assert!(peer.must_be_locum().is_err());
    }

    #[test]
    fn only_the_own_service_account_is_locum() {
        let own = Domain::default().locum();
        assert_eq!(own, "spiffe://cluster.local/ns/locum-system/sa/locum");
        assert!(peer(&[&own]).must_be_locum().is_ok());
        assert!(peer(&[&own]).may_be_proxy_of("default/eg").is_err());
        let other = "spiffe://cluster.local/ns/default/sa/locum";
        assert!(peer(&[other]).must_be_locum().is_err());
    }

    #[test]
    fn another_trust_domain_or_path_is_a_stranger() {
        for uri in [
            "spiffe://example.org/ns/default/gateway/eg",
            "spiffe://cluster.local/ns/default/gateway/eg/more",
            "spiffe://cluster.local/ns//gateway/eg",
            "https://cluster.local/ns/default/gateway/eg",
        ] {
            let refused = peer(&[uri]).may_be_proxy_of("default/eg").unwrap_err();
            assert!(refused.message().contains(uri), "{refused}");
        }
        assert!(peer(&[]).may_be_proxy_of("default/eg").is_err());
    }
}
