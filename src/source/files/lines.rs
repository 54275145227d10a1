//! Lines: on which line of its document each field stands.

/// The line of a value and of everything in it, counted from 0 at the start of the document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) line: u32,
    pub(super) inner: Inner,
}

/// What is in a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Inner {
    #[default]
    Nothing,
    /// By key, each with the line of the key.
    Fields(Vec<(Box<str>, Lines)>),
    Items(Vec<Lines>),
}

impl Lines {
    /// A value with nothing in it.
    pub(super) fn at(line: u32) -> Self {
        Self {
            line,
            inner: Inner::Nothing,
        }
    }

    /// The line of the field at `path`, such as `spec.rules[0].backendRefs`, or of the nearest
    /// thing around it.
    pub(super) fn locate(&self, path: &str) -> u32 {
        let mut here = self;
        let mut rest = path;
        while !rest.is_empty() {
            let Some((inner, left)) = here.step(rest) else {
                break;
            };
            here = inner;
            rest = left;
        }
        here.line
    }

    /// The element of a list.
    pub(super) fn item(&self, index: usize) -> Option<&Lines> {
        match &self.inner {
            Inner::Items(items) => items.get(index),
            _ => None,
        }
    }

    /// The entry of a map.
    pub(super) fn field(&self, name: &str) -> Option<&Lines> {
        match &self.inner {
            Inner::Fields(fields) => fields
                .iter()
                .find_map(|(key, lines)| (**key == *name).then_some(lines)),
            _ => None,
        }
    }

    /// One step along `path`, and what is left of it. A key may hold dots and brackets itself, so
    /// keys are compared with the path, the longest first.
    fn step<'a>(&self, path: &'a str) -> Option<(&Lines, &'a str)> {
        let path = path.strip_prefix('.').unwrap_or(path);
        if let Some((inside, rest)) = bracket(path) {
            return match inside.parse() {
                Ok(index) => self.item(index).or_else(|| self.field(inside)),
                Err(_) => self.field(inside),
            }
            .map(|lines| (lines, rest));
        }
        let Inner::Fields(fields) = &self.inner else {
            return None;
        };
        fields
            .iter()
            .filter_map(|(key, lines)| {
                let rest = path.strip_prefix(&**key)?;
                let ends_here = rest.is_empty() || rest.starts_with(['.', '[']);
                ends_here.then_some((lines, rest))
            })
            .min_by_key(|(_, rest)| rest.len())
    }
}

/// What stands in the bracket that `path` begins with, and what follows it.
fn bracket(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix('[')?.split_once(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(line: u32, inner: Vec<(&str, Lines)>) -> Lines {
        let inner = inner.into_iter().map(|(key, lines)| (key.into(), lines));
        Lines {
            line,
            inner: Inner::Fields(inner.collect()),
        }
    }

    fn sample() -> Lines {
        let rule = fields(5, vec![("backendRefs", Lines::at(6))]);
        let rules = Lines {
            line: 4,
            inner: Inner::Items(vec![Lines::at(4), rule]),
        };
        let labels = fields(
            1,
            vec![
                ("app", Lines::at(2)),
                ("app.kubernetes.io/name", Lines::at(3)),
            ],
        );
        fields(0, vec![("labels", labels), ("rules", rules)])
    }

    #[test]
    fn path_leads_to_its_line() {
        assert_eq!(sample().locate("rules[1].backendRefs"), 6);
        assert_eq!(sample().locate("labels.app.kubernetes.io/name"), 3);
        assert_eq!(sample().locate("labels[app.kubernetes.io/name]"), 3);
        assert_eq!(sample().locate(""), 0);
    }

    #[test]
    fn path_that_is_not_there_leads_to_the_nearest_line() {
        assert_eq!(sample().locate("rules[1].backendRefs[0].port"), 6);
        assert_eq!(sample().locate("rules[7].matches"), 4);
        assert_eq!(sample().locate("labels.other"), 1);
        assert_eq!(sample().locate("[[.]]"), 0);
    }
}
