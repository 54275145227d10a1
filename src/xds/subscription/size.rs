//! How much a proxy makes the server keep for it: what the limits of a stream go by.

use std::collections::{BTreeMap, BTreeSet};

use super::{Form, Held, Subscription};

impl Subscription {
    /// How many names it holds, where it holds the most: a name may stand in each of its lists.
    pub fn size(&self) -> usize {
        let told = self.owed.len().max(self.absent.len());
        let asked = self.questions.as_ref().map_or(0, BTreeSet::len);
        self.names.len().max(self.held.len()).max(told) + asked
    }

    /// The bytes of what the proxy said and is kept: names, and the versions that it came with. What
    /// several lists share counts once.
    pub fn bytes(&self) -> usize {
        let foreign = |held: &Held| match &held.form {
            Some(Form::Foreign(version)) => Some(version.0.clone()),
            _ => None,
        };
        let brought = self.held.iter();
        let brought = brought.filter_map(|(name, held)| Some([name.clone(), foreign(held)?]));
        let told = self.owed.iter().chain(&self.absent);
        let asked = self.names.iter().chain(self.questions());
        let claimed = self.claimed.iter().map(|version| &version.0);
        let texts = told.chain(asked).chain(claimed).cloned();
        let texts = texts.chain(brought.flatten());
        let texts: BTreeMap<_, _> = texts.map(|text| (text.as_ptr(), text.len())).collect();
        texts.values().sum()
    }
}
