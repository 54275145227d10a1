use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::slice::from_ref;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::config::route::v3::route_action::RequestMirrorPolicy;

use super::*;

fn cluster(name: &str, content: &str) -> Arc<Resource> {
    Arc::new(Resource::of(&Cluster {
        name: name.into(),
        alt_stat_name: content.into(),
        ..Default::default()
    }))
}

fn version(set: &[Arc<Resource>]) -> Version {
    let mut set: Vec<_> = set.iter().map(|one| (&*one.name, &one.version)).collect();
    set.sort();
    Version::of_set(set.into_iter())
}

fn tell(told: &Told, group: &str, set: &[Arc<Resource>]) -> Version {
    let version = version(set);
    told.note(group, Kind::Cluster, &version, set);
    version
}

fn names(told: &Told, group: &str, version: &Version) -> Option<Vec<String>> {
    let set = told.recall(group, Kind::Cluster, &version.0)?;
    let words = set
        .iter()
        .map(|one| format!("{} {}", one.name, one.version.0));
    Some(words.collect())
}

fn words(set: &[Arc<Resource>]) -> Vec<String> {
    let words = set
        .iter()
        .map(|one| format!("{} {}", one.name, one.version.0));
    words.collect()
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("told")
    }

    fn open(&self) -> Told {
        Told::kept_in(&self.file()).unwrap()
    }
}

#[test]
fn another_server_finds_every_set_as_it_was_told() {
    let place = Place::new();
    let (a, b, c) = (cluster("a", "1"), cluster("b", "1"), cluster("c", "1"));
    let other = cluster("b", "2");
    let first = [a.clone(), b.clone()];
    let second = [a.clone(), other.clone(), c.clone()];
    let third = [other.clone()];
    let told = place.open();
    let first_version = tell(&told, "shop/web", &first);
    // In whatever order they are sent.
    let second_version = tell(&told, "shop/web", &[c.clone(), other.clone(), a.clone()]);
    let third_version = tell(&told, "shop/web", &third);
    let elsewhere = tell(&told, "shop/api", from_ref(&c));
    let nothing = tell(&told, "shop/web", &[]);
    for told in [told, place.open(), place.open()] {
        assert_eq!(
            names(&told, "shop/web", &first_version),
            Some(words(&first))
        );
        assert_eq!(
            names(&told, "shop/web", &second_version),
            Some(words(&second))
        );
        assert_eq!(
            names(&told, "shop/web", &third_version),
            Some(words(&third))
        );
        assert_eq!(
            names(&told, "shop/api", &elsewhere),
            Some(words(from_ref(&c)))
        );
        assert_eq!(names(&told, "shop/web", &nothing), Some(Vec::new()));
        // Another group's is not its own.
        assert_eq!(names(&told, "shop/api", &first_version), None);
    }
}

#[test]
fn what_a_resource_refers_to_is_found_again() {
    let place = Place::new();
    let route = RouteConfiguration {
        name: "r".into(),
        request_mirror_policies: vec![RequestMirrorPolicy {
            cluster: "copy".into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let route = Arc::new(Resource::of(&route));
    let version = version(from_ref(&route));
    place
        .open()
        .note("g", Kind::Route, &version, from_ref(&route));
    let again = place.open().recall("g", Kind::Route, &version.0).unwrap();
    let copy = (Kind::Cluster, "copy".into());
    assert_eq!(again[0].references, [copy].into());
}

#[test]
fn a_record_that_was_cut_short_takes_no_other_with_it() {
    let place = Place::new();
    let told = place.open();
    let first = tell(&told, "g", &[cluster("a", "1")]);
    let whole = fs::metadata(place.file()).unwrap().len();
    let second = tell(&told, "g", &[cluster("a", "2")]);
    let bytes = fs::read(place.file()).unwrap();
    for length in usize::try_from(whole).unwrap() + 1..bytes.len() {
        fs::write(place.file(), &bytes[..length]).unwrap();
        let told = place.open();
        assert!(names(&told, "g", &first).is_some(), "{length} bytes");
        assert_eq!(names(&told, "g", &second), None, "{length} bytes");
        // What is told from now on is found.
        let third = tell(&told, "g", &[cluster("a", "3")]);
        assert!(
            names(&place.open(), "g", &third).is_some(),
            "{length} bytes"
        );
    }
}

#[test]
fn what_is_not_what_its_version_says_is_passed_over() {
    let place = Place::new();
    let told = place.open();
    let first = tell(&told, "g", &[cluster("a", "first")]);
    let bytes = fs::read(place.file()).unwrap();
    let word = bytes.windows(5).position(|word| word == b"first").unwrap();
    let mut other = bytes.clone();
    other[word] = b'F';
    fs::write(place.file(), &other).unwrap();
    assert_eq!(names(&place.open(), "g", &first), None);
    fs::write(place.file(), &bytes).unwrap();
    assert!(names(&place.open(), "g", &first).is_some());
}

#[test]
fn the_file_is_its_owners_and_does_not_grow_for_ever() {
    let place = Place::new();
    let told = place.open();
    let large = "x".repeat(64 << 10);
    for edit in 0..400 {
        tell(&told, "g", &[cluster("a", &format!("{edit}{large}"))]);
    }
    let length = || fs::metadata(place.file()).unwrap().len();
    assert!(length() >= 400 * (64 << 10), "all were told a moment ago");
    // That all are old shows when the next one is told, and the file is soon too long for the others.
    let old = Instant::now().checked_sub(KEPT_FOR * 2).unwrap();
    let mut inner = told.inner.lock().unwrap();
    let sets = inner.sets.values_mut().flat_map(|sets| &mut sets.sets);
    sets.for_each(|set| set.told = old);
    drop(inner);
    for edit in 0..=journal::MAX_RECORDS {
        tell(&told, "g", &[cluster("a", &format!("next {edit}"))]);
    }
    assert!(length() < 1 << 20, "{}", length());
    let mode = fs::metadata(place.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_was_refused_leaves_no_set_that_is_certain() {
    let place = Place::new();
    let told = place.open();
    let first = tell(&told, "g", &[cluster("a", "1")]);
    let second = tell(&told, "g", &[cluster("a", "1"), cluster("b", "1")]);
    told.forget("g", Kind::Cluster, &first.0);
    told.forget("other", Kind::Cluster, &second.0);
    for told in [told, place.open(), place.open()] {
        assert_eq!(names(&told, "g", &first), None);
        assert!(names(&told, "g", &second).is_some());
    }
    // It is certain again when it was told again.
    tell(&place.open(), "g", &[cluster("a", "1")]);
    assert!(names(&place.open(), "g", &first).is_some());
}

#[test]
fn of_too_many_groups_those_are_kept_that_were_told_something_last() {
    let told = Told::default();
    let set = [cluster("a", "1")];
    let version = version(&set);
    for group in 0..MAX_GROUPS + 10 {
        told.note(&group.to_string(), Kind::Cluster, &version, &set);
    }
    assert_eq!(told.inner.lock().unwrap().sets.len(), MAX_GROUPS);
    assert_eq!(names(&told, "0", &version), None);
    let last = (MAX_GROUPS + 9).to_string();
    assert!(names(&told, &last, &version).is_some());
}

#[test]
fn sets_that_are_old_and_many_are_let_go_of() {
    let mut sets = Sets::default();
    let old = Instant::now().checked_sub(KEPT_FOR * 2).unwrap();
    for edit in 0..KEPT_AT_LEAST + 5 {
        let resource = cluster("a", &edit.to_string());
        let set = Set::now(version(from_ref(&resource)), vec![resource]);
        sets.push(Set { told: old, ..set });
    }
    assert_eq!(sets.sets.len(), KEPT_AT_LEAST);
    let oldest = sets.sets[0].version.clone();
    assert!(sets.again(&oldest));
    let fresh = cluster("b", "1");
    sets.push(Set::now(version(from_ref(&fresh)), vec![fresh]));
    assert!(sets.sets.iter().any(|set| set.version == oldest));
    assert_eq!(sets.resources, sets.sets.len());
}

#[test]
fn a_place_that_cannot_be_written_is_said() {
    let place = Place::new();
    let error = Told::kept_in(&place.folder.path().join("no/such/folder")).unwrap_err();
    assert!(
        error.to_string().contains("no/such/folder: No such file"),
        "{error}"
    );
}

#[test]
fn a_file_that_can_be_written_no_more_costs_no_set_in_memory() {
    let place = Place::new();
    let told = place.open();
    // Nothing can be put in its place any more, and what is open is not what is there.
    fs::remove_file(place.file()).unwrap();
    fs::create_dir_all(place.file().join("in the way")).unwrap();
    let large = "x".repeat(5 << 20);
    let first = tell(&told, "g", &[cluster("a", &large)]);
    assert!(names(&told, "g", &first).is_some());
    let second = tell(&told, "g", &[cluster("a", "2")]);
    assert!(names(&told, "g", &second).is_some());
}
