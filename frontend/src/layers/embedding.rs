//! Vectors for numbers.

use super::quantized::{self, Of};
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layer::{arguments, base, one_input};
use crate::regularizers::Regularizer;
use crate::{Base, Config, Error, Layer, Result, Scope};
use kc_ir::tensor::ops::{Compare, GatherMode};
use kc_ir::tensor::{Scalar, Value};
use kc_ir::{DType, Dim, TensorType};
use serde_json::json;

/// A vector for each integer, a row of a table that is trained: `(batch, ..)` becomes `(batch, .., output_dim)`. Integers below 0
/// count from the table's end; what lies outside of it is NaN. `keras.layers.Embedding`.
#[derive(Clone, Debug)]
pub struct Embedding {
    base: Base,
    input_dim: usize,
    output_dim: usize,
    embeddings_initializer: Initializer,
    embeddings_regularizer: Regularizer,
    embeddings_constraint: Constraint,
    mask_zero: bool,
}

impl Embedding {
    /// A table of `input_dim` vectors of `output_dim` numbers.
    #[track_caller]
    pub fn new(input_dim: usize, output_dim: usize) -> Self {
        Embedding {
            base: Base::new("Embedding"),
            input_dim,
            output_dim,
            embeddings_initializer: Initializer::from("uniform"),
            embeddings_regularizer: Regularizer::None,
            embeddings_constraint: Constraint::None,
            mask_zero: false,
        }
    }

    arguments! {
        /// How the table `[input_dim, output_dim]` starts (default: `"uniform"`).
        embeddings_initializer: Initializer,
        /// What the table adds to the loss (default: nothing), a [`Regularizer`] or its name.
        embeddings_regularizer: Regularizer,
        /// What the table is held to (default: nothing), a [`Constraint`] or its name.
        embeddings_constraint: Constraint,
        /// Whether 0 stands for padding, which the layers behind are to leave out (default: no).
        mask_zero: bool,
    }
}

impl Layer for Embedding {
    base!();

    /// Numbers of rows are no numbers to round.
    fn autocast(&self) -> bool {
        false
    }

    fn build(&self, scope: &mut Scope, _inputs: &[TensorType]) -> Result<()> {
        let (rows, columns) = (self.input_dim, self.output_dim);
        let [rows, columns] = [("input_dim", rows), ("output_dim", columns)].map(|(argument, given)| {
            i32::try_from(given).ok().filter(|&extent| extent > 0).map(i64::from).ok_or_else(|| {
                Error::model(format!("`{argument}` is {given}, expected a number from 1 to {}", i32::MAX))
            })
        });
        let (initializer, constraint) = (&self.embeddings_initializer, &self.embeddings_constraint);
        let table = [rows?, columns?];
        if scope.quantization().is_some() {
            let along = Of(vec![-1]);
            quantized::add_values(scope, "embeddings", &table, initializer, &along)?;
            return quantized::add_scale(scope, ("embeddings", &table), &table[..1], initializer, &along);
        }
        scope.add_constrained_weight("embeddings", &table, initializer, constraint)?;
        scope.regularize("embeddings", &self.embeddings_regularizer)
    }

    fn quantizes(&self) -> bool {
        true
    }

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let mut positions = one_input(inputs)?;
        if !matches!(scope.tensor_type(positions).dtype, DType::I32 | DType::I64) {
            positions = scope.convert(DType::I32, positions)?;
        }
        if scope.quantization().is_some() {
            return Ok(vec![quantized::rows(scope, "embeddings", positions)?]);
        }
        let table = scope.weight("embeddings")?;
        let positions = scope.from_end(positions, &Dim::constant(self.input_dim as i64))?;
        let rows = scope.take(table, positions, 0, GatherMode::Invalid)?;
        Ok(vec![scope.narrowed(rows)?])
    }

    fn compute_mask(
        &self,
        scope: &mut Scope,
        inputs: &[Value],
        _masks: &[Option<Value>],
    ) -> Result<Vec<Option<Value>>> {
        if !self.mask_zero {
            return Ok(Vec::new());
        }
        let positions = one_input(inputs)?;
        let zero = match scope.tensor_type(positions).dtype.is_float() {
            true => Scalar::Float(0.0),
            false => Scalar::Int(0),
        };
        let zero = scope.splat_like(zero, positions)?;
        Ok(vec![Some(scope.compare(Compare::NotEqual, positions, zero)?)])
    }

    fn config(&self) -> Config {
        Config::from([
            ("input_dim".into(), json!(self.input_dim)),
            ("output_dim".into(), json!(self.output_dim)),
            ("mask_zero".into(), json!(self.mask_zero)),
        ])
    }
}
