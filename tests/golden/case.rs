//! A case: a folder named as a sentence, with resources in it and what must come of them.
//!
//! ```text
//! input.yaml     the resources. `gateway.yaml` beside the cases goes before them, unless they have a Gateway.
//!                A first line `# shows: cluster, route` limits what xds.yaml holds to what the case is about.
//!                A line `# with a rate limit service` names one to Locum.
//! xds.yaml       what each Gateway's proxies are told
//! status.yaml    what the resources' owners are told
//! problems.txt   what `check` says, where there is something to say
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use locum::pipeline::State;
use locum::source::files::Files;
use locum::status::render;
use locum::translate::{Options, RateLimitService};
use locum::xds::json;
use locum::xds::kind::Kind;
use serde_json::Value;

const INPUT: &str = "input.yaml";
const SHOWS: &str = "# shows:";
const COUNTED: &str = "# with a rate limit service";

/// Statuses have no time of their own; a golden file must not have today's.
const TIME: &str = "2026-01-01T00:00:00Z";

/// One folder.
pub(crate) struct Case {
    pub(crate) name: String,
    folder: PathBuf,
}

/// Every case, by name.
pub(crate) fn all() -> Vec<Case> {
    let mut cases: Vec<Case> = std::fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| Case {
            name: entry.file_name().into_string().unwrap(),
            folder: entry.path(),
        })
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

impl Case {
    /// What the resources translate to.
    pub(crate) fn state(&self, options: &Options) -> State {
        self.state_of(self.folder.join(INPUT), options)
    }

    /// What other resources in the place of the case's would translate to.
    pub(crate) fn state_of(&self, input: PathBuf, options: &Options) -> State {
        let mut paths = vec![input];
        let input = self.input();
        let mut options = options.clone();
        if input.lines().any(|line| line == COUNTED) {
            options.rate_limit_service = Some(RateLimitService {
                host: "127.0.0.1".into(),
                port: 8081,
                timeout: crate::models::SECOND / 10,
                fail_closed: false,
            });
        }
        if !input.lines().any(|line| line == "kind: Gateway") {
            paths.insert(0, root().join("gateway.yaml"));
        }
        let update = Files::new(paths, "default".into()).load().unwrap();
        State::of(update, &options)
    }

    /// The files that must be beside the input, by name.
    pub(crate) fn expected(&self, options: &Options) -> BTreeMap<String, String> {
        let state = self.state(options);
        let statuses = render::statuses(&state.translation.statuses, TIME);
        let files = [
            ("xds.yaml", yaml(&self.shown(&state))),
            ("status.yaml", yaml(&Value::Array(statuses))),
            ("problems.txt", problems(&state)),
        ];
        files
            .into_iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(name, text)| (name.to_owned(), text))
            .collect()
    }

    /// The files that are beside the input, by name.
    pub(crate) fn found(&self) -> BTreeMap<String, String> {
        std::fs::read_dir(&self.folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_name() != INPUT)
            .map(|entry| {
                let text = std::fs::read_to_string(entry.path()).unwrap();
                (entry.file_name().into_string().unwrap(), text)
            })
            .collect()
    }

    /// Makes the files beside the input these.
    pub(crate) fn rewrite(&self, files: &BTreeMap<String, String>) {
        for stale in self
            .found()
            .keys()
            .filter(|name| !files.contains_key(*name))
        {
            std::fs::remove_file(self.folder.join(stale)).unwrap();
        }
        for (name, text) in files {
            std::fs::write(self.folder.join(name), text).unwrap();
        }
    }

    /// The resources.
    pub(crate) fn input(&self) -> String {
        std::fs::read_to_string(self.folder.join(INPUT))
            .unwrap_or_else(|error| panic!("{}: {INPUT}: {error}", self.name))
    }

    /// By Gateway, the resources of the kinds that the case is about.
    fn shown(&self, state: &State) -> Value {
        let kinds = self.kinds();
        let gateways = state.snapshots.iter().map(|(gateway, snapshot)| {
            let resources = kinds
                .iter()
                .flat_map(|kind| snapshot.of_kind(*kind))
                .map(|resource| json::resource(resource))
                .collect();
            (gateway.to_string(), Value::Array(resources))
        });
        Value::Object(gateways.collect())
    }

    fn kinds(&self) -> BTreeSet<Kind> {
        let input = self.input();
        let Some(words) = input
            .lines()
            .next()
            .and_then(|line| line.strip_prefix(SHOWS))
        else {
            return Kind::ALL.into();
        };
        words
            .split(',')
            .map(|word| {
                Kind::ALL
                    .into_iter()
                    .find(|kind| kind.name() == word.trim())
                    .unwrap_or_else(|| panic!("{}: no kind {word:?} can be shown", self.name))
            })
            .collect()
    }
}

fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap()
}

/// A line for each problem: its line in the input, as `check` has it.
fn problems(state: &State) -> String {
    let mut text = String::new();
    for problem in state.located_problems() {
        if let Some(location) = &problem.location {
            let file = location.file.file_name().unwrap_or_default();
            write!(text, "{}:{}: ", file.display(), location.line).unwrap();
        }
        write!(text, "{}: ", problem.severity).unwrap();
        if let Some(object) = &problem.object {
            write!(text, "{object}: ").unwrap();
        }
        if !problem.field.is_empty() {
            write!(text, "{}: ", problem.field).unwrap();
        }
        writeln!(text, "{} ({})", problem.message, problem.reason).unwrap();
    }
    text
}
