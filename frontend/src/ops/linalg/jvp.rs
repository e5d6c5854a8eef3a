//! Derivatives in a direction.

use super::super::control::{Inlined, captured};
use super::super::function::{Function, Operand};
use super::super::structure::{Structure, flat, rebuilt};
use super::super::tensor::Tensor;
use crate::{Error, Result};
use kc_ir::tensor::ops::{Binary, Gradient, Projection, Reduction, Remat, StopGradient, While};
use kc_ir::tensor::{Builder, Graph, Op, Region, Scope, Tensor as Formula, TypeError, Value};
use std::collections::BTreeSet;
use std::panic::Location;
use std::sync::Arc;

/// What a function gives at `primals`, and how that changes as the primals move along `tangents`: `J t` with the Jacobian `J`.
///
/// The gradient of `sum(u f(x))` by `x` is `J^T u`, which is linear in `u`; the gradient of `sum(t J^T u)` by `u` is `J t`. A
/// `while_loop`, of which there is no pullback, carries the tangents along: it may be in the function, though not in a choice or a loop of
/// another kind.
///
/// # Errors
/// Where the tangents differ from the primals in their types, or the function's tensors are wrong.
#[track_caller]
pub fn jvp<X: Structure, Y: Structure>(fun: impl FnOnce(X) -> Y, primals: X, tangents: X) -> Result<(Y, Y)> {
    let place = Location::caller();
    let (inlined, outputs) = Inlined::trace(fun, &primals)?;
    let (points, directions) = (inlined.arguments(&primals)?, inlined.arguments(&tangents)?);
    for (point, direction) in points.iter().zip(&directions) {
        if point.result_type()? != direction.result_type()? {
            return Err(Error::model(format!("`ops::jvp`: the tangent {direction:?} has another type than {point:?}")));
        }
    }
    if points.len() != directions.len() {
        return Err(Error::model("`ops::jvp`: expected as many tangents as primals"));
    }
    let count = points.len();
    let outside = captured(&inlined);
    let operands = [points, directions, outside].concat();
    let results = Tensor::calls(Arc::new(Jvp { inlined, count }), operands, place);
    results.iter().try_for_each(|result| result.result_type().map(|_| ()))?;
    let (values, derivatives) = results.split_at(flat(&outputs).len());
    Ok((rebuilt(&outputs, values.to_vec()), rebuilt(&outputs, derivatives.to_vec())))
}

/// The function of [`jvp`]: operands are the primals, the tangents, and what it reads from outside.
#[derive(Debug)]
struct Jvp {
    inlined: Inlined,
    count: usize,
}

impl Function for Jvp {
    fn name(&self) -> &'static str {
        "jvp"
    }

    fn class(&self) -> &'static str {
        "JVP"
    }

    fn build<'s, 'b>(
        &self,
        scope: &'s Scope<'b>,
        operands: &[Operand<'s, 'b>],
    ) -> std::result::Result<Vec<Formula<'s, 'b>>, TypeError> {
        let (points, rest) = operands.split_at(self.count);
        let (directions, outside) = rest.split_at(self.count);
        let values = |operands: &[Operand<'s, 'b>]| operands.iter().map(|x| x.value()).collect::<Vec<Value>>();
        let (points, directions, outside) = (values(points), values(directions), values(outside));
        let graph = scope.with_builder(|builder| self.graph(builder, &points, &outside))?;
        let arguments = [points, outside].concat();
        let mut tangents: Vec<Option<Value>> = directions.into_iter().map(Some).collect();
        tangents.resize(arguments.len(), None);
        let (outputs, tangents) = scope.with_builder(|builder| -> Made<_> {
            let (outputs, tangents) = match loops(&graph) {
                true => forward(builder, &graph, &arguments, &tangents)?,
                false => {
                    along(builder, &arguments, &tangents, Place::Beside, |b, arguments| b.inline(&graph, arguments))?
                }
            };
            let tangents = tangents.into_iter().zip(&outputs);
            let tangents = tangents.map(|(tangent, &output)| tangent_or_zeros(builder, tangent, output));
            let tangents = tangents.collect::<Made<Vec<Value>>>()?;
            Ok((outputs, tangents))
        })?;
        Ok(outputs.into_iter().chain(tangents).map(|value| scope.tensor(value)).collect())
    }
}

impl Jvp {
    /// The function's ops, whose parameters are the primals and what it reads from outside.
    fn graph(&self, builder: &Builder, points: &[Value], outside: &[Value]) -> Made<Graph> {
        let mut own = Builder::new();
        let mut parameters = |values: &[Value]| -> Made<Vec<Value>> {
            values.iter().map(|&value| own.parameter("operand", builder.tensor_type(value).clone())).collect()
        };
        let (points, outside) = (parameters(points)?, parameters(outside)?);
        let outputs = self.inlined.build(&mut own, "jvp", &points, &outside)?;
        Ok(own.finish(outputs))
    }
}

type Made<T> = std::result::Result<T, TypeError>;

/// Whether a graph has a `while`, of which there is no pullback.
fn loops(graph: &Graph) -> bool {
    graph.nodes.iter().any(|node| matches!(node.op, Op::While(_)))
}

fn tangent_or_zeros(b: &mut Builder, tangent: Option<Value>, of: Value) -> Made<Value> {
    tangent.map_or_else(|| b.splat_like(0.0, of), Ok)
}

/// The results of a graph, and how they change as its arguments move along their tangents, op by op; `None` for no change.
fn forward(
    b: &mut Builder,
    graph: &Graph,
    arguments: &[Value],
    tangents: &[Option<Value>],
) -> Made<(Vec<Value>, Vec<Option<Value>>)> {
    let mut known: Vec<(Vec<Value>, Vec<Option<Value>>)> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let of = |operand: &Value| (known[operand.index()].0[0], known[operand.index()].1[0]);
        let made = match &node.op {
            Op::Parameter(parameter) => (vec![arguments[parameter.index]], vec![tangents[parameter.index]]),
            Op::Projection(projection) => {
                let (values, tangents) = &known[node.operands[0].index()];
                (vec![values[projection.index]], vec![tangents[projection.index]])
            }
            op => {
                let (operands, tangents): (Vec<Value>, Vec<Option<Value>>) = node.operands.iter().map(of).unzip();
                match op {
                    Op::While(repeated) => forward_loop(b, repeated, &operands, &tangents)?,
                    op => along(b, &operands, &tangents, Place::Apart, |b, operands| {
                        let value = b.add(op.clone(), operands)?;
                        b.projections(value)
                    })?,
                }
            }
        };
        known.push(made);
    }
    Ok(graph.results.iter().map(|result| (known[result.index()].0[0], known[result.index()].1[0])).unzip())
}

/// The same of a `while`, which carries the tangents of its floating-point values too.
fn forward_loop(
    b: &mut Builder,
    repeated: &While,
    operands: &[Value],
    tangents: &[Option<Value>],
) -> Made<(Vec<Value>, Vec<Option<Value>>)> {
    let (initial, read) = operands.split_at(repeated.carried);
    let moving: Vec<usize> = (0..initial.len()).filter(|&i| b.tensor_type(initial[i]).dtype.is_float()).collect();
    let mut carried = initial.to_vec();
    for &i in &moving {
        carried.push(tangent_or_zeros(b, tangents[i], initial[i])?);
    }
    let count = initial.len();
    let results = b.while_loop(
        &carried,
        |b, carried| {
            let results = b.inline(repeated.condition.graph(), &[&carried[..count], read].concat())?;
            Ok::<_, TypeError>(results[0])
        },
        |b, carried| {
            let mut along: Vec<Option<Value>> = vec![None; count];
            moving.iter().zip(&carried[count..]).for_each(|(&i, &tangent)| along[i] = Some(tangent));
            along.extend(&tangents[count..]);
            let (mut next, changes) = forward(b, repeated.body.graph(), &[&carried[..count], read].concat(), &along)?;
            for &i in &moving {
                next.push(tangent_or_zeros(b, changes[i], next[i])?);
            }
            Ok(next)
        },
    )?;
    let mut changes = vec![None; count];
    moving.iter().zip(&results[count..]).for_each(|(&i, &tangent)| changes[i] = Some(tangent));
    Ok((results[..count].to_vec(), changes))
}

/// How ops of a function and its tangents are added.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Among the others.
    Beside,
    /// In a region: what they read may depend on each other, which their derivatives must not see.
    Apart,
}

/// What a function gives, and how its floating-point results change as its arguments move along their tangents, by its pullback.
fn along(
    b: &mut Builder,
    arguments: &[Value],
    tangents: &[Option<Value>],
    place: Place,
    function: impl FnOnce(&mut Builder, &[Value]) -> Made<Vec<Value>>,
) -> Made<(Vec<Value>, Vec<Option<Value>>)> {
    let moves = |&i: &usize| tangents[i].is_some() && b.tensor_type(arguments[i]).dtype.is_float();
    let moving: Vec<usize> = (0..arguments.len()).filter(moves).collect();
    let directions: Vec<Value> = moving.iter().filter_map(|&i| tangents[i]).collect();
    let mut own = Builder::new();
    let mut parameters = |values: &[Value]| -> Made<Vec<Value>> {
        values.iter().map(|&value| own.parameter("operand", b.tensor_type(value).clone())).collect()
    };
    let (mut points, along) = (parameters(arguments)?, parameters(&directions)?);
    // what the derivatives are by must not be results
    for &i in &moving {
        let zeros = own.splat_like(0.0, points[i])?;
        points[i] = own.binary(Binary::Add, points[i], zeros)?;
    }
    let outputs = function(&mut own, &points)?;
    let changes = |&i: &usize| !moving.is_empty() && own.tensor_type(outputs[i]).dtype.is_float();
    let changing: Vec<usize> = (0..outputs.len()).filter(changes).collect();
    let mut results = outputs.clone();
    if !changing.is_empty() {
        // the pullback is linear in the weights, so their values do not matter, only that each is a value of its own
        let mut weights = Vec::with_capacity(changing.len());
        for &i in &changing {
            let number = own.splat_like(i as f64, outputs[i])?;
            weights.push(own.add(StopGradient {}, &[number])?);
        }
        let weighted: Vec<(Value, Value)> = changing.iter().map(|&i| outputs[i]).zip(weights.iter().copied()).collect();
        let weighted = sum_of_products(&mut own, &weighted)?;
        let by: Vec<Value> = moving.iter().map(|&i| points[i]).collect();
        let pulled = gradients(&mut own, weighted, &by)?;
        let turned: Vec<(Value, Value)> = pulled.into_iter().zip(along).collect();
        let turned = sum_of_products(&mut own, &turned)?;
        results.extend(gradients(&mut own, turned, &weights)?);
    }
    let graph = own.finish(results);
    let operands = [arguments, &directions].concat();
    let mut values = match place {
        // what an argument's derivative is by must not be another's
        Place::Beside if BTreeSet::from_iter(arguments).len() == arguments.len() => b.inline(&graph, &operands)?,
        _ => {
            let tuple = b.add(Remat { body: Region::new(graph) }, &operands)?;
            b.projections(tuple)?
        }
    };
    let derivatives = values.split_off(outputs.len());
    let mut changes = vec![None; outputs.len()];
    changing.into_iter().zip(derivatives).for_each(|(i, derivative)| changes[i] = Some(derivative));
    Ok((values, changes))
}

/// `sum(a b)` over all elements of all pairs, in the dtype of the first.
fn sum_of_products(b: &mut Builder, pairs: &[(Value, Value)]) -> Made<Value> {
    let mut total: Option<Value> = None;
    for &(left, right) in pairs {
        let product = b.binary(Binary::Multiply, left, right)?;
        let axes: Vec<usize> = (0..b.tensor_type(product).rank()).collect();
        let sum = b.reduce(Reduction::Sum, &axes, product)?;
        total = Some(match total {
            None => sum,
            Some(total) => {
                let dtype = b.tensor_type(total).dtype;
                let sum = b.convert(dtype, sum)?;
                b.binary(Binary::Add, total, sum)?
            }
        });
    }
    total.ok_or_else(|| TypeError::new("jvp", "expected a function of at least one tensor"))
}

/// The derivatives of a scalar.
fn gradients(b: &mut Builder, of: Value, by: &[Value]) -> Made<Vec<Value>> {
    let operands: Vec<Value> = std::iter::once(of).chain(by.iter().copied()).collect();
    let tuple = b.add(Gradient {}, &operands)?;
    (0..by.len()).map(|index| b.add(Projection { index }, &[tuple])).collect()
}
