//! What a case works with beside the bench of the demo: the page, its load, its row.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hyper::body::Bytes;
use locum_demo::bench;
use locum_demo::echo::Echo;
use locum_demo::load::{Load, Request};
use locum_demo::manifests::PAGE;

use crate::table::{self, Row};

pub(crate) use locum_demo::bench::{BACKEND_PORT, none_lost};

/// Requests a second of every open loop.
pub(crate) const RATE: u32 = 200;
/// Between two looks at what is waited for.
const PAUSE: Duration = Duration::from_millis(5);

/// The world of one case.
#[derive(Debug)]
pub(crate) struct Bench {
    bench: bench::Bench,
    case: String,
}

impl Deref for Bench {
    type Target = bench::Bench;

    fn deref(&self) -> &Self::Target {
        &self.bench
    }
}

impl DerefMut for Bench {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.bench
    }
}

impl Bench {
    /// A bench with nothing on it. The number tells it from others of this process.
    pub(crate) fn new(case: &str, number: usize) -> anyhow::Result<Self> {
        let locum = Path::new(env!("CARGO_BIN_EXE_locum"));
        Ok(Self {
            bench: bench::Bench::new(locum, number)?,
            case: case.to_owned(),
        })
    }

    /// Writes the page's manifests, its policy only if wanted.
    pub(crate) fn write_page(&self, policy: bool) -> anyhow::Result<()> {
        for (name, content) in PAGE {
            if policy || name != "4-policy.yaml" {
                self.write(name, content)?;
            }
        }
        Ok(())
    }

    /// The page as its reader runs it: its manifests, an `active` and a `passive` behind its names,
    /// Locum, all by `active`.
    pub(crate) async fn page(&mut self, policy: bool) -> anyhow::Result<(Echo, Echo)> {
        self.write_page(policy)?;
        self.pair().await
    }

    /// The same with whatever else the folder holds.
    pub(crate) async fn pair(&mut self) -> anyhow::Result<(Echo, Echo)> {
        let active = self.echo("active", 2).await?;
        let passive = self.echo("passive", 3).await?;
        self.write_slice("active", &[active.address()])?;
        self.write_slice("passive", &[passive.address()])?;
        self.run().await?;
        self.until_served_by("active").await?;
        Ok((active, passive))
    }

    /// What `locum translate -t status` says of the manifests as they are now: conditions, then
    /// problems.
    pub(crate) fn verdict(&self) -> anyhow::Result<String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_locum"));
        let command = command
            .args(["translate", "-t", "status", "-f"])
            .arg(self.folder());
        let output = command.output().context("locum translate")?;
        let problems = String::from_utf8(output.stderr)?;
        // 1 says that problems were found, which is what this is asked for.
        ensure!(
            matches!(output.status.code(), Some(0 | 1)),
            "locum translate: {problems}"
        );
        Ok(String::from_utf8(output.stdout)? + &problems)
    }

    /// A POST with a small body to the page's path.
    pub(crate) fn post(&self) -> Request {
        Request {
            method: http::Method::POST,
            body: Bytes::from_static(b"one more, and only one"),
            ..self.request()
        }
    }

    /// The open loop of GET requests that most cases run.
    pub(crate) fn load(&self) -> anyhow::Result<Load> {
        self.load_of(self.request())
    }

    /// An open loop.
    pub(crate) fn load_of(&self, request: Request) -> anyhow::Result<Load> {
        self.load_at(request, RATE)
    }

    /// Lets so many seconds' worth of requests go by.
    pub(crate) async fn seconds(&self, load: &Load, seconds: u32) -> anyhow::Result<()> {
        self.requests(load, seconds * RATE).await
    }

    /// Lets so many requests go by.
    pub(crate) async fn requests(&self, load: &Load, requests: u32) -> anyhow::Result<()> {
        let due = load.count() + usize::try_from(requests)?;
        // Some may wait long for their answers: the limit is only for a load that stands still.
        let deadline = Instant::now() + Duration::from_secs(u64::from(requests / RATE) + 20);
        while load.count() < due {
            ensure!(
                Instant::now() < deadline,
                "the load stands still: {} of {due}",
                load.count()
            );
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Puts what a case counted into the table.
    pub(crate) fn record(&self, row: Row) {
        let case = self.case.clone();
        table::record(Row { case, ..row });
    }
}
