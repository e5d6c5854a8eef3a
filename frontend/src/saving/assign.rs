//! Which tensor of a file is which state tensor of a model.

use super::SavingError;
use crate::layer::file_names;
use kc_ir::manifest::{LayerInfo, StateRole, StateTensor};
use kc_ir::tensor::Module;
use kc_runtime::Array;
use kc_runtime::array::shape_text;
use std::collections::BTreeMap;

/// The values of the weights of a model's layers, by the index of their state tensors in the module.
///
/// Files do not know layers by their names: a group is named after the layer's class, numbered where a layer of that class
/// came before in the model (`layers/dense`, `layers/dense_1`), and its variables are numbered in Keras' order. A seed that the
/// file does not have is left out.
pub fn assign(module: &Module, weights: &BTreeMap<String, Array>) -> Result<BTreeMap<usize, Array>, SavingError> {
    let mut values = BTreeMap::new();
    let groups = file_names(module.model.layers.iter().map(|layer| layer.class.as_str()));
    for (layer, group) in module.model.layers.iter().zip(groups) {
        let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
        for (index, state) in module.state.iter().enumerate() {
            let Some(variable) = state.name.strip_prefix(&layer.name).and_then(|rest| rest.strip_prefix('/')) else {
                continue;
            };
            let is_seed = match state.role {
                StateRole::Trainable | StateRole::NonTrainable => false,
                StateRole::Seed => true,
                StateRole::Optimizer | StateRole::LearningRate | StateRole::Iterations | StateRole::Metric => continue,
            };
            let inner = match (layer.parts.get(variable), variable.rsplit_once('/')) {
                (Some(whole), _) => Some(whole.clone()),
                (None, None) => Some(String::new()),
                (None, Some((part, _))) => layer.parts.get(part).cloned(),
            };
            let Some(mut inner) = inner else {
                let (layer, class, state) = (layer.name.clone(), layer.class.clone(), state.name.clone());
                return Err(SavingError::Nested { layer, class, state });
            };
            if is_seed && !layer.parts.contains_key(variable) {
                inner = if inner.is_empty() { SEED.to_string() } else { format!("{inner}/{SEED}") };
            }
            let owner = if inner.is_empty() { group.clone() } else { format!("{group}/{inner}") };
            let number = numbers.entry(owner.clone()).or_insert(0);
            *number += 1;
            let key = format!("layers/{owner}/vars/{}", *number - 1);
            // Keras leaves out what can be drawn anew
            if !is_seed || weights.contains_key(&key) {
                values.insert(index, value(weights, key, layer, state)?);
            }
        }
    }
    Ok(values)
}

/// What files call the seed generator of a layer.
const SEED: &str = "seed_generator";

fn value(
    weights: &BTreeMap<String, Array>,
    key: String,
    layer: &LayerInfo,
    state: &StateTensor,
) -> Result<Array, SavingError> {
    let Some(array) = weights.get(&key) else {
        return Err(SavingError::Missing {
            key,
            layer: layer.name.clone(),
            class: layer.class.clone(),
            state: state.name.clone(),
            known: weights.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        });
    };
    let extents: Vec<i64> = array.shape().iter().map(|&extent| extent as i64).collect();
    if state.ty.dtype != array.dtype() || state.ty.constant_shape().as_ref() != Some(&extents) {
        return Err(SavingError::Mismatch {
            state: state.name.clone(),
            expected: state.ty.to_string(),
            key,
            given: format!("{}{}", array.dtype(), shape_text(array.shape())),
        });
    }
    Ok(array.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    fn file(tensors: &[(&str, &[usize])]) -> BTreeMap<String, Array> {
        let array = |shape: &[usize]| Array::zeros(DType::F32, shape).expect("small");
        tensors.iter().map(|(key, shape)| (key.to_string(), array(shape))).collect()
    }

    fn module() -> Module {
        let model = Sequential::new()
            .add(Input::new([4]))
            .add(Dense::new(3).name("hidden"))
            .add(Dense::new(2).name("out").use_bias(false));
        model.module().expect("a model")
    }

    #[test]
    fn layers_are_found_by_class_and_order() {
        let file = file(&[
            ("layers/dense/vars/0", &[4, 3]),
            ("layers/dense/vars/1", &[3]),
            ("layers/dense_1/vars/0", &[3, 2]),
            ("optimizer/vars/0", &[]),
        ]);
        let values = assign(&module(), &file).expect("it fits");
        let shapes: Vec<(usize, &[usize])> = values.iter().map(|(&index, array)| (index, array.shape())).collect();
        assert_eq!(shapes, [(0, &[4, 3][..]), (1, &[3]), (2, &[3, 2])]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let message = |tensors: &[(&str, &[usize])]| assign(&module(), &file(tensors)).expect_err("no fit").to_string();
        assert_eq!(
            message(&[("layers/dense/vars/0", &[4, 3])]),
            "the file has no `layers/dense/vars/1`, which layer `hidden` (Dense) needs for `hidden/bias`; \
             it has: layers/dense/vars/0"
        );
        assert_eq!(
            message(&[("layers/dense/vars/0", &[4, 5])]),
            "`hidden/kernel` is f32[4, 3], but `layers/dense/vars/0` in the file is f32(4, 5)"
        );
    }
}
