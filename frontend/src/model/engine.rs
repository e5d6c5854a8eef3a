//! A model in execution, compiled when it is first needed.

use super::Model;
use super::trace::Traced;
use crate::initializers::Quantized;
use crate::ops::Expression;
use crate::{Error, Result};
use kc_ir::manifest::{StateRole, StateTensor};
use kc_ir::tensor::Module;
use kc_runtime::{Array, Package, Session, SessionOptions};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a model runs in. Clones of a model share it, as they share weights.
#[derive(Clone, Default)]
pub(super) struct Engine(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    session: Option<Session>,
    /// Values that the next session starts with, by name.
    kept: BTreeMap<String, Array>,
    /// The session's, whenever it is made.
    options: SessionOptions,
    /// Whether samples were seen since the model was compiled: the first `fit` looks at some to find the shapes.
    seen: bool,
}

impl fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Engine")
    }
}

impl Engine {
    fn lock(&self) -> MutexGuard<'_, State> {
        // a state that a panic left behind is still a state
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that samples are seen; whether there were some before, since the model was compiled.
    pub fn see(&self) -> bool {
        std::mem::replace(&mut self.lock().seen, true)
    }

    /// Has the model compiled anew when it is next needed; weights stay.
    pub fn reset(&self) {
        let mut state = self.lock();
        state.seen = false;
        let Some(mut session) = state.session.take() else { return };
        let manifest = session.manifest().clone();
        // state that a device has lost is initialised anew
        for (tensor, value) in manifest.state.iter().zip(session.state().unwrap_or_default()) {
            if matches!(tensor.role, StateRole::Trainable | StateRole::NonTrainable | StateRole::Seed) {
                state.kept.insert(tensor.name.clone(), value.clone());
            }
        }
    }
}

impl Model {
    /// Runs `body` on the model's session, which is made first where there is none: traced, compiled, initialised.
    pub(super) fn with_session<T>(&self, body: impl FnOnce(&mut Session) -> Result<T>) -> Result<T> {
        let mut state = self.engine.lock();
        let session = match state.session.take() {
            Some(session) => session,
            None => {
                let Traced { module, seeds, quantized } = super::trace::module(self)?;
                let package = compile_module(&module)?;
                state.options.device.cache.get_or_insert_with(|| crate::datasets::cache_dir().join("xla"));
                #[cfg(feature = "compile")]
                {
                    state.options.device.processes = crate::distribution::processes();
                }
                let mut session =
                    Session::new(&package, &state.options).map_err(|error| Error::run(error.to_string()))?;
                let seeds: Vec<u32> = seeds.iter().map(|seed| seed.value()).collect();
                session.init_from(&seeds).map_err(|error| Error::run(error.to_string()))?;
                let mut kept = std::mem::take(&mut state.kept);
                quantize(&module.state, &quantized, &mut kept)?;
                for (name, value) in kept {
                    if let Some(index) = session.state_index(&name) {
                        session.set_state_tensor(index, &value).map_err(|error| Error::run(error.to_string()))?;
                    }
                }
                session
            }
        };
        let session = state.session.insert(session);
        body(session)
    }

    /// The weights in Keras' order: those of each layer, in the order of the layers.
    pub fn get_weights(&self) -> Result<Vec<Array>> {
        self.with_session(|session| {
            let indices = weights(&session.manifest().state);
            let state = session.state().map_err(|error| Error::run(error.to_string()))?;
            Ok(indices.into_iter().map(|index| state[index].clone()).collect())
        })
    }

    /// Replaces the weights, in the order of [`Model::get_weights`]. All must have the right shape, else none is changed.
    pub fn set_weights(&self, values: &[Array]) -> Result<()> {
        let name = self.base.name().to_string();
        self.with_session(|session| {
            let indices = weights(&session.manifest().state);
            if indices.len() != values.len() {
                return Err(Error::run(format!(
                    "model `{name}` has {} weights, {} arrays were given",
                    indices.len(),
                    values.len()
                )));
            }
            let mut state = session.state().map_err(|error| Error::run(error.to_string()))?.to_vec();
            for (&index, value) in indices.iter().zip(values) {
                state[index] = value.cast(state[index].dtype());
            }
            session.set_state(&state).map_err(|error| Error::run(error.to_string()))
        })
    }

    /// The learning rate, where the model is compiled.
    pub fn learning_rate(&self) -> Result<Option<f64>> {
        self.with_session(|session| session.learning_rate().map_err(|error| Error::run(error.to_string())))
    }

    /// Has a flag end what the model computes: while it is set, a call ends with an error before the next round of a `while` loop. Another
    /// thread sets it, or the handler of a signal. All but `while` loops ends by itself.
    pub fn set_interrupt(&self, flag: Option<Arc<AtomicBool>>) {
        let mut state = self.engine.lock();
        state.options.interrupt = flag.clone();
        if let Some(session) = &mut state.session {
            session.set_interrupt(flag);
        }
    }

    /// Limits the rounds that all `while` loops of one step may take together (default: no limit); a step with more is an error.
    pub fn set_round_limit(&self, limit: Option<u64>) {
        let mut state = self.engine.lock();
        state.options.round_limit = limit;
        if let Some(session) = &mut state.session {
            session.set_round_limit(limit);
        }
    }

    /// The compiled model with its present state, to be written to a file and run without a compiler.
    pub fn package(&self) -> Result<Package> {
        self.with_session(|session| session.package().map_err(|error| Error::run(error.to_string())))
    }
}

/// Puts the parts of quantised weights in the place of numbers that are kept from before.
fn quantize(state: &[StateTensor], parts: &[(usize, Quantized)], kept: &mut BTreeMap<String, Array>) -> Result<()> {
    let mut new = Vec::new();
    for (index, part) in parts {
        let StateTensor { name, ty, .. } = &state[*index];
        let numbers = if part.scale { name.strip_suffix("_scale").unwrap_or(name) } else { name };
        if let Some(numbers) = kept.get(numbers).filter(|kept| kept.dtype().is_float()) {
            new.push((name.clone(), part.of(numbers.clone().into(), &ty.shape).eval()?));
        }
    }
    kept.extend(new);
    Ok(())
}

/// Positions of the weights among the state tensors, in Keras' order: of each layer first those that are trained.
pub(super) fn weights(state: &[StateTensor]) -> Vec<usize> {
    let is_weight = |&index: &usize| matches!(state[index].role, StateRole::Trainable | StateRole::NonTrainable);
    let mut positions: Vec<usize> = (0..state.len()).filter(is_weight).collect();
    let owner = |index: usize| state[index].name.rsplit_once('/').map_or("", |(owner, _)| owner);
    for own in positions.chunk_by_mut(|&a, &b| owner(a) == owner(b)) {
        own.sort_by_key(|&index| state[index].role != StateRole::Trainable);
    }
    positions
}

/// Compiles with the back end that `KC_BACKEND` names: `auto` (the default: MLIR where its plug-in is, else Cranelift),
/// `mlir`, `cranelift`, or `xla`, whose plug-in `KC_PJRT_PLUGIN` names.
#[cfg(feature = "compile")]
pub(crate) fn compile_module(module: &Module) -> Result<Package> {
    use kc_codegen::{BackendChoice, Options};
    let failed = |error: &dyn std::error::Error| Error::run(error.to_string());
    let wanted = std::env::var("KC_BACKEND").unwrap_or_default();
    if wanted == kc_codegen::stablehlo::NAME {
        let package = kc_codegen::stablehlo::compile(module, &Options::default(), &mut |_, _| {});
        return package.map_err(|error| failed(&error));
    }
    let choice: BackendChoice = match wanted.as_str() {
        "" => BackendChoice::Auto,
        name => name.parse().map_err(|message| Error::run(format!("`KC_BACKEND`: {message}")))?,
    };
    let backend = choice.open().map_err(|error| failed(&error))?;
    kc_codegen::compile(module, &*backend, &Options::default()).map_err(|error| failed(&error))
}

/// Says that there is no compiler.
#[cfg(not(feature = "compile"))]
pub(crate) fn compile_module(_: &Module) -> Result<Package> {
    Err(Error::run(
        "this program was built without a compiler, only to trace its model; \
         build it with the feature `compile` of the crate `kc` to run the model",
    ))
}
