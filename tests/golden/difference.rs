//! Where two texts differ, for a person to read.

/// Lines that are shown around a difference.
const CONTEXT: usize = 3;

/// The lines between the common beginning and the common end: `-` expected, `+` found.
pub(crate) fn difference(expected: &str, found: &str) -> String {
    let expected: Vec<&str> = expected.lines().collect();
    let found: Vec<&str> = found.lines().collect();
    let shorter = expected.len().min(found.len());
    let same = |pair: &(&&str, &&str)| pair.0 == pair.1;
    let begin = expected.iter().zip(&found).take_while(same).count();
    let end = expected
        .iter()
        .rev()
        .zip(found.iter().rev())
        .take(shorter - begin)
        .take_while(same)
        .count();
    let mut lines = vec![format!("  line {}", begin + 1)];
    let marked = |mark: &'static str, part: &[&str]| -> Vec<String> {
        part.iter().map(|line| format!("{mark} {line}")).collect()
    };
    let from = begin.saturating_sub(CONTEXT);
    let to = (expected.len() - end + CONTEXT).min(expected.len());
    lines.extend(marked(" ", &expected[from..begin]));
    lines.extend(marked("-", &expected[begin..expected.len() - end]));
    lines.extend(marked("+", &found[begin..found.len() - end]));
    lines.extend(marked(" ", &expected[expected.len() - end..to]));
    lines.join("\n")
}

#[test]
fn only_what_differs_is_shown_with_what_is_around_it() {
    let shown = difference("a\nb\nc\nd\ne\nf\n", "a\nb\nc\nd\nE\nf\n");
    assert_eq!(shown, "  line 5\n  b\n  c\n  d\n- e\n+ E\n  f");
    assert_eq!(difference("a\na\n", "a\n"), "  line 2\n  a\n- a");
}
