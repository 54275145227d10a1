//! Load: requests at a pace, each with its record.
//!
//! In: what to ask, where, and how fast. Out: a [`Report`]. An open loop sends at its rate whatever
//! becomes of the answers, and counts latency from the moment a request was due; a closed loop
//! sends on each connection as soon as the last answer is there. It never sends to anything but
//! loopback and the private networks that its caller names as its own, and never asks a second
//! time: a request that fails is lost. (A request is offered to another connection only when none
//! of its bytes went out: a kept connection that the server had closed already.)

mod client;
mod network;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, Method};
use hyper::body::Bytes;
use tokio::task::{JoinHandle, JoinSet};

use crate::report::{Outcome, Record, Report};
use client::Client;

pub use network::{NotATestNetwork, TestNetwork};

/// A load that is late by so much stands still.
const STANDSTILL: Duration = Duration::from_secs(30);
/// Between two looks at how many requests are done.
const LOOK: Duration = Duration::from_millis(20);

/// The most requests of an open loop that may wait for an answer; further ones are lost at once.
const IN_FLIGHT_LIMIT: usize = 4096;

/// What to ask, and where.
#[derive(Clone, Debug)]
pub struct Request {
    /// The proxy; on loopback, or in a network that is named to [`Load::start_within`].
    pub address: SocketAddr,
    pub host: String,
    pub method: Method,
    /// Asked for in turn.
    pub paths: Vec<String>,
    /// Further headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
    /// A request that takes longer is lost.
    pub timeout: Duration,
}

impl Request {
    /// GET requests for one path, lost after 10 s.
    pub fn get(address: SocketAddr, host: &str, path: &str) -> Self {
        Self {
            address,
            host: host.to_owned(),
            method: Method::GET,
            paths: vec![path.to_owned()],
            headers: Vec::new(),
            body: Bytes::new(),
            timeout: Duration::from_secs(10),
        }
    }
}

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// So many a second, whatever becomes of them, over at least so many kept connections.
    Open { rate: u32, connections: usize },
    /// One after another on each of so many connections.
    Closed { connections: usize },
}

/// When a load ends by itself, whichever comes first.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    pub requests: u64,
    pub time: Duration,
}

/// A load that runs. It ends when stopped, dropped, or at its bound.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    started: Instant,
    bound: Bound,
    next: AtomicU64,
    stopped: AtomicBool,
    records: Mutex<Vec<Record>>,
}

impl Load {
    /// Starts sending, to loopback.
    ///
    /// # Errors
    ///
    /// When the address is not loopback, or no path is given.
    pub fn start(request: Request, pace: Pace, bound: Bound) -> io::Result<Self> {
        Self::start_within(&[], request, pace, bound)
    }

    /// Starts sending, to loopback or into one of these networks, which the caller made for its
    /// tests.
    ///
    /// # Errors
    ///
    /// When the address is in none of them, or no path is given.
    pub fn start_within(
        networks: &[TestNetwork],
        request: Request,
        pace: Pace,
        bound: Bound,
    ) -> io::Result<Self> {
        let ip = request.address.ip();
        let ours = ip.is_loopback() || networks.iter().any(|network| network.contains(ip));
        if !ours || request.paths.is_empty() {
            let why = "a load goes to loopback or a test network and has at least one path";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let shared = Arc::new(Shared {
            client: Client::new(request),
            started: Instant::now(),
            bound,
            next: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            records: Mutex::default(),
        });
        let task = match pace {
            Pace::Open { rate, connections } => {
                tokio::spawn(open_loop(shared.clone(), rate.max(1), connections))
            }
            Pace::Closed { connections } => tokio::spawn(closed_loop(shared.clone(), connections)),
        };
        Ok(Self { shared, task })
    }

    /// What became of the requests that are done.
    pub fn so_far(&self) -> Report {
        Report::new(self.shared.started, self.shared.records().clone())
    }

    /// The records since this was called last, which no report has any more: for loads that last so
    /// long that they are looked at on the way.
    pub fn take(&self) -> Vec<Record> {
        std::mem::take(&mut *self.shared.records())
    }

    /// When it started: what the times of records are counted from.
    pub fn started(&self) -> Instant {
        self.shared.started
    }

    /// How many requests are done: cheaper than a report.
    pub fn count(&self) -> usize {
        self.shared.records().len()
    }

    /// Waits until so many more requests are done, which should take `expected`.
    ///
    /// # Errors
    ///
    /// When it takes half a minute longer: the load stands still.
    pub async fn more(&self, requests: usize, expected: Duration) -> io::Result<()> {
        let due = self.count() + requests;
        let deadline = Instant::now() + expected + STANDSTILL;
        while self.count() < due {
            if Instant::now() > deadline {
                let why = format!("the load stands still: {} of {due}", self.count());
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Sends no more, waits for the answers that are due, and reports.
    pub async fn stop(self) -> Report {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.finish().await
    }

    /// Waits for the bound, and reports.
    pub async fn finish(mut self) -> Report {
        if let Err(error) = (&mut self.task).await
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
        self.so_far()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn records(&self) -> std::sync::MutexGuard<'_, Vec<Record>> {
        // A vector is whole whatever its last user did.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, number: u64, scheduled: Duration, outcome: Outcome) {
        let latency = self.started.elapsed().saturating_sub(scheduled);
        self.records().push(Record {
            number,
            scheduled,
            latency,
            outcome,
        });
    }

    /// The number of the next request; none once the load has ended.
    fn take_number(&self) -> Option<u64> {
        if self.stopped.load(Ordering::Relaxed) || self.started.elapsed() >= self.bound.time {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.bound.requests).then_some(number)
    }

    async fn send(&self, number: u64, scheduled: Duration) {
        let outcome = self.client.ask(number).await;
        self.record(number, scheduled, outcome);
    }
}

async fn open_loop(shared: Arc<Shared>, rate: u32, connections: usize) {
    shared.client.connect_ahead(connections).await;
    // What connecting took is not the requests' fault: they are due from now on.
    let lead = shared.started.elapsed();
    let mut in_flight = JoinSet::new();
    while let Some(number) = shared.take_number() {
        let scheduled = lead + Duration::from_nanos(number * 1_000_000_000 / u64::from(rate));
        tokio::time::sleep_until((shared.started + scheduled).into()).await;
        while in_flight.try_join_next().is_some() {}
        if in_flight.len() >= IN_FLIGHT_LIMIT {
            let why = format!("{IN_FLIGHT_LIMIT} requests wait for an answer already");
            shared.record(number, scheduled, Outcome::Failed(why.into()));
            continue;
        }
        let shared = shared.clone();
        in_flight.spawn(async move { shared.send(number, scheduled).await });
    }
    while in_flight.join_next().await.is_some() {}
}

async fn closed_loop(shared: Arc<Shared>, connections: usize) {
    let mut loops = JoinSet::new();
    for _ in 0..connections {
        let shared = shared.clone();
        loops.spawn(async move {
            while let Some(number) = shared.take_number() {
                shared.send(number, shared.started.elapsed()).await;
            }
        });
    }
    while loops.join_next().await.is_some() {}
}
