//! The requests of the whole run: an open loop for each probe of each steady family on each
//! Gateway, and one to a port that comes and goes.

use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue};
use locum_demo::load::{Bound, Load, Pace, Request};
use locum_demo::report::{Outcome, Record};

use crate::bench::Bench;
use crate::manifests::{FURTHER_PORT, GATEWAYS, STEADY_PORTS, host, other_host, port};
use crate::world::{PROBES, Probe};

/// Kept connections of each loop.
const CONNECTIONS: usize = 2;
/// Requests a second to the port that comes and goes.
const FURTHER_RATE: u32 = 10;
/// A request that takes longer is lost.
const TIMEOUT: Duration = Duration::from_secs(10);

/// All loops.
#[derive(Debug)]
pub(crate) struct Loads {
    steady: Vec<Loop>,
    further: Vec<Load>,
}

#[derive(Debug)]
struct Loop {
    gateway: usize,
    family: usize,
    probe: Probe,
    load: Load,
}

/// A request that is done.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) gateway: usize,
    pub(crate) family: usize,
    pub(crate) probe: Probe,
    pub(crate) due: Instant,
    pub(crate) answered: Instant,
    pub(crate) outcome: Outcome,
}

impl Loads {
    /// Starts them: to each Gateway at least so many requests a second, for at most so long.
    pub(crate) fn start(
        bench: &Bench,
        families: usize,
        rate: u32,
        time: Duration,
    ) -> anyhow::Result<Self> {
        let bound = Bound {
            requests: u64::MAX,
            time,
        };
        let start = |request: Request, rate: u32| {
            let connections = CONNECTIONS;
            Load::start(request, Pace::Open { rate, connections }, bound)
        };
        let loops = u32::try_from(families * PROBES.len())?;
        let mut loads = Self {
            steady: Vec::new(),
            further: Vec::new(),
        };
        for gateway in 0..GATEWAYS.len() {
            for family in 0..families {
                for (index, probe) in PROBES.into_iter().enumerate() {
                    let of_first = STEADY_PORTS[(family + index) % STEADY_PORTS.len()];
                    let request = request(bench, port(gateway, of_first), family, probe);
                    loads.steady.push(Loop {
                        gateway,
                        family,
                        probe,
                        load: start(request, rate.div_ceil(loops))?,
                    });
                }
            }
            let further = request(bench, port(gateway, FURTHER_PORT), 0, Probe::Plain);
            loads.further.push(start(further, FURTHER_RATE)?);
        }
        Ok(loads)
    }

    /// The steady requests that are done since this was asked last.
    pub(crate) fn done(&self) -> Vec<Done> {
        let done = self.steady.iter().map(Loop::done);
        done.flatten().collect()
    }

    /// What became of the requests to the port that comes and goes, of one Gateway, since this was
    /// asked last.
    pub(crate) fn further(&self, gateway: usize) -> Vec<Record> {
        self.further[gateway].take()
    }

    /// Sends no more and waits for the answers that are due: the steady requests that are done since
    /// they were asked for last.
    pub(crate) async fn stop(self) -> Vec<Done> {
        let mut done = Vec::new();
        for one in self.steady {
            let started = one.load.started();
            let (gateway, family, probe) = (one.gateway, one.family, one.probe);
            let report = one.load.stop().await;
            let records = report.records().iter().cloned();
            done.extend(records.map(|record| Done::of(gateway, family, probe, started, record)));
        }
        done
    }
}

impl Loop {
    fn done(&self) -> Vec<Done> {
        let started = self.load.started();
        let records = self.load.take().into_iter();
        let done =
            records.map(|record| Done::of(self.gateway, self.family, self.probe, started, record));
        done.collect()
    }
}

impl Done {
    fn of(gateway: usize, family: usize, probe: Probe, started: Instant, record: Record) -> Self {
        Self {
            gateway,
            family,
            probe,
            due: started + record.scheduled,
            answered: started + record.answered(),
            outcome: record.outcome,
        }
    }
}

fn request(bench: &Bench, port: u16, family: usize, probe: Probe) -> Request {
    let host = match probe {
        Probe::OtherHost => other_host(family),
        _ => host(family),
    };
    let blue = || {
        let name = HeaderName::from_static("x-kind");
        (name, HeaderValue::from_static("blue"))
    };
    Request {
        headers: (probe == Probe::Blue).then(blue).into_iter().collect(),
        timeout: TIMEOUT,
        ..Request::get(bench.proxy(port), &host, probe.path())
    }
}
