//! Building control flow: regions are traced by closures (or between two calls), and what they read of the outer graph becomes an
//! operand of their op.

mod associative;
mod scopes;

pub use associative::{AssociativeScanOptions, Combine, Halves, combined_in_halves};

use super::ops::*;
use super::{Builder, Node, Op, Region, Type, TypeError, Value};
use kc_abi::{DType, Dim, TensorType};
use std::collections::{BTreeSet, HashMap};

/// What [`Builder::begin_region`] began.
#[derive(Debug)]
pub struct OpenRegion {
    start: Value,
    parameters: Vec<Value>,
}

impl OpenRegion {
    /// The values that stand for the region's parameters while it is traced.
    pub fn parameters(&self) -> &[Value] {
        &self.parameters
    }
}

/// Ops that were traced for a region, and the values of the outer graph that they read.
#[derive(Clone, Debug)]
pub struct TracedRegion {
    parameters: Vec<(Value, TensorType)>,
    nodes: Vec<(Value, Node)>,
    results: Vec<Value>,
    captures: Vec<Value>,
    capture_types: Vec<TensorType>,
}

impl TracedRegion {
    /// The values of the outer graph that it reads, ascending.
    pub fn captures(&self) -> &[Value] {
        &self.captures
    }

    /// The types of its results.
    pub fn result_types(&self) -> Vec<TensorType> {
        let of = |value: &Value| {
            let node = self.nodes.iter().find(|(known, _)| known == value).and_then(|(_, node)| node.ty.as_tensor());
            let mut given = self.parameters.iter().map(|(known, ty)| (known, ty));
            let mut captured = self.captures.iter().zip(&self.capture_types);
            node.or_else(|| given.find(|(known, _)| *known == value).map(|(_, ty)| ty))
                .or_else(|| captured.find(|(known, _)| *known == value).map(|(_, ty)| ty))
                .cloned()
        };
        self.results.iter().filter_map(of).collect()
    }

    /// The region; `captures` (with its own among them) are its parameters behind those it was begun with.
    fn region(&self, builder: &Builder, captures: &[Value]) -> Result<Region, TypeError> {
        let mut inner = Builder::new();
        let mut values: HashMap<Value, Value> = HashMap::new();
        let given = self.parameters.iter().map(|(value, ty)| (*value, ty.clone()));
        let captured = captures.iter().map(|&value| (value, builder.tensor_type(value).clone()));
        for (position, (value, ty)) in given.chain(captured).enumerate() {
            let name = if position < self.parameters.len() { "operand" } else { "capture" };
            values.insert(value, inner.parameter(name, ty)?);
        }
        for (value, node) in &self.nodes {
            inner.set_location(node.location.clone());
            let operands: Vec<Value> = node.operands.iter().map(|operand| values[operand]).collect();
            values.insert(*value, inner.add(node.op.clone(), &operands)?);
        }
        Ok(Region::new(inner.finish(self.results.iter().map(|result| values[result]).collect())))
    }
}

/// The captures of several regions, each once, ascending.
fn union<'a>(regions: impl IntoIterator<Item = &'a TracedRegion>) -> Vec<Value> {
    let all: BTreeSet<Value> = regions.into_iter().flat_map(|region| region.captures.iter().copied()).collect();
    all.into_iter().collect()
}

/// How a scan runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanOptions {
    /// Number of rounds; `None`: the leading extent of the sequences.
    pub length: Option<Dim>,
    /// Whether the rounds go from the last element to the first.
    pub reverse: bool,
}

/// The results of [`Builder::scan`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// The last carried values.
    pub carried: Vec<Value>,
    /// The outputs, stacked along a leading axis.
    pub outputs: Vec<Value>,
}

impl Builder {
    /// Begins a region with parameters of these types. Ops added from now on are part of it, until [`Builder::end_region`]; they may
    /// read all values of the outer graph. Regions may be inside of each other. A parameter of the graph that is added meanwhile is one
    /// of the outermost graph.
    pub fn begin_region(&mut self, parameters: &[TensorType]) -> OpenRegion {
        let start = Value(self.graph().nodes.len() as u32);
        let parameters = parameters.iter().map(|ty| {
            // no graph has as many parameters as nodes, so the index is no parameter's
            let index = self.graph().nodes.len();
            let parameter = Parameter { index, name: "operand".into(), ty: ty.clone() };
            let value = self.push(parameter.into(), vec![], Type::Tensor(ty.clone()));
            self.in_regions.insert(value);
            value
        });
        let parameters = parameters.collect();
        self.open_regions.push(start);
        OpenRegion { start, parameters }
    }

    /// Ends the region that was begun last. Values of it must not be used any more.
    ///
    /// # Errors
    /// Where it was not begun last, or a result is no tensor.
    pub fn end_region(&mut self, open: OpenRegion, results: &[Value]) -> Result<TracedRegion, TypeError> {
        if self.open_regions.pop() != Some(open.start) {
            return Err(TypeError::new("region", "it is ended before a region that was begun in it"));
        }
        let parameters: Vec<(Value, TensorType)> =
            open.parameters.iter().map(|&value| (value, self.tensor_type(value).clone())).collect();
        let is_parameter = |value: Value, of: &Builder| matches!(of.graph().node(value).op, Op::Parameter(_));
        let inside = |value: Value, of: &Builder| value >= open.start && !is_parameter(value, of);
        let (mut needed, mut captures) = (BTreeSet::new(), BTreeSet::new());
        let mut reached = results.to_vec();
        while let Some(value) = reached.pop() {
            if open.parameters.contains(&value) {
                continue;
            }
            if !inside(value, self) {
                captures.insert(value);
            } else if needed.insert(value) {
                reached.extend(&self.graph().node(value).operands);
            }
        }
        // one tensor of an outer tuple is taken outside
        let outer_tuples: Vec<Value> =
            captures.iter().copied().filter(|&value| self.graph().node(value).ty.as_tensor().is_none()).collect();
        let mut moved = BTreeSet::new();
        for &value in &needed {
            if let [operand] = self.graph().node(value).operands[..]
                && outer_tuples.contains(&operand)
            {
                moved.insert(value);
            }
        }
        captures.retain(|value| !outer_tuples.contains(value));
        let nodes: Vec<(Value, Node)> = needed
            .iter()
            .filter(|value| !moved.contains(value))
            .map(|&value| (value, self.graph().node(value).clone()))
            .collect();
        captures.extend(moved.iter().copied());
        for value in self.graph().values().skip(open.start.index()) {
            if inside(value, self) && !moved.contains(&value) && !self.in_regions.contains(&value) {
                self.move_to_region(value);
            }
        }
        if let Some(tuple) = results.iter().find(|&&result| self.graph().node(result).ty.as_tensor().is_none()) {
            let ty = &self.graph().node(*tuple).ty;
            return Err(TypeError::new("region", format!("a result is the tuple {ty}, expected a tensor")));
        }
        let captures: Vec<Value> = captures.into_iter().collect();
        let capture_types = captures.iter().map(|&value| self.tensor_type(value).clone()).collect();
        Ok(TracedRegion { parameters, nodes, results: results.to_vec(), captures, capture_types })
    }

    /// Traces a region by a closure, which gets its parameters and returns its results.
    pub fn trace_region<E: From<TypeError>>(
        &mut self,
        parameters: &[TensorType],
        trace: impl FnOnce(&mut Builder, &[Value]) -> Result<Vec<Value>, E>,
    ) -> Result<TracedRegion, E> {
        let open = self.begin_region(parameters);
        let values = open.parameters.clone();
        match trace(self, &values) {
            Ok(results) => Ok(self.end_region(open, &results)?),
            Err(error) => {
                self.end_region(open, &[])?;
                Err(error)
            }
        }
    }

    /// The results of one of two closures: of `on_true` where the predicate (a bool scalar) holds. Only that one is executed.
    pub fn cond<E: From<TypeError>>(
        &mut self,
        predicate: Value,
        on_true: impl FnOnce(&mut Builder) -> Result<Vec<Value>, E>,
        on_false: impl FnOnce(&mut Builder) -> Result<Vec<Value>, E>,
    ) -> Result<Vec<Value>, E> {
        let on_true = self.trace_region(&[], |b, _| on_true(b))?;
        let on_false = self.trace_region(&[], |b, _| on_false(b))?;
        Ok(self.cond_of(predicate, &[on_false, on_true])?)
    }

    /// The results of the closure whose position is the index (an integer scalar); an index below 0 is the first, one too large the last.
    pub fn switch<E: From<TypeError>>(
        &mut self,
        index: Value,
        branches: Vec<BranchTrace<'_, E>>,
    ) -> Result<Vec<Value>, E> {
        let traced = branches.into_iter().map(|branch| self.trace_region(&[], |b, _| branch(b)));
        let traced = traced.collect::<Result<Vec<_>, E>>()?;
        Ok(self.cond_of(index, &traced)?)
    }

    /// The `cond` op of branches without parameters.
    pub fn cond_of(&mut self, index: Value, branches: &[TracedRegion]) -> Result<Vec<Value>, TypeError> {
        let captures = union(branches);
        let regions = branches.iter().map(|branch| branch.region(self, &captures)).collect::<Result<_, _>>()?;
        let operands: Vec<Value> = std::iter::once(index).chain(captures).collect();
        let tuple = self.add(Cond { branches: regions }, &operands)?;
        self.projections(tuple)
    }

    /// Repeats `body` while `condition` (a bool scalar) holds of the carried values; returns those for which it does not.
    pub fn while_loop<E: From<TypeError>>(
        &mut self,
        initial: &[Value],
        condition: impl FnOnce(&mut Builder, &[Value]) -> Result<Value, E>,
        body: impl FnOnce(&mut Builder, &[Value]) -> Result<Vec<Value>, E>,
    ) -> Result<Vec<Value>, E> {
        let types: Vec<TensorType> = initial.iter().map(|&value| self.tensor_type(value).clone()).collect();
        let condition = self.trace_region(&types, |b, values| condition(b, values).map(|holds| vec![holds]))?;
        let body = self.trace_region(&types, body)?;
        Ok(self.while_of(initial, &condition, &body)?)
    }

    /// The `while` op of regions whose parameters are the carried values.
    pub fn while_of(
        &mut self,
        initial: &[Value],
        condition: &TracedRegion,
        body: &TracedRegion,
    ) -> Result<Vec<Value>, TypeError> {
        let captures = union([condition, body]);
        let op = While {
            carried: initial.len(),
            condition: condition.region(self, &captures)?,
            body: body.region(self, &captures)?,
        };
        let operands: Vec<Value> = initial.iter().copied().chain(captures).collect();
        let tuple = self.add(op, &operands)?;
        self.projections(tuple)
    }

    /// Executes `body` for each element of the sequences' leading axis; it gets the carried values and the elements, and returns the next
    /// carried values and an element of each output.
    pub fn scan<E: From<TypeError>>(
        &mut self,
        initial: &[Value],
        sequences: &[Value],
        options: &ScanOptions,
        body: impl FnOnce(&mut Builder, &[Value], &[Value]) -> Result<(Vec<Value>, Vec<Value>), E>,
    ) -> Result<Scanned, E> {
        let (length, types) = self.scan_parameters(initial, sequences, options)?;
        let traced: TracedRegion = self.trace_region(&types, |b, values| -> Result<Vec<Value>, E> {
            let (carried, elements) = values.split_at(initial.len());
            let (mut next, outputs) = body(b, carried, elements)?;
            if next.len() != initial.len() {
                let message = format!("its body gives {} carried values, expected {}", next.len(), initial.len());
                return Err(TypeError::new("scan", message).into());
            }
            next.extend(outputs);
            Ok(next)
        })?;
        Ok(self.scan_of(initial, sequences, &ScanOptions { length: Some(length), ..options.clone() }, &traced)?)
    }

    /// The number of rounds of a scan and the types of its body's parameters: carried values, elements.
    pub fn scan_parameters(
        &self,
        initial: &[Value],
        sequences: &[Value],
        options: &ScanOptions,
    ) -> Result<(Dim, Vec<TensorType>), TypeError> {
        let leading = |&sequence: &Value| self.tensor_type(sequence).shape.first().cloned();
        let length = options.length.clone().or_else(|| sequences.first().and_then(leading)).ok_or_else(|| {
            TypeError::new("scan", "expected the number of rounds, or a sequence with a leading axis to take it from")
        })?;
        let mut types: Vec<TensorType> = initial.iter().map(|&value| self.tensor_type(value).clone()).collect();
        for (position, &sequence) in sequences.iter().enumerate() {
            let ty = self.tensor_type(sequence);
            match ty.shape.split_first() {
                Some((extent, shape)) if *extent == length => {
                    types.push(TensorType { dtype: ty.dtype, shape: shape.to_vec() })
                }
                _ => {
                    let message = format!("sequence {position} is {ty}, expected the leading extent {length}");
                    return Err(TypeError::new("scan", message));
                }
            }
        }
        Ok((length, types))
    }

    /// The `scan` op of a region whose parameters are those of [`Builder::scan_parameters`].
    pub fn scan_of(
        &mut self,
        initial: &[Value],
        sequences: &[Value],
        options: &ScanOptions,
        body: &TracedRegion,
    ) -> Result<Scanned, TypeError> {
        let (length, _) = self.scan_parameters(initial, sequences, options)?;
        let captures = body.captures().to_vec();
        let op = Scan {
            carried: initial.len(),
            sequences: sequences.len(),
            length,
            reverse: options.reverse,
            body: body.region(self, &captures)?,
        };
        let operands: Vec<Value> = initial.iter().chain(sequences).copied().chain(captures).collect();
        let tuple = self.add(op, &operands)?;
        let mut carried = self.projections(tuple)?;
        let outputs = carried.split_off(initial.len());
        Ok(Scanned { carried, outputs })
    }

    /// Repeats `body` for each index of `lower..lower + length`, a scalar of the dtype; returns the last carried values.
    pub fn fori_loop<E: From<TypeError>>(
        &mut self,
        (lower, dtype): (i64, DType),
        length: Dim,
        initial: &[Value],
        body: impl FnOnce(&mut Builder, Value, &[Value]) -> Result<Vec<Value>, E>,
    ) -> Result<Vec<Value>, E> {
        let ty = TensorType::new(dtype, [length.clone()]);
        let mut indices = self.add(Iota { ty, axis: 0 }, &[])?;
        if lower != 0 {
            let lower = self.splat_like(lower, indices)?;
            indices = self.binary(Binary::Add, indices, lower)?;
        }
        let options = ScanOptions { length: Some(length), reverse: false };
        let scanned = self.scan(initial, &[indices], &options, |b, carried, elements| {
            body(b, elements[0], carried).map(|next| (next, vec![]))
        })?;
        Ok(scanned.carried)
    }

    /// Applies a function to each element of the operands' leading axis and stacks what it gives.
    pub fn map<E: From<TypeError>>(
        &mut self,
        operands: &[Value],
        function: impl FnOnce(&mut Builder, &[Value]) -> Result<Vec<Value>, E>,
    ) -> Result<Vec<Value>, E> {
        let scanned = self.scan(&[], operands, &ScanOptions::default(), |b, _, elements| {
            function(b, elements).map(|outputs| (vec![], outputs))
        })?;
        Ok(scanned.outputs)
    }
}

/// What traces a branch of [`Builder::switch`].
pub type BranchTrace<'a, E> = Box<dyn FnOnce(&mut Builder) -> Result<Vec<Value>, E> + 'a>;
