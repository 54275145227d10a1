//! Who is at the other end of a stream, as its first message says.
//!
//! In: the node of a discovery request, and what the server asks of nodes ([`Admission`]). Out: the
//! group it gets its resources with, its id and its version, or a clear refusal.

use envoy_types::pb::envoy::config::core::v3::{Node, node::UserAgentVersionType};
use tonic::Status;

/// What names the group that a proxy is of, which is what its resources are published under.
///
/// Over mutual TLS the certificate names the group too, as `namespace/name`: a proxy is let in where
/// both say the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Groups {
    /// `node.cluster`, any text: proxies that do the same work share their resources.
    #[default]
    Clusters,
    /// `node.id`: each proxy has resources of its own.
    Nodes,
    /// `node.cluster`, which has to read `namespace/name`: Locum has a group for each Gateway.
    Gateways,
}

/// Which versions of Envoy are let in. What does not call itself `envoy` always is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// Any. Of one that is not in [`SUPPORTED_ENVOY`] the log says so.
    #[default]
    Any,
    /// Those of [`SUPPORTED_ENVOY`]; others are refused with words.
    Supported,
}

/// Whom a server lets in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// What names a proxy's group.
    pub groups: Groups,
    /// Which Envoys may come.
    pub versions: Versions,
}

/// The Envoy versions that Locum is tested with, as the prefixes of their version numbers.
pub const SUPPORTED_ENVOY: [&str; 1] = ["1.40."];

/// The name by which Envoy calls itself.
const ENVOY: &str = "envoy";

/// A proxy, as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Its `node.id`.
    pub id: String,
    /// Its group: in Locum the Gateway that it serves, as `namespace/name`.
    pub gateway: String,
    /// Its `node.cluster`, which names its group unless [`Groups`] says otherwise.
    pub cluster: String,
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
    /// It does not say whose resources it is to get.
    #[error("node.cluster is empty; it has to name the group of proxies that this one is of")]
    NoGroup,
    /// The same, where each group is a Gateway.
    #[error(
        "node.cluster is {0:?}; it has to name the Gateway that the proxy serves, as `namespace/name`"
    )]
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

impl Admission {
    /// What Locum asks of the proxies of its Gateways.
    pub const LOCUM: Self = Self {
        groups: Groups::Gateways,
        versions: Versions::Supported,
    };

    /// Any Envoy, by such a group.
    pub fn by(groups: Groups) -> Self {
        let versions = Versions::Any;
        Self { groups, versions }
    }

    /// The proxy that `node` describes.
    pub fn admit(self, node: Option<&Node>) -> Result<Proxy, Rejected> {
        let node = node.ok_or(Rejected::NoNode)?;
        if node.id.is_empty() {
            return Err(Rejected::NoId);
        }
        let group = self.groups.of(node)?;
        let version = version_of(node);
        let proxy = Proxy {
            id: node.id.clone(),
            gateway: group.to_owned(),
            cluster: node.cluster.clone(),
            user_agent: format!("{} {version}", node.user_agent_name).trim().into(),
        };
        if self.versions == Versions::Supported {
            proxy.supported()?;
        }
        Ok(proxy)
    }
}

impl Groups {
    fn of(self, node: &Node) -> Result<&str, Rejected> {
        let cluster = &node.cluster;
        match self {
            Groups::Nodes => Ok(&node.id),
            Groups::Clusters if cluster.is_empty() => Err(Rejected::NoGroup),
            Groups::Clusters => Ok(cluster),
            Groups::Gateways => {
                let parts: Vec<_> = cluster.split('/').collect();
                let is_name = parts.len() == 2 && !parts.contains(&"");
                is_name
                    .then_some(cluster.as_str())
                    .ok_or_else(|| Rejected::NoGateway(cluster.clone()))
            }
        }
    }
}

impl Proxy {
    /// Whether it is an Envoy of a supported version, or no Envoy.
    pub fn supported(&self) -> Result<(), UnsupportedEnvoy> {
        match self.user_agent.split_once(' ') {
            Some((ENVOY, version)) => supported_envoy(version),
            None if self.user_agent == ENVOY => supported_envoy(""),
            _ => Ok(()),
        }
    }

    /// Whether a later message is of the same proxy. The protocol asks for a node in the first
    /// message only, and who the stream is for was settled with it; what else a node says may change.
    ///
    /// # Errors
    ///
    /// When it has another `node.id` or `node.cluster`: whoever sent it takes what comes for that one's.
    pub fn must_be(&self, node: Option<&Node>) -> Result<(), Rejected> {
        let Some(node) = node else { return Ok(()) };
        let is_same = |said: &str, known: &str| said.is_empty() || said == known;
        if is_same(&node.id, &self.id) && is_same(&node.cluster, &self.cluster) {
            return Ok(());
        }
        Err(Rejected::OtherNode {
            first: (self.id.clone(), self.cluster.clone()),
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

    fn locum(node: &Node) -> Result<Proxy, Rejected> {
        Admission::LOCUM.admit(Some(node))
    }

    #[test]
    fn a_supported_envoy_is_taken() {
        let proxy = locum(&node()).unwrap();
        assert_eq!(proxy.gateway, "default/edge");
        assert_eq!(proxy.user_agent, "envoy 1.40.2");
    }

    #[test]
    fn another_envoy_is_refused_and_told_which_are_supported() {
        let mut node = node();
        for version in ["1.4.0", ""] {
            let agent = UserAgentVersionType::UserAgentVersion(version.into());
            node.user_agent_version_type = Some(agent);
            assert_eq!(
                locum(&node).unwrap_err().to_string(),
                format!("Envoy {version} is not supported; supported: 1.40.x")
            );
        }
        let proxy = Admission::default().admit(Some(&node)).unwrap();
        assert!(proxy.supported().is_err());
    }

    #[test]
    fn what_is_no_envoy_is_of_any_version() {
        let mut node = node();
        node.user_agent_name = "gRPC Python".into();
        assert!(locum(&node).unwrap().supported().is_ok());
        node.user_agent_name = String::new();
        assert!(locum(&node).is_ok());
    }

    #[test]
    fn a_later_message_may_say_less_and_no_other_proxy() {
        let proxy = locum(&node()).unwrap();
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
            assert_eq!(locum(&node), Err(Rejected::NoGateway(cluster.into())));
        }
        assert_eq!(Admission::LOCUM.admit(None), Err(Rejected::NoNode));
    }

    #[test]
    fn a_group_is_named_as_the_server_wants_it() {
        let mut node = node();
        node.cluster = "edge".into();
        let group = |groups, node: &Node| {
            let admission = Admission {
                groups,
                ..Admission::default()
            };
            admission.admit(Some(node)).map(|proxy| proxy.gateway)
        };
        assert_eq!(group(Groups::Clusters, &node), Ok("edge".into()));
        assert_eq!(group(Groups::Nodes, &node), Ok("one".into()));
        node.cluster = String::new();
        assert_eq!(group(Groups::Clusters, &node), Err(Rejected::NoGroup));
        assert_eq!(group(Groups::Nodes, &node), Ok("one".into()));
    }
}
