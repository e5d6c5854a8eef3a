//! Which tensor of a file is which state tensor of a model.

use super::SavingError;
use crate::base::snake_case;
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
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for layer in &module.model.layers {
        let class = snake_case(&layer.class);
        let count = counts.entry(class.clone()).or_insert(0);
        *count += 1;
        let group = if *count == 1 { class } else { format!("{class}_{}", *count - 1) };
        let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
        for (index, state) in module.state.iter().enumerate() {
            let Some(variable) = state.name.strip_prefix(&layer.name).and_then(|rest| rest.strip_prefix('/')) else {
                continue;
            };
            let inner = match variable.split_once('/') {
                None => Some(group.clone()),
                Some((part, _)) => attribute(&layer.class, part).map(|attribute| format!("{group}/{attribute}")),
            };
            let Some(inner) = inner else {
                let (layer, class, state) = (layer.name.clone(), layer.class.clone(), state.name.clone());
                return Err(SavingError::Nested { layer, class, state });
            };
            let key = match state.role {
                StateRole::Trainable | StateRole::NonTrainable => {
                    let number = numbers.entry(inner.clone()).or_insert(0);
                    *number += 1;
                    format!("layers/{inner}/vars/{}", *number - 1)
                }
                // Keras leaves out what can be drawn anew
                StateRole::Seed => {
                    let part =
                        attribute(&layer.class, "dropout").map_or(String::new(), |attribute| format!("{attribute}/"));
                    let key = format!("layers/{group}/{part}seed_generator/vars/0");
                    if !weights.contains_key(&key) {
                        continue;
                    }
                    key
                }
                StateRole::Optimizer | StateRole::LearningRate | StateRole::Iterations | StateRole::Metric => continue,
            };
            values.insert(index, value(weights, key, layer, state)?);
        }
    }
    Ok(values)
}

/// What Keras calls a part of a layer in files.
fn attribute(class: &str, part: &str) -> Option<&'static str> {
    Some(match (class, part) {
        ("MultiHeadAttention", "query") => "query_dense",
        ("MultiHeadAttention", "key") => "key_dense",
        ("MultiHeadAttention", "gate") => "_gate_dense",
        ("MultiHeadAttention", "value") => "value_dense",
        ("MultiHeadAttention", "attention_output") => "output_dense",
        ("MultiHeadAttention", "dropout") => "_dropout_layer",
        _ => return None,
    })
}

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
