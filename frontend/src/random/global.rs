//! The generators of a thread that `set_random_seed` seeds.

use super::seed::DrawnSeed;
use kc_runtime::random::{NumpyRandom, PythonRandom};
use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

thread_local! {
    static PYTHON: RefCell<Option<PythonRandom>> = const { RefCell::new(None) };
    static NUMPY: RefCell<Option<NumpyRandom>> = const { RefCell::new(None) };
    /// The state of Keras' global seed generator.
    static GENERATOR: Cell<Option<[u32; 2]>> = const { Cell::new(None) };
    /// What is to be drawn, in the order in which it was asked for.
    static PENDING: RefCell<Vec<Pending>> = const { RefCell::new(Vec::new()) };
}

/// What happened since seeds were drawn.
enum Pending {
    /// A layer was begun.
    Layer,
    /// A seed was asked for.
    Seed(Arc<DrawnSeed>),
}

impl Pending {
    fn is(&self, seed: &Arc<DrawnSeed>) -> bool {
        matches!(self, Pending::Seed(other) if Arc::ptr_eq(other, seed))
    }
}

/// A number that the operating system chose.
fn entropy() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// What Keras' `make_default_seed` gives.
pub(super) fn draw() -> u32 {
    PYTHON.with_borrow_mut(|python| python.get_or_insert_with(|| PythonRandom::new(entropy())).seed())
}

/// Has a seed drawn before those that are asked for later.
pub(super) fn ask(seed: Arc<DrawnSeed>) {
    PENDING.with_borrow_mut(|pending| pending.push(Pending::Seed(seed)));
}

/// Notes that a layer is begun: what is made for its arguments comes before its own seeds.
pub(crate) fn begin_layer() {
    PENDING.with_borrow_mut(|pending| {
        if !matches!(pending.last(), Some(Pending::Layer)) {
            pending.push(Pending::Layer);
        }
    });
}

/// Has a seed that was asked for since a layer was begun drawn before the layer's.
pub(super) fn precede_layer(seed: &Arc<DrawnSeed>) {
    PENDING.with_borrow_mut(|pending| {
        let Some(position) = pending.iter().position(|other| other.is(seed)) else { return };
        let Some(begin) = pending[..position].iter().rposition(|other| matches!(other, Pending::Layer)) else { return };
        pending[begin..=position].rotate_right(1);
    });
}

/// Forgets a seed that was asked for, if it is not drawn yet; whether it was.
pub(super) fn forget(seed: &Arc<DrawnSeed>) -> bool {
    PENDING.with_borrow_mut(|pending| {
        let before = pending.len();
        pending.retain(|other| !other.is(seed));
        pending.len() < before
    })
}

/// Draws all seeds that were asked for.
pub(super) fn draw_pending() {
    for pending in PENDING.take() {
        if let Pending::Seed(seed) = pending {
            seed.draw();
        }
    }
}

/// Seeds both generators. What was made before keeps the seeds that it would have had.
pub(crate) fn set_random_seed(seed: u32) {
    draw_pending();
    GENERATOR.set(None);
    PYTHON.set(Some(PythonRandom::new(seed.into())));
    NUMPY.set(Some(NumpyRandom::new(seed)));
}

/// The next key of the global seed generator, which is made with a seed of its own when it is first asked.
pub(crate) fn next_key() -> [u32; 2] {
    let state = GENERATOR.get().unwrap_or_else(|| {
        draw_pending();
        [draw(), 0]
    });
    // near-unique words, as Keras makes them where seeds have no order
    GENERATOR.set(Some(state.map(|word| word.wrapping_add(1).wrapping_mul(5387) % 933_199)));
    state
}

/// Lets `body` draw from NumPy's generator.
pub(crate) fn numpy<R>(body: impl FnOnce(&mut NumpyRandom) -> R) -> R {
    NUMPY.with_borrow_mut(|numpy| body(numpy.get_or_insert_with(|| NumpyRandom::new(entropy() as u32))))
}
