//! Text of any kind breaks nothing.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

/// Text that is nearly a manifest.
fn nearly_a_manifest() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("---\n".to_owned()),
        Just(backend("a", 1)),
        Just(route("r")),
        Just("  - &a {x: *a}\n".to_owned()),
        Just("<<: *x\n".to_owned()),
        "[-a-z:\\[\\]{}&*!|>'\"%@ \t#?,]{0,20}\n",
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn no_text_is_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let text = String::from_utf8_lossy(&bytes);
        let mut file = FileState::new(Arc::default());
        file.take(&text, "default");
    }

    #[test]
    fn no_broken_manifest_is_too_strange(texts in prop::collection::vec(nearly_a_manifest(), 1..4)) {
        let mut file = FileState::new(Arc::default());
        for text in texts {
            file.take(&text, "default");
            let lines = text.lines().count().max(1);
            for finding in &file.findings {
                let line = finding.location.as_ref().unwrap().line;
                prop_assert!((1..=lines + 1).contains(&line), "{finding:?}");
            }
        }
    }
}

#[test]
fn anchors_cannot_blow_a_document_up() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let before = format!("*a{},", i - 1).repeat(10);
        writeln!(text, "a{i}: &a{i} [{before}]").unwrap();
    }
    let mut fixture = Fixture::new(&[("bomb.yaml", text), ("good.yaml", backend("a", 1))]);
    let update = fixture.load();
    assert_eq!(words(&update), ["+a:1", "synced"]);
    assert_eq!(update.findings[0].reason, "TooLarge");
}

#[test]
fn a_symbolic_link_to_nothing_keeps_what_it_held_and_is_reported() {
    let mut fixture = Fixture::new(&[("target.txt", backend("a", 1))]);
    let link = fixture.directory.path().join("link.yaml");
    std::os::unix::fs::symlink("target.txt", link).unwrap();
    assert_eq!(words(&fixture.load()), ["+a:1", "synced"]);
    fixture.remove("target.txt");
    let update = fixture.load();
    assert!(update.changes.is_empty(), "{:?}", update.changes);
    assert_eq!(errors(&update), ["link.yaml:1  Unreadable"]);
    fixture.remove("link.yaml");
    assert_eq!(words(&fixture.load()), ["-a"]);
}
