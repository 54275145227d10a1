//! The run: bursts of edits, kills in them, a quiet moment after each burst, and the verdict.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use crate::bench::Bench;
use crate::edit;
use crate::history::History;
use crate::loads::Loads;
use crate::manifests::{GATEWAYS, Place, files};
use crate::random::Random;
use crate::tally::Tally;
use crate::world::{PODS, World};
use crate::{Settings, say};

/// Families whose requests are sent, and others beside them.
const STEADY: usize = 6;
const OTHERS: usize = 2;
/// The most edits from one quiet moment to the next.
const BURST: usize = 150;
/// The most edits that are made while Locum is away.
const AWAY: usize = 15;
/// How long it may take until both proxies have what there is.
const QUIET_LIMIT: Duration = Duration::from_secs(60);
/// How long it may take until they have nothing else: what is to go may wait for half a minute.
const END_LIMIT: Duration = Duration::from_secs(90);
/// Between two looks at what is waited for.
const PAUSE: Duration = Duration::from_millis(100);
/// How often what is done is judged, at least.
const JUDGE: Duration = Duration::from_millis(500);
/// Requests that are awaited at rest, when one answer alone is right.
const AT_REST: usize = 300;

/// Everything that a run has.
struct Run {
    settings: Settings,
    bench: Bench,
    places: Vec<Place>,
    world: World,
    random: Random,
    history: History,
    tally: Tally,
    loads: Option<Loads>,
    judged: Instant,
    /// When Locum is started again, by edits.
    back: Option<usize>,
    /// How often an edit left a steady family whose FailoverPolicy has others serve.
    reordered: usize,
}

/// Makes all edits and says what is wrong, if anything is.
pub(crate) async fn run(settings: Settings) -> anyhow::Result<()> {
    say(&format!("{settings:?}"));
    let mut random = Random::new(settings.seed);
    let mut bench = Bench::new()?;
    let places = bench.pods((STEADY + OTHERS) * PODS).await?;
    let world = edit::first(&mut random, STEADY, OTHERS);
    let mut run = Run {
        settings,
        bench,
        places,
        world,
        random,
        history: History::default(),
        tally: Tally::default(),
        loads: None,
        judged: Instant::now(),
        back: None,
        reordered: 0,
    };
    let done = match run.start().await {
        Ok(()) => run.edits().await,
        Err(error) => Err(error),
    };
    let verdict = match done {
        Ok(()) => run.verdict().await,
        Err(error) => Err(error),
    };
    say(&run.tally.text());
    let verdict = verdict.map_err(|error| {
        let [delta, sotw] = GATEWAYS.map(|name| run.bench.log_end(&format!("{name}.log")));
        let locum = run.bench.log_end("locum.log");
        error.context(format!(
            "seed {}\ndelta:\n{delta}\nsotw:\n{sotw}\nlocum:\n{locum}",
            settings.seed
        ))
    });
    if settings.keep {
        say(&run.bench.keep());
    }
    verdict
}

impl Run {
    async fn start(&mut self) -> anyhow::Result<()> {
        self.write(0, "the beginning")?;
        self.bench.start_locum()?;
        self.bench.locum_ready().await?;
        self.bench.start_envoys(self.settings.trace).await?;
        self.quiet(QUIET_LIMIT, false).await?;
        // Bursts, and a quiet moment of a minute at most after each.
        let settings = self.settings;
        let seconds = settings.edits / usize::try_from(settings.edits_per_second)?;
        let time = Duration::from_secs(u64::try_from(seconds * 10 + 600)?);
        let rate = settings.requests_per_second;
        self.loads = Some(Loads::start(&self.bench, STEADY, rate, time)?);
        Ok(())
    }

    async fn edits(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        let kills = self
            .random
            .distinct(self.settings.kills, self.settings.edits);
        let mut edit = 0;
        while edit < self.settings.edits {
            let burst = 1 + self.random.below(BURST);
            let last = self.settings.edits.min(edit + burst);
            let pause = Duration::from_secs(1) / self.settings.edits_per_second;
            let mut next = Instant::now();
            while edit < last {
                edit += 1;
                self.edit(edit)?;
                // In the midst of an edit: before, while or after Locum reads it and tells it.
                let moment =
                    pause.mul_f64(f64::from(u32::try_from(self.random.below(100))?) / 100.0);
                if kills.contains(&(edit - 1)) {
                    tokio::time::sleep(moment).await;
                    self.kill(edit).await?;
                }
                self.come_back(edit)?;
                next += pause;
                tokio::time::sleep_until(next.into()).await;
                self.judge(false);
            }
            self.come_back(usize::MAX)?;
            let quiet = self.quiet(QUIET_LIMIT, false).await?;
            self.at_rest().await?;
            say(&format!(
                "{:7.1?}: edit {edit}, quiet after {quiet:.1?}, {} wrong, {} NACKs, {:?} requests",
                began.elapsed(),
                self.tally.wrong(),
                self.tally.nacks(),
                self.tally.requests()
            ));
        }
        Ok(())
    }

    fn edit(&mut self, edit: usize) -> anyhow::Result<()> {
        let (world, words) = edit::edited(&mut self.random, &self.world);
        self.world = world;
        self.write(edit, &words)
    }

    fn write(&mut self, edit: usize, words: &str) -> anyhow::Result<()> {
        self.history.edit(edit, &self.world.families, words);
        let steady = self.world.families.iter().filter(|family| family.is_steady);
        self.reordered += steady.filter(|family| family.is_reordered()).count();
        self.bench.write(files(&self.world, &self.places))
    }

    async fn kill(&mut self, edit: usize) -> anyhow::Result<()> {
        if !self.bench.has_locum() {
            self.come_back(usize::MAX)?;
        }
        self.bench.locum_ready().await?;
        self.read_metrics().await?;
        self.bench.kill_locum();
        self.tally.locum_ended();
        self.history.happened("Locum is killed");
        self.back = Some(edit + self.random.below(AWAY));
        Ok(())
    }

    /// Starts Locum again if it is time.
    fn come_back(&mut self, edit: usize) -> anyhow::Result<()> {
        if self.back.take_if(|due| *due <= edit).is_some() {
            self.bench.start_locum()?;
            self.history.happened("Locum is started");
        }
        Ok(())
    }

    /// Waits until both proxies have what the folder says, at the end also nothing else, and says
    /// how long that took.
    async fn quiet(&mut self, limit: Duration, is_end: bool) -> anyhow::Result<Duration> {
        let began = Instant::now();
        self.bench.locum_ready().await?;
        for (gateway, name) in GATEWAYS.iter().enumerate() {
            let due = self.bench.due(name).await?;
            loop {
                self.bench.envoys_run()?;
                self.judge(false);
                let is_late = began.elapsed() > limit;
                let told = self.bench.told(name).await?;
                let mut rest = self.bench.differences(gateway).await?;
                if !is_end {
                    rest.retain(|difference| !difference.contains("does not tell it"));
                }
                if told == due && rest.is_empty() {
                    break;
                }
                if is_late && told != due {
                    bail!("after {limit:?} Locum does not tell {name} what the manifests say");
                }
                if is_late {
                    bail!("after {limit:?} {name} has not what it is told: {rest:#?}");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        self.history.quiet();
        self.read_metrics().await?;
        self.rejections().await?;
        Ok(began.elapsed())
    }

    /// Lets some requests go by while one answer alone is right for each.
    async fn at_rest(&mut self) -> anyhow::Result<()> {
        let before = self.tally.requests();
        let deadline = Instant::now() + QUIET_LIMIT;
        loop {
            self.judge(true);
            let now = self.tally.requests();
            let is_done = |gateway: usize| now[gateway] >= before[gateway] + AT_REST;
            if is_done(0) && is_done(1) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the load stands still");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Judges what is done, if it is wanted or time.
    fn judge(&mut self, is_wanted: bool) {
        let Some(loads) = &self.loads else { return };
        if !is_wanted && self.judged.elapsed() < JUDGE {
            return;
        }
        self.judged = Instant::now();
        self.tally.count(&mut self.history, loads.done());
        for gateway in 0..GATEWAYS.len() {
            self.tally.count_further(gateway, &loads.further(gateway));
        }
    }

    async fn read_metrics(&mut self) -> anyhow::Result<()> {
        let before = self.tally.nacks();
        let metrics = self.bench.ask_locum("/metrics").await?;
        self.tally.read(&metrics);
        if self.tally.nacks() > before {
            let clients = self.bench.ask_locum("/debug/clients").await?;
            say(&format!("an Envoy refused something: {clients}"));
        }
        Ok(())
    }

    /// What the Envoys themselves say that they refused: they forget nothing with a Locum.
    async fn rejections(&self) -> anyhow::Result<()> {
        for (gateway, name) in GATEWAYS.iter().enumerate() {
            let stats = "/stats?usedonly&filter=update_rejected";
            let rejected = self.bench.ask_envoy(gateway, stats).await?;
            let rejected = rejected.trim();
            ensure!(rejected.is_empty(), "{name} refused something: {rejected}");
        }
        Ok(())
    }

    async fn verdict(&mut self) -> anyhow::Result<()> {
        let quiet = self.quiet(END_LIMIT, true).await?;
        say(&format!("nothing is left over after {quiet:.1?}"));
        let reordered = self.reordered;
        say(&format!(
            "{reordered} times a FailoverPolicy had others serve, after an edit"
        ));
        if let Some(loads) = self.loads.take() {
            let done = loads.stop().await;
            self.tally.count(&mut self.history, done);
        }
        let (wrong, nacks) = (self.tally.wrong(), self.tally.nacks());
        let requests = self.tally.requests();
        ensure!(requests.iter().all(|count| *count > 0), "nothing was asked");
        ensure!(wrong == 0, "{wrong} wrong answers");
        ensure!(reordered > 0, "no FailoverPolicy made a difference");
        ensure!(nacks == 0, "{nacks} NACKs");
        for (tolerated, count) in self.tally.early().into_iter().zip(requests) {
            ensure!(
                tolerated * 100 < count,
                "{tolerated} of {count} answers were only just right"
            );
        }
        let waits = self.tally.broken_waits();
        ensure!(
            waits == 0,
            "{waits} waits of make before break ended by their bound"
        );
        Ok(())
    }
}
