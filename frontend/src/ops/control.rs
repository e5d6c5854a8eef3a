//! Choices and loops: closures over tensors become regions of one operation.
//!
//! A closure is called once, with tensors that stand for what it will get. Of what it gives, all that depends on these tensors is
//! computed inside; the rest is computed once, outside of a loop. A choice computes everything that it does not share inside.

use super::build::{Known, address, build};
use super::function::{Function, Operand};
use super::structure::{Structure, flat, rebuilt};
use super::tensor::{Source, Tensor, type_text};
use crate::base::next_identity;
use crate::{Error, Result};
use kc_ir::tensor::{Builder, Scope, Tensor as Formula, TracedRegion, TypeError, Value};
use kc_ir::{DType, Dim, TensorType};
use kc_runtime::Array;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// A closure that was called: the tensors that stand for its arguments, and what it gave.
#[derive(Clone)]
pub(super) struct Traced {
    pub parameters: Vec<Tensor>,
    pub results: Vec<Tensor>,
}

/// What stands for an argument of a type.
fn parameter(ty: TensorType) -> Tensor {
    Tensor::traced(next_identity(), Value(0), ty)
}

/// Tensors that stand for tensors.
pub(super) fn parameters(like: &[Tensor]) -> Result<Vec<Tensor>> {
    like.iter().map(|tensor| tensor.result_type().map(parameter)).collect()
}

/// What an operation with regions reads from outside.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Reads {
    /// All that does not depend on the regions' parameters, computed.
    Computed,
    /// Only what is no function of other tensors.
    Leaves,
}

/// The tensors outside of regions that they read: each node once, with all its results.
pub(super) fn captures(regions: &[Traced], reads: Reads) -> Vec<Tensor> {
    let own: HashSet<_> = regions.iter().flat_map(|region| &region.parameters).map(address).collect();
    let mut depends: HashMap<_, bool> = HashMap::new();
    let mut found: Vec<Tensor> = Vec::new();
    let results: Vec<&Tensor> = regions.iter().flat_map(|region| &region.results).collect();
    // which nodes depend on a parameter, operands before what is made of them
    let mut stack: Vec<(&Tensor, bool)> = results.iter().map(|&result| (result, false)).collect();
    while let Some((tensor, operands_are_known)) = stack.pop() {
        if depends.contains_key(&address(tensor)) {
            continue;
        }
        match &tensor.node.source {
            Source::Call { operands, .. } if !operands_are_known => {
                stack.push((tensor, true));
                stack.extend(operands.iter().map(|operand| (operand, false)));
            }
            Source::Call { operands, .. } => {
                let any = operands.iter().any(|operand| depends.get(&address(operand)).copied().unwrap_or(false));
                depends.insert(address(tensor), any);
            }
            _ => {
                depends.insert(address(tensor), own.contains(&address(tensor)));
            }
        }
    }
    // from the results down to what does not
    let mut seen = HashSet::new();
    let mut stack = results;
    while let Some(tensor) = stack.pop() {
        if own.contains(&address(tensor)) || !seen.insert(address(tensor)) {
            continue;
        }
        let is_inside = depends.get(&address(tensor)).copied().unwrap_or(false);
        match &tensor.node.source {
            Source::Number(_) => {}
            Source::Call { operands, .. } if is_inside || reads == Reads::Leaves => stack.extend(operands),
            _ => {
                let count = tensor.node.types.as_ref().map_or(1, Vec::len);
                found.extend((0..count).map(|index| Tensor { node: tensor.node.clone(), index }));
            }
        }
    }
    found
}

/// The tensors of a structure, with numbers as tensors of their 32 bits.
pub(super) fn solid<S: Structure>(structure: &S) -> Result<Vec<Tensor>> {
    let solid = |tensor: Tensor| match &tensor.node.source {
        Source::Number(number) => {
            let literal = number.beside(&[]);
            let array = Array::from_bytes(literal.dtype(), literal.shape(), literal.bytes());
            array.map(Tensor::from).map_err(|error| Error::run(error.to_string()))
        }
        _ => tensor.result_type().map(|_| tensor),
    };
    flat(structure).into_iter().map(solid).collect()
}

/// What the regions of an operation are for.
#[derive(Clone, Debug)]
enum Kind {
    /// The first operand chooses one of the regions; the next are their arguments.
    Switch,
    /// The first region says whether the second is executed once more.
    While,
    /// The region is executed for each element of the operands behind those that are carried.
    Scan { carried: usize, length: Option<Dim>, reverse: bool },
}

impl Kind {
    /// Checks that the closures give what fits together.
    fn check(&self, name: &str, regions: &[Traced]) -> Result<()> {
        let given = |region: &Traced| region.results.iter().map(Tensor::result_type).collect::<Result<Vec<_>>>();
        let text = |types: &[TensorType]| types.iter().map(type_text).collect::<Vec<_>>().join(" and ");
        let compared = |first: &str, expected: &[TensorType], other: &str, types: &[TensorType]| match expected == types
        {
            true => Ok(()),
            false => Err(Error::model(format!(
                "`ops::{name}`: {first} {}, {other} {}; expected equal types",
                text(expected),
                text(types)
            ))),
        };
        match (self, regions) {
            (Kind::Switch, [on_false, on_true]) if name == "cond" => {
                compared("`true_fn` gives", &given(on_true)?, "`false_fn`", &given(on_false)?)
            }
            (Kind::Switch, [first, others @ ..]) => (1..).zip(others).try_for_each(|(number, other)| {
                compared("branch 0 gives", &given(first)?, &format!("branch {number}"), &given(other)?)
            }),
            (Kind::While, [_, body]) => {
                let carried = body.parameters.iter().map(Tensor::result_type).collect::<Result<Vec<_>>>()?;
                compared("the loop carries", &carried, "its body gives", &given(body)?)
            }
            (Kind::Switch | Kind::While | Kind::Scan { .. }, _) => Ok(()),
        }
    }
}

/// An operation with regions: its operands, then what the regions read.
#[derive(Clone)]
struct Control {
    name: &'static str,
    class: &'static str,
    kind: Kind,
    regions: Vec<Traced>,
    captures: Vec<Tensor>,
}

impl fmt::Debug for Control {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({:?}) of {} regions", self.name, self.kind, self.regions.len())
    }
}

impl Control {
    /// The operation's results.
    fn call(
        (name, class): (&'static str, &'static str),
        kind: Kind,
        regions: Vec<Traced>,
        operands: Vec<Tensor>,
        place: &'static Location<'static>,
    ) -> Result<Vec<Tensor>> {
        let mut all = operands.iter().chain(regions.iter().flat_map(|region| &region.results));
        all.try_for_each(|tensor| tensor.result_type().map(|_| ()))?;
        kind.check(name, &regions).map_err(|error| error.at((place.file(), place.line())))?;
        let captures = captures(&regions, if matches!(kind, Kind::Switch) { Reads::Leaves } else { Reads::Computed });
        let operands = operands.into_iter().chain(captures.iter().cloned()).collect();
        let results = Tensor::calls(Arc::new(Control { name, class, kind, regions, captures }), operands, place);
        results.iter().try_for_each(|result| result.result_type().map(|_| ()))?;
        Ok(results)
    }

    /// A region whose parameters have these values.
    fn trace(
        &self,
        builder: &mut Builder,
        region: &Traced,
        known: &Known,
        parameters: &[Value],
    ) -> Result<Vec<Value>, TypeError> {
        let mut known = known.clone();
        known.extend(region.parameters.iter().map(address).zip(parameters.iter().map(|&value| vec![value])));
        results_of(builder, self.name, region, &mut known)
    }

    /// A region that is traced apart, for parameters of these types.
    fn region(
        &self,
        builder: &mut Builder,
        region: &Traced,
        known: &Known,
        types: &[TensorType],
    ) -> Result<TracedRegion, TypeError> {
        builder.trace_region(types, |builder, parameters| self.trace(builder, region, known, parameters))
    }
}

/// Adds the ops of a closure to a graph, from what is known; its results.
pub(super) fn results_of(
    builder: &mut Builder,
    name: &'static str,
    region: &Traced,
    known: &mut Known,
) -> Result<Vec<Value>, TypeError> {
    let leaf = &mut |builder: &mut Builder, tensor: &Tensor| match &tensor.node.source {
        Source::Number(number) => Ok(builder.constant(number.beside(&[]))?),
        _ => Err(Error::model(format!("{tensor:?} belongs to another closure"))),
    };
    build(builder, &region.results, known, None, leaf).map_err(|error| TypeError::new(name, error.to_string()))
}

impl Function for Control {
    fn name(&self) -> &'static str {
        self.name
    }

    fn class(&self) -> &'static str {
        self.class
    }

    fn build<'s, 'b>(
        &self,
        scope: &'s Scope<'b>,
        operands: &[Operand<'s, 'b>],
    ) -> Result<Vec<Formula<'s, 'b>>, TypeError> {
        let (own, outside) = operands.split_at(operands.len() - self.captures.len());
        let mut known = Known::new();
        for (tensor, operand) in self.captures.iter().zip(outside) {
            known.entry(address(tensor)).or_default().push(operand.value());
        }
        let values: Vec<Value> = own.iter().map(|operand| operand.value()).collect();
        let results = scope.with_builder(|builder| match &self.kind {
            Kind::Switch => {
                let (&index, arguments) = values.split_first().ok_or_else(|| TypeError::new(self.name, "no index"))?;
                let branches = self.regions.iter().map(|region| {
                    builder.trace_region(&[], |builder, _| self.trace(builder, region, &known, arguments))
                });
                let branches = branches.collect::<Result<Vec<_>, TypeError>>()?;
                builder.cond_of(index, &branches)
            }
            Kind::While => {
                let types: Vec<TensorType> = values.iter().map(|&value| builder.tensor_type(value).clone()).collect();
                let condition = self.region(builder, &self.regions[0], &known, &types)?;
                let body = self.region(builder, &self.regions[1], &known, &types)?;
                builder.while_of(&values, &condition, &body)
            }
            Kind::Scan { carried, length, reverse } => {
                let (initial, sequences) = values.split_at(*carried);
                let options = kc_ir::tensor::ScanOptions { length: length.clone(), reverse: *reverse };
                let (length, types) = builder.scan_parameters(initial, sequences, &options)?;
                let body = self.region(builder, &self.regions[0], &known, &types)?;
                let options = kc_ir::tensor::ScanOptions { length: Some(length), reverse: *reverse };
                let scanned = builder.scan_of(initial, sequences, &options, &body)?;
                Ok([scanned.carried, scanned.outputs].concat())
            }
        })?;
        Ok(results.into_iter().map(|value| scope.tensor(value)).collect())
    }
}

/// A structure whose tensors carry an error.
pub(super) fn failed<S: Structure>(like: &S, error: &Error) -> S {
    let count = flat(like).len();
    rebuilt(like, vec![Tensor::error(error.clone()); count])
}

/// A structure of the results, or of the error.
fn given<S: Structure>(like: &S, results: Result<Vec<Tensor>>) -> S {
    match results {
        Ok(results) => rebuilt(like, results),
        Err(error) => failed(like, &error),
    }
}

/// A bool scalar, as Keras takes predicates: any scalar that is not 0.
fn predicate(tensor: &Tensor) -> Tensor {
    match tensor.result_type() {
        Ok(ty) if ty.dtype != DType::Bool => super::not_equal(tensor, 0),
        _ => tensor.clone(),
    }
}

/// What one of two closures gives: `true_fn` where the predicate, a scalar, holds. Only that one is computed.
#[track_caller]
pub fn cond<S: Structure>(pred: impl Into<Tensor>, true_fn: impl FnOnce() -> S, false_fn: impl FnOnce() -> S) -> S {
    let place = Location::caller();
    let (on_true, on_false) = (true_fn(), false_fn());
    let regions = [&on_false, &on_true].map(|given| Traced { parameters: vec![], results: flat(given) });
    let operands = vec![predicate(&pred.into())];
    given(&on_true, Control::call(("cond", "Cond"), Kind::Switch, regions.to_vec(), operands, place))
}

/// A branch of [`switch`].
pub type Branch<'a, S, R> = Box<dyn FnOnce(S) -> R + 'a>;

/// What the closure at a position gives for the operands; an index below 0 is the first, one too large the last. Only that one is
/// computed.
///
/// # Errors
/// Where there is no branch, or the branches give different types.
#[track_caller]
pub fn switch<S: Structure, R: Structure>(
    index: impl Into<Tensor>,
    branches: Vec<Branch<'_, S, R>>,
    operands: S,
) -> Result<R> {
    let place = Location::caller();
    let tensors = solid(&operands)?;
    let parameters = parameters(&tensors)?;
    let given: Vec<R> = branches.into_iter().map(|branch| branch(rebuilt(&operands, parameters.clone()))).collect();
    let first = given.first().ok_or_else(|| Error::model("`ops::switch`: expected at least one branch, got none"))?;
    let regions = given.iter().map(|given| Traced { parameters: parameters.clone(), results: flat(given) }).collect();
    let all = std::iter::once(index.into()).chain(tensors).collect();
    Ok(rebuilt(first, Control::call(("switch", "Switch"), Kind::Switch, regions, all, place)?))
}

/// A loop that can still be given its optional arguments: `ops::while_loop(..).maximum_iterations(10).results()`.
#[must_use]
pub struct WhileLoop<S> {
    like: S,
    /// The first values, the condition, the body.
    traced: Result<(Vec<Tensor>, Traced, Traced)>,
    maximum_iterations: Option<i64>,
    place: &'static Location<'static>,
}

/// The loop variables after `body` was applied while `cond` holds of them: `.results()`.
#[track_caller]
pub fn while_loop<S: Structure>(
    cond: impl FnOnce(S) -> Tensor,
    body: impl FnOnce(S) -> S,
    loop_vars: S,
) -> WhileLoop<S> {
    let place = Location::caller();
    let traced = solid(&loop_vars).and_then(|initial| {
        let parameters = parameters(&initial)?;
        let holds = predicate(&cond(rebuilt(&loop_vars, parameters.clone())));
        let next = flat(&body(rebuilt(&loop_vars, parameters.clone())));
        let condition = Traced { parameters: parameters.clone(), results: vec![holds] };
        Ok((initial, condition, Traced { parameters, results: next }))
    });
    WhileLoop { like: loop_vars, traced, maximum_iterations: None, place }
}

impl<S: Structure> WhileLoop<S> {
    /// After how many rounds it ends, whatever the condition says (default: never).
    pub fn maximum_iterations(mut self, maximum_iterations: impl Into<Option<i64>>) -> Self {
        self.maximum_iterations = maximum_iterations.into();
        self
    }

    /// The loop variables for which the condition does not hold.
    pub fn results(self) -> S {
        let results = self.traced.and_then(|(mut initial, mut condition, mut body)| {
            if let Some(maximum) = self.maximum_iterations {
                let count = parameter(TensorType::scalar(DType::I64));
                condition.results = vec![super::logical_and(&condition.results[0], super::less(&count, maximum))];
                body.results.push(&count + 1);
                condition.parameters.push(count.clone());
                body.parameters.push(count);
                initial.push(super::zeros([0i64; 0]).dtype("int64").into());
            }
            Control::call(("while_loop", "WhileLoop"), Kind::While, vec![condition, body], initial, self.place)
        });
        given(&self.like, results)
    }
}

/// The value after `body_fun(i, value)` was applied for each `i` from `lower` up to `upper`, which it does not reach.
#[track_caller]
pub fn fori_loop<S: Structure>(
    lower: impl Into<Tensor>,
    upper: impl Into<Tensor>,
    body_fun: impl FnOnce(Tensor, S) -> S,
    init_val: S,
) -> S {
    let place = Location::caller();
    let (lower, upper) = (lower.into(), upper.into());
    let results = (|| {
        let initial = solid(&init_val)?;
        let [lower, upper] = <[Tensor; 2]>::try_from(solid(&vec![lower, upper])?)
            .map_err(|_| Error::model("`ops::fori_loop`: expected two bounds"))?;
        let index = parameter(lower.result_type()?);
        let carried = parameters(&initial)?;
        let next = flat(&body_fun(index.clone(), rebuilt(&init_val, carried.clone())));
        let name = ("fori_loop", "ForiLoop");
        if let (Some(first), Some(end)) = (integer(&lower), integer(&upper)) {
            // a known number of rounds can be differentiated
            let rounds = super::arange(end.saturating_sub(first).max(0)).dtype(index.result_type()?.dtype) + &lower;
            let kind = Kind::Scan { carried: initial.len(), length: None, reverse: false };
            let body = Traced { parameters: [carried, vec![index]].concat(), results: next };
            return Control::call(name, kind, vec![body], [initial, vec![rounds]].concat(), place);
        }
        let parameters = [vec![index.clone()], carried].concat();
        let condition = Traced { parameters: parameters.clone(), results: vec![super::less(&index, &upper)] };
        let body = Traced { parameters, results: [vec![&index + 1], next].concat() };
        let all = Control::call(name, Kind::While, vec![condition, body], [vec![lower], initial].concat(), place)?;
        Ok(all[1..].to_vec())
    })();
    given(&init_val, results)
}

/// The integer that an array is.
fn integer(tensor: &Tensor) -> Option<i64> {
    let array = tensor.as_array().filter(|array| array.dtype().is_integer() && array.shape().is_empty())?;
    super::build::literal(array).ok()?.get(0).to_i128().try_into().ok()
}

/// A scan that can still be given its optional arguments: `ops::scan(..).reverse(true).results()`.
#[must_use]
pub struct Scan<C, Y> {
    carried: C,
    sequences: Vec<Tensor>,
    like: Option<Y>,
    /// The first carried values, and the body.
    body: Result<(Vec<Tensor>, Traced)>,
    length: Option<Dim>,
    reverse: bool,
    place: &'static Location<'static>,
}

/// The last carried value and the stacked outputs of `f(carried, element) -> (carried, output)`, applied to each element of the leading
/// axis of `xs`, one after the other: `.results()`. Where `xs` is `()`, `.length(n)` says how often.
#[track_caller]
pub fn scan<C: Structure, X: Structure, Y: Structure>(f: impl FnOnce(C, X) -> (C, Y), init: C, xs: X) -> Scan<C, Y> {
    let place = Location::caller();
    let sequences = flat(&xs);
    let mut like = None;
    let body = (|| {
        let initial = solid(&init)?;
        let carried = parameters(&initial)?;
        let elements = sequences.iter().map(|sequence| element(sequence).map(parameter)).collect::<Result<Vec<_>>>()?;
        let (next, output) = f(rebuilt(&init, carried.clone()), rebuilt(&xs, elements.clone()));
        let results = [flat(&next), flat(&output)].concat();
        like = Some(output);
        Ok((initial, Traced { parameters: [carried, elements].concat(), results }))
    })();
    Scan { carried: init, sequences, like, body, length: None, reverse: false, place }
}

/// The type of an element of the leading axis.
fn element(sequence: &Tensor) -> Result<TensorType> {
    let ty = sequence.result_type()?;
    match ty.shape.split_first() {
        Some((_, shape)) => Ok(TensorType { dtype: ty.dtype, shape: shape.to_vec() }),
        None => Err(Error::model(format!("{sequence:?} has no leading axis to go along"))),
    }
}

impl<C: Structure, Y: Structure> Scan<C, Y> {
    /// The number of rounds (default: the extent of the leading axis).
    pub fn length(mut self, length: impl Into<Dim>) -> Self {
        self.length = Some(length.into());
        self
    }

    /// Whether it goes from the last element to the first; outputs stand where their elements do (default: no).
    pub fn reverse(mut self, reverse: bool) -> Self {
        self.reverse = reverse;
        self
    }

    /// How many rounds are compiled as one; it changes no result (default: 1).
    pub fn unroll(self, _unroll: usize) -> Self {
        self
    }

    /// The last carried value, and the outputs.
    ///
    /// # Errors
    /// What is wrong with the closure's tensors.
    pub fn results(self) -> Result<(C, Y)> {
        let (carried, body) = self.body?;
        let like = self.like.ok_or_else(|| Error::model("`ops::scan`: the closure gave nothing"))?;
        let kind = Kind::Scan { carried: carried.len(), length: self.length, reverse: self.reverse };
        let count = carried.len();
        let operands = [carried, self.sequences].concat();
        let results = Control::call(("scan", "Scan"), kind, vec![body], operands, self.place)?;
        let (last, outputs) = results.split_at(count);
        Ok((rebuilt(&self.carried, last.to_vec()), rebuilt(&like, outputs.to_vec())))
    }
}

/// What a function gives for each element of the leading axis, stacked.
#[track_caller]
pub fn map<X: Structure, Y: Structure>(f: impl FnOnce(X) -> Y, xs: X) -> Result<Y> {
    let place = Location::caller();
    let mut scan = scan(|(), x| ((), f(x)), (), xs);
    scan.place = place;
    Ok(scan.results()?.1)
}

/// What a function gives for each element of the leading axis, stacked: [`map`].
#[track_caller]
pub fn vectorized_map<X: Structure, Y: Structure>(function: impl FnOnce(X) -> Y, elements: X) -> Result<Y> {
    map(function, elements)
}

/// A closure whose ops are part of the operation that takes it.
#[derive(Clone)]
pub(super) struct Inlined {
    traced: Traced,
    captures: Vec<Tensor>,
}

impl fmt::Debug for Inlined {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a function of {} tensors", self.traced.parameters.len())
    }
}

/// What an inlined closure reads from outside: the operands behind its arguments.
pub(super) fn captured(inlined: &Inlined) -> Vec<Tensor> {
    inlined.captures.clone()
}

impl Inlined {
    /// Calls a closure, with tensors that stand for arguments like these.
    pub fn trace<X: Structure, Y: Structure>(closure: impl FnOnce(X) -> Y, like: &X) -> Result<(Self, Y)> {
        let parameters = parameters(&solid(like)?)?;
        let given = closure(rebuilt(like, parameters.clone()));
        let traced = Traced { parameters, results: flat(&given) };
        traced.results.iter().try_for_each(|result| result.result_type().map(|_| ()))?;
        let captures = captures(std::slice::from_ref(&traced), Reads::Computed);
        Ok((Inlined { traced, captures }, given))
    }

    /// The tensors of a structure as arguments.
    pub fn arguments<X: Structure>(&self, structure: &X) -> Result<Vec<Tensor>> {
        solid(structure)
    }

    /// Adds the closure's ops for these arguments and captured values; its results.
    pub fn build(
        &self,
        builder: &mut Builder,
        name: &'static str,
        arguments: &[Value],
        outside: &[Value],
    ) -> Result<Vec<Value>, TypeError> {
        let mut known = Known::new();
        for (tensor, &value) in self.captures.iter().zip(outside) {
            known.entry(address(tensor)).or_default().push(value);
        }
        known.extend(self.traced.parameters.iter().map(address).zip(arguments.iter().map(|&value| vec![value])));
        results_of(builder, name, &self.traced, &mut known)
    }
}
