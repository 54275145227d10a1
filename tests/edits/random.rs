//! Random choices that a seed decides, the same on every machine (SplitMix64).

/// Where choices come from.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The choices of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).expect("it fits 64 bits");
        usize::try_from(self.next() % limit).expect("it is less than a usize")
    }

    /// True so often of a hundred times.
    pub(crate) fn percent(&mut self, often: usize) -> bool {
        self.below(100) < often
    }

    /// One of these, which are not none.
    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// So many of the numbers below `limit`, each once.
    pub(crate) fn distinct(&mut self, count: usize, limit: usize) -> Vec<usize> {
        let mut rest: Vec<_> = (0..limit).collect();
        let chosen = (0..count.min(limit)).map(|_| rest.swap_remove(self.below(rest.len())));
        chosen.collect()
    }
}
