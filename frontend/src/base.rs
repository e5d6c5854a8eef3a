//! What all layers have: an identity, a name, where they were made.

use crate::dtype_policies::{self, DTypePolicy, DTypePolicySpec};
use crate::initializers::Initializer;
use crate::quantizers::Int8QuantizationConfig;
use crate::random::Seed;
use crate::regularizers::Regularizer;
use crate::remat_scope::RematScope;
use crate::{Error, Result};
use kc_ir::tensor::Location;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

thread_local! {
    static NEXT_IDENTITY: Cell<u64> = const { Cell::new(1) };
    static NAMES: RefCell<BTreeMap<String, usize>> = const { RefCell::new(BTreeMap::new()) };
}

/// The part of a layer that all layers have. A clone is the same layer: it shares weights with the original.
#[derive(Clone, Debug)]
pub struct Base {
    class: &'static str,
    identity: u64,
    given_name: Option<String>,
    auto_name: Arc<OnceLock<String>>,
    trainable: bool,
    activity_regularizer: Regularizer,
    remat: Option<Arc<RematScope>>,
    dtype_policy: DTypePolicySpec,
    /// How the weights were quantised, shared with clones as weights are.
    quantization: Arc<OnceLock<Int8QuantizationConfig>>,
    location: (&'static str, u32),
    /// Seeds that are drawn when the layer is built, by what they are for.
    seeds: Arc<Mutex<BTreeMap<String, Seed>>>,
}

impl Base {
    /// The base of a new layer of that class (Keras' name: `Dense`), made at the caller's place.
    #[track_caller]
    pub fn new(class: &'static str) -> Self {
        crate::random::begin_layer();
        Base {
            class,
            identity: next_identity(),
            given_name: None,
            auto_name: Arc::default(),
            trainable: true,
            activity_regularizer: Regularizer::None,
            remat: RematScope::current(),
            dtype_policy: dtype_policies::dtype_policy().into(),
            quantization: Arc::default(),
            location: crate::error::caller(),
            seeds: Arc::default(),
        }
    }

    /// The base of a new layer of that class, made at that place.
    pub(crate) fn made_at(class: &'static str, place: &'static std::panic::Location<'static>) -> Self {
        Base { location: (place.file(), place.line()), ..Base::new(class) }
    }

    /// The class, as Keras names it.
    pub fn class(&self) -> &'static str {
        self.class
    }

    /// What tells two layers apart.
    pub fn identity(&self) -> u64 {
        self.identity
    }

    /// The name: the one that was given, or the class in snake case with a number where it is not the first
    /// (`dense`, `dense_1`), counted when the name is first asked for.
    pub fn name(&self) -> &str {
        match &self.given_name {
            Some(name) => name,
            None => self.auto_name.get_or_init(|| unique_name(&snake_case(self.class))),
        }
    }

    /// Makes this the base of another layer, of the same class and arguments.
    pub fn renew(&mut self) {
        self.identity = next_identity();
        self.auto_name = Arc::default();
        self.quantization = Arc::default();
        self.seeds = Arc::default();
    }

    /// Names the layer.
    pub fn set_name(&mut self, name: impl Into<String>) {
        self.given_name = Some(name.into());
    }

    /// Whether the optimizer updates the layer's weights.
    pub fn is_trainable(&self) -> bool {
        self.trainable
    }

    /// Says whether the optimizer updates the layer's weights.
    pub fn set_trainable(&mut self, trainable: bool) {
        self.trainable = trainable;
    }

    /// A seed that is drawn when the layer is first built, for a part that Keras makes then; each name has one.
    pub fn seed_of_part(&self, part: &str) -> Seed {
        let mut seeds = self.seeds.lock().unwrap_or_else(PoisonError::into_inner);
        seeds.entry(part.to_string()).or_insert_with(Seed::drawn).clone()
    }

    /// A copy of an initializer for a part that Keras makes when the layer is built: one without a given seed has its own.
    pub fn initializer_of_part(&self, part: &str, initializer: &Initializer) -> Initializer {
        let mut copy = initializer.clone();
        if let Some(seed) = copy.seed_mut().filter(|seed| seed.given().is_none()) {
            *seed = self.seed_of_part(part);
        }
        copy
    }

    /// What the layer's outputs add to the loss.
    pub fn activity_regularizer(&self) -> &Regularizer {
        &self.activity_regularizer
    }

    /// Says what the layer's outputs add to the loss.
    pub fn set_activity_regularizer(&mut self, regularizer: Regularizer) {
        self.activity_regularizer = regularizer;
    }

    /// What the layer computes in and keeps its weights in: the policy that was global when it was made, unless it has its own.
    pub fn dtype_policy(&self) -> &DTypePolicySpec {
        &self.dtype_policy
    }

    /// What the layer computes in and keeps its weights in where its path in Keras is that one, or `None` where no path is known.
    pub(crate) fn policy_at(&self, path: Option<&str>) -> Result<DTypePolicy> {
        let policy = match path {
            Some(path) => self.dtype_policy.of(path),
            None => self.dtype_policy.default(),
        }?;
        match self.quantization.get() {
            Some(_) if policy.quantization_mode().is_none() => DTypePolicy::quantized("int8", policy.name()),
            _ => Ok(policy),
        }
    }

    /// How the weights were quantised, where they were.
    pub(crate) fn quantization(&self) -> Option<&Int8QuantizationConfig> {
        self.quantization.get()
    }

    /// Quantises the weights.
    pub(crate) fn quantize(&self, config: &Int8QuantizationConfig) -> Result<()> {
        let policy = self.policy_at(None)?;
        if policy.quantization_mode().is_some() {
            return Err(Error::model(format!("its weights are quantised already: its policy is `{}`", policy.name())));
        }
        DTypePolicy::quantized("int8", policy.name())?;
        self.quantization.get_or_init(|| config.clone());
        Ok(())
    }

    /// Says what the layer computes in and keeps its weights in.
    pub fn set_dtype_policy(&mut self, policy: DTypePolicySpec) {
        self.dtype_policy = policy;
    }

    /// The scope that the layer was made in, of what derivatives compute again.
    pub(crate) fn remat(&self) -> Option<&Arc<RematScope>> {
        self.remat.as_ref()
    }

    /// File and line where the layer was made.
    pub(crate) fn place(&self) -> (&'static str, u32) {
        self.location
    }

    /// Where the layer was made; `path` is the layer's path.
    pub(crate) fn location(&self, path: &str) -> Arc<Location> {
        let (file, line) = self.location;
        Arc::new(Location { file: file.to_string(), line, layer: path.to_string() })
    }
}

pub(crate) fn next_identity() -> u64 {
    NEXT_IDENTITY.with(|next| next.replace(next.get() + 1))
}

/// The name, with a number where it was given out before.
pub(crate) fn unique_name(name: &str) -> String {
    NAMES.with_borrow_mut(|names| {
        let count = names.entry(name.to_string()).or_insert(0);
        *count += 1;
        if *count == 1 { name.to_string() } else { format!("{name}_{}", *count - 1) }
    })
}

/// Forgets the automatic names that were given out in this thread, so that the next layer is `dense` again, and what is global: the
/// distribution and the dtype policy.
pub fn clear_session() {
    NAMES.with_borrow_mut(BTreeMap::clear);
    crate::distribution::set_distribution(None);
    dtype_policies::clear();
}

/// `MaxPooling2D` -> `max_pooling2d`, as Keras does.
pub(crate) fn snake_case(name: &str) -> String {
    let chars: Vec<char> = name.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut text = String::new();
    for (i, &c) in chars.iter().enumerate() {
        let previous = i.checked_sub(1).map(|p| chars[p]);
        let starts_word = c.is_uppercase()
            && previous.is_some_and(|p| {
                p.is_lowercase() || (p != '_' && chars.get(i + 1).is_some_and(|next| next.is_lowercase()))
            });
        if starts_word && !text.ends_with('_') {
            text.push('_');
        }
        text.extend(c.to_lowercase());
    }
    text
}
