//! The reader: the only way translation looks at resources, by type.
//!
//! In: a store. Out: what is asked for, in a stable order, and in the end every question that was asked, answered or
//! not. A translation whose questions a change does not touch need not be made again.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use crate::resource::{Key, Kind, Resource};
use crate::store::{self, Change, Store};

/// One question that was asked of the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Read {
    /// One resource, there or not.
    Object(Key),
    /// All resources of a kind.
    Kind(Kind),
    /// All resources of a kind that refer to another.
    Referrers(Kind, Key),
    /// Whether a time has come.
    Time,
}

/// A view of the store for the time of one translation.
#[derive(Debug)]
pub struct Reader<'store> {
    store: &'store Store,
    reads: RefCell<BTreeSet<Read>>,
}

impl<'store> Reader<'store> {
    /// A view of what the store holds now, with nothing asked yet.
    pub fn new(store: &'store Store) -> Self {
        Self {
            store,
            reads: RefCell::default(),
        }
    }

    /// One resource of kind `R`.
    pub fn get<R: Resource>(&self, namespace: &str, name: &str) -> Option<&'store Arc<R>> {
        let key = Key::new(R::KIND, namespace, name);
        let found = self.store.get(&key).and_then(R::of);
        self.note(Read::Object(key));
        found
    }

    /// All resources of kind `R`, by namespace and name.
    pub fn all<R: Resource>(&self) -> impl Iterator<Item = &'store Arc<R>> + use<'store, R> {
        self.note(Read::Kind(R::KIND));
        self.store.of_kind(R::KIND).filter_map(R::of)
    }

    /// The resources of kind `R` that refer to `target`, by namespace and name: EndpointSlices of a
    /// Service, policies of a target, HTTPRoutes of a Gateway.
    pub fn referrers<R: Resource>(
        &self,
        target: &Key,
    ) -> impl Iterator<Item = &'store Arc<R>> + use<'store, R> {
        self.note(Read::Referrers(R::KIND, target.clone()));
        self.store.referrers(target).filter_map(R::of)
    }

    /// Whether a time has come, until which something is to last.
    pub fn has_passed(&self, time: Timestamp) -> bool {
        self.note(Read::Time);
        self.store.has_passed(time)
    }

    /// Every question that was asked.
    pub fn into_reads(self) -> BTreeSet<Read> {
        self.reads.into_inner()
    }

    fn note(&self, read: Read) {
        self.reads.borrow_mut().insert(read);
    }
}

/// Whether `change`, which `store` has not taken in yet, may alter the answer to one of `reads`.
pub fn touches(reads: &BTreeSet<Read>, store: &Store, change: &Change) -> bool {
    let (key, new) = match change {
        Change::Applied(object) => (object.key(), Some(object)),
        Change::Deleted(key) => (key.clone(), None),
        Change::Synced => return true,
        Change::Passed(_) => return reads.contains(&Read::Time),
    };
    let kind = key.kind;
    let named = [store.get(&key), new].into_iter().flatten();
    let mut named = named.flat_map(store::references_of);
    reads.contains(&Read::Kind(kind))
        || named.any(|target| reads.contains(&Read::Referrers(kind, target)))
        || reads.contains(&Read::Object(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{EndpointSlice, Object, Service, parse};

    fn object(text: &str) -> Object {
        let value = serde_saphyr::from_str(text).unwrap();
        parse::parse(value, "default").object.unwrap()
    }

    fn service(name: &str) -> Object {
        object(&format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: 80}}]}}"
        ))
    }

    fn slice(service: &str) -> Object {
        object(&format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
             metadata: {{name: slice, labels: {{kubernetes.io/service-name: {service}}}}}\n\
             addressType: IPv4\nendpoints: []\nports: []"
        ))
    }

    #[test]
    fn what_was_looked_for_and_not_found_is_touched_when_it_comes() {
        let store = Store::default();
        let reader = Reader::new(&store);
        assert!(reader.get::<Service>("default", "a").is_none());
        let reads = reader.into_reads();
        assert!(touches(&reads, &store, &Change::Applied(service("a"))));
        assert!(!touches(&reads, &store, &Change::Applied(service("b"))));
    }

    #[test]
    fn a_slice_that_leaves_a_service_touches_those_who_read_its_slices() {
        let mut store = Store::default();
        store.apply(Change::Applied(slice("a")));
        let reader = Reader::new(&store);
        assert_eq!(
            reader
                .referrers::<EndpointSlice>(&service("a").key())
                .count(),
            1
        );
        let reads = reader.into_reads();
        assert!(touches(&reads, &store, &Change::Applied(slice("b"))));
        assert!(touches(&reads, &store, &Change::Deleted(slice("a").key())));
        store.apply(Change::Applied(slice("b")));
        assert!(!touches(&reads, &store, &Change::Deleted(slice("b").key())));
    }

    #[test]
    fn a_time_that_comes_touches_those_who_asked_for_one() {
        let mut store = Store::default();
        let time = Timestamp::UNIX_EPOCH;
        let reader = Reader::new(&store);
        assert!(!reader.has_passed(time));
        assert!(touches(&reader.into_reads(), &store, &Change::Passed(time)));
        let nothing = Reader::new(&store).into_reads();
        assert!(!touches(&nothing, &store, &Change::Passed(time)));
        store.apply(Change::Passed(time));
        assert!(Reader::new(&store).has_passed(time));
    }

    #[test]
    fn every_resource_of_a_kind_touches_those_who_read_the_kind() {
        let store = Store::default();
        let reader = Reader::new(&store);
        assert_eq!(reader.all::<Service>().count(), 0);
        let reads = reader.into_reads();
        assert!(touches(&reads, &store, &Change::Applied(service("b"))));
        assert!(!touches(&reads, &store, &Change::Applied(slice("b"))));
    }
}
