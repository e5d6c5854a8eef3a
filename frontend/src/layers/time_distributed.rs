use crate::layer::{IntoLayer, LayerRef, base, one_input, parts_of, passes_masks};
use crate::{Base, Config, Error, Layer, Result, Scope, shape_text};
use kc_ir::Dim;
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::{Concatenate, Slice};
use serde_json::json;

/// A layer called on each time step: `(batch, time, ..)`, of which the number of steps must be known. `keras.layers.TimeDistributed`.
#[derive(Clone, Debug)]
pub struct TimeDistributed {
    base: Base,
    layer: LayerRef,
}

impl TimeDistributed {
    /// That layer, with the same weights for all steps.
    #[track_caller]
    pub fn new(layer: impl IntoLayer) -> Self {
        TimeDistributed { base: Base::new("TimeDistributed"), layer: layer.into_layer() }
    }
}

impl Layer for TimeDistributed {
    base!();
    passes_masks!();

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = one_input(inputs)?;
        let shape = scope.tensor_type(x).shape.clone();
        let steps = shape.get(1).and_then(Dim::as_constant).filter(|&steps| shape.len() > 2 && steps > 0);
        let steps = steps.ok_or_else(|| {
            Error::model(format!(
                "the input's shape is {}, expected (batch, time, ..) with a known number of steps",
                shape_text(&shape)
            ))
        })?;
        let of_step = [&shape[..1], &shape[2..]].concat();
        let mut rows = Vec::new();
        for step in 0..steps {
            let (mut start, mut limit) = (vec![Dim::constant(0); shape.len()], shape.clone());
            (start[1], limit[1]) = (Dim::constant(step), Dim::constant(step + 1));
            let element = scope.add(Slice { start, limit, stride: vec![1; shape.len()] }, &[x])?;
            let element = scope.reshape(element, &of_step)?;
            let outputs = scope.call(&*self.layer, &[element])?;
            let output = one_input(&outputs).map_err(|_| {
                Error::model(format!(
                    "the layer `{}` has {} outputs, expected 1",
                    self.layer.base().name(),
                    outputs.len()
                ))
            })?;
            let mut shape = scope.tensor_type(output).shape.clone();
            shape.insert(shape.len().min(1), Dim::constant(1));
            rows.push(scope.reshape(output, &shape)?);
        }
        Ok(vec![scope.add(Concatenate { axis: 1 }, &rows)?])
    }

    fn inside(&self) -> Vec<&dyn Layer> {
        vec![&*self.layer]
    }

    fn parts(&self) -> Vec<(String, String)> {
        parts_of("layer", &*self.layer)
    }

    fn config(&self) -> Config {
        let layer = &self.layer;
        Config::from([("layer".into(), json!({ "class_name": layer.base().class(), "config": layer.config() }))])
    }
}
