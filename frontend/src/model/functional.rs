//! Graphs of layers.

use crate::keras_tensor::{KerasTensor, Node, record};
use crate::layer::LayerRef;
use crate::scope::Masked;
use crate::{Error, Result, Scope};
use kc_ir::tensor::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The calls of layers between inputs and outputs.
#[derive(Clone, Debug)]
pub(crate) struct Functional {
    pub inputs: Vec<KerasTensor>,
    pub outputs: Vec<KerasTensor>,
    /// Every call once, each after those it depends on; inputs included.
    pub nodes: Vec<Arc<Node>>,
    /// What Keras puts before the names of the layers: the name of a sequential model.
    prefix: String,
    /// Every layer once, in Keras' order: by the longest way to an output, then as met from the outputs.
    pub layers: Vec<LayerRef>,
}

impl Functional {
    pub fn new(model: &str, inputs: Vec<KerasTensor>, outputs: Vec<KerasTensor>) -> Result<Functional> {
        let given: BTreeSet<u64> = inputs.iter().map(|input| input.0.node.identity).collect();
        if inputs.is_empty() || outputs.is_empty() {
            return Err(Error::model(format!(
                "model `{model}` has {} inputs and {} outputs, expected at least one of each",
                inputs.len(),
                outputs.len()
            )));
        }
        if let Some(input) = inputs.iter().find(|input| input.0.node.layer.as_input().is_none()) {
            return Err(Error::model(format!(
                "an input of model `{model}` is an output of layer `{}`, expected an `Input`",
                input.0.node.layer.base().name()
            )));
        }
        let mut walk = Walk::default();
        for output in &outputs {
            walk.visit(&output.0.node);
        }
        if let Some(missing) =
            walk.finished.iter().find(|node| node.layer.as_input().is_some() && !given.contains(&node.identity))
        {
            return Err(Error::model(format!(
                "the outputs of model `{model}` depend on the input `{}`, which is not among its inputs",
                missing.layer.base().name()
            )));
        }
        for input in &inputs {
            walk.visit(&input.0.node);
        }
        let layers = walk.layers();
        let mut names = BTreeSet::new();
        if let Some(twice) = layers.iter().find(|layer| !names.insert(layer.base().name().to_string())) {
            return Err(Error::model(format!(
                "two layers of model `{model}` are named `{}`; rename one with `.name(\"...\")`",
                twice.base().name()
            )));
        }
        let mut nodes = walk.finished;
        nodes.sort_by_key(|node| node.identity);
        Ok(Functional { inputs, outputs, nodes, prefix: String::new(), layers })
    }

    pub fn sequential(model: &str, layers: &[LayerRef]) -> Result<Functional> {
        let Some((input, rest)) = layers.split_first() else {
            return Err(Error::model(format!("model `{model}` has no layers; add some with `.add(...)`")));
        };
        let Some(input) = input.as_input() else {
            return Err(Error::model(format!(
                "model `{model}` does not know the shape of its input: make `Input::new([...])` its first layer, \
                 or call `build`; its first layer is `{}`",
                input.base().name()
            )));
        };
        let prefix = format!("{model}/");
        let input = input.tensor()?;
        let mut tensor = input.clone();
        for layer in rest {
            if layer.as_input().is_some() {
                return Err(Error::model(format!(
                    "`{}` is not the first layer of model `{model}`: an `Input` must come first",
                    layer.base().name()
                )));
            }
            let mut outputs = record(layer.clone(), vec![tensor], &prefix)?;
            tensor = match (outputs.pop(), outputs.len()) {
                (Some(output), 0) => output,
                (_, more) => {
                    return Err(Error::model(format!(
                        "layer `{}` of the sequential model `{model}` has {} outputs, expected 1",
                        layer.base().name(),
                        more + 1
                    )));
                }
            };
        }
        Ok(Functional { prefix, ..Functional::new(model, vec![input], vec![tensor])? })
    }

    /// The outputs in terms of the inputs.
    pub fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        if inputs.len() != self.inputs.len() {
            return Err(Error::model(format!("expected {} inputs, got {}", self.inputs.len(), inputs.len())));
        }
        let mut values: BTreeMap<u64, Vec<Masked>> = BTreeMap::new();
        for (tensor, &value) in self.inputs.iter().zip(inputs) {
            let mask = scope.mask_of(value);
            let value = scope.convert(tensor.dtype(), value)?;
            values.insert(tensor.0.node.identity, vec![Masked { value, mask }]);
        }
        scope.prefixed(self.prefix.clone(), |scope| {
            for node in self.nodes.iter().filter(|node| node.layer.as_input().is_none()) {
                let operands = lookup(&values, &node.inputs)?;
                let outputs = scope.call_masked(&*node.layer, &operands)?;
                values.insert(node.identity, outputs);
            }
            Ok::<(), Error>(())
        })?;
        let outputs = lookup(&values, &self.outputs)?;
        for output in &outputs {
            if let Some(mask) = output.mask {
                scope.set_mask(output.value, mask);
            }
        }
        Ok(outputs.into_iter().map(|output| output.value).collect())
    }

    /// Names of the inputs.
    pub fn input_names(&self) -> Vec<String> {
        self.inputs.iter().map(|tensor| tensor.0.node.layer.base().name().to_string()).collect()
    }

    /// Names of the outputs: those of the layers, numbered where one has several.
    pub fn output_names(&self) -> Vec<String> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut unique = |name: String| {
            let count = counts.entry(name.clone()).or_insert(0);
            *count += 1;
            if *count == 1 { name } else { format!("{name}_{}", *count - 1) }
        };
        self.outputs.iter().map(|tensor| unique(tensor.0.node.layer.base().name().to_string())).collect()
    }
}

/// The values of symbolic tensors.
fn lookup(values: &BTreeMap<u64, Vec<Masked>>, tensors: &[KerasTensor]) -> Result<Vec<Masked>> {
    let value = |tensor: &KerasTensor| {
        let known = values.get(&tensor.0.node.identity).and_then(|outputs| outputs.get(tensor.0.index));
        known.copied().ok_or_else(|| {
            Error::model(format!(
                "layer `{}` has no output {}: it must have as many in training as otherwise",
                tensor.0.node.layer.base().name(),
                tensor.0.index
            ))
        })
    };
    tensors.iter().map(value).collect()
}

/// The order in which Keras meets calls and layers from the outputs.
#[derive(Default)]
struct Walk {
    seen: BTreeSet<u64>,
    finished: Vec<Arc<Node>>,
    met: BTreeMap<u64, usize>,
}

impl Walk {
    fn visit(&mut self, node: &Arc<Node>) {
        // an explicit stack: a deep model is no reason to overflow
        let mut stack = vec![(node.clone(), 0usize)];
        while let Some((node, next)) = stack.pop() {
            if next == 0 {
                if !self.seen.insert(node.identity) {
                    continue;
                }
                let count = self.met.len();
                self.met.entry(node.layer.base().identity()).or_insert(count);
            }
            match node.inputs.get(next) {
                Some(input) => {
                    let input = input.0.node.clone();
                    stack.push((node, next + 1));
                    stack.push((input, 0));
                }
                None => self.finished.push(node),
            }
        }
    }

    fn layers(&self) -> Vec<LayerRef> {
        let mut node_depths: BTreeMap<u64, usize> = BTreeMap::new();
        let mut layer_depths: BTreeMap<u64, usize> = BTreeMap::new();
        let mut layers: BTreeMap<u64, LayerRef> = BTreeMap::new();
        for node in self.finished.iter().rev() {
            let identity = node.layer.base().identity();
            let depth =
                (*node_depths.entry(node.identity).or_insert(0)).max(*layer_depths.get(&identity).unwrap_or(&0));
            node_depths.insert(node.identity, depth);
            layer_depths.insert(identity, depth);
            layers.entry(identity).or_insert_with(|| node.layer.clone());
            for input in &node.inputs {
                let above = node_depths.entry(input.0.node.identity).or_insert(0);
                *above = (*above).max(depth + 1);
            }
        }
        let mut order: Vec<(u64, LayerRef)> = layers.into_iter().collect();
        order.sort_by_key(|(identity, _)| (std::cmp::Reverse(layer_depths[identity]), self.met[identity]));
        order.into_iter().map(|(_, layer)| layer).collect()
    }
}
