//! All Envoys of `locum run`: one for each Gateway, started and drained as Gateways come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::binary::Binary;
use super::state_dir::{Place, StateDir, StateDirError};
use super::supervisor::{Launch, Supervisor, clear};
use super::{Order, Phase, Proxies, Proxy};
use crate::bootstrap::{AdminAddress, Bootstrap, XdsAddress};
use crate::model::Gateway;
use crate::pipeline::State;
use crate::resource::ObjectName;
use crate::xds::message::Variant;

/// What all Envoys of a fleet have in common.
#[derive(Debug)]
pub struct Plan {
    pub binary: Arc<Binary>,
    pub state_dir: StateDir,
    /// Where the Envoys ask for their configuration.
    pub xds: XdsAddress,
    /// Where their listeners bind.
    pub listen: IpAddr,
    /// Arguments for Envoy, after Locum's own.
    pub arguments: Vec<String>,
    /// How long requests that are under way may take when an Envoy has to go.
    pub drain_timeout: Duration,
}

/// The Envoys that run, or should.
#[derive(Debug)]
pub struct Fleet {
    plan: Plan,
    states: watch::Receiver<Arc<State>>,
    orders: watch::Receiver<Order>,
    proxies: Arc<watch::Sender<Proxies>>,
    members: BTreeMap<ObjectName, Member>,
    /// Folders of Gateways that went away while no Locum was there to see it.
    clearing: BTreeSet<PathBuf>,
    tasks: JoinSet<Ended>,
}

/// What a task of the fleet was for.
#[derive(Debug)]
enum Ended {
    Supervisor(ObjectName),
    Clearing(PathBuf),
}

/// How a Gateway's supervisor is spoken to.
#[derive(Debug)]
struct Member {
    orders: watch::Sender<Order>,
    listeners: watch::Sender<Vec<SocketAddr>>,
}

impl Fleet {
    /// A fleet that has started nothing yet, and where its state can be watched.
    pub fn new(
        plan: Plan,
        states: watch::Receiver<Arc<State>>,
        orders: watch::Receiver<Order>,
    ) -> (Self, watch::Receiver<Proxies>) {
        let (proxies, receiver) = watch::channel(Proxies::new());
        let fleet = Self {
            plan,
            states,
            orders,
            proxies: Arc::new(proxies),
            members: BTreeMap::new(),
            clearing: BTreeSet::new(),
            tasks: JoinSet::new(),
        };
        (fleet, receiver)
    }

    /// Keeps an Envoy for each Gateway of the last state until ordered otherwise; ends when all
    /// have ended.
    pub async fn run(mut self) {
        let first = tokio::select! {
            first = self.states.wait_for(|state| state.revision > 0) => first.is_ok(),
            _ = self.orders.wait_for(|order| *order != Order::Serve) => false,
        };
        if !first {
            return;
        }
        self.clear_leftovers();
        while *self.orders.borrow_and_update() == Order::Serve {
            let state = self.states.borrow_and_update().clone();
            self.reconcile(&state);
            tokio::select! {
                changed = self.states.changed() => if changed.is_err() { break },
                Some(ended) = self.tasks.join_next() => self.forget(ended),
                changed = self.orders.changed() => if changed.is_err() { break },
            }
        }
        self.stop().await;
    }

    /// Starts what is missing and drains what is not wanted any more.
    fn reconcile(&mut self, state: &State) {
        let wanted = self.claims(&state.translation.model.gateways);
        for (name, member) in &self.members {
            let gone = !matches!(wanted.get(name), Some(Claim::Ports(_)));
            if gone {
                member.orders.send_replace(Order::Drain);
            }
        }
        for (name, claim) in wanted {
            match claim {
                Claim::Ports(ports) => self.keep(name, ports),
                Claim::Refused { why } => {
                    if !self.members.contains_key(name) {
                        self.refuse(name, why);
                    }
                }
            }
        }
        let gateways = &state.translation.model.gateways;
        self.proxies.send_if_modified(|proxies| {
            let before = proxies.len();
            proxies
                .retain(|name, _| gateways.contains_key(name) || self.members.contains_key(name));
            proxies.len() != before
        });
    }

    /// Gives each port to one Gateway, one that has an Envoy first, then by name: two Envoys on one
    /// port would share its requests.
    fn claims<'a>(
        &self,
        gateways: &'a BTreeMap<ObjectName, Gateway>,
    ) -> BTreeMap<&'a ObjectName, Claim> {
        let mut owners: BTreeMap<u16, &ObjectName> = BTreeMap::new();
        let mut claims = BTreeMap::new();
        let mut order: Vec<_> = gateways.iter().collect();
        order.sort_by_key(|(name, _)| !self.members.contains_key(*name));
        for (name, gateway) in order {
            let ports: Vec<u16> = gateway.ports.values().map(|port| port.bind_port).collect();
            let taken = ports
                .iter()
                .find_map(|port| owners.get(port).map(|owner| (port, *owner)));
            let claim = match taken {
                Some((port, owner)) => Claim::Refused {
                    why: format!(
                        "port {port} belongs to Gateway {owner}, and all Gateways of `locum run` \
                         share this machine's ports; give one of them another port"
                    ),
                },
                None => {
                    owners.extend(ports.iter().map(|port| (*port, name)));
                    Claim::Ports(ports)
                }
            };
            claims.insert(name, claim);
        }
        claims
    }

    fn keep(&mut self, name: &ObjectName, ports: Vec<u16>) {
        let addresses = ports
            .into_iter()
            .map(|port| (self.plan.listen, port).into());
        let addresses: Vec<SocketAddr> = addresses.collect();
        if let Some(member) = self.members.get(name) {
            // One that is being drained ends first; then it is missing and started.
            member.listeners.send_replace(addresses);
            return;
        }
        match self.plan.state_dir.place(name) {
            Ok(place) if self.clearing.contains(&place.folder) => {}
            Ok(place) => self.start(name, place, addresses),
            Err(error) => self.refuse(name, error.to_string()),
        }
    }

    fn start(&mut self, name: &ObjectName, place: Place, addresses: Vec<SocketAddr>) {
        let (orders, ordered) = watch::channel(Order::Serve);
        let (listeners, listened) = watch::channel(addresses);
        let launch = Launch {
            gateway: name.clone(),
            binary: self.plan.binary.clone(),
            bootstrap: self.plan.bootstrap(name, &place),
            place,
            arguments: self.plan.arguments.clone(),
            drain_timeout: self.plan.drain_timeout,
        };
        let supervisor = Supervisor::new(launch, ordered, listened, self.proxies.clone());
        let name = name.clone();
        self.members
            .insert(name.clone(), Member { orders, listeners });
        self.tasks.spawn(async move {
            supervisor.run().await;
            Ended::Supervisor(name)
        });
    }

    fn refuse(&self, name: &ObjectName, why: String) {
        let proxy = Proxy {
            pid: None,
            adopted: false,
            restarts: 0,
            phase: Phase::Down { why },
        };
        self.proxies.send_if_modified(|proxies| {
            let previous = proxies.insert(name.clone(), proxy.clone());
            previous.is_none_or(|previous| previous != proxy)
        });
    }

    /// Ends the Envoys of Gateways that went away while no Locum was there to see it.
    fn clear_leftovers(&mut self) {
        let state = self.states.borrow().clone();
        let wanted: Result<Vec<Place>, StateDirError> = state
            .translation
            .model
            .gateways
            .keys()
            .map(|name| self.plan.state_dir.place(name))
            .collect();
        let places = wanted.and_then(|wanted| {
            let mut places = self.plan.state_dir.places()?;
            places.retain(|place| !wanted.contains(place));
            Ok(places)
        });
        match places {
            Ok(places) => {
                for place in places {
                    self.clear(place);
                }
            }
            Err(error) => tracing::warn!(%error, "the state directory cannot be searched"),
        }
    }

    fn clear(&mut self, place: Place) {
        let orders = self.orders.clone();
        let bound = self.plan.drain_timeout;
        let folder = place.folder.clone();
        self.clearing.insert(folder.clone());
        self.tasks.spawn(async move {
            clear(place, bound, orders).await;
            Ended::Clearing(folder)
        });
    }

    /// Takes in that a task has ended. A Gateway that is not there any more leaves no folder.
    fn forget(&mut self, ended: Result<Ended, JoinError>) {
        let name = match ended {
            Ok(Ended::Supervisor(name)) => name,
            Ok(Ended::Clearing(folder)) => {
                self.clearing.remove(&folder);
                return;
            }
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        self.members.remove(&name);
        let state = self.states.borrow().clone();
        if state.translation.model.gateways.contains_key(&name) {
            return;
        }
        self.proxies.send_modify(|proxies| {
            proxies.remove(&name);
        });
        let place = self.plan.state_dir.place(&name);
        let removed = place.and_then(|place| place.remove());
        if let Err(error) = removed {
            tracing::warn!(%error, gateway = %name, "its folder cannot be removed");
        }
    }

    /// Drains everything; a further order ends it at once.
    async fn stop(&mut self) {
        loop {
            let order = *self.orders.borrow_and_update();
            for member in self.members.values() {
                member.orders.send_replace(order.max(Order::Drain));
            }
            tokio::select! {
                ended = self.tasks.join_next() => match ended {
                    Some(ended) => self.forget(ended),
                    None => return,
                },
                Ok(()) = self.orders.changed() => {}
            }
        }
    }
}

/// What becomes of a Gateway on a machine that all Gateways share.
enum Claim {
    Ports(Vec<u16>),
    Refused { why: String },
}

impl Plan {
    /// The bootstrap of a Gateway's Envoy. It is the same at each start, so that Envoys are
    /// adopted.
    fn bootstrap(&self, gateway: &ObjectName, place: &Place) -> String {
        let bootstrap = Bootstrap {
            node_id: format!("run/{gateway}"),
            gateway: gateway.clone(),
            xds: self.xds.clone(),
            variant: Variant::Delta,
            tls: None,
            admin: AdminAddress::Unix(place.admin_socket.clone()),
            ready_port: None,
        };
        format!("{:#}\n", bootstrap.json())
    }
}
