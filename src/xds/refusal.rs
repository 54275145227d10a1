//! Refusals: which resource of a response that a proxy refused is the one to blame.
//!
//! A proxy refuses a response as a whole although it has applied part of it, and says why in words.
//! Where the words name resources, those are blamed; where they do not, the response is sent again
//! by halves until the guilty ones stand alone. Pure: no wire message, no stream.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::xds::resource::Resource;

/// That a proxy will not have a resource in this form.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// What is refused, in the form that is.
    pub resource: Arc<Resource>,
    /// The proxy's own words.
    pub message: String,
}

/// What the proxy's answer to one more response means.
#[derive(Debug, Default)]
pub struct Verdict {
    /// To be kept from the proxy.
    pub guilty: Vec<Arc<Resource>>,
    /// Blamed before by name alone, and cleared: they are tried again, each alone.
    pub cleared: Vec<Arc<Resource>>,
}

/// The search for the guilty resources of a refused response.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// To be sent together and apart from everything else, in this order.
    groups: VecDeque<Vec<Arc<Resource>>>,
    /// Blamed because the proxy's words hold their names, while the rest has not been accepted yet.
    blamed: Vec<Arc<Resource>>,
}

impl Search {
    /// The next resources to send on their own, if a search is under way. Those whose content has
    /// changed since are no longer suspects.
    pub fn next_group(&mut self) -> Option<Vec<Arc<Resource>>> {
        self.groups.pop_front()
    }

    /// Whether resources wait to be sent on their own.
    pub fn is_under_way(&self) -> bool {
        !self.groups.is_empty()
    }

    /// Notes that a response was accepted: with the last one the blame by name is proven.
    pub fn accepted(&mut self) {
        if self.groups.is_empty() {
            self.blamed.clear();
        }
    }

    /// Judges a refused response from the proxy's words, and sets up what to send next.
    pub fn refused(&mut self, sent: &[Arc<Resource>], message: &str) -> Verdict {
        let mut verdict = Verdict::default();
        if let [only] = sent {
            verdict.guilty.push(only.clone());
            return verdict;
        }
        let (named, rest): (Vec<_>, Vec<_>) = sent
            .iter()
            .cloned()
            .partition(|resource| names(message, &resource.name));
        if !named.is_empty() {
            self.blamed.extend(named.iter().cloned());
            self.queue(&rest);
            verdict.guilty = named;
            return verdict;
        }
        // No name this time: an earlier one may have stood in the words by chance.
        verdict.cleared = std::mem::take(&mut self.blamed);
        for resource in &verdict.cleared {
            self.groups.push_back(vec![resource.clone()]);
        }
        let (first, second) = sent.split_at(sent.len() / 2);
        self.queue(second);
        self.queue(first);
        verdict
    }

    /// Sets up to send `resources` together once more: what they were sent with may be to blame.
    pub fn again(&mut self, resources: &[Arc<Resource>]) {
        self.queue(resources);
    }

    fn queue(&mut self, group: &[Arc<Resource>]) {
        if !group.is_empty() {
            self.groups.push_front(group.to_vec());
        }
    }
}

/// Whether `message` holds `name` as a word of its own, not as part of a longer name.
pub(super) fn names(message: &str, name: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || "-_/*".contains(c);
    message.match_indices(name).any(|(start, _)| {
        let before = message[..start].chars().next_back();
        let mut after = message[start + name.len()..].chars();
        let (next, next_but_one) = (after.next(), after.next());
        let continues = |c: Option<char>| c.is_some_and(part_of_name);
        // A full stop ends a sentence unless something follows at once.
        let dotted = next == Some('.') && continues(next_but_one);
        !name.is_empty() && !continues(before) && before != Some('.') && !continues(next) && !dotted
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xds::kind::Kind;

    fn resources(names: &[&str]) -> Vec<Arc<Resource>> {
        let body = envoy_types::pb::envoy::config::cluster::v3::Cluster::default();
        names
            .iter()
            .map(|name| Arc::new(Resource::new(Kind::Cluster, name, &body)))
            .collect()
    }

    fn words(resources: &[Arc<Resource>]) -> Vec<&str> {
        resources.iter().map(|resource| &*resource.name).collect()
    }

    #[test]
    fn a_name_counts_as_a_whole_word_only() {
        assert!(names(
            "Error adding/updating cluster(s) a: bad, b.c: bad",
            "a"
        ));
        assert!(names(
            "Error adding/updating cluster(s) a: bad, b.c: bad",
            "b.c"
        ));
        assert!(names("cannot load 'web'.", "web"));
        assert!(names("cannot load web. Giving up", "web"));
        assert!(!names("cannot load web.local", "web"));
        assert!(!names("cannot load ns/web", "web"));
        assert!(!names("already", "a"));
    }

    #[test]
    fn named_resources_are_blamed_and_the_rest_is_sent_again() {
        let mut search = Search::default();
        let verdict = search.refused(&resources(&["a", "b", "c"]), "b: no good");
        assert_eq!(words(&verdict.guilty), ["b"]);
        assert_eq!(words(&search.next_group().unwrap()), ["a", "c"]);
        assert!(search.next_group().is_none());
    }

    #[test]
    fn without_a_name_the_guilty_one_is_found_by_halves() {
        let all = resources(&["a", "b", "c", "d", "e", "f", "g"]);
        let mut search = Search::default();
        let mut guilty = Vec::new();
        let mut responses = 1;
        guilty.extend(search.refused(&all, "no").guilty);
        while let Some(group) = search.next_group() {
            responses += 1;
            if words(&group).iter().any(|name| "bf".contains(name)) {
                guilty.extend(search.refused(&group, "no").guilty);
            } else {
                search.accepted();
            }
        }
        assert_eq!(words(&guilty), ["b", "f"]);
        assert!(responses <= 11, "{responses} responses");
    }

    #[test]
    fn a_name_that_stood_in_the_words_by_chance_is_tried_again() {
        let mut search = Search::default();
        let verdict = search.refused(&resources(&["http", "x", "y"]), "the http filter is bad");
        assert_eq!(words(&verdict.guilty), ["http"]);
        search.next_group();
        let verdict = search.refused(&resources(&["x", "y"]), "a filter is bad");
        assert_eq!(words(&verdict.cleared), ["http"]);
        let rest: Vec<_> = std::iter::from_fn(|| search.next_group()).collect();
        assert_eq!(words(&rest.concat()), ["x", "y", "http"]);
    }
}
