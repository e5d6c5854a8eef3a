//! The lowering of each op.

use super::write::{Ssa, Writer, dim, dims, list, names, tensor_of, tensor_type, types};
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{Graph, Op, Scalar, Type, TypeError};
use kc_ir::{DType, Dim, TensorType};

impl Writer {
    /// The lines of a graph whose parameters have these values; its results.
    pub(super) fn graph(&mut self, graph: &Graph, arguments: &[Ssa]) -> Result<Vec<Ssa>, TypeError> {
        let mut values: Vec<Vec<Ssa>> = Vec::with_capacity(graph.nodes.len());
        let outer = self.place();
        for node in &graph.nodes {
            self.set_place(node.op.operation().name(), node.location.clone().or_else(|| outer.1.clone()));
            values.push(match &node.op {
                Op::Parameter(parameter) => vec![arguments[parameter.index].clone()],
                Op::Projection(projection) => vec![values[node.operands[0].index()][projection.index].clone()],
                op => {
                    let operands: Vec<Ssa> =
                        node.operands.iter().map(|operand| values[operand.index()][0].clone()).collect();
                    let types = match &node.ty {
                        Type::Tensor(ty) => vec![ty.clone()],
                        Type::Tuple(types) => types.clone(),
                    };
                    self.op(op, &operands, types)?
                }
            });
        }
        self.set_place(outer.0, outer.1);
        Ok(graph.results.iter().map(|result| values[result.index()][0].clone()).collect())
    }

    /// The lines of an op; its results, which have these types.
    fn op(&mut self, op: &Op, operands: &[Ssa], types: Vec<TensorType>) -> Result<Vec<Ssa>, TypeError> {
        let ty = || types[0].clone();
        Ok(vec![match op {
            Op::Constant(constant) => self.constant(&constant.value),
            Op::Iota(iota) => {
                let body = format!("stablehlo.iota dim = {} : {}", iota.axis, tensor_type(&iota.ty));
                self.assign(ty(), &body)
            }
            Op::Dimension(dimension) => {
                let extent = self.extent(&dimension.dim, DType::I64);
                self.convert(&extent, dimension.dtype)
            }
            Op::Unary(function) => self.unary(*function, &operands[0])?,
            Op::Binary(function) => self.binary(*function, operands),
            Op::Compare(function) => self.compare(*function, &operands[0], &operands[1]),
            Op::Select(_) => self.select(&operands[0], &operands[1], &operands[2]),
            Op::Convert(convert) => self.convert_values(&operands[0], convert.dtype),
            Op::BitcastConvert(_) => self.typed("bitcast_convert", operands, "", ty()),
            Op::Broadcast(broadcast) => self.broadcast(&operands[0], &broadcast.shape, &broadcast.axes),
            Op::Reshape(_) => self.typed("reshape", operands, "", ty()),
            Op::Transpose(transpose) => {
                self.typed("transpose", operands, &format!("dims = [{}]", list(&transpose.permutation)), ty())
            }
            Op::Slice(slice) => self.slice(slice, &operands[0], ty()),
            Op::Pad(pad) => {
                let attributes = format!(
                    "low = [{}], high = [{}], interior = [{}]",
                    list(&pad.low),
                    list(&pad.high),
                    list(&pad.interior)
                );
                self.typed("pad", operands, &attributes, ty())
            }
            Op::Reverse(reverse) => {
                let body = format!(
                    "stablehlo.reverse {}, dims = [{}] : {}",
                    operands[0].name,
                    list(&reverse.axes),
                    tensor_type(&operands[0].ty)
                );
                self.assign(ty(), &body)
            }
            Op::Concatenate(concatenate) => {
                self.typed("concatenate", operands, &format!("dim = {}", concatenate.axis), ty())
            }
            Op::Gather(gather) => self.gather(gather, &operands[0], &operands[1], ty()),
            Op::Scatter(scatter) => self.scatter(scatter, operands)?,
            Op::Reduce(reduce) => self.reduce(reduce, &operands[0], ty()),
            Op::ArgReduce(reduce) => self.arg_reduce(reduce, &operands[0], ty())?,
            Op::Cumulative(cumulative) => self.cumulative(cumulative, &operands[0])?,
            Op::DotGeneral(dot) => self.dot(dot, operands, ty()),
            Op::Convolution(convolution) => self.convolution(convolution, operands, ty()),
            Op::ReduceWindow(reduce) => self.reduce_window(reduce.kind, &reduce.window, &operands[0], ty())?,
            Op::SelectAndScatter(scatter) => self.select_and_scatter(&scatter.window, operands)?,
            Op::Sort(sort) => return self.sort(sort, operands),
            Op::TopK(top) => return self.top_k(top, &operands[0], &types),
            Op::CustomCall(call) => return self.custom_call(call.function, operands, &types),
            Op::OptimizationBarrier(_) => {
                let (names, types) = (names(operands), super::write::types(operands));
                // of several operands there are as many results
                self.assign_first(ty(), operands.len(), &format!("stablehlo.optimization_barrier {names} : {types}"))
            }
            Op::Cond(cond) => return self.cond(cond, operands, &types),
            Op::While(this) => return self.while_loop(this, operands, &types),
            Op::Scan(scan) => return self.scan(scan, operands, &types),
            Op::Parameter(_)
            | Op::Projection(_)
            | Op::Composite(_)
            | Op::Gradient(_)
            | Op::StopGradient(_)
            | Op::RandomBits(_)
            | Op::Recurrence(_)
            | Op::Remat(_)
            | Op::CustomGradient(_) => {
                let name = op.operation().name();
                return Err(TypeError::new(name, "it must be expanded before it is written as StableHLO"));
            }
        }])
    }

    fn unary(&mut self, function: Unary, x: &Ssa) -> Result<Ssa, TypeError> {
        let name = match function {
            Unary::Negate => "negate",
            Unary::Abs if x.ty.dtype.is_unsigned_integer() => return Ok(x.clone()),
            Unary::Abs => "abs",
            Unary::Sign if x.ty.dtype.is_unsigned_integer() => {
                let one = self.splat_like(x, Scalar::Int(1));
                return Ok(self.same("minimum", &[x.clone(), one]));
            }
            Unary::Sign => "sign",
            Unary::Exp => "exponential",
            Unary::Expm1 => "exponential_minus_one",
            Unary::Log => "log",
            Unary::Log1p => "log_plus_one",
            Unary::Sqrt => "sqrt",
            Unary::Rsqrt => "rsqrt",
            Unary::Cbrt => "cbrt",
            Unary::Sin => "sine",
            Unary::Cos => "cosine",
            Unary::Tan => "tan",
            Unary::Tanh => "tanh",
            Unary::Logistic => "logistic",
            Unary::Floor => "floor",
            Unary::Ceil => "ceil",
            Unary::RoundEven => "round_nearest_even",
            Unary::IsFinite => {
                let ty = TensorType { dtype: DType::Bool, shape: x.ty.shape.clone() };
                return Ok(self.typed("is_finite", std::slice::from_ref(x), "", ty));
            }
            Unary::Not => "not",
            Unary::PopulationCount => "popcnt",
            Unary::CountLeadingZeros => "count_leading_zeros",
            Unary::Asin
            | Unary::Acos
            | Unary::Atan
            | Unary::Sinh
            | Unary::Cosh
            | Unary::Asinh
            | Unary::Acosh
            | Unary::Atanh
            | Unary::Erf
            | Unary::Erfc
            | Unary::ErfInv
            | Unary::Lgamma
            | Unary::Digamma
            | Unary::Trunc => {
                return Err(TypeError::new(function.text(), "it must be expanded before it is written as StableHLO"));
            }
        };
        Ok(self.same(name, std::slice::from_ref(x)))
    }

    fn binary(&mut self, function: Binary, operands: &[Ssa]) -> Ssa {
        let name = match function {
            Binary::Add => "add",
            Binary::Subtract => "subtract",
            Binary::Multiply => "multiply",
            Binary::Divide => "divide",
            Binary::Remainder => "remainder",
            Binary::Power => "power",
            Binary::Maximum => "maximum",
            Binary::Minimum => "minimum",
            Binary::Atan2 => "atan2",
            Binary::And => "and",
            Binary::Or => "or",
            Binary::Xor => "xor",
            Binary::ShiftLeft => "shift_left",
            Binary::ShiftRight if operands[0].ty.dtype.is_signed_integer() => "shift_right_arithmetic",
            Binary::ShiftRight => "shift_right_logical",
        };
        self.same(name, operands)
    }

    /// Floats to integers are cut off at the ends of the range, which XLA does not promise.
    fn convert_values(&mut self, x: &Ssa, dtype: DType) -> Ssa {
        if dtype == DType::Bool && x.ty.dtype != DType::Bool {
            let zero = self.splat_like(x, if x.ty.dtype.is_float() { Scalar::Float(0.0) } else { Scalar::Int(0) });
            return self.compare(Compare::NotEqual, x, &zero);
        }
        self.convert(x, dtype)
    }

    pub(super) fn slice(&mut self, slice: &Slice, x: &Ssa, ty: TensorType) -> Ssa {
        let ranges = (0..slice.start.len()).map(|axis| {
            let range = format!("{}:{}", dim(&slice.start[axis]), dim(&slice.limit[axis]));
            if slice.stride[axis] == 1 { range } else { format!("{range}:{}", slice.stride[axis]) }
        });
        let body =
            format!("stablehlo.slice {} [{}] : ({}) -> {}", x.name, list(ranges), tensor_type(&x.ty), tensor_type(&ty));
        self.assign(ty, &body)
    }

    /// The name of the op that combines two elements.
    pub(super) fn reducer(kind: Reduction) -> &'static str {
        match kind {
            Reduction::Sum => "add",
            Reduction::Product => "multiply",
            Reduction::Max => "maximum",
            Reduction::Min => "minimum",
        }
    }

    /// The dtype in which sums and products of a dtype are taken.
    pub(super) fn accumulator(kind: Reduction, dtype: DType) -> DType {
        match kind {
            Reduction::Sum | Reduction::Product if matches!(dtype, DType::F16 | DType::Bf16) => DType::F32,
            _ => dtype,
        }
    }

    fn reduce(&mut self, reduce: &Reduce, x: &Ssa, ty: TensorType) -> Ssa {
        let wide = Self::accumulator(reduce.kind, ty.dtype);
        let operand = self.convert(x, wide);
        let neutral = self.neutral(reduce.kind, wide);
        let wide_ty = TensorType { dtype: wide, shape: ty.shape.clone() };
        let body = format!(
            "stablehlo.reduce({} init: {}) applies stablehlo.{} across dimensions = [{}] : ({}, {}) -> {}",
            operand.name,
            neutral.name,
            Self::reducer(reduce.kind),
            list(&reduce.axes),
            tensor_type(&operand.ty),
            tensor_type(&neutral.ty),
            tensor_type(&wide_ty)
        );
        let reduced = self.assign(wide_ty, &body);
        self.convert(&reduced, ty.dtype)
    }

    /// Products of halves are summed in f32.
    fn product_type(&self, ty: &TensorType) -> TensorType {
        TensorType { dtype: Self::accumulator(Reduction::Sum, ty.dtype), shape: ty.shape.clone() }
    }

    fn dot(&mut self, dot: &DotGeneral, operands: &[Ssa], ty: TensorType) -> Ssa {
        let batch = if dot.lhs_batch.is_empty() {
            String::new()
        } else {
            format!("batching_dims = [{}] x [{}], ", list(&dot.lhs_batch), list(&dot.rhs_batch))
        };
        let attributes =
            format!("{batch}contracting_dims = [{}] x [{}]", list(&dot.lhs_contract), list(&dot.rhs_contract));
        let wide = self.product_type(&ty);
        let product = self.typed("dot_general", operands, &attributes, wide);
        self.convert(&product, ty.dtype)
    }

    fn convolution(&mut self, convolution: &Convolution, operands: &[Ssa], ty: TensorType) -> Ssa {
        let part = |axes: &[usize], names: [&str; 2]| {
            let name = |axis: usize| match axes.iter().position(|&a| a == axis) {
                Some(part @ (0 | 1)) => names[part].to_string(),
                part => part.map_or(String::new(), |part| (part - 2).to_string()),
            };
            list((0..axes.len()).map(name))
        };
        let pairs = |pairs: &[(i64, i64)]| list(pairs.iter().map(|(low, high)| format!("[{low}, {high}]")));
        let spatial = convolution.strides.len();
        let wide = self.product_type(&ty);
        let body = format!(
            "stablehlo.convolution({}) dim_numbers = [{}]x[{}]->[{}], window = {{stride = [{}], pad = [{}], \
             lhs_dilate = [{}], rhs_dilate = [{}], reverse = [{}]}} {{batch_group_count = {} : i64, \
             feature_group_count = {} : i64}} : ({}) -> {}",
            names(operands),
            part(&convolution.axes.lhs, ["b", "f"]),
            part(&convolution.axes.rhs, ["o", "i"]),
            part(&convolution.axes.out, ["b", "f"]),
            list(&convolution.strides),
            pairs(&convolution.padding),
            list(&convolution.lhs_dilation),
            list(&convolution.rhs_dilation),
            list(vec![false; spatial]),
            convolution.batch_groups,
            convolution.feature_groups,
            types(operands),
            tensor_type(&wide)
        );
        let result = self.assign(wide, &body);
        self.convert(&result, ty.dtype)
    }

    /// Real and imaginary parts as one complex value: its name and type.
    pub(super) fn complex(&mut self, parts: &[Ssa]) -> (String, String) {
        let ty = tensor_of(&parts[0].ty.shape, &format!("complex<{}>", super::write::element(parts[0].ty.dtype)));
        (self.assign_other(&format!("stablehlo.complex {} : {ty}", names(parts))), ty)
    }

    /// A window of a tensor of one position on the leading axis, without that axis.
    pub(super) fn element_at(&mut self, sequence: &Ssa, position: &Ssa) -> Ssa {
        let rank = sequence.ty.rank();
        let zero = self.scalar(position.ty.dtype, Scalar::Int(0));
        let mut operands = vec![sequence.clone(), position.clone()];
        operands.extend(vec![zero; rank - 1]);
        let shape = sequence.ty.shape[1..].to_vec();
        let mut sizes = vec![Dim::constant(1)];
        sizes.extend(shape.iter().cloned());
        let ty = TensorType { dtype: sequence.ty.dtype, shape: sizes.clone() };
        let window = self.typed("dynamic_slice", &operands, &format!("sizes = [{}]", dims(&sizes)), ty);
        self.typed("reshape", &[window], "", TensorType { dtype: sequence.ty.dtype, shape })
    }

    /// A tensor with another element at a position of the leading axis.
    pub(super) fn with_element_at(&mut self, stacked: &Ssa, element: &Ssa, position: &Ssa) -> Ssa {
        let rank = stacked.ty.rank();
        let zero = self.scalar(position.ty.dtype, Scalar::Int(0));
        let mut shape = vec![Dim::constant(1)];
        shape.extend(element.ty.shape.iter().cloned());
        let window =
            self.typed("reshape", std::slice::from_ref(element), "", TensorType { dtype: element.ty.dtype, shape });
        let mut operands = vec![stacked.clone(), window, position.clone()];
        operands.extend(vec![zero; rank - 1]);
        self.typed("dynamic_update_slice", &operands, "", stacked.ty.clone())
    }
}
