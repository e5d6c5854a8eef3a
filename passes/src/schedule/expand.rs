//! Rewrites a graph into the ops that kernels are made of: composites become their bodies, padded and dilated convolutions
//! become valid ones of a padded input, half-precision contractions become f32 ones where the target multiplies no halves.

use super::attention;
use super::contraction::winograd;
use super::store::view;
use crate::{Contraction, Target};
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{Builder, Graph, Literal, Op, Type, TypeError, Value};
use kc_ir::{DType, Dim};

/// The expanded graph, without unused nodes. Parameters and results stay as they are.
pub(super) fn expand(graph: &Graph, target: &Target) -> Result<Graph, TypeError> {
    let mut builder = Builder::new();
    let mut values: Vec<Vec<Value>> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        builder.set_location(node.location.clone());
        let operands: Vec<Value> = node.operands.iter().map(|operand| values[operand.index()][0]).collect();
        values.push(match &node.op {
            Op::Parameter(parameter) => vec![builder.parameter(&parameter.name, parameter.ty.clone())?],
            Op::Projection(projection) => vec![values[node.operands[0].index()][projection.index]],
            op => expand_op(&mut builder, op, &operands, target)?,
        });
    }
    let results = graph.results.iter().map(|result| values[result.index()][0]).collect();
    Ok(live(builder.finish(results)))
}

fn expand_op(b: &mut Builder, op: &Op, operands: &[Value], target: &Target) -> Result<Vec<Value>, TypeError> {
    match op {
        Op::Composite(_) if is_kept(b, op, operands, target) => {
            let mut operands = operands.to_vec();
            if winograd::convolution(op).is_some() {
                let filters = winograd::in_panels(b, op, operands[0], operands[1], target)?;
                operands = vec![buffered(b, operands[0])?, buffered(b, filters)?];
            }
            for position in attention::matrices(op) {
                operands[position] = buffered(b, operands[position])?;
            }
            let value = b.add(op.clone(), &operands)?;
            b.projections(value)
        }
        Op::Composite(composite) => {
            let types: Vec<Type> = operands.iter().map(|&operand| b.graph().node(operand).ty.clone()).collect();
            let mut body = Builder::new();
            let parameters = types
                .iter()
                .map(|ty| match ty {
                    Type::Tensor(ty) => body.parameter("operand", ty.clone()),
                    Type::Tuple(_) => Err(TypeError::new(op.operation().name(), "a composite takes no tuple")),
                })
                .collect::<Result<Vec<_>, _>>()?;
            let results = composite.composition().body(&mut body, &parameters)?;
            expand_body(b, &body.finish(results), operands, target)
        }
        Op::StopGradient(_) => Ok(vec![operands[0]]),
        Op::Cond(_) | Op::While(_) | Op::Scan(_) => {
            let tuple = b.add(op.clone(), operands)?;
            b.projections(tuple)
        }
        Op::Remat(remat) => expand_body(b, remat.body.graph(), operands, target),
        Op::CustomGradient(custom) => {
            let mut results = expand_body(b, custom.value.graph(), operands, target)?;
            results.truncate(custom.results);
            Ok(results)
        }
        Op::Gradient(_) => Err(TypeError::new("gradient", "must be differentiated before scheduling")),
        Op::Convolution(convolution) => Ok(vec![expand_convolution(b, convolution, operands[0], operands[1], target)?]),
        Op::CustomCall(_) => {
            let operands = operands.iter().map(|&operand| buffered(b, operand)).collect::<Result<Vec<_>, _>>()?;
            let value = b.add(op.clone(), &operands)?;
            b.projections(value)
        }
        Op::DotGeneral(dot) => Ok(vec![expand_dot(b, dot, operands[0], operands[1], target)?]),
        Op::Recurrence(_) | Op::Cumulative(Cumulative { kind: Reduction::Sum | Reduction::Product, .. }) => {
            let dtype = b.tensor_type(operands[0]).dtype;
            let wide = operands.iter().map(|&operand| b.convert(accumulator(dtype), operand));
            let wide = wide.collect::<Result<Vec<_>, _>>()?;
            let running = b.add(op.clone(), &wide)?;
            Ok(vec![b.convert(dtype, running)?])
        }
        Op::Transpose(transpose) => Ok(vec![b.transpose(operands[0], &transpose.permutation)?]),
        Op::Reshape(reshape) => {
            // a reshape of a reshape is one reshape
            let mut source = operands[0];
            while matches!(b.graph().node(source).op, Op::Reshape(_)) {
                source = b.graph().node(source).operands[0];
            }
            Ok(vec![b.reshape(source, &reshape.shape)?])
        }
        op => {
            let value = b.add(op.clone(), operands)?;
            b.projections(value)
        }
    }
}

/// Whether a composite has a kernel of its own.
fn is_kept(b: &Builder, op: &Op, operands: &[Value], target: &Target) -> bool {
    let types: Option<Vec<_>> = operands.iter().map(|&operand| b.graph().node(operand).ty.as_tensor()).collect();
    let by = target.contraction;
    types.is_some_and(|types| {
        attention::suits(op, &types, by) || target.block_threads == 1 && winograd::suits(op, &types, target)
    })
}

/// The dtype in which values of a dtype are summed and multiplied.
pub(super) fn accumulator(dtype: DType) -> DType {
    if matches!(dtype, DType::F16 | DType::Bf16) { DType::F32 } else { dtype }
}

/// Adds the ops of a body of these operands; returns its results.
fn expand_body(b: &mut Builder, body: &Graph, operands: &[Value], target: &Target) -> Result<Vec<Value>, TypeError> {
    let mut values: Vec<Vec<Value>> = Vec::with_capacity(body.nodes.len());
    for node in &body.nodes {
        let inner: Vec<Value> = node.operands.iter().map(|operand| values[operand.index()][0]).collect();
        values.push(match &node.op {
            Op::Parameter(parameter) => vec![operands[parameter.index]],
            Op::Projection(projection) => vec![values[node.operands[0].index()][projection.index]],
            op => expand_op(b, op, &inner, target)?,
        });
    }
    Ok(body.results.iter().map(|result| values[result.index()][0]).collect())
}

fn expand_dot(b: &mut Builder, dot: &DotGeneral, lhs: Value, rhs: Value, target: &Target) -> Result<Value, TypeError> {
    let dtype = b.tensor_type(lhs).dtype;
    if is_matrix_by_column(b, dot, lhs, rhs, target) {
        return matrix_by_column(b, dot, lhs, rhs);
    }
    let given = [lhs, rhs];
    let [lhs, rhs] = factors(b, given, target.factor(dtype))?;
    let (lhs_rank, rhs_rank) = (b.tensor_type(lhs).rank(), b.tensor_type(rhs).rank());
    let result = if let Some(&last) = dot.rhs_free(rhs_rank).last() {
        // the result's last axis is vectorised: its elements must be neighbours
        let (rhs, moved) = axis_last(b, rhs, last, target)?;
        let rename = |axes: &[usize]| axes.iter().map(|&axis| moved(axis)).collect();
        let operands = products(b, [lhs, rhs], target.factor(dtype))?;
        b.add(
            DotGeneral { rhs_batch: rename(&dot.rhs_batch), rhs_contract: rename(&dot.rhs_contract), ..dot.clone() },
            &operands,
        )?
    } else if !dot.lhs_free(lhs_rank).is_empty() {
        // the vectorised axis must be one of the right operand's
        let swapped = DotGeneral {
            lhs_batch: dot.rhs_batch.clone(),
            rhs_batch: dot.lhs_batch.clone(),
            lhs_contract: dot.rhs_contract.clone(),
            rhs_contract: dot.lhs_contract.clone(),
        };
        return expand_dot(b, &swapped, given[1], given[0], target);
    } else {
        let order = |batch: &[usize], contract: &[usize]| batch.iter().chain(contract).copied().collect::<Vec<_>>();
        let [lhs, rhs] = [b.convert(accumulator(dtype), lhs)?, b.convert(accumulator(dtype), rhs)?];
        let left = b.transpose(lhs, &order(&dot.lhs_batch, &dot.lhs_contract))?;
        let right = b.transpose(rhs, &order(&dot.rhs_batch, &dot.rhs_contract))?;
        let product = b.binary(Binary::Multiply, left, right)?;
        b.reduce(Reduction::Sum, &(dot.lhs_batch.len()..lhs_rank).collect::<Vec<_>>(), product)?
    };
    b.convert(dtype, result)
}

/// Whether a product has one column, and sums along the lines of its left operand: vectors along those lines are full, along the result's last
/// axis they have one lane.
fn is_matrix_by_column(b: &Builder, dot: &DotGeneral, lhs: Value, rhs: Value, target: &Target) -> bool {
    /// Summed values from which on the lanes' sums at the end count little.
    const LONG: i64 = 64;
    let (left, right) = (b.tensor_type(lhs), b.tensor_type(rhs));
    let free = dot.rhs_free(right.rank());
    target.contraction == Contraction::Generated
        && left.dtype.is_float()
        && dot.lhs_batch.is_empty()
        && left.rank().checked_sub(1).is_some_and(|last| dot.lhs_contract == [last])
        && !free.is_empty()
        && free.iter().all(|&axis| right.shape[axis].is(1))
        && left.shape.last().is_some_and(|extent| extent.as_constant().is_none_or(|n| n >= LONG))
}

/// A product of one column, as sums along lines.
fn matrix_by_column(b: &mut Builder, dot: &DotGeneral, lhs: Value, rhs: Value) -> Result<Value, TypeError> {
    let (left, right) = (b.tensor_type(lhs).clone(), b.tensor_type(rhs).clone());
    let wide = accumulator(left.dtype);
    let [lhs, rhs] = [b.convert(wide, lhs)?, b.convert(wide, rhs)?];
    let last = left.rank() - 1;
    let column = b.reshape(rhs, &left.shape[last..])?;
    let column = b.broadcast(column, &left.shape, &[last])?;
    let product = b.binary(Binary::Multiply, lhs, column)?;
    let sums = b.reduce(Reduction::Sum, &[last], product)?;
    let units = dot.rhs_free(right.rank()).into_iter().map(|axis| right.shape[axis].clone());
    let shape: Vec<Dim> = left.shape[..last].iter().cloned().chain(units).collect();
    let sums = b.reshape(sums, &shape)?;
    b.convert(left.dtype, sums)
}

fn expand_convolution(
    b: &mut Builder,
    convolution: &Convolution,
    lhs: Value,
    rhs: Value,
    target: &Target,
) -> Result<Value, TypeError> {
    let dtype = b.tensor_type(lhs).dtype;
    // where each result has products of one channel, there are no groups
    let is_depthwise = b.tensor_type(rhs).shape[convolution.axes.rhs[1]].is(1);
    let factor = match target.factor(dtype) {
        DType::Bf16 if is_depthwise && target.contraction == Contraction::Generated => DType::F32,
        factor => factor,
    };
    let [mut lhs, rhs] = factors(b, [lhs, rhs], factor)?;
    let mut plain = convolution.clone();
    let spatial = plain.strides.len();
    let padded = plain.padding.iter().any(|&p| p != (0, 0)) || plain.lhs_dilation.iter().any(|&d| d != 1);
    if padded {
        let rank = b.tensor_type(lhs).rank();
        let mut pad = Pad { low: vec![0; rank], high: vec![0; rank], interior: vec![0; rank] };
        for s in 0..spatial {
            let axis = plain.axes.lhs[2 + s];
            (pad.low[axis], pad.high[axis]) = plain.padding[s];
            pad.interior[axis] = plain.lhs_dilation[s] - 1;
        }
        let zero = b.constant(Literal::scalar(
            b.tensor_type(lhs).dtype,
            if dtype.is_float() { 0.0.into() } else { kc_ir::tensor::Scalar::Int(0) },
        ))?;
        lhs = padded_in_lines(b, pad, lhs, zero, target)?;
        plain.padding = vec![(0, 0); spatial];
        plain.lhs_dilation = vec![1; spatial];
    }
    // the result's last axis is vectorised: its elements must be neighbours in the operand that has it
    let mut rhs = rhs;
    let rank = plain.axes.out.len();
    let part = plain.axes.out.iter().position(|&axis| axis + 1 == rank).unwrap_or(1);
    let (operand, axes, part) = match part {
        1 => (&mut rhs, &mut plain.axes.rhs, 0),
        part => (&mut lhs, &mut plain.axes.lhs, part),
    };
    let (moved_operand, moved) = axis_last(b, *operand, axes[part], target)?;
    *operand = moved_operand;
    axes.iter_mut().for_each(|axis| *axis = moved(*axis));
    let operands = products(b, [lhs, rhs], factor)?;
    let result = b.add(plain, &operands)?;
    b.convert(dtype, result)
}

/// A padded value. Where the last axis fills no vector and is not padded, it counts as one with the axis before: lines of both are padded.
fn padded_in_lines(b: &mut Builder, pad: Pad, x: Value, zero: Value, target: &Target) -> Result<Value, TypeError> {
    let shape = b.tensor_type(x).shape.clone();
    let [.., before, last] = shape.as_slice() else { return b.add(pad, &[x, zero]) };
    let axis = shape.len() - 1;
    let is_padded = |axis: usize| (pad.low[axis], pad.high[axis], pad.interior[axis]) != (0, 0, 0);
    let short = last.as_constant().filter(|n| n % i64::from(target.lanes()) != 0 && !is_padded(axis));
    let Some(n) = short.filter(|_| is_padded(axis - 1) && pad.interior[axis - 1] == 0) else {
        return b.add(pad, &[x, zero]);
    };
    let mut lines = shape[..axis - 1].to_vec();
    lines.push(before.clone() * last.clone());
    let lined = b.reshape(x, &lines)?;
    let scaled = |ends: &[i64]| ends[..axis - 1].iter().copied().chain([ends[axis - 1] * n]).collect();
    let wide = Pad { low: scaled(&pad.low), high: scaled(&pad.high), interior: pad.interior[..axis].to_vec() };
    let wide = b.add(wide, &[lined, zero])?;
    let padded = |axis: usize| b.tensor_type(wide).shape[axis].clone();
    let mut result: Vec<Dim> = (0..axis - 1).map(padded).collect();
    result.push(before.clone() + Dim::constant(pad.low[axis - 1] + pad.high[axis - 1]));
    result.push(last.clone());
    b.reshape(wide, &result)
}

/// The operands of a contraction in the dtype of its factors; 8-bit integers that are converted to i32 as they are.
fn factors(b: &mut Builder, operands: [Value; 2], factor: DType) -> Result<[Value; 2], TypeError> {
    let narrow = operands.map(|operand| narrow(b.graph(), operand));
    if let [Some(lhs), Some(rhs)] = narrow {
        return Ok([lhs, rhs]);
    }
    let [lhs, rhs] = operands;
    Ok([b.convert(factor, lhs)?, b.convert(factor, rhs)?])
}

/// The 8-bit integers that a value is as i32.
pub(super) fn narrow(graph: &Graph, value: Value) -> Option<Value> {
    let node = graph.node(value);
    let is_wide = matches!(node.op, Op::Convert(_)) && graph.tensor_type(value).dtype == DType::I32;
    let operand = *node.operands.first().filter(|_| is_wide)?;
    matches!(graph.tensor_type(operand).dtype, DType::I8 | DType::U8).then_some(operand)
}

/// What a contraction's kernel reads from buffers, in the dtype of its result.
fn products(b: &mut Builder, operands: [Value; 2], factor: DType) -> Result<[Value; 2], TypeError> {
    let [lhs, rhs] = [buffered(b, operands[0])?, buffered(b, operands[1])?];
    Ok([b.convert(factor, lhs)?, b.convert(factor, rhs)?])
}

/// A value that a contraction or a library function can read from a buffer: the value, or a copy of what is in none (one number for all elements,
/// positions, an extent).
fn buffered(b: &mut Builder, value: Value) -> Result<Value, TypeError> {
    let base = view(b.graph(), value).base;
    let is_in_none = match &b.graph().node(base).op {
        Op::Constant(constant) => constant.value.splat_value().is_some(),
        Op::Iota(_) | Op::Dimension(_) => true,
        _ => false,
    };
    if is_in_none { b.add(StopGradient {}, &[value]) } else { Ok(value) }
}

/// The value with an axis moved behind all others, and the new place of each axis. Where bf16 is multiplied by groups, its neighbours lie side
/// by side.
fn axis_last(
    b: &mut Builder,
    value: Value,
    last: usize,
    target: &Target,
) -> Result<(Value, impl Fn(usize) -> usize + use<>), TypeError> {
    let rank = b.tensor_type(value).rank();
    let permutation: Vec<usize> = (0..rank).filter(|&axis| axis != last).chain([last]).collect();
    let mut value = b.transpose(value, &permutation)?;
    let is_grouped = b.tensor_type(value).dtype == DType::Bf16 && target.contraction == Contraction::Generated;
    if is_grouped && !view(b.graph(), value).strides[rank - 1].is(1) {
        value = b.add(StopGradient {}, &[value])?;
    }
    Ok((value, move |axis: usize| match axis.cmp(&last) {
        std::cmp::Ordering::Less => axis,
        std::cmp::Ordering::Equal => rank - 1,
        std::cmp::Ordering::Greater => axis - 1,
    }))
}

/// The graph without nodes that no result needs; parameters stay.
pub(super) fn live(graph: Graph) -> Graph {
    let mut needed = vec![false; graph.nodes.len()];
    graph.results.iter().chain(&graph.parameters).for_each(|value| needed[value.index()] = true);
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        if needed[index] {
            node.operands.iter().for_each(|operand| needed[operand.index()] = true);
        }
    }
    let mut renamed = vec![Value(0); graph.nodes.len()];
    let mut nodes = Vec::new();
    for (index, mut node) in graph.nodes.into_iter().enumerate() {
        if needed[index] {
            node.operands.iter_mut().for_each(|operand| *operand = renamed[operand.index()]);
            renamed[index] = Value(nodes.len() as u32);
            nodes.push(node);
        }
    }
    let rename = |values: Vec<Value>| values.into_iter().map(|value| renamed[value.index()]).collect();
    Graph { nodes, parameters: rename(graph.parameters), results: rename(graph.results) }
}

/// Row-major strides of a shape, in elements.
pub(super) fn strides(shape: &[Dim]) -> Vec<Dim> {
    let mut strides = vec![Dim::constant(1); shape.len()];
    for axis in (0..shape.len().saturating_sub(1)).rev() {
        strides[axis] = strides[axis + 1].clone() * shape[axis + 1].clone();
    }
    strides
}
