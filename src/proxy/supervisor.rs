//! One Gateway's Envoy: adopted or started, watched, started again when it dies, drained when it
//! has to go.
//!
//! In: what to start, where it will listen, and orders. Out: a [`Proxy`] that says how it is. Never
//! two Envoys of one Gateway run at a time, and none is started while another process listens on
//! one of its ports: Envoy would share the port silently (SO_REUSEPORT), and half the requests
//! would go elsewhere.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use xxhash_rust::xxh3::xxh3_64;

use super::admin::{EnvoyAdmin, Readiness};
use super::binary::Binary;
use super::drain;
use super::log::{self, LogTail};
use super::process::Process;
use super::record::{LaunchRecord, Record};
use super::state_dir::{Place, StateDirError, write_whole};
use super::{Order, Phase, Proxies, Proxy};
use crate::bootstrap::AdminAddress;
use crate::resource::ObjectName;

/// The pause before an Envoy that died is started again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// An Envoy that ran for so long before it died begins with the first pause again.
const STABLE_AFTER: Duration = Duration::from_secs(10);
/// How often an Envoy that starts is asked whether it is ready.
const START_TICK: Duration = Duration::from_millis(20);
/// How often a running Envoy's log is looked at.
const TICK: Duration = Duration::from_millis(100);
/// A running Envoy is asked how it is once in so many looks at its log.
const TICKS_PER_CHECK: u32 = 10;
/// How long an Envoy without a record may take to end when told to.
const QUIT_TIMEOUT: Duration = Duration::from_secs(5);

/// What to start for one Gateway.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) gateway: ObjectName,
    pub(super) binary: Arc<Binary>,
    pub(super) place: Place,
    /// The bootstrap's text.
    pub(super) bootstrap: String,
    /// The user's arguments, after ours.
    pub(super) arguments: Vec<String>,
    pub(super) drain_timeout: Duration,
}

/// Why an Envoy could not be started.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(
        "{address} is in use by another process; end that one, change the listener's port, or choose \
         another address with --listen"
    )]
    PortTaken { address: SocketAddr },
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    #[error("{}: {source}", path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
}

/// How watching a process came to an end.
enum Watched {
    /// It ended by itself: why, and how long it ran.
    Ended { why: String, after: Duration },
    /// Something else is asked for than to serve.
    Ordered(Box<Process>, Order),
}

/// Looks after one Gateway's Envoy.
#[derive(Debug)]
pub(super) struct Supervisor {
    launch: Launch,
    admin: EnvoyAdmin,
    tail: LogTail,
    orders: watch::Receiver<Order>,
    /// Where the Gateway's listeners bind now.
    listeners: watch::Receiver<Vec<SocketAddr>>,
    proxies: Arc<watch::Sender<Proxies>>,
    restarts: u32,
}

impl Supervisor {
    /// A supervisor that has not looked yet.
    pub(super) fn new(
        launch: Launch,
        orders: watch::Receiver<Order>,
        listeners: watch::Receiver<Vec<SocketAddr>>,
        proxies: Arc<watch::Sender<Proxies>>,
    ) -> Self {
        Self {
            admin: EnvoyAdmin::new(AdminAddress::Unix(launch.place.admin_socket.clone())),
            tail: LogTail::new(&launch.gateway, &launch.place),
            launch,
            orders,
            listeners,
            proxies,
            restarts: 0,
        }
    }

    /// Keeps an Envoy running until ordered otherwise.
    pub(super) async fn run(mut self) {
        let mut found = self.take_over().await;
        let mut pause = FIRST_PAUSE;
        loop {
            let adopted = found.is_some();
            let started = match found.take() {
                Some(process) => Ok(process),
                None => self.start(),
            };
            let why = match started {
                Ok(process) => match self.watch(process, adopted).await {
                    Watched::Ended { why, after } => {
                        if after >= STABLE_AFTER {
                            pause = FIRST_PAUSE;
                        }
                        why
                    }
                    Watched::Ordered(process, order) => {
                        self.stop(*process, order).await;
                        return;
                    }
                },
                Err(error) => error.to_string(),
            };
            self.say(None, adopted, Phase::Down { why });
            tokio::select! {
                () = sleep(pause) => {}
                _ = end_ordered(&mut self.orders) => return,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            self.restarts += 1;
        }
    }

    /// The Envoy that an earlier Locum left behind, if it is what would be started now. Any other
    /// is drained first.
    async fn take_over(&mut self) -> Option<Process> {
        let record = Record::read(&self.launch.place);
        if let Some(process) = record.as_ref().and_then(left_behind) {
            let same = record.is_some_and(|record| record.launch == self.launch.record());
            let readiness = self.admin.readiness().await;
            if same && matches!(readiness, Ok(Readiness::Live | Readiness::Initializing)) {
                return Some(process);
            }
            tracing::info!(
                gateway = %self.launch.gateway,
                pid = process.pid,
                "an Envoy of an earlier start differs from what is asked for and is replaced"
            );
            self.stop(process, Order::Drain).await;
            self.tail = LogTail::new(&self.launch.gateway, &self.launch.place);
        }
        quit_unrecorded(&self.admin).await;
        None
    }

    fn start(&self) -> Result<Process, StartError> {
        let Launch { binary, place, .. } = &self.launch;
        for address in self.listeners.borrow().iter() {
            refuse_taken(*address)?;
        }
        let io = |path: PathBuf| move |source| StartError::Io { path, source };
        place.make()?;
        write_whole(&place.bootstrap(), &self.launch.bootstrap).map_err(io(place.bootstrap()))?;
        let arguments = self.launch.all_arguments();
        let process = Process::start(&binary.path, &arguments, &place.log())
            .map_err(io(binary.path.clone()))?;
        let record = Record {
            pid: process.pid,
            start_time: process.start_time,
            launch: self.launch.record(),
        };
        if let Err(source) = record.write(place) {
            // An Envoy that the next Locum cannot find must not live.
            process.kill();
            return Err(io(place.record())(source));
        }
        Ok(process)
    }

    /// Watches a process until it ends or has to.
    async fn watch(&mut self, mut process: Process, adopted: bool) -> Watched {
        let since = Instant::now();
        let pid = Some(process.pid);
        let mut phase = Phase::Starting;
        self.say(pid, adopted, phase.clone());
        let mut ticks = 0_u32;
        loop {
            let live = phase == Phase::Live;
            tokio::select! {
                how = process.ended() => {
                    self.tail.pass_on();
                    let last = self.tail.take_last_error();
                    let why = last.map_or_else(|| how.clone(), |last| format!("{how}: {last}"));
                    let why = format!("Envoy ended ({why})");
                    return Watched::Ended { why, after: since.elapsed() };
                }
                order = end_ordered(&mut self.orders) => {
                    return Watched::Ordered(Box::new(process), order);
                }
                () = sleep(if live { TICK } else { START_TICK }) => {}
            }
            self.tail.pass_on();
            ticks = ticks.wrapping_add(1);
            if live && !ticks.is_multiple_of(TICKS_PER_CHECK) {
                continue;
            }
            self.tail.rotate(&self.admin).await;
            let now = self.look(&phase).await;
            if now != phase {
                phase = now;
                self.say(pid, adopted, phase.clone());
            }
        }
    }

    /// The phase after `phase`, by what Envoy says.
    async fn look(&self, phase: &Phase) -> Phase {
        match self.admin.readiness().await {
            Ok(Readiness::Live) => Phase::Live,
            Ok(Readiness::Initializing) => Phase::Starting,
            Ok(Readiness::Draining) => Phase::Draining,
            // One that is just starting has no socket yet.
            Err(_) if *phase == Phase::Starting => Phase::Starting,
            Err(error) => Phase::Silent {
                why: error.to_string(),
            },
        }
    }

    async fn stop(&mut self, process: Process, order: Order) {
        self.say(Some(process.pid), false, Phase::Draining);
        self.tail.expect_the_end();
        let bound = match order {
            Order::Serve | Order::Drain => self.launch.drain_timeout,
            Order::End => Duration::ZERO,
        };
        let mut hurry = self.orders.clone();
        drain::drain_and_end(process, &self.admin, bound, &mut hurry).await;
        self.tail.pass_on();
        Record::remove(&self.launch.place);
    }

    fn say(&self, pid: Option<u32>, adopted: bool, phase: Phase) {
        let proxy = Proxy {
            pid,
            adopted,
            restarts: self.restarts,
            phase,
        };
        self.proxies.send_if_modified(|proxies| {
            let previous = proxies.insert(self.launch.gateway.clone(), proxy.clone());
            previous.is_none_or(|previous| previous != proxy)
        });
    }
}

impl Launch {
    /// What is written down about it.
    fn record(&self) -> LaunchRecord {
        LaunchRecord {
            binary: self.binary.path.clone(),
            build: self.binary.build.clone(),
            bootstrap: format!("{:016x}", xxh3_64(self.bootstrap.as_bytes())),
            arguments: self.all_arguments(),
        }
    }

    fn all_arguments(&self) -> Vec<String> {
        let bootstrap = self.place.bootstrap().to_string_lossy().into_owned();
        let mut arguments = vec![
            "--config-path".to_owned(),
            bootstrap,
            // Two Envoys on one machine would share memory, and hot restart is not used.
            "--disable-hot-restart".to_owned(),
        ];
        arguments.extend(log::arguments(&self.place));
        arguments.extend(self.arguments.iter().cloned());
        arguments
    }
}

/// Ends the Envoy of a Gateway that is there no more and removes its folder.
pub(super) async fn clear(place: Place, bound: Duration, mut orders: watch::Receiver<Order>) {
    let admin = EnvoyAdmin::new(AdminAddress::Unix(place.admin_socket.clone()));
    if let Some(process) = Record::read(&place).as_ref().and_then(left_behind) {
        drain::drain_and_end(process, &admin, bound, &mut orders).await;
    }
    quit_unrecorded(&admin).await;
    if let Err(error) = place.remove() {
        tracing::warn!(%error, "the folder of a Gateway that has gone cannot be removed");
    }
}

/// Waits until something else is ordered than to serve.
async fn end_ordered(orders: &mut watch::Receiver<Order>) -> Order {
    match orders.wait_for(|order| *order != Order::Serve).await {
        Ok(order) => *order,
        Err(_) => Order::Drain,
    }
}

/// The recorded process, if it is still running.
fn left_behind(record: &Record) -> Option<Process> {
    if !record.is_alive() {
        return None;
    }
    match Process::adopt(record.pid, record.start_time) {
        Ok(process) => process,
        Err(error) => {
            tracing::warn!(pid = record.pid, %error, "an Envoy of an earlier start cannot be watched");
            None
        }
    }
}

/// Ends an Envoy that was started just before its Locum was killed, so that no record names it:
/// only it can answer at the admin socket.
async fn quit_unrecorded(admin: &EnvoyAdmin) {
    if admin.readiness().await.is_err() {
        return;
    }
    tracing::info!("an Envoy without a record is ended");
    let deadline = Instant::now() + QUIT_TIMEOUT;
    while let Ok(()) = admin.quit().await {
        if Instant::now() >= deadline {
            tracing::warn!("an Envoy without a record does not end");
            return;
        }
        sleep(START_TICK).await;
    }
}

/// Whether nobody listens on `address`, as a bind that shares with nobody finds out.
fn refuse_taken(address: SocketAddr) -> Result<(), StartError> {
    match TcpListener::bind(address) {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Err(StartError::PortTaken { address })
        }
        // Whatever else is wrong with the address, Envoy says it better.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_someone_listens_on_is_refused_with_the_ways_out() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let text = refuse_taken(address).unwrap_err().to_string();
        assert!(
            text.contains(&address.to_string()) && text.contains("--listen"),
            "{text}"
        );
        drop(other);
        refuse_taken(address).unwrap();
    }
}
