//! How text becomes documents.

use serde_json::json;

use super::*;

fn value(text: &str) -> Value {
    let mut documents = parse(text);
    assert_eq!(documents.len(), 1, "{text}");
    documents.remove(0).expect("the text is sound").value
}

fn error(text: &str) -> SyntaxError {
    parse(text).pop().unwrap().expect_err("the text is broken")
}

#[test]
fn text_is_cut_at_separators_and_comments_are_no_documents() {
    let text = "# top\n---\na: 1\n--- # next\nb: 2\n---\n# only a comment\n---\r\nc: |\n  ---\n  x\n----\n";
    let found: Vec<(usize, &str)> = parts(text)
        .iter()
        .map(|part| (part.line, part.text))
        .collect();
    assert_eq!(
        found,
        [
            (2, "\na: 1\n"),
            (4, " # next\nb: 2\n"),
            (8, "\r\nc: |\n  ---\n  x\n----\n"),
        ]
    );
    assert_eq!(parts(""), []);
    assert_eq!(parts("%YAML 1.2\n---\na: 1\n...\n").len(), 1);
}

#[test]
fn values_know_their_lines() {
    let documents = parse("a:\n  - b: 1\n    c: 2\n  - d\n");
    let lines = &documents[0].as_ref().unwrap().lines;
    assert_eq!(lines.locate("a"), 0);
    assert_eq!(lines.locate("a[0].b"), 1);
    assert_eq!(lines.locate("a[0].c"), 2);
    assert_eq!(lines.locate("a[1]"), 3);
}

#[test]
fn nothing_stands_below_the_last_line() {
    for text in ["-\na", "-\na\n", "-\r\na\r\n"] {
        assert_eq!(error(text).line, 1, "{text:?}");
    }
    let documents = parse("a:\n  -");
    assert_eq!(documents[0].as_ref().unwrap().lines.locate("a[0]"), 1);
}

#[test]
fn quoted_and_tagged_scalars_are_text() {
    assert_eq!(
        value("a: '80'\nb: \"true\"\nc: !!str 1\nd: |\n  x\n"),
        json!({
            "a": "80", "b": "true", "c": "1", "d": "x\n",
        })
    );
    assert_eq!(value("a: !!int '80'\n"), json!({"a": 80}));
}

#[test]
fn anchors_and_merges_are_written_out() {
    let text = "base: &base {a: 1, b: 2}\nother:\n  <<: *base\n  b: 3\nlist: [*base]\n";
    assert_eq!(
        value(text),
        json!({
            "base": {"a": 1, "b": 2}, "other": {"a": 1, "b": 3}, "list": [{"a": 1, "b": 2}],
        })
    );
}

#[test]
fn json_is_read_with_its_tabs_and_escapes() {
    let text = "{\n\t\"a\": \"\\ud83d\\ude00\",\n\t\"b\": [1, 2.5, null, true]\n}\n";
    assert_eq!(
        value(text),
        json!({"a": "\u{1f600}", "b": [1, 2.5, null, true]})
    );
}

#[test]
fn key_that_stands_twice_is_an_error_at_its_line() {
    let error = error("a:\n  b: 1\n  c: 2\n  b: 3\n");
    assert_eq!(
        (error.line, error.field.as_str(), error.reason),
        (3, "a.b", "DuplicateKey")
    );
}

#[test]
fn a_second_object_without_a_line_between_is_told_the_line() {
    let error = error("kind: A\nkind: B\n");
    assert!(error.message.contains("`---`"), "{}", error.message);
}

#[test]
fn depth_is_bounded() {
    let error = error(&format!("{}x\n", "- ".repeat(DEPTH_LIMIT + 1)));
    assert_eq!(error.reason, "TooLarge");
}

#[test]
fn sizes_of_anchors_are_bounded() {
    let long = "x".repeat(1 << 20);
    let aliases = "*a, ".repeat(100);
    let error = error(&format!("a: &a {long}\nb: [{aliases}]\n"));
    assert_eq!(error.reason, "TooLarge");
}
