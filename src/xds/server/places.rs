//! Places for streams: so many in all, and no group of proxies takes all of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The group of streams that have not said yet whose they are.
const NOBODY: &str = "";

/// Why a stream gets no place.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    /// All are taken.
    #[error("{0} streams are open already, which is all that this server takes")]
    All(usize),
    /// The group has as many as it may have.
    #[error("{group} has {limit} streams open already; the rest is left to others")]
    Group { group: String, limit: usize },
    /// So have those of whom nothing is known.
    #[error("{0} streams are open already that have said nothing; the rest is left to others")]
    Nobody(usize),
}

/// The places, and how many each group has taken.
#[derive(Debug)]
pub(super) struct Places {
    all: usize,
    of_group: usize,
    taken: Mutex<BTreeMap<String, usize>>,
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    group: String,
}

impl Places {
    /// So many in all, and for each group.
    pub(super) fn new(all: usize, of_group: usize) -> Arc<Self> {
        Arc::new(Self {
            all,
            of_group,
            taken: Mutex::default(),
        })
    }

    /// A place for a stream of a group, or of nobody if that is not known yet.
    pub(super) fn take(self: &Arc<Self>, group: Option<&str>) -> Result<Place, Full> {
        let mut taken = self.lock();
        if taken.values().sum::<usize>() >= self.all {
            return Err(Full::All(self.all));
        }
        let group = group.unwrap_or(NOBODY);
        self.add(&mut taken, group)?;
        Ok(Place {
            places: self.clone(),
            group: group.to_owned(),
        })
    }

    fn add(&self, taken: &mut BTreeMap<String, usize>, group: &str) -> Result<(), Full> {
        let limit = self.of_group;
        match taken.get_mut(group) {
            Some(count) if *count >= limit && group == NOBODY => Err(Full::Nobody(limit)),
            Some(count) if *count >= limit => Err(Full::Group {
                group: group.to_owned(),
                limit,
            }),
            Some(count) => {
                *count += 1;
                Ok(())
            }
            None => {
                taken.insert(group.to_owned(), 1);
                Ok(())
            }
        }
    }

    fn remove(taken: &mut BTreeMap<String, usize>, group: &str) {
        let Some(count) = taken.get_mut(group) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            taken.remove(group);
        }
    }

    /// A mutex is poisoned only by a panic, a defect that is reported where it happens; the count
    /// stays whole.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Makes it one of a group.
    pub(super) fn belong_to(&mut self, group: &str) -> Result<(), Full> {
        if self.group == group {
            return Ok(());
        }
        let mut taken = self.places.lock();
        self.places.add(&mut taken, group)?;
        Places::remove(&mut taken, &self.group);
        drop(taken);
        self.group = group.to_owned();
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        Places::remove(&mut self.places.lock(), &self.group);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(group: &str) -> Full {
        let group = group.to_owned();
        Full::Group { group, limit: 2 }
    }

    #[test]
    fn a_group_that_takes_all_it_can_leaves_places_to_others() {
        let places = Places::new(4, 2);
        let take = |group| places.take(Some(group));
        let greedy = [take("a").unwrap(), take("a").unwrap()];
        assert_eq!(take("a").unwrap_err(), of("a"));
        let other = take("b").unwrap();
        let last = take("c").unwrap();
        assert_eq!(take("d").unwrap_err(), Full::All(4));
        drop(greedy);
        drop(other);
        assert!(take("a").is_ok());
        drop(last);
        assert!(places.lock().is_empty());
    }

    #[test]
    fn whose_a_stream_is_may_be_said_later() {
        let places = Places::new(4, 2);
        let mut streams = [places.take(None).unwrap(), places.take(None).unwrap()];
        assert_eq!(places.take(None).unwrap_err(), Full::Nobody(2));
        let _ours = places.take(Some("a")).unwrap();
        streams[0].belong_to("a").unwrap();
        assert_eq!(streams[1].belong_to("a").unwrap_err(), of("a"));
        streams[1].belong_to("b").unwrap();
        assert!(places.take(None).is_ok());
    }
}
