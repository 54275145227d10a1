//! Which changes are seen, and how soon.

use std::os::unix::fs::symlink;
use std::time::Duration;

use tokio::sync::mpsc;

use super::*;

/// The longest that a test waits for an update.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running watch of a fixture's directory.
struct Watching {
    updates: mpsc::Receiver<Update>,
}

impl Watching {
    fn start(files: Files) -> Self {
        let (sender, updates) = mpsc::channel(16);
        tokio::spawn(files.watch(sender));
        Self { updates }
    }

    async fn next(&mut self) -> Update {
        tokio::time::timeout(PATIENCE, self.updates.recv())
            .await
            .expect("an update comes")
            .expect("watching goes on")
    }

    /// Waits until what was said adds up to `wanted` as the last words.
    async fn until(&mut self, wanted: &str) {
        while words(&self.next().await).last().map(String::as_str) != Some(wanted) {}
    }
}

fn watched(fixture: Fixture) -> (TempDir, Watching) {
    (fixture.directory, Watching::start(fixture.files))
}

#[tokio::test]
async fn edits_are_seen_without_waiting_for_the_next_look() {
    let (directory, mut watching) = watched(Fixture::new(&[("a.yaml", backend("a", 1))]));
    assert_eq!(words(&watching.next().await), ["+a:1", "synced"]);
    // Looks alone would take 50 s for these.
    let edits = async {
        for port in 2..12 {
            fs::write(directory.path().join("a.yaml"), backend("a", port)).unwrap();
            watching.until(&format!("+a:{port}")).await;
        }
    };
    tokio::time::timeout(PATIENCE, edits)
        .await
        .expect("the system tells of each edit");
}

#[tokio::test]
async fn file_put_in_anothers_place_is_seen() {
    let (directory, mut watching) = watched(Fixture::new(&[("a.yaml", backend("a", 1))]));
    watching.until("synced").await;
    let path = |name: &str| directory.path().join(name);
    fs::write(path(".a.yaml.swp"), backend("a", 2)).unwrap();
    fs::rename(path(".a.yaml.swp"), path("a.yaml")).unwrap();
    watching.until("+a:2").await;
    // As editors do that keep a backup: away, and then anew.
    fs::rename(path("a.yaml"), path("a.yaml~")).unwrap();
    fs::write(path("a.yaml"), backend("a", 3)).unwrap();
    let update = watching.next().await;
    assert_eq!(words(&update), ["+a:3"]);
}

#[tokio::test]
async fn named_file_put_in_anothers_place_is_seen() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a.yaml");
    fs::write(&path, backend("a", 1)).unwrap();
    let mut watching = Watching::start(Files::new(vec![path.clone()], "default".into()));
    watching.until("synced").await;
    fs::write(directory.path().join("new"), backend("a", 2)).unwrap();
    fs::rename(directory.path().join("new"), &path).unwrap();
    watching.until("+a:2").await;
}

#[tokio::test]
async fn volume_of_kubernetes_is_followed() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    for (version, port) in [("..v1", 1), ("..v2", 2)] {
        fs::create_dir(path(version)).unwrap();
        fs::write(path(version).join("a.yaml"), backend("a", port)).unwrap();
    }
    symlink("..v1", path("..data")).unwrap();
    symlink("..data/a.yaml", path("a.yaml")).unwrap();
    let files = Files::new(vec![directory.path().to_owned()], "default".into());
    let mut watching = Watching::start(files);
    assert_eq!(words(&watching.next().await), ["+a:1", "synced"]);
    symlink("..v2", path("..data_tmp")).unwrap();
    fs::rename(path("..data_tmp"), path("..data")).unwrap();
    watching.until("+a:2").await;
}

#[tokio::test]
async fn burst_is_one_update() {
    let (directory, mut watching) = watched(Fixture::new(&[]));
    watching.until("synced").await;
    for i in 0..20 {
        fs::write(
            directory.path().join(format!("{i:02}.yaml")),
            backend(&format!("b{i}"), 1),
        )
        .unwrap();
    }
    let (mut seen, mut updates) = (0, 0);
    while seen < 20 {
        seen += watching.next().await.changes.len();
        updates += 1;
    }
    // A machine under load may tear a burst in two.
    assert!(updates <= 3, "{updates} updates");
}

#[tokio::test]
async fn file_that_is_emptied_and_written_anew_is_never_gone() {
    let (directory, mut watching) = watched(Fixture::new(&[("a.yaml", backend("a", 1))]));
    watching.until("synced").await;
    let path = directory.path().join("a.yaml");
    fs::write(&path, "").unwrap();
    let emptied = watching.next().await;
    assert_eq!(words(&emptied), [""; 0]);
    assert_eq!(emptied.findings[0].reason, "EmptyFile");
    fs::write(&path, backend("a", 2)).unwrap();
    let written = watching.next().await;
    assert_eq!(words(&written), ["+a:2"]);
    assert_eq!(written.findings.len(), 0);
    fs::remove_file(&path).unwrap();
    watching.until("-a").await;
}

#[tokio::test]
async fn directory_put_in_anothers_place_is_followed() {
    let parent = TempDir::new().unwrap();
    let path = |name: &str| parent.path().join(name);
    for (version, port) in [("v1", 1), ("v2", 2)] {
        fs::create_dir(path(version)).unwrap();
        fs::write(path(version).join("a.yaml"), backend("a", port)).unwrap();
    }
    symlink("v1", path("conf")).unwrap();
    let mut watching = Watching::start(Files::new(vec![path("conf")], "default".into()));
    watching.until("synced").await;
    symlink("v2", path("conf.new")).unwrap();
    fs::rename(path("conf.new"), path("conf")).unwrap();
    watching.until("+a:2").await;
    fs::write(path("v2").join("a.yaml"), backend("a", 3)).unwrap();
    watching.until("+a:3").await;
}

#[tokio::test]
async fn finding_that_comes_or_goes_is_news() {
    let (directory, mut watching) = watched(Fixture::new(&[("a.yaml", backend("a", 1))]));
    watching.until("synced").await;
    fs::write(directory.path().join("b.yaml"), "kind: [").unwrap();
    let update = watching.next().await;
    assert_eq!((words(&update).len(), errors(&update).len()), (0, 1));
    fs::remove_file(directory.path().join("b.yaml")).unwrap();
    assert_eq!(errors(&watching.next().await), [""; 0]);
}
