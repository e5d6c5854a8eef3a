//! `keras.dtype_policies`: what layers compute in, and what they keep their weights in.
//!
//! ```
//! use kc::prelude::*;
//!
//! // products and activations in bfloat16, weights and the optimizer's state in f32
//! kc::config::set_dtype_policy("mixed_bfloat16")?;
//! let hidden = Dense::new(128).activation("relu");
//! // the probabilities, and with them the loss, in f32
//! let classes = Dense::new(10).activation("softmax").dtype("float32");
//! assert_eq!((hidden.compute_dtype()?, hidden.variable_dtype()?), (DType::Bf16, DType::F32));
//! assert_eq!(classes.compute_dtype()?, DType::F32);
//! kc::config::set_dtype_policy("float32")?;
//! # let _ = Sequential::new().add(Input::new([64])).add(hidden).add(classes);
//! # Ok::<(), kc::Error>(())
//! ```
//!
//! A layer's floating-point inputs are converted to its compute dtype, its weights are read in it, and so its outputs have it. Losses,
//! metrics and the optimizer's scalars are f32 whatever the policy; normalisations compute in f32 where the inputs are narrower.

use crate::{Error, Result};
use kc_ir::DType;
use regex_lite::Regex;
use serde_json::{Value as Json, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

thread_local! {
    static GLOBAL: RefCell<Option<DTypePolicy>> = const { RefCell::new(None) };
}

/// What is no dtype's name.
const MIXED: [(&str, DType); 2] = [("mixed_float16", DType::F16), ("mixed_bfloat16", DType::Bf16)];

/// What a layer computes in and what it keeps its weights in (`keras.DTypePolicy`, `keras.mixed_precision.Policy`): `"mixed_bfloat16"`
/// and `"mixed_float16"` compute in that dtype and keep f32; the name of a dtype (`"float32"`, `"bfloat16"`, `"float16"`, `"float64"`)
/// is both.
#[derive(Clone, PartialEq, Eq)]
pub struct DTypePolicy {
    name: String,
    compute_dtype: DType,
    variable_dtype: DType,
    /// The policy without quantisation, of one that has some.
    source: Option<String>,
}

/// A policy of quantised weights (`keras.dtype_policies.QuantizedDTypePolicy`): [`DTypePolicy::quantized`] makes it.
pub type QuantizedDTypePolicy = DTypePolicy;

/// The modes of quantisation that Keras has; the first is the one that is there.
const MODES: [&str; 5] = ["int8", "int4", "float8", "gptq", "awq"];

/// Says that a mode is not there, or refuses a name that none has.
pub(crate) fn check_mode(mode: &str) -> Result<()> {
    match MODES.iter().find(|known| mode.split('/').next() == Some(known)) {
        Some(&"int8") if mode == "int8" => Ok(()),
        Some(_) => Err(Error::model(format!("the quantisation `{mode}` is not there; there is: int8"))),
        None => Err(Error::model(format!("unknown mode of quantisation `{mode}`; there is: int8"))),
    }
}

impl DTypePolicy {
    /// The policy of that name.
    ///
    /// # Errors
    ///
    /// No policy and no dtype has the name.
    pub fn new(name: &str) -> Result<Self> {
        if let Some((mode, source)) =
            name.split_once("_from_").filter(|_| MODES.iter().any(|mode| name.starts_with(mode)))
        {
            return DTypePolicy::quantized(mode, source);
        }
        let (compute_dtype, variable_dtype) = match MIXED.iter().find(|(mixed, _)| *mixed == name) {
            Some(&(_, dtype)) => (dtype, DType::F32),
            None => {
                // our own short names are none of Keras'
                let dtype = DType::ALL.iter().copied().find(|dtype| dtype.keras_name() == name);
                let dtype = dtype.ok_or_else(|| unknown(name))?;
                (dtype, dtype)
            }
        };
        Ok(DTypePolicy { name: name.to_string(), compute_dtype, variable_dtype, source: None })
    }

    /// The policy `<mode>_from_<source>` of layers whose weights are quantised, of which one mode is there: `"int8"`. What layers compute
    /// in beside their products is what the source says. Keras' `QuantizedDTypePolicy(mode, source_name)`.
    ///
    /// # Errors
    ///
    /// The mode is not there, no policy has the source's name, or it computes in f16, whose range int8 does not suit.
    pub fn quantized(mode: &str, source_name: &str) -> Result<Self> {
        check_mode(mode)?;
        let source = DTypePolicy::new(source_name)?;
        if source.source.is_some() {
            return Err(Error::model(format!("the policy `{source_name}` is quantised already")));
        }
        if source.compute_dtype == DType::F16 {
            return Err(Error::model(format!(
                "the quantisation `{mode}` does not go with the compute dtype float16 of `{source_name}`: use bfloat16 or float32"
            )));
        }
        Ok(DTypePolicy { name: format!("{mode}_from_{source_name}"), source: Some(source.name), ..source })
    }

    /// How the weights are quantised, where they are: `"int8"`.
    pub fn quantization_mode(&self) -> Option<&'static str> {
        self.source.is_some().then_some(MODES[0])
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What layers compute in, and mostly give.
    pub fn compute_dtype(&self) -> DType {
        self.compute_dtype
    }

    /// What layers keep their weights in. Where it is another than the compute dtype, weights are converted when they are read.
    pub fn variable_dtype(&self) -> DType {
        self.variable_dtype
    }
}

/// `<DTypePolicy "mixed_bfloat16">`, as Python shows it.
impl fmt::Debug for DTypePolicy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = if self.source.is_some() { "QuantizedDTypePolicy" } else { "DTypePolicy" };
        write!(formatter, "<{class} \"{}\">", self.name)
    }
}

fn unknown(name: &str) -> Error {
    let dtypes = DType::ALL.iter().filter(|dtype| dtype.is_float()).map(|dtype| dtype.keras_name());
    let known: Vec<&str> = MIXED.iter().map(|(name, _)| *name).chain(dtypes).collect();
    Error::model(format!("unknown dtype policy `{name}`{}", crate::error::did_you_mean(name, &known)))
}

/// The policy of layers that are made in this thread without one of their own: `"float32"` where none is set. `keras.config.dtype_policy`.
pub fn dtype_policy() -> DTypePolicy {
    let set = GLOBAL.with_borrow(Clone::clone);
    set.unwrap_or_else(|| DTypePolicy {
        name: "float32".to_string(),
        compute_dtype: DType::F32,
        variable_dtype: DType::F32,
        source: None,
    })
}

/// Sets the policy of the layers that this thread makes from now on; [`clear_session`](crate::utils::clear_session) undoes it.
/// `keras.config.set_dtype_policy`.
///
/// # Errors
///
/// The policy is a name that none has, or a [`DTypePolicyMap`], which is for a layer.
pub fn set_dtype_policy(policy: impl Into<DTypePolicySpec>) -> Result<()> {
    let policy = match policy.into() {
        DTypePolicySpec::Policy(policy) => policy,
        DTypePolicySpec::Unknown(name) => return Err(unknown(&name)),
        DTypePolicySpec::Map(_) => {
            return Err(Error::model("the global dtype policy cannot be a `DTypePolicyMap`: give it to a layer"));
        }
    };
    GLOBAL.set(Some(policy));
    Ok(())
}

/// Forgets what was set.
pub(crate) fn clear() {
    GLOBAL.set(None);
}

/// Policies of the layers inside of a layer, by their paths (`keras.dtype_policies.DTypePolicyMap`).
///
/// A key is a path, or a regular expression of whole paths; a layer that no key matches has the default policy.
///
/// ```
/// use kc::prelude::*;
///
/// let policies = DTypePolicyMap::new().default_policy(DTypePolicy::new("mixed_bfloat16")?);
/// let policies = policies.with("attention/query", "float32")?;
/// assert_eq!(policies.get("attention/query")?.name(), "float32");
/// assert_eq!(policies.get("attention/key")?.name(), "mixed_bfloat16");
/// let attention = MultiHeadAttention::new(2, 4).name("attention").dtype(policies);
/// # let _ = attention;
/// # Ok::<(), kc::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DTypePolicyMap {
    default_policy: Option<DTypePolicy>,
    policies: BTreeMap<String, DTypePolicy>,
}

impl DTypePolicyMap {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// The policy of what no key matches (default: the global one).
    pub fn default_policy(mut self, policy: DTypePolicy) -> Self {
        self.default_policy = Some(policy);
        self
    }

    /// The map with one entry more.
    ///
    /// # Errors
    ///
    /// The key is there already or is no regular expression, or the policy is a name that none has, or a map.
    pub fn with(mut self, key: &str, policy: impl Into<DTypePolicySpec>) -> Result<Self> {
        let policy = match policy.into() {
            DTypePolicySpec::Policy(policy) => policy,
            DTypePolicySpec::Unknown(name) => return Err(unknown(&name)),
            DTypePolicySpec::Map(_) => return Err(Error::model(format!("the policy of `{key}` cannot be a map"))),
        };
        if self.policies.contains_key(key) {
            return Err(Error::model(format!("the key `{key}` is in the `DTypePolicyMap` already")));
        }
        whole(key)?;
        self.policies.insert(key.to_string(), policy);
        Ok(self)
    }

    /// The policy of a layer's path.
    ///
    /// # Errors
    ///
    /// The path is no key, and matches several of them.
    pub fn get(&self, path: &str) -> Result<DTypePolicy> {
        if let Some(policy) = self.policies.get(path) {
            return Ok(policy.clone());
        }
        let mut matching = Vec::new();
        for (key, policy) in &self.policies {
            if whole(key)?.is_match(path) {
                matching.push((key.as_str(), policy));
            }
        }
        match matching.as_slice() {
            [] => Ok(self.or_global()),
            [(_, policy)] => Ok((*policy).clone()),
            several => {
                let keys: Vec<&str> = several.iter().map(|(key, _)| *key).collect();
                Err(Error::model(format!(
                    "the path `{path}` matches several keys of the `DTypePolicyMap`: {}; expected one at most",
                    keys.join(", ")
                )))
            }
        }
    }

    /// The keys and their policies.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &DTypePolicy)> {
        self.policies.iter().map(|(key, policy)| (key.as_str(), policy))
    }

    fn or_global(&self) -> DTypePolicy {
        self.default_policy.clone().unwrap_or_else(dtype_policy)
    }
}

/// A key as an expression of whole paths.
fn whole(key: &str) -> Result<Regex> {
    Regex::new(&format!("^(?:{key})$"))
        .map_err(|error| Error::model(format!("`{key}` is no path and no regular expression: {error}")))
}

/// What a layer's argument `dtype` may be: a policy, a map of policies, or a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DTypePolicySpec {
    /// A policy.
    Policy(DTypePolicy),
    /// Policies of the layers inside.
    Map(Arc<DTypePolicyMap>),
    /// A name that no policy has; the layer that is called with it reports it.
    #[doc(hidden)]
    Unknown(String),
}

impl DTypePolicySpec {
    /// The policy of a layer with that path.
    pub(crate) fn of(&self, path: &str) -> Result<DTypePolicy> {
        match self {
            DTypePolicySpec::Policy(policy) => Ok(policy.clone()),
            DTypePolicySpec::Map(policies) => policies.get(path),
            DTypePolicySpec::Unknown(name) => Err(unknown(name)),
        }
    }

    /// The policy where no path is known.
    pub(crate) fn default(&self) -> Result<DTypePolicy> {
        match self {
            DTypePolicySpec::Map(policies) => Ok(policies.or_global()),
            DTypePolicySpec::Policy(_) | DTypePolicySpec::Unknown(_) => self.of(""),
        }
    }
}

impl From<&str> for DTypePolicySpec {
    fn from(name: &str) -> Self {
        DTypePolicy::new(name).map_or_else(|_| DTypePolicySpec::Unknown(name.to_string()), DTypePolicySpec::Policy)
    }
}

impl From<DType> for DTypePolicySpec {
    fn from(dtype: DType) -> Self {
        dtype.keras_name().into()
    }
}

impl From<DTypePolicy> for DTypePolicySpec {
    fn from(policy: DTypePolicy) -> Self {
        DTypePolicySpec::Policy(policy)
    }
}

impl From<&DTypePolicy> for DTypePolicySpec {
    fn from(policy: &DTypePolicy) -> Self {
        DTypePolicySpec::Policy(policy.clone())
    }
}

impl From<DTypePolicyMap> for DTypePolicySpec {
    fn from(policies: DTypePolicyMap) -> Self {
        DTypePolicySpec::Map(Arc::new(policies))
    }
}

/// The policy, map or name as Keras' files have it, in a layer's entry `dtype`. `keras.dtype_policies.serialize`.
pub fn serialize(policy: impl Into<DTypePolicySpec>) -> Json {
    let object = |module: &str, class: &str, config: Json| json!({ "module": module, "class_name": class, "config": config, "registered_name": null });
    let plain = |policy: &DTypePolicy| match (&policy.source, policy.quantization_mode()) {
        (Some(source), Some(mode)) => {
            object("keras.dtype_policies", "QuantizedDTypePolicy", json!({ "mode": mode, "source_name": source }))
        }
        _ => object("keras", "DTypePolicy", json!({ "name": policy.name })),
    };
    match policy.into() {
        DTypePolicySpec::Policy(policy) => plain(&policy),
        DTypePolicySpec::Unknown(name) => json!(name),
        DTypePolicySpec::Map(map) => {
            let policies: serde_json::Map<String, Json> =
                map.iter().map(|(key, policy)| (key.to_string(), plain(policy))).collect();
            let config = json!({ "default_policy": map.default_policy.as_ref().map(plain), "policy_map": policies });
            object("keras.dtype_policies", "DTypePolicyMap", config)
        }
    }
}

/// What [`serialize`] or Keras wrote: an object, or a name. `keras.dtype_policies.deserialize`.
///
/// # Errors
///
/// It is no policy, or one of a kind that is not there.
pub fn deserialize(config: &Json) -> Result<DTypePolicySpec> {
    let wrong = || {
        Error::model(format!("no dtype policy: {config}; expected a name, or an object with `class_name` and `config`"))
    };
    if let Some(name) = config.as_str() {
        return DTypePolicy::new(name).map(Into::into);
    }
    let class = config["class_name"].as_str().ok_or_else(wrong)?;
    let config = &config["config"];
    let policy = |config: &Json| match deserialize(config)? {
        DTypePolicySpec::Policy(policy) => Ok(policy),
        DTypePolicySpec::Map(_) | DTypePolicySpec::Unknown(_) => Err(wrong()),
    };
    match class {
        // without a name where it stands for the policy that is global when it is read
        "DTypePolicy" | "FloatDTypePolicy" | "Policy" if config["name"].is_null() => Ok(dtype_policy().into()),
        "DTypePolicy" | "FloatDTypePolicy" | "Policy" => {
            DTypePolicy::new(config["name"].as_str().ok_or_else(wrong)?).map(Into::into)
        }
        "QuantizedDTypePolicy" => {
            let mode = config["mode"].as_str().ok_or_else(wrong)?;
            let global = dtype_policy();
            let source = config["source_name"].as_str().unwrap_or(global.name());
            DTypePolicy::quantized(mode, source).map(Into::into)
        }
        "DTypePolicyMap" => {
            let mut map = DTypePolicyMap::new();
            if !config["default_policy"].is_null() {
                map = map.default_policy(policy(&config["default_policy"])?);
            }
            for (key, entry) in config["policy_map"].as_object().ok_or_else(wrong)? {
                map = map.with(key, policy(entry)?)?;
            }
            Ok(map.into())
        }
        _ => Err(Error::model(format!(
            "dtype policies of the class `{class}` are not there; known are: DTypePolicy, DTypePolicyMap, QuantizedDTypePolicy"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_computed_in() {
        let dtypes = |name: &str| {
            let policy = DTypePolicy::new(name).expect("a policy");
            (policy.compute_dtype(), policy.variable_dtype())
        };
        assert_eq!(dtypes("float32"), (DType::F32, DType::F32));
        assert_eq!(dtypes("bfloat16"), (DType::Bf16, DType::Bf16));
        assert_eq!(dtypes("mixed_bfloat16"), (DType::Bf16, DType::F32));
        assert_eq!(dtypes("mixed_float16"), (DType::F16, DType::F32));
        let message = DTypePolicy::new("mixed_float").expect_err("unknown").to_string();
        assert!(message.starts_with("unknown dtype policy `mixed_float`; did you mean `mixed_float16`?"), "{message}");
    }

    /// What Keras 3.15 writes.
    #[test]
    fn policies_are_written_and_read_as_keras_does() {
        let mixed = json!({"module": "keras", "class_name": "DTypePolicy", "config": {"name": "mixed_bfloat16"}, "registered_name": null});
        assert_eq!(serialize("mixed_bfloat16"), mixed);
        assert_eq!(deserialize(&mixed), Ok("mixed_bfloat16".into()));
        let quantized = json!({"module": "keras.dtype_policies", "class_name": "QuantizedDTypePolicy",
            "config": {"mode": "int8", "source_name": "mixed_bfloat16"}, "registered_name": null});
        assert_eq!(serialize("int8_from_mixed_bfloat16"), quantized);
        assert_eq!(deserialize(&quantized), Ok("int8_from_mixed_bfloat16".into()));
        let map = DTypePolicyMap::new().default_policy(DTypePolicy::new("float32").expect("a policy"));
        let map = map.with("a/b", "bfloat16").expect("new");
        let written = json!({"module": "keras.dtype_policies", "class_name": "DTypePolicyMap", "config": {
            "default_policy": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": null},
            "policy_map": {"a/b": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "bfloat16"}, "registered_name": null}}
        }, "registered_name": null});
        assert_eq!(serialize(map.clone()), written);
        assert_eq!(deserialize(&written), Ok(map.into()));
    }

    #[test]
    fn a_path_has_the_policy_of_its_key_or_of_the_one_expression_that_matches_it() {
        let map = DTypePolicyMap::new().default_policy(DTypePolicy::new("float32").expect("a policy"));
        let map = map.with("encoder/layer/dense", "bfloat16").and_then(|map| map.with("encoder/.*", "float16"));
        let map = map.and_then(|map| map.with("decoder", "bfloat16")).expect("new keys");
        let name = |path: &str| map.get(path).expect("one").name().to_string();
        assert_eq!(name("encoder/layer/dense"), "bfloat16");
        assert_eq!(name("encoder/attention/query"), "float16");
        assert_eq!(name("decoder/attention"), "float32");
        let map = map.with("encoder/attention/.*", "bfloat16").expect("a new key");
        assert_eq!(
            map.get("encoder/attention/query").expect_err("two").to_string(),
            "the path `encoder/attention/query` matches several keys of the `DTypePolicyMap`: encoder/.*, encoder/attention/.*; \
             expected one at most"
        );
    }
}
