//! Who is at the other end of a stream, as its first message says.
//!
//! In: the node of a discovery request. Out: the Gateway it serves for, its id and its version, or
//! a clear refusal.

use envoy_types::pb::envoy::config::core::v3::{Node, node::UserAgentVersionType};
use tonic::Status;

/// The Envoy versions that Locum is tested with, as the prefixes of their version numbers.
pub const SUPPORTED_ENVOY: [&str; 1] = ["1.40."];

/// The name by which Envoy calls itself.
const ENVOY: &str = "envoy";

/// A proxy, as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Its `node.id`.
    pub id: String,
    /// `namespace/name`: what the bootstrap has in `node.cluster`.
    pub gateway: String,
    /// Such as `envoy 1.40.0`; empty if it does not say.
    pub user_agent: String,
}

/// Why a stream is not served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// It says nothing of itself.
    #[error("the first message of a stream has to carry a node")]
    NoNode,
    /// It cannot be told from others.
    #[error("node.id is empty; give each proxy an id of its own")]
    NoId,
    #[error(
        "node.cluster is {0:?}; it has to name the Gateway that the proxy serves, as `namespace/name`"
    )]
    /// It does not say whose resources it is to get.
    NoGateway(String),
    /// A later message of its stream names another proxy.
    #[error(
        "the stream is node {} of {}, and a later message says node {} of {}; give each node a \
         stream of its own", first.0, first.1, later.0, later.1
    )]
    OtherNode {
        /// `node.id` and `node.cluster` of the first message.
        first: (String, String),
        /// Those of the later one.
        later: (String, String),
    },
    /// It may not do as what was measured on the supported ones does.
    #[error(transparent)]
    Version(#[from] UnsupportedEnvoy),
}

/// An Envoy that Locum is not tested with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Envoy {version} is not supported; supported: {}x", SUPPORTED_ENVOY.join("x, "))]
pub struct UnsupportedEnvoy {
    /// What it says it is, such as `1.20.0`.
    pub version: String,
}

impl From<Rejected> for Status {
    fn from(rejected: Rejected) -> Self {
        match rejected {
            Rejected::Version(_) => Status::failed_precondition(rejected.to_string()),
            _ => Status::invalid_argument(rejected.to_string()),
        }
    }
}

/// Says whether Locum supports this version of Envoy, such as `1.40.0`.
pub fn supported_envoy(version: &str) -> Result<(), UnsupportedEnvoy> {
    let supported = SUPPORTED_ENVOY
        .iter()
        .any(|prefix| version.starts_with(prefix));
    if supported {
        Ok(())
    } else {
        Err(UnsupportedEnvoy {
            version: version.into(),
        })
    }
}

impl Proxy {
    /// The proxy that `node` describes. Only what calls itself Envoy has to be of a supported
    /// version.
    pub fn of(node: Option<&Node>) -> Result<Self, Rejected> {
        let node = node.ok_or(Rejected::NoNode)?;
        if node.id.is_empty() {
            return Err(Rejected::NoId);
        }
        let parts: Vec<_> = node.cluster.split('/').collect();
        if parts.len() != 2 || parts.iter().any(|part| part.is_empty()) {
            return Err(Rejected::NoGateway(node.cluster.clone()));
        }
        let version = version_of(node);
        if node.user_agent_name == ENVOY {
            supported_envoy(&version)?;
        }
        Ok(Self {
            id: node.id.clone(),
            gateway: node.cluster.clone(),
            user_agent: format!("{} {version}", node.user_agent_name).trim().into(),
        })
    }
}

impl Proxy {
    /// Whether a later message is of the same proxy. The protocol asks for a node in the first
    /// message only, and who the stream is for was settled with it; what else a node says may change.
    ///
    /// # Errors
    ///
    /// When it has another `node.id` or `node.cluster`: whoever sent it takes what comes for that one's.
    pub fn must_be(&self, node: Option<&Node>) -> Result<(), Rejected> {
        let Some(node) = node else { return Ok(()) };
        let is_same = |said: &str, known: &str| said.is_empty() || said == known;
        if is_same(&node.id, &self.id) && is_same(&node.cluster, &self.gateway) {
            return Ok(());
        }
        Err(Rejected::OtherNode {
            first: (self.id.clone(), self.gateway.clone()),
            later: (node.id.clone(), node.cluster.clone()),
        })
    }
}

fn version_of(node: &Node) -> String {
    match &node.user_agent_version_type {
        Some(UserAgentVersionType::UserAgentVersion(version)) => version.clone(),
        Some(UserAgentVersionType::UserAgentBuildVersion(build)) => build
            .version
            .map(|v| format!("{}.{}.{}", v.major_number, v.minor_number, v.patch))
            .unwrap_or_default(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        Node {
            id: "one".into(),
            cluster: "default/edge".into(),
            user_agent_name: "envoy".into(),
            user_agent_version_type: Some(UserAgentVersionType::UserAgentVersion("1.40.2".into())),
            ..Default::default()
        }
    }

    #[test]
    fn a_supported_envoy_is_taken() {
        let proxy = Proxy::of(Some(&node())).unwrap();
        assert_eq!(proxy.gateway, "default/edge");
        assert_eq!(proxy.user_agent, "envoy 1.40.2");
    }

    #[test]
    fn another_envoy_is_refused_and_told_which_are_supported() {
        let mut node = node();
        node.user_agent_version_type = Some(UserAgentVersionType::UserAgentVersion("1.4.0".into()));
        let rejected = Proxy::of(Some(&node)).unwrap_err();
        assert_eq!(
            rejected.to_string(),
            "Envoy 1.4.0 is not supported; supported: 1.40.x"
        );
    }

    #[test]
    fn a_later_message_may_say_less_and_no_other_proxy() {
        let proxy = Proxy::of(Some(&node())).unwrap();
        let with = |id: &str, cluster: &str| Node {
            id: id.into(),
            cluster: cluster.into(),
            ..Node::default()
        };
        assert_eq!(proxy.must_be(None), Ok(()));
        for same in [with("one", "default/edge"), with("", ""), with("one", "")] {
            assert_eq!(proxy.must_be(Some(&same)), Ok(()));
        }
        for other in [with("two", "default/edge"), with("one", "default/other")] {
            let refused = proxy.must_be(Some(&other)).unwrap_err().to_string();
            for name in ["one", "default/edge", &other.id, &other.cluster] {
                assert!(refused.contains(name), "{refused}");
            }
        }
    }

    #[test]
    fn a_node_without_a_gateway_is_refused() {
        for cluster in ["", "edge", "/edge", "a/b/c"] {
            let mut node = node();
            node.cluster = cluster.into();
            let rejected = Proxy::of(Some(&node)).unwrap_err();
            assert_eq!(rejected, Rejected::NoGateway(cluster.into()));
        }
        assert_eq!(Proxy::of(None), Err(Rejected::NoNode));
    }
}
