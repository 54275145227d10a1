//! Places for streams: so many in all, and no group of proxies takes all of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The group of streams that have not said yet whose they are.
const NOBODY: &str = "";

/// Why a stream gets no place.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    /// All are taken.
    #[error("{0} streams are open already, which is all that this server takes")]
    All(usize),
    /// The group has as many as it may have.
    #[error("{group} has {limit} streams open already; the rest is left to others")]
    Group { group: String, limit: usize },
    /// So have those of whom nothing is known.
    #[error("{0} streams are open already that have said nothing; the rest is left to others")]
    Nobody(usize),
}

/// The places, and how many each group has taken.
#[derive(Debug)]
pub(super) struct Places {
    all: usize,
    of_group: usize,
    taken: Mutex<Taken>,
}

/// How many are taken.
#[derive(Debug, Default)]
struct Taken {
    all: usize,
    of_group: BTreeMap<String, usize>,
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    group: String,
}

impl Places {
    /// So many in all, and for each group.
    pub(super) fn new(all: usize, of_group: usize) -> Arc<Self> {
        Arc::new(Self {
            all,
            of_group,
            taken: Mutex::default(),
        })
    }

    /// A place for a stream of a group, or of nobody if that is not known yet.
    pub(super) fn take(self: &Arc<Self>, group: Option<&str>) -> Result<Place, Full> {
        let mut taken = self.lock();
        if taken.all >= self.all {
            return Err(Full::All(self.all));
        }
        let group = group.unwrap_or(NOBODY);
        self.add(&mut taken, group)?;
        Ok(Place {
            places: self.clone(),
            group: group.to_owned(),
        })
    }

    fn add(&self, taken: &mut Taken, group: &str) -> Result<(), Full> {
        let limit = self.of_group;
        let count = taken.of_group.get(group).copied().unwrap_or(0);
        if count >= limit {
            return Err(match group {
                NOBODY => Full::Nobody(limit),
                _ => Full::Group {
                    group: group.to_owned(),
                    limit,
                },
            });
        }
        taken.of_group.insert(group.to_owned(), count + 1);
        taken.all += 1;
        Ok(())
    }

    /// A mutex is poisoned only by a panic, a defect that is reported where it happens; the count
    /// stays whole.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn remove(&mut self, group: &str) {
        let Some(count) = self.of_group.get_mut(group) else {
            return;
        };
        self.all -= 1;
        *count -= 1;
        if *count == 0 {
            self.of_group.remove(group);
        }
    }
}

impl Place {
    /// Makes it one of a group.
    pub(super) fn belong_to(&mut self, group: &str) -> Result<(), Full> {
        if self.group == group {
            return Ok(());
        }
        let mut taken = self.places.lock();
        self.places.add(&mut taken, group)?;
        taken.remove(&self.group);
        drop(taken);
        self.group = group.to_owned();
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().remove(&self.group);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
    use discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
    use envoy_types::pb::envoy::config::core::v3::Node;
    use envoy_types::pb::envoy::service::discovery::v3 as discovery;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;
    use tokio::time::{sleep, timeout};
    use tokio_stream::wrappers::ReceiverStream;
    use tonic::{Code, Status, Streaming};

    use super::*;
    use crate::xds::kind::Kind;
    use crate::xds::proxy::Admission;
    use crate::xds::server::connections::Connections;
    use crate::xds::server::discovery::Discovery;
    use crate::xds::server::{Shared, door};
    use crate::xds::snapshot::Snapshot;

    fn of(group: &str) -> Full {
        let group = group.to_owned();
        Full::Group { group, limit: 2 }
    }

    #[test]
    fn a_group_that_takes_all_it_can_leaves_places_to_others() {
        let places = Places::new(4, 2);
        let take = |group| places.take(Some(group));
        let greedy = [take("a").unwrap(), take("a").unwrap()];
        assert_eq!(take("a").unwrap_err(), of("a"));
        let other = take("b").unwrap();
        let last = take("c").unwrap();
        assert_eq!(take("d").unwrap_err(), Full::All(4));
        drop(greedy);
        drop(other);
        assert!(take("a").is_ok());
        drop(last);
        assert_eq!(places.lock().all, 0);
        assert!(places.lock().of_group.is_empty());
    }

    #[test]
    fn whose_a_stream_is_may_be_said_later() {
        let places = Places::new(4, 2);
        let mut streams = [places.take(None).unwrap(), places.take(None).unwrap()];
        assert_eq!(places.take(None).unwrap_err(), Full::Nobody(2));
        let _ours = places.take(Some("a")).unwrap();
        streams[0].belong_to("a").unwrap();
        assert_eq!(streams[1].belong_to("a").unwrap_err(), of("a"));
        streams[1].belong_to("b").unwrap();
        assert!(places.take(None).is_ok());
    }

    /// A proxy of a Gateway that asks for clusters, and its first response.
    struct Proxy {
        _requests: mpsc::Sender<DeltaDiscoveryRequest>,
        _responses: Streaming<DeltaDiscoveryResponse>,
    }

    impl Proxy {
        async fn connect(address: &str, gateway: &str) -> Result<Self, Status> {
            let client = AggregatedDiscoveryServiceClient::connect(address.to_owned()).await;
            let (requests, receiver) = mpsc::channel(1);
            let first = DeltaDiscoveryRequest {
                node: Some(Node {
                    id: "proxy".into(),
                    cluster: gateway.into(),
                    ..Node::default()
                }),
                type_url: Kind::Cluster.type_url().into(),
                ..DeltaDiscoveryRequest::default()
            };
            requests.send(first).await.unwrap();
            let stream = ReceiverStream::new(receiver);
            let stream = client.unwrap().delta_aggregated_resources(stream).await;
            let mut responses = stream?.into_inner();
            responses.message().await?.expect("an open stream");
            Ok(Self {
                _requests: requests,
                _responses: responses,
            })
        }
    }

    #[tokio::test]
    async fn a_gateway_that_has_all_its_streams_is_refused_another_one_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let shared = Shared::with(Admission::LOCUM);
        for gateway in ["ns/a", "ns/b"] {
            shared.board.publish(gateway, Snapshot::default());
        }
        let discovery = Discovery {
            shared,
            complaints: Arc::default(),
            places: Places::new(4, 2),
        };
        tokio::spawn(async move {
            let mut server = Connections::new(discovery.routes());
            server.accept(door::plain(listener), pending()).await;
        });
        let _first = Proxy::connect(&address, "ns/a").await.unwrap();
        let second = Proxy::connect(&address, "ns/a").await.unwrap();
        let refused = Proxy::connect(&address, "ns/a").await.err().unwrap();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert!(
            refused.message().starts_with("ns/a has 2 streams"),
            "{refused}"
        );
        let _other = Proxy::connect(&address, "ns/b").await.unwrap();
        drop(second);
        let again = async {
            while Proxy::connect(&address, "ns/a").await.is_err() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let let_in = timeout(Duration::from_secs(15), again).await;
        let_in.expect("the place of a stream that has ended is free");
    }
}
