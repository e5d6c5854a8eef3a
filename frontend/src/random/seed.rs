use super::SeedGenerator;
use super::global;
use crate::initializers::Initializer;
use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// What random numbers begin with: a number (`42`), a [`SeedGenerator`], or a number that is drawn for it. Clones are the same seed.
#[derive(Clone, Debug)]
pub struct Seed(Source);

#[derive(Clone, Debug)]
enum Source {
    Given(u32),
    Drawn(Arc<DrawnSeed>),
    Generator(SeedGenerator),
}

/// A seed that Keras would draw when its owner is made. It is drawn when a value is needed: then all that were asked for get
/// theirs, in the order in which they were asked for.
#[derive(Debug, Default)]
pub(crate) struct DrawnSeed {
    /// Its place among all draws, and what was drawn.
    drawn: OnceLock<(u64, u32)>,
    /// Whether its owner was made from a name, by the layer that it belongs to.
    by_name: bool,
}

impl DrawnSeed {
    pub(super) fn draw(&self) -> (u64, u32) {
        static DRAWS: AtomicU64 = AtomicU64::new(0);
        *self.drawn.get_or_init(|| (DRAWS.fetch_add(1, Ordering::Relaxed), global::draw()))
    }

    fn drawn(&self) -> (u64, u32) {
        if self.drawn.get().is_none() {
            global::draw_pending();
        }
        // one that was asked for in another thread is drawn in this one
        self.draw()
    }

    /// Its place among all draws.
    pub(crate) fn number(&self) -> u64 {
        self.drawn().0
    }

    /// The seed.
    pub(crate) fn value(&self) -> u32 {
        self.drawn().1
    }
}

impl Seed {
    /// A seed that is drawn, before those that are asked for after it.
    pub fn drawn() -> Self {
        Seed::ask(DrawnSeed::default())
    }

    /// The seed of what a layer makes from a name.
    pub(crate) fn by_name() -> Self {
        Seed::ask(DrawnSeed { by_name: true, ..DrawnSeed::default() })
    }

    fn ask(seed: DrawnSeed) -> Self {
        let seed = Arc::new(seed);
        global::ask(seed.clone());
        Seed(Source::Drawn(seed))
    }

    /// The seed of a copy of its owner: the same where it was given, another where it was drawn.
    pub(crate) fn renewed(&self) -> Self {
        match self.0 {
            Source::Drawn(_) => Seed::drawn(),
            Source::Given(_) | Source::Generator(_) => self.clone(),
        }
    }

    /// The number where it was given, as Keras' `get_config` gives it.
    pub fn given(&self) -> Option<u32> {
        match self.0 {
            Source::Given(seed) => Some(seed),
            Source::Drawn(_) | Source::Generator(_) => None,
        }
    }

    /// The next key of `jax.random`: of a number always the same.
    pub(crate) fn next_key(&self) -> [u32; 2] {
        match &self.0 {
            Source::Given(seed) => [*seed, 0],
            Source::Drawn(seed) => [seed.value(), 0],
            Source::Generator(generator) => generator.next_seed(),
        }
    }

    /// What it is when a weight's first value is traced: a generator gives the weight one of its seeds.
    pub(crate) fn of_weight(&self, layer: u64, name: &str) -> (GeneratorSeed, u32) {
        match &self.0 {
            Source::Given(seed) => (GeneratorSeed::Given(*seed), 0),
            Source::Drawn(seed) => (GeneratorSeed::Drawn(seed.clone()), 0),
            Source::Generator(generator) => generator.of_weight(layer, name),
        }
    }

    /// The first word of a generator's state.
    pub(crate) fn of_generator(&self) -> GeneratorSeed {
        match &self.0 {
            Source::Given(seed) => GeneratorSeed::Given(*seed),
            Source::Drawn(seed) => GeneratorSeed::Drawn(seed.clone()),
            Source::Generator(generator) => generator.seed(),
        }
    }

    /// Takes the place of `old`, which is not used any more: Keras would never have drawn it. What is made from a name is drawn
    /// where `old` would have been, another before the seeds of the layer that it is an argument of.
    fn replaces(&mut self, old: Option<&Seed>) {
        if let Source::Drawn(new) = &self.0
            && !new.by_name
        {
            global::precede_layer(new);
        }
        let Some(Seed(Source::Drawn(old))) = old else { return };
        // held by those that wait, and by what is replaced
        if Arc::strong_count(old) != 2 {
            return;
        }
        match &mut self.0 {
            Source::Drawn(new) if new.by_name && global::forget(new) => *new = old.clone(),
            _ => drop(global::forget(old)),
        }
    }
}

impl Default for Seed {
    fn default() -> Self {
        Seed::drawn()
    }
}

impl PartialEq for Seed {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Source::Given(a), Source::Given(b)) => a == b,
            (Source::Drawn(a), Source::Drawn(b)) => Arc::ptr_eq(a, b),
            (Source::Generator(a), Source::Generator(b)) => a.is(b),
            _ => false,
        }
    }
}

impl From<u32> for Seed {
    fn from(seed: u32) -> Self {
        Seed(Source::Given(seed))
    }
}

impl From<SeedGenerator> for Seed {
    fn from(generator: SeedGenerator) -> Self {
        Seed(Source::Generator(generator))
    }
}

impl From<&SeedGenerator> for Seed {
    fn from(generator: &SeedGenerator) -> Self {
        generator.clone().into()
    }
}

/// The first word of a seed generator's state: a number, or one that is drawn.
#[derive(Clone, Debug)]
pub(crate) enum GeneratorSeed {
    Given(u32),
    Drawn(Arc<DrawnSeed>),
}

impl GeneratorSeed {
    /// The number.
    pub(crate) fn value(&self) -> u32 {
        match self {
            GeneratorSeed::Given(seed) => *seed,
            GeneratorSeed::Drawn(seed) => seed.value(),
        }
    }
}

/// Sets an argument of a layer. A seed that the argument's old value would have had is not drawn.
pub(crate) fn replace<T: 'static>(argument: &mut T, given: T) {
    let old = std::mem::replace(argument, given);
    let (new, old): (&mut dyn Any, &dyn Any) = (argument, &old);
    if let (Some(new), Some(old)) = (new.downcast_mut::<Seed>(), old.downcast_ref::<Seed>()) {
        new.replaces(Some(old));
    }
    if let (Some(new), Some(old)) = (new.downcast_mut::<Initializer>(), old.downcast_ref::<Initializer>()) {
        match (new.seed_mut(), old.seed()) {
            (Some(new), old) => new.replaces(old),
            (None, Some(old)) => Seed::from(0).replaces(Some(old)),
            (None, None) => {}
        }
    }
}
