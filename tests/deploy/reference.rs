//! The reference pages.

use std::fs;
use std::path::Path;

use super::printed;

#[test]
fn the_reference_pages_are_those_of_the_types() {
    for page in locum::reference::pages() {
        let file = format!("docs/reference/{}.md", page.kind.to_ascii_lowercase());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&file);
        let text = fs::read_to_string(path).unwrap_or_default();
        assert!(
            text == printed(&["reference", &page.kind]),
            "{file} is not what the types say; make it anew:\n    cargo run -- reference {} > {file}",
            page.kind
        );
    }
}
