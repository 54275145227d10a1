//! What is loaded, kept and reported.

use std::time::{Duration, SystemTime};

use super::*;
use crate::resource::Kind;

#[test]
fn first_load_says_everything_and_later_ones_only_what_changed() {
    let mut fixture = Fixture::new(&[
        ("a.yaml", backend("a", 1)),
        (
            "b.json",
            r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}"#.into(),
        ),
        (
            "c.yml",
            format!("{}---\n{}", backend("c", 3), backend("d", 4)),
        ),
    ]);
    assert_eq!(
        words(&fixture.load()),
        ["+Namespace n", "+a:1", "+c:3", "+d:4", "synced"]
    );
    assert_eq!(words(&fixture.load()), [""; 0]);
    fixture.write(
        "c.yml",
        &format!("{}---\n{}", backend("c", 3), backend("d", 5)),
    );
    assert_eq!(words(&fixture.load()), ["+d:5"]);
    fixture.write("a.yaml", &format!("# a comment\n{}", backend("a", 1)));
    assert_eq!(words(&fixture.load()), [""; 0]);
    fixture.remove("c.yml");
    assert_eq!(words(&fixture.load()), ["-c", "-d"]);
}

#[test]
fn missing_path_is_an_error_at_the_start_and_a_finding_later() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a.yaml");
    let mut files = Files::new(vec![path.clone()], "default".into());
    assert!(matches!(files.load(), Err(LoadError::Missing { .. })));
    fs::write(&path, backend("a", 1)).unwrap();
    assert_eq!(words(&files.load().unwrap()), ["+a:1", "synced"]);
    fs::remove_file(&path).unwrap();
    let update = files.load().unwrap();
    assert_eq!(words(&update), [""; 0]);
    assert_eq!(errors(&update), ["a.yaml:1  Unreadable"]);
    fs::write(&path, backend("a", 2)).unwrap();
    let update = files.load().unwrap();
    assert_eq!(words(&update), ["+a:2"]);
    assert_eq!(errors(&update), [""; 0]);
}

#[test]
fn broken_document_keeps_its_last_good_form_and_takes_no_other_with_it() {
    let text = |broken: &str, port| {
        format!(
            "{}---\n{broken}---\n{}",
            backend("a", port),
            backend("c", port)
        )
    };
    let mut fixture = Fixture::new(&[("x.yaml", text(&backend("b", 1), 1))]);
    assert_eq!(words(&fixture.load()), ["+a:1", "+b:1", "+c:1", "synced"]);
    // Its name can be read.
    fixture.write(
        "x.yaml",
        &text(&backend("b", 1).replace("port: 1", "port: -1"), 2),
    );
    let update = fixture.load();
    assert_eq!(words(&update), ["+a:2", "+c:2"]);
    assert_eq!(
        errors(&update),
        ["x.yaml:19 spec.endpoints[0].fqdn.port InvalidValue"]
    );
    // Nothing of it can be read.
    fixture.write("x.yaml", &text("kind: [\n", 3));
    let update = fixture.load();
    assert_eq!(words(&update), ["+a:3", "+c:3"]);
    assert_eq!(errors(&update).len(), 1);
    let key = Key::new(Kind::Backend, "default", "b");
    assert!(update.origins.locate(&key, "").is_some());
    // Mended, and another one taken away.
    fixture.write(
        "x.yaml",
        &format!("{}---\n{}", backend("a", 3), backend("b", 4)),
    );
    assert_eq!(words(&fixture.load()), ["+b:4", "-c"]);
}

#[test]
fn broken_document_at_the_start_is_reported_and_the_others_are_served() {
    let mut fixture = Fixture::new(&[
        ("bad.yaml", "kind: Backend\n  apiVersion: x\n".into()),
        ("good.yaml", backend("a", 1)),
        ("latin.yaml", String::new()),
    ]);
    fs::write(fixture.directory.path().join("latin.yaml"), b"name: \xe9\n").unwrap();
    let update = fixture.load();
    assert_eq!(words(&update), ["+a:1", "synced"]);
    assert_eq!(
        errors(&update),
        ["bad.yaml:2  Syntax", "latin.yaml:1  Unreadable"]
    );
}

#[test]
fn file_renamed_while_broken_keeps_what_it_held() {
    let mut fixture = Fixture::new(&[("x.yaml", backend("a", 1))]);
    fixture.load();
    fixture.remove("x.yaml");
    fixture.write("y.yaml", &backend("a", 1).replace("port: 1", "port: x"));
    let update = fixture.load();
    assert_eq!(words(&update), [""; 0]);
    assert_eq!(
        errors(&update),
        ["y.yaml:9 spec.endpoints[0].fqdn.port WrongType"]
    );
}

#[test]
fn second_definition_is_reported_and_the_first_stays() {
    let twice = format!("{}---\n{}", backend("a", 2), backend("a", 3));
    let mut fixture = Fixture::new(&[("1.yaml", backend("a", 1)), ("2.yaml", twice)]);
    let update = fixture.load();
    assert_eq!(words(&update), ["+a:1", "synced"]);
    assert_eq!(
        errors(&update),
        ["2.yaml:1  DuplicateObject", "2.yaml:11  DuplicateObject"]
    );
    let message = &update.findings[0].message;
    assert!(message.contains("1.yaml:1"), "{message}");
    fixture.remove("1.yaml");
    let update = fixture.load();
    assert_eq!(words(&update), ["+a:2"]);
    assert_eq!(errors(&update), ["2.yaml:11  DuplicateObject"]);
}

#[test]
fn ten_mistakes_in_one_directory_are_all_reported_with_their_lines() {
    let a = backend("a", 1);
    let r = route("r");
    let policy = "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: BackendTrafficPolicy\nmetadata:\n  name: \
                  p\nspec:\n  targetRefs:\n    - group: gateway.networking.k8s.io\n      kind: HTTPRoute\n      \
                  name: r\n  healthCheck:\n    passiv:\n      interval: 2s\n";
    let mut fixture = Fixture::new(&[
        ("01.yaml", a.replace("port: 1", "port: 70000")),
        ("02.yaml", backend("b", 1).replace("fqdn:", "fqdm:")),
        ("03.yaml", a.replace("  name: a\n", "  name: A\n")),
        ("04.yaml", a.replace("metadata", "  metadata")),
        ("05.yaml", policy.into()),
        ("06.yaml", r.replace("value: /", "value: x")),
        ("07.yaml", route("r7").replace("port: 80", "weight: -1")),
        ("08.yaml", r.replace("kind: HTTPRoute\n", "")),
        ("09.yaml", format!("{r}kind: HTTPRoute\n")),
        (
            "10.yaml",
            r.replace(
                "gateway.networking.k8s.io/v1",
                "gateway.networking.k8s.io/v7",
            ),
        ),
        ("11.yaml", backend("good", 1)),
    ]);
    let update = fixture.load();
    assert_eq!(words(&update), ["+good:1", "synced"]);
    assert_eq!(
        errors(&update),
        [
            "01.yaml:9 spec.endpoints[0].fqdn.port InvalidValue",
            "02.yaml:7 spec.endpoints[0].fqdm UnknownField",
            "03.yaml:4 metadata.name InvalidValue",
            "04.yaml:3  Syntax",
            "05.yaml:11 spec.healthCheck.passiv UnknownField",
            "06.yaml:14 spec.rules[0].matches[0].path.value InvalidValue",
            "07.yaml:16 spec.rules[0].backendRefs[0].port Required",
            "07.yaml:17 spec.rules[0].backendRefs[0].weight InvalidValue",
            "08.yaml:1 kind Required",
            "09.yaml:18 kind DuplicateKey",
            "10.yaml:1 apiVersion InvalidValue",
        ]
    );
}

#[test]
fn files_that_are_no_manifests_are_passed_over_with_a_note() {
    let mut fixture = Fixture::new(&[
        ("README.md", "hello".into()),
        (".hidden.yaml", "kind: [".into()),
        ("values.yaml", "replicas: 3\n".into()),
        ("empty.yaml", "# nothing\n---\n---\n".into()),
        (
            "deployment.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n".into(),
        ),
    ]);
    fs::create_dir(fixture.directory.path().join("more")).unwrap();
    let update = fixture.load();
    assert_eq!(words(&update), ["synced"]);
    let notes: Vec<_> = update
        .findings
        .iter()
        .map(|f| (f.severity, f.reason))
        .collect();
    assert_eq!(notes, [(Severity::Note, "PassedOver"); 4]);
}

#[test]
fn lists_hold_objects_of_their_own_lines() {
    let item = |name: &str| backend(name, 1).replace('\n', "\n    ");
    let text = format!(
        "apiVersion: v1\nkind: List\nitems:\n  - {}\n  - {}\n",
        item("a"),
        item("b")
    );
    let mut fixture = Fixture::new(&[("list.yaml", text.trim_end().into())]);
    let update = fixture.load();
    assert_eq!(words(&update), ["+a:1", "+b:1", "synced"]);
    let key = Key::new(Kind::Backend, "default", "a");
    assert_eq!(
        update.origins.locate(&key, "metadata.name").unwrap().line,
        7
    );
}

#[test]
fn problems_found_later_are_located_by_field() {
    let mut fixture =
        Fixture::new(&[("r.yaml", format!("{}---\n{}", backend("a", 1), route("r")))]);
    let origins = fixture.load().origins;
    let key = Key::new(Kind::HttpRoute, "default", "r");
    let line = |path: &str| origins.locate(&key, path).unwrap().line;
    assert_eq!(line("spec.parentRefs[0]"), 17);
    assert_eq!(line("spec.rules[0].backendRefs[0].port"), 27);
    assert_eq!(line("spec.rules[0].backendRefs[0].namespace"), 26);
    assert_eq!(line(""), 11);
    assert_eq!(
        origins.locate(&Key::new(Kind::HttpRoute, "default", "x"), ""),
        None
    );
}

#[test]
fn only_files_that_changed_are_read_again_and_only_their_changed_documents_parsed() {
    let twice = |name: &str, port| format!("{}---\n{}", backend(name, 1), backend("b", port));
    let mut fixture = Fixture::new(&[
        ("1.yaml", backend("x", 1)),
        ("2.yaml", twice("a", 1)),
        ("3.yaml", backend("y", 1)),
    ]);
    // A file that was just written may be written again within the grain of its times.
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    for name in ["1.yaml", "2.yaml", "3.yaml"] {
        let path = fixture.directory.path().join(name);
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    fixture.load();
    assert_eq!(fixture.files.read, 3);
    fixture.load();
    assert_eq!(fixture.files.read, 0);
    let parts = |fixture: &Fixture| -> Vec<_> {
        let files = fixture.files.files.values();
        files.flat_map(|file| file.parts().cloned()).collect()
    };
    let before = parts(&fixture);
    fixture.write("2.yaml", &twice("a", 2));
    assert_eq!(words(&fixture.load()), ["+b:2"]);
    assert_eq!(fixture.files.read, 1);
    let after = parts(&fixture);
    let kept = before.iter().zip(&after);
    let kept: Vec<bool> = kept.map(|(one, other)| Arc::ptr_eq(one, other)).collect();
    assert_eq!(kept, [true, true, false, true]);
}
