//! Composites, each as likely as every other.

use super::{Generator, Made};
use kc_ir::tensor::composites::*;
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{Op, Real, TypeError, Value};
use kc_ir::{DType, Dim, TensorType};

const ACTIVATIONS: [Activation; 5] =
    [Activation::Identity, Activation::Relu, Activation::Logistic, Activation::Tanh, Activation::Gelu];

impl Generator {
    /// One of all composites, of values that suit it.
    pub(super) fn composite(&mut self) -> Made {
        let names: Vec<String> = Composite::names().collect();
        let name = self.random.pick(&names);
        self.composite_of(&name)
    }

    fn composite_of(&mut self, name: &str) -> Made {
        let real = |this: &mut Self, numbers: &[f64]| Real(this.random.pick(numbers));
        let elementwise: Option<Op> = match name {
            "relu" => Some(Relu {}.into()),
            "gelu" => Some(Gelu {}.into()),
            "gelu_tanh" => Some(GeluTanh {}.into()),
            "silu" => Some(Silu {}.into()),
            "relu6" => Some(Relu6 {}.into()),
            "leaky_relu" => Some(LeakyRelu { negative_slope: real(self, &[0.0, 0.25]) }.into()),
            "elu" => Some(Elu { alpha: real(self, &[1.0, 0.5]) }.into()),
            "selu" => Some(Selu {}.into()),
            "celu" => Some(Celu { alpha: real(self, &[1.0, 0.5]) }.into()),
            "softplus" => Some(Softplus {}.into()),
            "log_sigmoid" => Some(LogSigmoid {}.into()),
            "softsign" => Some(Softsign {}.into()),
            "mish" => Some(Mish {}.into()),
            "squareplus" => Some(Squareplus { b: real(self, &[4.0, 1.0]) }.into()),
            "sparse_plus" => Some(SparsePlus {}.into()),
            "sparse_sigmoid" => Some(SparseSigmoid {}.into()),
            "hard_sigmoid" => Some(HardSigmoid {}.into()),
            "hard_silu" => Some(HardSilu {}.into()),
            "hard_tanh" => Some(HardTanh {}.into()),
            "hard_shrink" => Some(HardShrink { threshold: real(self, &[0.5, 1.0]) }.into()),
            "soft_shrink" => Some(SoftShrink { threshold: real(self, &[0.5, 1.0]) }.into()),
            "tanh_shrink" => Some(TanhShrink {}.into()),
            "threshold" => {
                Some(Threshold { threshold: real(self, &[0.0, 0.5]), default_value: real(self, &[0.0, -1.0]) }.into())
            }
            _ => None,
        };
        if let Some(op) = elementwise {
            let Some(x) = self.any_float() else { return Ok(None) };
            return self.builder.add(op, &[x]).map(Some);
        }
        match name {
            "random_uniform" | "random_normal" | "truncated_normal" | "random_integers" => self.random_numbers(name),
            "threefry" | "fold_in" | "split_key" => self.random_words(name),
            "sgd_update" | "adam_step_size" | "adam_update" => self.update(name),
            "dense" => self.dense(),
            "convolution_bias" => self.convolution_bias(),
            "winograd_filters" => self.winograd_filters(),
            "winograd_convolution" => self.winograd_convolution(),
            "dot_product_attention" | "dot_product_attention_gradient" => self.attention(name),
            "solve" | "inverse" | "determinant" | "log_determinant" | "pseudo_inverse" => self.of_matrix(name),
            _ => self.along_axes(name),
        }
    }

    /// One of the results of an op, the first most often.
    fn result_of(&mut self, op: impl Into<Op>, operands: &[Value]) -> Made {
        let value = self.builder.add(op, operands)?;
        let parts = self.builder.projections(value)?;
        let place = if self.random.chance(70) { 0 } else { self.random.below(parts.len()) };
        let others = parts.iter().copied().enumerate().filter(|(other, _)| *other != place).map(|(_, part)| part);
        let others: Vec<Value> = others.filter(|&part| self.is_small(part)).collect();
        if self.random.chance(50) {
            self.pool.extend(others);
        }
        Ok(Some(parts[place]))
    }

    /// A key of random numbers.
    pub(super) fn key(&mut self) -> Result<Value, TypeError> {
        let ty = TensorType::new(DType::U32, [2i64]);
        match self.any_where(|other| *other == ty) {
            Some(key) => Ok(key),
            None => self.parameter(ty),
        }
    }

    /// x^2 + 1/2
    pub(super) fn positive(&mut self, x: Value) -> Result<Value, TypeError> {
        let square = self.builder.binary(Binary::Multiply, x, x)?;
        let half = self.builder.splat_like(0.5, square)?;
        self.builder.binary(Binary::Add, square, half)
    }

    /// What normalises, compares or draws along axes of a value.
    fn along_axes(&mut self, name: &str) -> Made {
        let Some(x) = self.any_where(|ty| ty.dtype.is_float() && ty.rank() > 0) else { return Ok(None) };
        let ty = self.ty(x);
        let axis = self.random.below(ty.rank());
        let axes = self.some_axes(ty.rank());
        let (scale, center) = (self.random.chance(60), self.random.chance(60));
        let epsilon = Real(self.random.pick(&[1e-3, 1e-5]));
        let over = |axes: &[usize]| TensorType {
            dtype: ty.dtype,
            shape: axes.iter().map(|&axis| ty.shape[axis].clone()).collect(),
        };
        let vectors = usize::from(scale) + usize::from(center);
        match name {
            "glu" => {
                let even = (0..ty.rank()).find(|&axis| ty.shape[axis].as_constant().is_some_and(|n| n % 2 == 0));
                let Some(axis) = even else { return Ok(None) };
                self.builder.add(Glu { axis }, &[x]).map(Some)
            }
            "log_sum_exp" => self.builder.add(LogSumExp { axes }, &[x]).map(Some),
            "softmax" => self.builder.add(Softmax { axis }, &[x]).map(Some),
            "log_softmax" => self.builder.add(LogSoftmax { axis }, &[x]).map(Some),
            "sparsemax" => self.builder.add(Sparsemax { axis }, &[x]).map(Some),
            "softmax_gradient" => {
                let probabilities = self.builder.add(Softmax { axis }, &[x])?;
                let cotangent = self.of_type(&ty)?;
                self.builder.add(SoftmaxGradient { axis }, &[probabilities, cotangent]).map(Some)
            }
            "categorical_cross_entropy"
            | "categorical_cross_entropy_gradient"
            | "categorical_cross_entropy_with_gradient" => self.cross_entropy(name, x, axis),
            "binary_cross_entropy" => {
                let scores = self.random.pick(&[Scores::Probabilities, Scores::Logits, Scores::ClippedLogits]);
                let target = self.of_type(&ty)?;
                let x = if scores == Scores::Probabilities { self.builder.unary(Unary::Logistic, x)? } else { x };
                self.builder.add(BinaryCrossEntropy { scores }, &[target, x]).map(Some)
            }
            "batch_norm_train" => {
                let mut operands = vec![x];
                for _ in 0..vectors {
                    operands.push(self.of_type(&over(&[axis]))?);
                }
                self.result_of(BatchNormTrain { axis, epsilon, scale, center }, &operands)
            }
            "batch_norm_infer" => {
                let mean = self.of_type(&over(&[axis]))?;
                let spread = self.of_type(&over(&[axis]))?;
                let mut operands = vec![x, mean, self.positive(spread)?];
                for _ in 0..vectors {
                    operands.push(self.of_type(&over(&[axis]))?);
                }
                self.builder.add(BatchNormInfer { axis, epsilon, scale, center }, &operands).map(Some)
            }
            "layer_norm" => {
                let mut operands = vec![x];
                for _ in 0..vectors {
                    operands.push(self.of_type(&over(&axes))?);
                }
                self.result_of(LayerNorm { axes, epsilon, scale, center }, &operands)
            }
            "rms_norm" => {
                let mut operands = vec![x];
                if scale {
                    operands.push(self.of_type(&over(&axes))?);
                }
                self.result_of(RmsNorm { axes, epsilon, scale }, &operands)
            }
            "dropout" => {
                let rate = Real(self.random.pick(&[0.0, 0.25, 0.5, 1.0]));
                let key = self.key()?;
                self.builder.add(Dropout { rate }, &[x, key]).map(Some)
            }
            "shuffle" => {
                let key = self.key()?;
                self.builder.add(Shuffle { axis }, &[x, key]).map(Some)
            }
            "random_classes" => {
                let dtype = self.random.pick(&[DType::I32, DType::I64]);
                let (key, count) = (self.key()?, self.random.between(1, 3));
                self.builder.add(RandomClasses { dtype, count }, &[x, key]).map(Some)
            }
            // a loop for each element
            "random_gamma" | "random_beta" => {
                if ty.elements().evaluate(&|_| Some(17)).is_none_or(|elements| elements > 40) {
                    return Ok(None);
                }
                let (alpha, key) = (self.positive(x)?, self.key()?);
                if name == "random_gamma" {
                    return self.builder.add(RandomGamma {}, &[alpha, key]).map(Some);
                }
                let beta = self.of_type(&ty)?;
                let beta = self.positive(beta)?;
                self.builder.add(RandomBeta {}, &[alpha, beta, key]).map(Some)
            }
            "random_binomial" => {
                if ty.elements().evaluate(&|_| Some(17)).is_none_or(|elements| elements > 40) {
                    return Ok(None);
                }
                // of few expected successes and of many
                let trials = self.positive(x)?;
                let scale = self.builder.splat_like(self.random.pick(&[1.0, 32.0]), trials)?;
                let trials = self.builder.binary(Binary::Multiply, trials, scale)?;
                let probability = self.of_type(&ty)?;
                let probability = self.builder.unary(Unary::Logistic, probability)?;
                let dtype = self.random.pick(&[DType::F32, DType::F32, DType::F64, DType::F16, DType::Bf16]);
                let key = self.key()?;
                self.builder.add(RandomBinomial { dtype }, &[trials, probability, key]).map(Some)
            }
            other => Err(TypeError::new(other, "no random graph has this composite; add it to the generator")),
        }
    }

    fn cross_entropy(&mut self, name: &str, x: Value, axis: usize) -> Made {
        let ty = self.ty(x);
        let scores = self.random.pick(&[Scores::Probabilities, Scores::Logits, Scores::ClippedLogits]);
        let sparse = self.random.chance(50);
        let mut rows = ty.clone();
        rows.shape.remove(axis);
        let x = if scores == Scores::Probabilities { self.builder.unary(Unary::Logistic, x)? } else { x };
        let target = match sparse {
            true => {
                let dtype = self.random.pick(&[DType::I32, DType::I64, DType::U8]);
                self.of_type(&TensorType { dtype, ..rows.clone() })?
            }
            false => self.of_type(&ty)?,
        };
        let loss = CategoricalCrossEntropy { axis, sparse, scores };
        match name {
            "categorical_cross_entropy" => self.builder.add(loss, &[target, x]).map(Some),
            "categorical_cross_entropy_gradient" => {
                let cotangent = self.of_type(&rows)?;
                self.builder.add(CategoricalCrossEntropyGradient { loss }, &[target, x, cotangent]).map(Some)
            }
            _ => self.result_of(CategoricalCrossEntropyWithGradient { loss }, &[target, x]),
        }
    }

    fn random_numbers(&mut self, name: &str) -> Made {
        let key = self.key()?;
        let x = self.any();
        let shape = self.ty(x).shape;
        let dtype = self.random.pick(&[DType::F32, DType::F32, DType::F64, DType::F16, DType::Bf16]);
        match name {
            "random_uniform" => {
                let (low, high) = (Real(self.random.pick(&[0.0, -1.0])), Real(1.0));
                self.builder.add(RandomUniform { dtype, shape, low, high }, &[key]).map(Some)
            }
            "random_normal" => self.builder.add(RandomNormal { dtype, shape }, &[key]).map(Some),
            "truncated_normal" => self.builder.add(TruncatedNormal { dtype, shape }, &[key]).map(Some),
            _ => {
                let dtype = self.random.pick(&[DType::I32, DType::I64, DType::I8, DType::U16]);
                let of = self.random.pick(&[DType::I32, DType::I64]);
                let low = self.builder.splat(of, 0, &[])?;
                let high = self.of_type(&TensorType::scalar(of))?;
                self.builder.add(RandomIntegers { dtype, shape }, &[key, low, high]).map(Some)
            }
        }
    }

    fn random_words(&mut self, name: &str) -> Made {
        let key = self.key()?;
        match name {
            "split_key" => {
                let count = self.random.between(1, 4);
                self.builder.add(SplitKey { count }, &[key]).map(Some)
            }
            "fold_in" => {
                let number = self.of_type(&TensorType::scalar(DType::U32))?;
                self.builder.add(FoldIn {}, &[key, number]).map(Some)
            }
            _ => {
                let x = self.any();
                let ty = TensorType { dtype: DType::U32, shape: self.ty(x).shape };
                let operands = [key, self.of_type(&ty)?, self.of_type(&ty)?];
                self.result_of(Threefry {}, &operands)
            }
        }
    }

    fn update(&mut self, name: &str) -> Made {
        let Some(x) = self.any_float() else { return Ok(None) };
        let ty = self.ty(x);
        let rate = self.of_type(&TensorType::scalar(ty.dtype))?;
        let gradient = self.of_type(&ty)?;
        match name {
            "sgd_update" => {
                let momentum = Real(self.random.pick(&[0.0, 0.5]));
                let mut operands = vec![x, gradient, rate];
                if momentum.0 > 0.0 {
                    operands.push(self.of_type(&ty)?);
                }
                let nesterov = momentum.0 > 0.0 && self.random.chance(50);
                self.result_of(SgdUpdate { momentum, nesterov }, &operands)
            }
            "adam_step_size" => {
                let iterations = self.of_type(&TensorType::scalar(DType::I64))?;
                let op = AdamStepSize { beta_1: Real(0.9), beta_2: Real(0.999) };
                self.builder.add(op, &[rate, iterations]).map(Some)
            }
            _ => {
                let amsgrad = self.random.chance(40);
                let (first, second) = (self.of_type(&ty)?, self.of_type(&ty)?);
                let mut operands = vec![x, gradient, first, self.positive(second)?];
                if amsgrad {
                    let largest = self.of_type(&ty)?;
                    operands.push(self.positive(largest)?);
                }
                operands.push(rate);
                let op = AdamUpdate { beta_1: Real(0.5), beta_2: Real(0.75), epsilon: Real(1e-3), amsgrad };
                self.result_of(op, &operands)
            }
        }
    }

    fn dense(&mut self) -> Made {
        let Some(x) = self.any_where(|ty| ty.dtype.is_float() && ty.rank() >= 2) else { return Ok(None) };
        let ty = self.ty(x);
        let columns = self.extent();
        let inner = ty.shape[ty.rank() - 1].clone();
        let kernel = self.of_type(&TensorType { dtype: ty.dtype, shape: vec![inner, columns.clone()] })?;
        let bias = self.of_type(&TensorType { dtype: ty.dtype, shape: vec![columns] })?;
        let contraction = DotGeneral {
            lhs_batch: vec![],
            rhs_batch: vec![],
            lhs_contract: vec![ty.rank() - 1],
            rhs_contract: vec![0],
        };
        let activation = self.random.pick(&ACTIVATIONS);
        self.builder.add(Dense { contraction, activation }, &[x, kernel, bias]).map(Some)
    }

    fn convolution_bias(&mut self) -> Made {
        let suits = |ty: &TensorType| ty.dtype.is_float() && (3..=4).contains(&ty.rank());
        let Some(x) = self.any_where(suits) else { return Ok(None) };
        let ty = self.ty(x);
        let spatial = ty.rank() - 2;
        let mut kernel: Vec<Dim> = (0..spatial).map(|_| Dim::constant(self.random.between(1, 3))).collect();
        let channels = self.extent();
        kernel.extend([ty.shape[ty.rank() - 1].clone(), channels.clone()]);
        let kernel = self.of_type(&TensorType { dtype: ty.dtype, shape: kernel })?;
        let bias = self.of_type(&TensorType { dtype: ty.dtype, shape: vec![channels] })?;
        let convolution = Convolution {
            axes: ConvolutionAxes::channels_last(spatial),
            strides: vec![self.random.between(1, 2); spatial],
            padding: vec![(self.random.between(0, 1), 1); spatial],
            lhs_dilation: vec![1; spatial],
            rhs_dilation: vec![1; spatial],
            feature_groups: 1,
            batch_groups: 1,
        };
        let activation = self.random.pick(&ACTIVATIONS);
        self.builder.add(ConvolutionBias { convolution, activation }, &[x, kernel, bias]).map(Some)
    }

    /// Filters `[3, 3, channels, features]`, transformed.
    fn winograd_filters(&mut self) -> Made {
        let dtype = self.random.pick(&[DType::F32, DType::F64]);
        let [three, channels, features] = [Dim::constant(3), self.extent(), self.extent()];
        let filters = self.of_type(&TensorType { dtype, shape: vec![three.clone(), three, channels, features] })?;
        self.builder.add(WinogradFilters {}, &[filters]).map(Some)
    }

    fn winograd_convolution(&mut self) -> Made {
        let suits = |ty: &TensorType| matches!(ty.dtype, DType::F32 | DType::F64) && ty.rank() == 4;
        let Some(x) = self.any_where(suits) else { return Ok(None) };
        let ty = self.ty(x);
        let (panels, width) = (self.random.between(1, 2), self.random.between(1, 4));
        let shape = vec![Dim::constant(16), Dim::constant(panels), ty.shape[3].clone(), Dim::constant(width)];
        let filters = self.of_type(&TensorType { dtype: ty.dtype, shape })?;
        let features = self.random.between(1, panels * width);
        let padding = [(); 2].map(|()| (self.random.between(1, 2), self.random.between(1, 2)));
        self.builder.add(WinogradConvolution { padding, features }, &[x, filters]).map(Some)
    }

    /// Queries, keys and values `[B, T, N, H]`, often of one value.
    fn attention(&mut self, name: &str) -> Made {
        let query = match self.any_where(|ty| ty.rank() == 4 && ty.dtype.is_float()) {
            Some(query) => query,
            None => {
                let batch = self.ty(self.pool[0]).shape.first().cloned().unwrap_or(Dim::constant(1));
                let (rows, heads) = (self.extent(), Dim::constant(self.random.between(1, 3)));
                let dtype = self.random.pick(&[DType::F32, DType::F32, DType::F32, DType::F64, DType::Bf16]);
                let depth = Dim::constant(self.random.pick(&[1, 3, 8, 16]));
                self.parameter(TensorType { dtype, shape: vec![batch, rows, heads, depth] })?
            }
        };
        let ty = self.ty(query);
        let own = self.random.chance(40);
        let rows = if own { ty.shape[1].clone() } else { self.extent() };
        let mut other = ty.clone();
        other.shape[1] = rows.clone();
        let key = if own { query } else { self.of_type(&other)? };
        if self.random.chance(30) {
            other.shape[3] = Dim::constant(self.random.pick(&[1, 4, 8]));
        }
        let value = self.of_type(&other)?;
        let scores = [ty.shape[0].clone(), ty.shape[2].clone(), ty.shape[1].clone(), rows];
        let mut operands = vec![query, key, value];
        let (bias, mask) = (self.random.chance(30), self.random.chance(30));
        for (there, dtype) in [(bias, ty.dtype), (mask, DType::Bool)] {
            if there {
                let first = self.random.pick(&[0, 0, 2]);
                let extent =
                    |this: &mut Self, dim: &Dim| if this.random.chance(30) { Dim::constant(1) } else { dim.clone() };
                let shape = scores[first..].iter().map(|dim| extent(self, dim)).collect();
                operands.push(self.of_type(&TensorType { dtype, shape })?);
            }
        }
        let dropout = Real(self.random.pick(&[0.0, 0.0, 0.0, 0.25]));
        if dropout.0 > 0.0 {
            operands.push(self.key()?);
        }
        let attention = DotProductAttention {
            scale: Real(self.random.pick(&[1.0, 0.5])),
            causal: self.random.chance(40),
            bias,
            mask,
            zero_excluded: self.random.chance(30),
            dropout,
        };
        if name == "dot_product_attention" {
            return self.result_of(attention, &operands);
        }
        let tuple = self.builder.add(attention.clone(), &operands)?;
        let parts = self.builder.projections(tuple)?;
        let cotangent = self.of_type(&self.ty(parts[0]))?;
        let product = self.builder.binary(Binary::Multiply, parts[0], cotangent)?;
        let sums = self.builder.reduce(Reduction::Sum, &[3], product)?;
        let mut sums = self.builder.transpose(sums, &[0, 2, 1])?;
        let dtype = self.ty(parts[1]).dtype;
        if self.ty(sums).dtype != dtype {
            sums = self.builder.convert(dtype, sums)?;
        }
        operands.extend([parts[1], parts[2], sums, cotangent]);
        self.result_of(DotProductAttentionGradient { attention }, &operands)
    }

    fn of_matrix(&mut self, name: &str) -> Made {
        let Some(matrix) = self.positive_definite()? else { return Ok(None) };
        match name {
            "solve" => {
                let mut ty = self.ty(matrix);
                if let Some(columns) = ty.shape.last_mut() {
                    *columns = Dim::constant(self.random.between(1, 5));
                }
                let right = self.of_type(&ty)?;
                self.builder.add(Solve {}, &[matrix, right]).map(Some)
            }
            "inverse" => self.builder.add(Inverse {}, &[matrix]).map(Some),
            "determinant" => self.builder.add(Determinant {}, &[matrix]).map(Some),
            "log_determinant" => self.result_of(LogDeterminant {}, &[matrix]),
            _ => self.builder.add(PseudoInverse { rcond: Real(1e-6) }, &[matrix]).map(Some),
        }
    }
}
