use super::Seed;
use super::seed::GeneratorSeed;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A source of seeds: the pair of its own seed and the number of seeds that it has given. `keras.random.SeedGenerator`. Clones are
/// the same generator.
#[derive(Clone, Debug)]
pub struct SeedGenerator {
    seed: GeneratorSeed,
    given: Arc<Mutex<Given>>,
}

#[derive(Debug, Default)]
struct Given {
    count: u32,
    /// What weights were given, by layer and name: a weight that is traced again has the same.
    weights: BTreeMap<(u64, String), u32>,
}

impl SeedGenerator {
    /// With a seed that is drawn.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        SeedGenerator { seed: Seed::drawn().of_generator(), given: Arc::default() }
    }

    /// With this seed.
    pub fn with_seed(seed: u32) -> Self {
        SeedGenerator { seed: GeneratorSeed::Given(seed), given: Arc::default() }
    }

    /// The next seed, a key of `jax.random`.
    pub fn next_seed(&self) -> [u32; 2] {
        [self.seed.value(), self.count()]
    }

    fn count(&self) -> u32 {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.count = given.count.wrapping_add(1);
        given.count.wrapping_sub(1)
    }

    pub(super) fn of_weight(&self, layer: u64, name: &str) -> (GeneratorSeed, u32) {
        let key = (layer, name.to_string());
        let known = self.given.lock().unwrap_or_else(PoisonError::into_inner).weights.get(&key).copied();
        let count = known.unwrap_or_else(|| self.count());
        self.given.lock().unwrap_or_else(PoisonError::into_inner).weights.insert(key, count);
        (self.seed.clone(), count)
    }

    pub(super) fn seed(&self) -> GeneratorSeed {
        self.seed.clone()
    }

    pub(super) fn is(&self, other: &SeedGenerator) -> bool {
        Arc::ptr_eq(&self.given, &other.given)
    }
}
