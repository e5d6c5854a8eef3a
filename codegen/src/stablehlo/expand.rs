//! Rewrites a graph into the ops that StableHLO has: composites and scopes become their bodies, random bits the rounds of threefry,
//! recurrences loops, functions that StableHLO lacks formulas.

use super::{functions, matrices};
use kc_ir::tensor::composites::Threefry;
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{Builder, Graph, Literal, Op, Region, Scalar, TypeError, Value, express, integer_range};
use kc_ir::{DType, Dim, TensorType};
use kc_passes::simplify;

/// The expanded graph. Parameters and results stay as they are.
pub(super) fn expand(graph: &Graph) -> Result<Graph, TypeError> {
    Ok(simplify(&expand_graph(graph)?))
}

fn expand_graph(graph: &Graph) -> Result<Graph, TypeError> {
    let mut b = Builder::new();
    let mut parameters = Vec::with_capacity(graph.parameters.len());
    for &value in &graph.parameters {
        let Op::Parameter(parameter) = &graph.node(value).op else { continue };
        parameters.push(b.parameter(&parameter.name, parameter.ty.clone())?);
    }
    let results = expand_body(&mut b, graph, &parameters)?;
    Ok(b.finish(results))
}

/// Adds the expanded ops of a graph of these operands; its results.
fn expand_body(b: &mut Builder, graph: &Graph, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
    let outer = b.set_location(None);
    let mut values: Vec<Vec<Value>> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        b.set_location(node.location.clone().or_else(|| outer.clone()));
        let inner: Vec<Value> = node.operands.iter().map(|operand| values[operand.index()][0]).collect();
        values.push(match &node.op {
            Op::Parameter(parameter) => vec![operands[parameter.index]],
            Op::Projection(projection) => vec![values[node.operands[0].index()][projection.index]],
            op => expand_op(b, op, &inner)?,
        });
    }
    b.set_location(outer);
    Ok(graph.results.iter().map(|result| values[result.index()][0]).collect())
}

fn expand_op(b: &mut Builder, op: &Op, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
    Ok(vec![match op {
        Op::Composite(composite) => {
            let types: Vec<_> = operands.iter().map(|&operand| b.graph().node(operand).ty.clone()).collect();
            let body = composite.body_graph(&types.iter().collect::<Vec<_>>())?;
            return expand_body(b, &body, operands);
        }
        Op::StopGradient(_) => operands[0],
        Op::Remat(remat) => return expand_body(b, remat.body.graph(), operands),
        Op::CustomGradient(custom) => {
            let mut results = expand_body(b, custom.value.graph(), operands)?;
            results.truncate(custom.results);
            return Ok(results);
        }
        Op::Unary(function) => functions::unary(b, *function, operands[0])?,
        Op::Binary(Binary::Power) if b.tensor_type(operands[0]).dtype.is_integer() => {
            functions::integer_power(b, operands[0], operands[1])?
        }
        Op::DotGeneral(dot) if matches!(b.tensor_type(operands[0]).dtype, DType::F16 | DType::Bf16) => {
            matrix_product(b, dot, operands[0], operands[1])?
        }
        Op::RandomBits(random) => {
            let bits = random_bits(b, random, operands[0])?;
            return expand_body(b, &bits, operands);
        }
        Op::Recurrence(recurrence) => recurrence_as_scan(b, recurrence, operands[0], operands[1])?,
        Op::Convolution(_) if operands.iter().any(|&x| b.tensor_type(x).shape.iter().any(|extent| extent.is(0))) => {
            // of nothing; XLA takes no window without elements
            let value = b.add(op.clone(), operands)?;
            let ty = b.tensor_type(value).clone();
            b.splat(ty.dtype, if ty.dtype.is_float() { Scalar::Float(0.0) } else { Scalar::Int(0) }, &ty.shape)?
        }
        Op::Scatter(scatter) if scatter.windows.index_map.is_empty() => {
            scatter_everywhere(b, scatter, operands[0], operands[1], operands[2])?
        }
        Op::SelectAndScatter(scatter) => scatter_windows(b, &scatter.window, operands[0], operands[1])?,
        Op::CustomCall(call) => {
            if let Some(results) = matrices::factors(b, call.function, operands)? {
                return Ok(results);
            }
            let value = b.add(op.clone(), operands)?;
            return b.projections(value);
        }
        Op::Gradient(_) => return Err(TypeError::new("gradient", "must be differentiated before it is written")),
        Op::Cond(_) | Op::While(_) | Op::Scan(_) => {
            let value = b.add(op.map_graphs(expand_graph)?, operands)?;
            return b.projections(value);
        }
        Op::Parameter(_)
        | Op::Constant(_)
        | Op::Iota(_)
        | Op::Dimension(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select(_)
        | Op::Convert(_)
        | Op::BitcastConvert(_)
        | Op::Broadcast(_)
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Slice(_)
        | Op::Pad(_)
        | Op::Reverse(_)
        | Op::Concatenate(_)
        | Op::Gather(_)
        | Op::Scatter(_)
        | Op::Reduce(_)
        | Op::ArgReduce(_)
        | Op::Cumulative(_)
        | Op::DotGeneral(_)
        | Op::Convolution(_)
        | Op::ReduceWindow(_)
        | Op::Sort(_)
        | Op::TopK(_)
        | Op::Projection(_)
        | Op::OptimizationBarrier(_) => {
            let value = b.add(op.clone(), operands)?;
            return b.projections(value);
        }
    }])
}

/// The bits as a graph of the key: the words of the blocks of the elements' numbers, combined.
fn random_bits(b: &Builder, random: &RandomBits, key: Value) -> Result<Graph, TypeError> {
    let mut body = Builder::new();
    let key = body.parameter("key", b.tensor_type(key).clone())?;
    let elements: Dim = random.shape.iter().cloned().product();
    let few = elements.as_constant().is_some_and(|elements| elements <= i64::from(u32::MAX));
    let bits = express(&mut body, |scope| {
        let numbers = |dtype| {
            let ty = TensorType { dtype, shape: vec![elements.clone()] };
            scope.op(Iota { ty, axis: 0 }, &[])
        };
        let (high, low) = if few {
            let low = numbers(DType::U32);
            (low.zeros_like(), low)
        } else {
            let numbers = numbers(DType::U64);
            let high = numbers.shift_right(scope.scalar(DType::U64, Scalar::Int(32)));
            (high.convert(DType::U32), numbers.convert(DType::U32))
        };
        let [x, y] = scope.ops(Threefry {}, &[scope.tensor(key), high, low]);
        x.xor(y).reshape(&random.shape).value()
    })?;
    Ok(body.finish(vec![bits]))
}

/// A loop over the axis, which carries the last result. Halves are computed in f32.
fn recurrence_as_scan(
    b: &mut Builder,
    recurrence: &Recurrence,
    factor: Value,
    addend: Value,
) -> Result<Value, TypeError> {
    let ty = b.tensor_type(factor).clone();
    let wide = if matches!(ty.dtype, DType::F16 | DType::Bf16) { DType::F32 } else { ty.dtype };
    // the axis first
    let order: Vec<usize> =
        [recurrence.axis].into_iter().chain((0..ty.rank()).filter(|&axis| axis != recurrence.axis)).collect();
    let mut back = vec![0; ty.rank()];
    order.iter().enumerate().for_each(|(place, &axis)| back[axis] = place);
    let mut sequences = Vec::with_capacity(2);
    for value in [factor, addend] {
        let value = b.convert(wide, value)?;
        sequences.push(b.transpose(value, &order)?);
    }
    let shape = b.tensor_type(sequences[0]).shape.clone();
    let element = TensorType { dtype: wide, shape: shape[1..].to_vec() };
    let mut body = Builder::new();
    let last = body.parameter("last", element.clone())?;
    let factor = body.parameter("factor", element.clone())?;
    let addend = body.parameter("addend", element.clone())?;
    let next = body.binary(Binary::Multiply, factor, last)?;
    let next = body.binary(Binary::Add, next, addend)?;
    let scan = Scan {
        carried: 1,
        sequences: 2,
        length: shape[0].clone(),
        reverse: recurrence.reverse,
        body: Region::new(body.finish(vec![next, next])),
    };
    let zero = if wide.is_float() { Scalar::Float(0.0) } else { Scalar::Int(0) };
    let first = b.splat(wide, zero, &element.shape)?;
    let scanned = b.add(scan, &[first, sequences[0], sequences[1]])?;
    let stacked = b.projections(scanned)?[1];
    let stacked = b.transpose(stacked, &back)?;
    b.convert(ty.dtype, stacked)
}

/// A scatter whose indices choose nothing, all updates going to one place, by an index of zeros into an axis of one element: XLA's passes
/// do not take an index without components.
fn scatter_everywhere(
    b: &mut Builder,
    scatter: &Scatter,
    operand: Value,
    indices: Value,
    updates: Value,
) -> Result<Value, TypeError> {
    let (ty, indices) = (b.tensor_type(operand).clone(), b.tensor_type(indices).clone());
    let behind = |axes: &[usize]| axes.iter().map(|axis| axis + 1).collect::<Vec<_>>();
    let windows = IndexedWindows {
        collapsed: [vec![0], behind(&scatter.windows.collapsed)].concat(),
        operand_batch: behind(&scatter.windows.operand_batch),
        index_map: vec![0],
        ..scatter.windows.clone()
    };
    let one = Dim::constant(1);
    let operand = b.reshape(operand, &[std::slice::from_ref(&one), &ty.shape[..]].concat())?;
    let shape = [&indices.shape[..indices.rank() - 1], &[one]].concat();
    let indices = b.splat(indices.dtype, Scalar::Int(0), &shape)?;
    let scattered = b.add(Scatter { windows, ..scatter.clone() }, &[operand, indices, updates])?;
    b.reshape(scattered, &ty.shape)
}

/// What is compared in windows that reach into padding or holes of negative infinity: nothing is as low as these.
fn above_padding(b: &mut Builder, x: Value) -> Result<Value, TypeError> {
    let dtype = b.tensor_type(x).dtype;
    if !dtype.is_float() {
        return Ok(x);
    }
    let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let x = b.convert(wide, x)?;
    let lowest = b.splat_like(Scalar::Float(if wide == DType::F64 { f64::MIN } else { f32::MIN.into() }), x)?;
    b.binary(Binary::Maximum, x, lowest)
}

/// The product as one of matrices, or of one batch of them: of halves with more axes XLA for CPUs does not execute each.
fn matrix_product(b: &mut Builder, dot: &DotGeneral, left: Value, right: Value) -> Result<Value, TypeError> {
    let (left_ty, right_ty) = (b.tensor_type(left).clone(), b.tensor_type(right).clone());
    let batch = usize::from(!dot.lhs_batch.is_empty());
    if left_ty.rank().max(right_ty.rank()) <= 2 + batch && dot.lhs_batch.len() == batch {
        return b.add(dot.clone(), &[left, right]);
    }
    let free = |rank: usize, batch: &[usize], contract: &[usize]| -> Vec<usize> {
        (0..rank).filter(|axis| !batch.contains(axis) && !contract.contains(axis)).collect()
    };
    let left_free = free(left_ty.rank(), &dot.lhs_batch, &dot.lhs_contract);
    let right_free = free(right_ty.rank(), &dot.rhs_batch, &dot.rhs_contract);
    let extents = |ty: &TensorType, axes: &[usize]| axes.iter().map(|&axis| ty.shape[axis].clone()).collect::<Vec<_>>();
    let mut matrix = |x: Value, ty: &TensorType, parts: [&[usize]; 3]| {
        let x = b.transpose(x, &parts.concat())?;
        let parts = parts.iter().skip(1 - batch);
        let shape: Vec<Dim> = parts.map(|axes| extents(ty, axes).into_iter().product()).collect();
        b.reshape(x, &shape)
    };
    let left = matrix(left, &left_ty, [&dot.lhs_batch, &left_free, &dot.lhs_contract])?;
    let right = matrix(right, &right_ty, [&dot.rhs_batch, &dot.rhs_contract, &right_free])?;
    let one = DotGeneral {
        lhs_batch: (0..batch).collect(),
        rhs_batch: (0..batch).collect(),
        lhs_contract: vec![1 + batch],
        rhs_contract: vec![batch],
    };
    let product = b.add(one, &[left, right])?;
    let shape = [extents(&left_ty, &dot.lhs_batch), extents(&left_ty, &left_free), extents(&right_ty, &right_free)];
    b.reshape(product, &shape.concat())
}

/// The op for windows as StableHLO has them; of dilated ones position by position of the window: where it is the first largest, the
/// source's elements go back to the places that they were compared at.
fn scatter_windows(b: &mut Builder, window: &Window, x: Value, source: Value) -> Result<Value, TypeError> {
    let rank = window.size.len();
    if window.base_dilation.iter().chain(&window.window_dilation).all(|&dilation| dilation == 1) {
        let is_padded = window.padding.iter().any(|&padding| padding != (0, 0));
        let x = if is_padded { above_padding(b, x)? } else { x };
        return b.add(SelectAndScatter { window: window.clone() }, &[x, source]);
    }
    let x = above_padding(b, x)?;
    let ty = b.tensor_type(x).clone();
    let lowest = match ty.dtype.is_float() {
        true => Scalar::Float(f64::NEG_INFINITY),
        false => Scalar::Int(integer_range(ty.dtype).0),
    };
    let zero = if ty.dtype.is_float() { Scalar::Float(0.0) } else { Scalar::Int(0) };
    let (lowest, zero) = (b.constant(Literal::scalar(ty.dtype, lowest))?, b.constant(Literal::scalar(ty.dtype, zero))?);
    let (low, high): (Vec<i64>, Vec<i64>) = window.padding.iter().copied().unzip();
    let interior: Vec<i64> = window.base_dilation.iter().map(|dilation| dilation - 1).collect();
    let padded = b.add(Pad { low: low.clone(), high: high.clone(), interior }, &[x, lowest])?;
    let (extents, windows) = (b.tensor_type(padded).shape.clone(), b.tensor_type(source).shape.clone());
    let count: i64 = window.size.iter().product();
    let offsets: Vec<Vec<i64>> = (0..count)
        .map(|number| {
            let mut rest = number;
            let mut offset = vec![0; rank];
            for axis in (0..rank).rev() {
                (offset[axis], rest) =
                    (rest % window.size[axis] * window.window_dilation[axis], rest / window.size[axis]);
            }
            offset
        })
        .collect();
    // behind the last element of the windows at an offset
    let end = |axis: usize, offset: i64| {
        (windows[axis].clone() - Dim::constant(1)) * Dim::constant(window.strides[axis]) + Dim::constant(offset + 1)
    };
    let mut best: Option<(Value, Value)> = None;
    for (number, offset) in offsets.iter().enumerate() {
        let slice = Slice {
            start: offset.iter().copied().map(Dim::constant).collect(),
            limit: (0..rank).map(|axis| end(axis, offset[axis])).collect(),
            stride: window.strides.clone(),
        };
        let candidate = b.add(slice, &[padded])?;
        let number = b.splat(DType::I32, number as i64, &windows)?;
        best = Some(match best {
            None => (candidate, number),
            Some((value, place)) => {
                // larger, or the first NaN
                let not_above = b.compare(Compare::LessEqual, candidate, value)?;
                let is_number = b.compare(Compare::Equal, value, value)?;
                let above = b.unary(Unary::Not, not_above)?;
                let better = b.binary(Binary::And, above, is_number)?;
                (b.select(better, candidate, value)?, b.select(better, number, place)?)
            }
        });
    }
    let (_, place) = best.ok_or_else(|| TypeError::new("select_and_scatter", "a window without elements"))?;
    let nothing = b.splat_like(Scalar::Float(0.0), source)?;
    let mut sum: Option<Value> = None;
    for (number, offset) in offsets.iter().enumerate() {
        let number = b.splat(DType::I32, number as i64, &windows)?;
        let chosen = b.compare(Compare::Equal, place, number)?;
        let taken = b.select(chosen, source, nothing)?;
        let behind: Option<Vec<i64>> =
            (0..rank).map(|axis| (extents[axis].clone() - end(axis, offset[axis])).as_constant()).collect();
        let high = behind.ok_or_else(|| {
            TypeError::new("select_and_scatter", format!("dilated windows of {ty}, whose extents are not known"))
        })?;
        let interior = window.strides.iter().map(|stride| stride - 1).collect();
        let placed = b.add(Pad { low: offset.clone(), high, interior }, &[taken, zero])?;
        sum = Some(match sum {
            None => placed,
            Some(sum) => b.binary(Binary::Add, sum, placed)?,
        });
    }
    let sum = sum.ok_or_else(|| TypeError::new("select_and_scatter", "a window without elements"))?;
    // back to the tensor without padding and dilation
    let crop = |ends: &[i64]| ends.iter().map(|end| -end).collect::<Vec<_>>();
    let cropped = b.add(Pad { low: crop(&low), high: crop(&high), interior: vec![0; rank] }, &[sum, zero])?;
    let limit = b.tensor_type(cropped).shape.clone();
    let start = vec![Dim::constant(0); rank];
    b.add(Slice { start, limit, stride: window.base_dilation.clone() }, &[cropped])
}
