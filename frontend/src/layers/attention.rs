//! Attention of several heads.

use super::Axes;
use super::quantized::{self, Equation, Of};
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::keras_tensor::IntoShape;
use crate::layer::{arguments, base, passes_masks};
use crate::{Base, Config, Error, Layer, Result, Scope, shape_text};
use kc_ir::tensor::composites::{DotProductAttention, Dropout};
use kc_ir::tensor::ops::{Binary, Compare, DotGeneral, Iota, Unary};
use kc_ir::tensor::{Real, Value};
use kc_ir::{DType, Dim, TensorType};
use serde_json::json;

/// Projects queries, keys and values to several heads, lets each query position take the mean of the values by
/// `softmax(queries . keys / sqrt(key_dim))`, and projects the heads' results. `keras.layers.MultiHeadAttention`.
///
/// It is called on the query and the value, then the key where that is not the value, then a mask of dtype bool where there is one:
/// `mha.call([&query, &value])`, `mha.call([&query, &value, &key, &mask])`. A mask `(batch, T, S)` says which of the `S` positions
/// each of the `T` positions attends to; missing axes are repeated. With `return_attention_scores(true)` there are two outputs.
#[derive(Clone, Debug)]
pub struct MultiHeadAttention {
    base: Base,
    num_heads: i64,
    key_dim: i64,
    value_dim: Option<i64>,
    dropout: f64,
    use_bias: bool,
    output_shape: Option<Vec<Dim>>,
    attention_axes: Option<Axes>,
    sliding_window: Option<i64>,
    kernel_initializer: Initializer,
    bias_initializer: Initializer,
    kernel_constraint: Constraint,
    bias_constraint: Constraint,
    use_gate: bool,
    seed: Option<u32>,
    use_causal_mask: bool,
    return_attention_scores: bool,
}

impl MultiHeadAttention {
    /// So many heads, each of `key_dim` features of queries and keys.
    #[track_caller]
    pub fn new(num_heads: i64, key_dim: i64) -> Self {
        MultiHeadAttention {
            base: Base::new("MultiHeadAttention"),
            num_heads,
            key_dim,
            value_dim: None,
            dropout: 0.0,
            use_bias: true,
            output_shape: None,
            attention_axes: None,
            sliding_window: None,
            kernel_initializer: Initializer::from("glorot_uniform"),
            bias_initializer: Initializer::Zeros,
            kernel_constraint: Constraint::None,
            bias_constraint: Constraint::None,
            use_gate: false,
            seed: None,
            use_causal_mask: false,
            return_attention_scores: false,
        }
    }

    arguments! {
        /// Features of each head's values (default: `key_dim`).
        value_dim: Option<i64>,
        /// The fraction of attention probabilities that training sets to zero (default: 0).
        dropout: f64,
        /// Whether the projections add biases (default: yes).
        use_bias: bool,
        /// How far from its own position a query attends: less than so many positions (default: any distance).
        sliding_window: Option<i64>,
        /// How the kernels start (default: `"glorot_uniform"`).
        kernel_initializer: Initializer,
        /// How the biases start (default: `"zeros"`).
        bias_initializer: Initializer,
        /// What the kernels are held to (default: nothing).
        kernel_constraint: Constraint,
        /// What the biases are held to (default: nothing).
        bias_constraint: Constraint,
        /// Whether the heads' results are multiplied by a sigmoid of a projection of the query (default: no).
        use_gate: bool,
        /// The seed of dropout (default: drawn when the layer is built).
        seed: Option<u32>,
        /// Whether a position attends only to those that are not after it (default: no). An argument of the call in Keras.
        use_causal_mask: bool,
        /// Whether the probabilities `(batch, heads, T, S)` are a second output (default: no). An argument of the call in Keras.
        return_attention_scores: bool,
    }

    /// The shape of the output behind the query's other axes (default: the query's features).
    pub fn output_shape(mut self, output_shape: impl IntoShape) -> Self {
        self.output_shape = Some(output_shape.into_shape());
        self
    }

    /// The axes along which positions attend to each other (default: all but the batch and the features).
    pub fn attention_axes(mut self, attention_axes: impl Into<Axes>) -> Self {
        self.attention_axes = Some(attention_axes.into());
        self
    }

    fn check(&self) -> Result<()> {
        let value_dim = self.value_dim.unwrap_or(self.key_dim);
        for (argument, given) in [
            ("num_heads", self.num_heads),
            ("key_dim", self.key_dim),
            ("value_dim", value_dim),
            ("sliding_window", self.sliding_window.unwrap_or(1)),
        ] {
            if i32::try_from(given).is_err() || given < 1 {
                let most = i32::MAX;
                return Err(Error::model(format!("`{argument}` is {given}, expected a number from 1 to {most}")));
            }
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::model(format!("`dropout` is {}, expected 0 or more, below 1", self.dropout)));
        }
        Ok(())
    }

    /// The shape behind the query's other axes.
    fn output_extents(&self, query: &TensorType) -> Result<Vec<i64>> {
        let shape = match &self.output_shape {
            Some(shape) => shape.as_slice(),
            None => &query.shape[query.rank() - 1..],
        };
        let known: Option<Vec<i64>> = shape.iter().map(Dim::as_constant).collect();
        known
            .filter(|extents| !extents.is_empty() && extents.iter().all(|&extent| extent > 0))
            .ok_or_else(|| Error::model(format!("`output_shape` is {}, expected known extents", shape_text(shape))))
    }

    /// The kernel and bias of a projection of tensors with so many axes before those that it contracts.
    fn add_projection(&self, scope: &mut Scope, name: &str, before: usize, from: &[i64], to: &[i64]) -> Result<()> {
        scope.part(self, name, |scope| self.add_weights(scope, name, before, from, to))
    }

    fn add_weights(&self, scope: &mut Scope, name: &str, before: usize, from: &[i64], to: &[i64]) -> Result<()> {
        let kernel: Vec<i64> = from.iter().chain(to).copied().collect();
        let (kernel_name, bias_name) = (format!("{name}/kernel"), format!("{name}/bias"));
        let initializer = self.base.initializer_of_part(&kernel_name, &self.kernel_initializer);
        let initializer = initializer.counting((0..from.len()).collect(), (from.len()..kernel.len()).collect());
        let bias_initializer = self.base.initializer_of_part(&bias_name, &self.bias_initializer);
        let along = Of((0..from.len() as i64).collect());
        let quantized = scope.quantization().is_some();
        if quantized {
            quantized::add_values(scope, &kernel_name, &kernel, &initializer, &along)?;
        } else {
            scope.add_constrained_weight(&kernel_name, &kernel, &initializer, &self.kernel_constraint)?;
        }
        if self.use_bias {
            scope.add_constrained_weight(&bias_name, to, &bias_initializer, &self.bias_constraint)?;
        }
        if quantized {
            let scale = [&vec![1; before], to].concat();
            quantized::add_scale(scope, (&kernel_name, &kernel), &scale, &initializer, &along)?;
        }
        Ok(())
    }

    /// The contraction of the last axes with a kernel, plus its bias.
    fn project(&self, scope: &mut Scope, name: &str, x: Value, axes: usize) -> Result<Value> {
        scope.part(self, name, |scope| self.projected(scope, name, x, axes))
    }

    fn projected(&self, scope: &mut Scope, name: &str, x: Value, axes: usize) -> Result<Value> {
        let x = scope.narrowed(x)?;
        let kernel_name = format!("{name}/kernel");
        let kernel = scope.variable(&kernel_name)?;
        let (ty, kernel_ty) = (scope.tensor_type(x).clone(), scope.tensor_type(kernel).clone());
        let first = ty.rank() - axes;
        if ty.shape[first..] != kernel_ty.shape[..axes] {
            return Err(Error::model(format!(
                "the {name}'s shape is {}, but the layer was built for {} features",
                shape_text(&ty.shape),
                shape_text(&kernel_ty.shape[..axes])
            )));
        }
        let y = if scope.quantization().is_some() {
            let equation = Equation::contracting(ty.rank(), axes, kernel_ty.rank() - axes);
            quantized::contraction(scope, &kernel_name, x, equation)?
        } else {
            let kernel = scope.weight(&kernel_name)?;
            let (lhs_contract, rhs_contract) = ((first..ty.rank()).collect(), (0..axes).collect());
            scope.add(DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract, rhs_contract }, &[x, kernel])?
        };
        if !self.use_bias {
            return Ok(y);
        }
        let bias = scope.weight(&format!("{name}/bias"))?;
        Ok(scope.binary(Binary::Add, y, bias)?)
    }
}

/// The inputs by name.
struct Inputs<T> {
    query: T,
    value: T,
    key: T,
    mask: Option<T>,
}

fn named<T: Clone>(inputs: &[T], ty: impl Fn(&T) -> TensorType) -> Result<Inputs<T>> {
    let (tensors, mask) = match inputs.split_last() {
        Some((last, others)) if others.len() > 1 && ty(last).dtype == DType::Bool => (others, Some(last.clone())),
        _ => (inputs, None),
    };
    let (query, value, key) = match tensors {
        [query, value] => (query, value, value),
        [query, value, key] => (query, value, key),
        _ => {
            return Err(Error::model(format!(
                "expected the query and the value, then the key and a mask of dtype bool where there are some; got {} inputs",
                inputs.len()
            )));
        }
    };
    let [q, v, k] = [query, value, key].map(&ty);
    let rank = q.rank();
    if rank < 3 || v.rank() != rank || k.rank() != rank || v.shape[1..rank - 1] != k.shape[1..rank - 1] {
        return Err(Error::model(format!(
            "the shapes of query, value and key are {}, {} and {}, expected (batch, positions, features), \
             those of value and key equal up to the features",
            shape_text(&q.shape),
            shape_text(&v.shape),
            shape_text(&k.shape)
        )));
    }
    Ok(Inputs { query: query.clone(), value: value.clone(), key: key.clone(), mask })
}

/// A mask `(batch, T, S)` of what the masks of query, value and key keep, and of a given one.
fn padding_mask(scope: &mut Scope, tensors: [Value; 3], given: Option<Value>) -> Result<Option<Value>> {
    let mut all = given;
    for (position, tensor) in tensors.into_iter().enumerate() {
        let Some(mask) = scope.mask_of(tensor) else { continue };
        let mut shape = scope.tensor_type(mask).shape.clone();
        shape.insert(if position == 0 { shape.len() } else { shape.len() - 1 }, Dim::constant(1));
        let mask = scope.reshape(mask, &shape)?;
        all = Some(match all {
            Some(all) => scope.binary(Binary::And, all, mask)?,
            None => mask,
        });
    }
    Ok(all)
}

/// Which axes of `(batch, ..., heads, features)` are attended along: those between batch and heads, others first.
struct Layout {
    others: Vec<usize>,
    attended: Vec<usize>,
}

impl Layout {
    /// Of queries whose rank before the projection is `rank`.
    fn new(axes: &Option<Axes>, query: &TensorType) -> Result<Layout> {
        let rank = query.rank();
        let attended = match axes {
            None => (1..rank - 1).collect(),
            Some(axes) => axes.of(query, "attention_axes")?,
        };
        if attended.iter().any(|&axis| axis == 0 || axis == rank - 1) {
            return Err(Error::model(format!(
                "`attention_axes` are {attended:?}, expected axes of {} between the batch and the features",
                shape_text(&query.shape)
            )));
        }
        Ok(Layout { others: (1..rank - 1).filter(|axis| !attended.contains(axis)).collect(), attended })
    }

    fn order(&self) -> Vec<usize> {
        let inner = self.others.len() + self.attended.len();
        [0].into_iter()
            .chain(self.others.iter().copied())
            .chain(self.attended.iter().copied())
            .chain([inner + 1, inner + 2])
            .collect()
    }

    /// `(batch, positions, heads, features)`.
    fn joined(&self, scope: &mut Scope, x: Value) -> Result<Value> {
        let moved = scope.transpose(x, &self.order())?;
        let shape = scope.tensor_type(moved).shape.clone();
        let (batch, rest) = shape.split_at(1 + self.others.len());
        let (positions, rest) = rest.split_at(self.attended.len());
        let joined = [batch.iter().cloned().product(), positions.iter().cloned().product()];
        Ok(scope.reshape(moved, &joined.into_iter().chain(rest.iter().cloned()).collect::<Vec<_>>())?)
    }

    /// The opposite, for a result of queries of that shape.
    fn parted(&self, scope: &mut Scope, y: Value, query: &[Dim]) -> Result<Value> {
        let order = self.order();
        let features = scope.tensor_type(y).shape[3].clone();
        let mut shape: Vec<Dim> = order.iter().map(|&axis| query[axis].clone()).collect();
        shape.pop();
        shape.push(features);
        let parted = scope.reshape(y, &shape)?;
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, &axis)| back[axis] = place);
        Ok(scope.transpose(parted, &back)?)
    }

    /// The shape of the scores: `(batch, others, heads, positions of the query, positions of the key)`.
    fn scores(&self, query: &[Dim], key: &[Dim]) -> Vec<Dim> {
        let of = |shape: &[Dim], axes: &[usize]| axes.iter().map(|&axis| shape[axis].clone()).collect::<Vec<_>>();
        let heads = vec![query[query.len() - 2].clone()];
        [vec![query[0].clone()], of(query, &self.others), heads, of(query, &self.attended), of(key, &self.attended)]
            .concat()
    }
}

impl MultiHeadAttention {
    /// The mask `(1, T, S)` of the positions along the first axis that `keeps` finds in their rows and columns.
    fn position_mask(
        scope: &mut Scope,
        (query, value): (&TensorType, &TensorType),
        keeps: impl FnOnce(&mut Scope, Value, Value) -> Result<Value>,
    ) -> Result<Value> {
        let shape = vec![Dim::constant(1), query.shape[1].clone(), value.shape[1].clone()];
        let ty = TensorType { dtype: DType::I32, shape };
        let row = scope.add(Iota { ty: ty.clone(), axis: 1 }, &[])?;
        let column = scope.add(Iota { ty, axis: 2 }, &[])?;
        keeps(scope, row, column)
    }

    /// All masks but that of an attention which is causal itself, with unit axes where the scores have more.
    fn mask(
        &self,
        scope: &mut Scope,
        given: Option<Value>,
        types: (&TensorType, &TensorType),
        layout: &Layout,
        scores: &[Dim],
    ) -> Result<Option<Value>> {
        let mut masks: Vec<Value> = given.into_iter().collect();
        if self.use_causal_mask && scores.len() != 4 {
            masks.push(Self::position_mask(scope, types, |scope, row, column| {
                Ok(scope.compare(Compare::GreaterEqual, row, column)?)
            })?);
        }
        if let Some(window) = self.sliding_window {
            masks.push(Self::position_mask(scope, types, |scope, row, column| {
                let distance = scope.binary(Binary::Subtract, row, column)?;
                let distance = scope.unary(Unary::Abs, distance)?;
                let window = scope.splat_like(kc_ir::tensor::Scalar::Int(window.into()), distance)?;
                Ok(scope.compare(Compare::Less, distance, window)?)
            })?);
        }
        let mut all: Option<Value> = None;
        for mask in masks {
            all = Some(match all {
                Some(all) => scope.binary(Binary::And, all, mask)?,
                None => mask,
            });
        }
        let Some(mask) = all else { return Ok(None) };
        let shape = scope.tensor_type(mask).shape.clone();
        let behind = 2 * layout.attended.len();
        let wrong = || {
            Error::model(format!(
                "the mask's shape is {}, which cannot be broadcast to the scores' shape {}",
                shape_text(&shape),
                shape_text(scores)
            ))
        };
        if shape.len() < behind || shape.len() > scores.len() {
            return Err(wrong());
        }
        let (front, back) = shape.split_at(shape.len() - behind);
        let missing = vec![Dim::constant(1); scores.len() - shape.len()];
        let full: Vec<Dim> = [front, &missing, back].concat();
        if !full.iter().zip(scores).all(|(mask, score)| mask == score || mask.is(1)) {
            return Err(wrong());
        }
        let mut mask = scope.reshape(mask, &full)?;
        if scores.len() != 4 {
            let (k, parts) = (layout.attended.len(), scores.len());
            let joined = |dims: &[Dim]| dims.iter().cloned().product::<Dim>();
            let heads = 1 + layout.others.len();
            mask = scope.broadcast_to(mask, scores)?;
            let shape = [
                joined(&scores[..heads]),
                scores[heads].clone(),
                joined(&scores[heads + 1..parts - k]),
                joined(&scores[parts - k..]),
            ];
            mask = scope.reshape(mask, &shape)?;
        }
        Ok(Some(mask))
    }
}

impl Layer for MultiHeadAttention {
    base!();
    passes_masks!();

    fn build(&self, scope: &mut Scope, inputs: &[TensorType]) -> Result<()> {
        self.check()?;
        let Inputs { query, value, key, .. } = named(inputs, TensorType::clone)?;
        let features = |ty: &TensorType| {
            ty.shape[ty.rank() - 1].as_constant().ok_or_else(|| {
                Error::model(format!("the number of features in the shape {} is not known", shape_text(&ty.shape)))
            })
        };
        let value_dim = self.value_dim.unwrap_or(self.key_dim);
        let before = query.rank() - 1;
        self.add_projection(scope, "query", before, &[features(&query)?], &[self.num_heads, self.key_dim])?;
        self.add_projection(scope, "key", before, &[features(&key)?], &[self.num_heads, self.key_dim])?;
        if self.use_gate {
            self.add_projection(scope, "gate", before, &[features(&query)?], &[self.num_heads, value_dim])?;
        }
        self.add_projection(scope, "value", before, &[features(&value)?], &[self.num_heads, value_dim])?;
        let seed = (self.dropout > 0.0).then(|| match self.seed {
            Some(seed) => seed.into(),
            None => self.base.seed_of_part("dropout"),
        });
        let (heads, output) = ([self.num_heads, value_dim], self.output_extents(&query)?);
        self.add_projection(scope, "attention_output", before, &heads, &output)?;
        seed.map_or(Ok(()), |seed| scope.add_seed_generator(&seed))
    }

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let Inputs { query, value, key, mask } = named(inputs, |&value| scope.tensor_type(value).clone())?;
        let mask = padding_mask(scope, [query, value, key], mask)?;
        let [query, value, key] = [scope.float(query)?, scope.float(value)?, scope.float(key)?];
        let types = [query, value].map(|value| scope.tensor_type(value).clone());
        let layout = Layout::new(&self.attention_axes, &types[0])?;
        let gate = match self.use_gate {
            true => {
                let gate = self.project(scope, "gate", query, 1)?;
                Some(scope.unary(Unary::Logistic, gate)?)
            }
            false => None,
        };
        let [query, key, value] = [
            self.project(scope, "query", query, 1)?,
            self.project(scope, "key", key, 1)?,
            self.project(scope, "value", value, 1)?,
        ];
        // a map of policies may have them differ
        let dtypes = [query, key, value].map(|projected| scope.tensor_type(projected).dtype);
        let widest = if dtypes.iter().all(|&dtype| dtype == dtypes[0]) { dtypes[0] } else { DType::F32 };
        let [query, key, value] =
            [scope.convert(widest, query)?, scope.convert(widest, key)?, scope.convert(widest, value)?];
        let shape = scope.tensor_type(query).shape.clone();
        let scores_shape = layout.scores(&shape, &scope.tensor_type(key).shape.clone());
        let mask = self.mask(scope, mask, (&types[0], &types[1]), &layout, &scores_shape)?;
        let mut operands = vec![];
        for tensor in [query, key, value] {
            operands.push(layout.joined(scope, tensor)?);
        }
        operands.extend(mask);
        let dropped = scope.training() && self.dropout > 0.0;
        let mut attention = DotProductAttention {
            scale: Real(1.0 / (self.key_dim as f64).sqrt()),
            causal: self.use_causal_mask && scores_shape.len() == 4,
            bias: false,
            mask: mask.is_some(),
            // as Keras, which then masks a softmax
            zero_excluded: self.dropout > 0.0 || self.return_attention_scores || scores_shape.len() != 4,
            dropout: Real(0.0),
        };
        let mut outputs = vec![];
        let y = if self.return_attention_scores {
            let probabilities = attention.probabilities(scope, &operands)?;
            let probabilities = scope.convert(widest, probabilities)?;
            outputs.push(scope.reshape(probabilities, &scores_shape)?);
            let probabilities = match dropped {
                true => {
                    let seed = scope.draw_seed()?;
                    scope.add(Dropout { rate: Real(self.dropout) }, &[probabilities, seed])?
                }
                false => probabilities,
            };
            let op = DotGeneral {
                lhs_batch: vec![0, 1],
                rhs_batch: vec![0, 2],
                lhs_contract: vec![3],
                rhs_contract: vec![1],
            };
            let y = scope.add(op, &[probabilities, operands[2]])?;
            scope.transpose(y, &[0, 2, 1, 3])?
        } else {
            if dropped {
                attention.dropout = Real(self.dropout);
                operands.push(scope.draw_seed()?);
            }
            let tuple = scope.add(attention, &operands)?;
            scope.projection(tuple, 0)?
        };
        let y = layout.parted(scope, y, &shape)?;
        let y = match gate {
            Some(gate) => {
                let gate = scope.convert(widest, gate)?;
                scope.binary(Binary::Multiply, y, gate)?
            }
            None => y,
        };
        outputs.insert(0, self.project(scope, "attention_output", y, 2)?);
        Ok(outputs)
    }

    fn quantizes(&self) -> bool {
        true
    }

    fn parts(&self) -> Vec<(String, String)> {
        [
            ("query", "query_dense"),
            ("key", "key_dense"),
            ("gate", "_gate_dense"),
            ("value", "value_dense"),
            ("attention_output", "output_dense"),
            ("seed_generator_state", "_dropout_layer/seed_generator"),
        ]
        .map(|(part, attribute)| (part.to_string(), attribute.to_string()))
        .into()
    }

    fn config(&self) -> Config {
        let extents = |shape: &Vec<Dim>| shape.iter().map(Dim::as_constant).collect::<Vec<_>>();
        Config::from([
            ("num_heads".into(), json!(self.num_heads)),
            ("key_dim".into(), json!(self.key_dim)),
            ("value_dim".into(), json!(self.value_dim.unwrap_or(self.key_dim))),
            ("dropout".into(), json!(self.dropout)),
            ("use_bias".into(), json!(self.use_bias)),
            ("use_gate".into(), json!(self.use_gate)),
            ("output_shape".into(), json!(self.output_shape.as_ref().map(extents))),
            ("attention_axes".into(), self.attention_axes.as_ref().map_or(json!(null), Axes::config)),
            ("sliding_window".into(), json!(self.sliding_window)),
            ("seed".into(), json!(self.seed)),
        ])
    }
}
