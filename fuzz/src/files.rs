//! Text as the file source reads it: a file with anything in it, and the same file with something
//! else.
//!
//! It goes the whole way that a manifest goes, through a real file: documents, objects, translation.
//! Whatever it says, nothing panics, what is wrong is said of a line that the file has, and what is
//! served is closed and equal to what a translation from scratch makes.

use std::net::{IpAddr, Ipv4Addr};

use locum::source::Location;
use locum::source::files::Files;
use locum::store::Store;
use locum::translate::{GatewayAddresses, Options, Translation, translate};
use locum::xds::snapshot::Snapshot;
use tempfile::TempDir;

/// Between the two texts of one input.
const SECOND: &[u8] = b"\n=====\n";

/// Reads the input's text, and then its second one, if it has two.
pub fn play(input: &[u8]) {
    let folder = TempDir::new().expect("there is room for a folder");
    let path = folder.path().join("manifest.yaml");
    let options = options();
    let middle = input.windows(SECOND.len()).position(|part| part == SECOND);
    let (first, second) = match middle {
        Some(middle) => (&input[..middle], Some(&input[middle + SECOND.len()..])),
        None => (input, None),
    };
    let mut files = Files::new(vec![path.clone()], "default".into());
    let mut store = Store::default();
    let mut translation = Translation::default();
    let mut read = 1;
    for (index, text) in [Some(first), second].into_iter().flatten().enumerate() {
        std::fs::write(&path, text).expect("there is room for a file");
        let update = files.load().expect("the file is there");
        // What is wrong with the text that was read last stays said while none can be read.
        if std::str::from_utf8(text).is_ok() {
            read = lines(text);
        }
        let in_file = |location: Option<Location>| {
            location.is_some_and(|location| (1..=read).contains(&location.line))
        };
        for finding in &*update.findings {
            assert!(in_file(finding.location.clone()), "{finding:?}");
        }
        for change in update.changes {
            store.apply(change);
        }
        translation = translate(&store, &options, &translation);
        for problem in &translation.problems {
            let place = update.origins.locate(&problem.object, &problem.field);
            // What stays of the first text is not in the second.
            assert!(index > 0 || in_file(place), "{problem:?}");
        }
    }
    if second.is_none() {
        return;
    }
    let scratch = translate(&store, &options, &Translation::default());
    assert_eq!(translation.problems, scratch.problems);
    assert_eq!(translation.statuses, scratch.statuses);
    let pairs = translation
        .resources
        .values()
        .zip(scratch.resources.values());
    assert_eq!(translation.resources.len(), scratch.resources.len());
    for (stepwise, scratch) in pairs {
        let [stepwise, scratch] =
            [stepwise, scratch].map(|emitted| Snapshot::new(emitted.resources(), None));
        assert_eq!(stepwise.check_closed(), Ok(()));
        assert!(
            stepwise.has_content_of(&scratch),
            "{stepwise:?} is not {scratch:?}"
        );
    }
}

fn options() -> Options {
    Options {
        controller_names: vec!["locum.dev/gatewayclass-controller".into()],
        listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
        allow_local_backends: true,
        cluster_domain: "cluster.local".into(),
        rate_limit_service: None,
        addresses: GatewayAddresses::Listeners,
    }
}

/// How many lines a text has. YAML takes a lone carriage return for the end of one.
fn lines(text: &[u8]) -> usize {
    let ends = text.iter().enumerate().filter(|(index, byte)| match byte {
        b'\n' => true,
        b'\r' => text.get(index + 1) != Some(&b'\n'),
        _ => false,
    });
    ends.count() + 1
}
