//! Host names: how those of listeners and routes meet, and which listener a host belongs to.
//!
//! A name is exact, or `*.` and a suffix that stands for any number of labels (Gateway API:
//! `*.example.com` takes `a.b.example.com` and not `example.com`), or `*` for every host.

/// Every host.
pub(super) const ANY: &str = "*";

/// The hosts that both names take, as one name: the narrower of the two, or nothing.
pub(super) fn intersection<'a>(one: &'a str, other: &'a str) -> Option<&'a str> {
    if covers(one, other) {
        Some(other)
    } else if covers(other, one) {
        Some(one)
    } else {
        None
    }
}

/// Whether every host that `narrow` takes is taken by `wide`.
pub(super) fn covers(wide: &str, narrow: &str) -> bool {
    if wide == ANY || wide == narrow {
        return true;
    }
    match wide.strip_prefix('*') {
        // The dot stays in the suffix, so that the apex is not taken.
        Some(suffix) => narrow.len() > suffix.len() && narrow.ends_with(suffix),
        None => false,
    }
}

/// How narrow a name is: exact names before suffixes, longer suffixes before shorter, every host
/// last.
pub(super) fn narrowness(name: &str) -> (bool, usize) {
    if name == ANY {
        (false, 0)
    } else {
        (!name.starts_with('*'), name.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_takes_any_number_of_labels_but_not_the_apex() {
        assert_eq!(
            intersection("*.example.com", "a.b.example.com"),
            Some("a.b.example.com")
        );
        assert_eq!(intersection("*.example.com", "example.com"), None);
        assert_eq!(intersection("*.example.com", "badexample.com"), None);
        assert_eq!(
            intersection("*.example.com", "*.a.example.com"),
            Some("*.a.example.com")
        );
        assert_eq!(intersection("a.example.com", "*"), Some("a.example.com"));
        assert_eq!(intersection("a.example.com", "b.example.com"), None);
    }

    #[test]
    fn exact_names_are_narrower_than_suffixes() {
        assert!(narrowness("a.io") > narrowness("*.very.long.example.com"));
        assert!(narrowness("*.a.example.com") > narrowness("*.example.com"));
        assert!(narrowness("*.com") > narrowness(ANY));
    }
}
