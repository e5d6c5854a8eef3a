//! Emits expressions of a cluster's kernel: the value of an op at an index, through floating ops down to loads.

use super::cluster::{Role, role};
use super::expand::{accumulator, strides};
use super::functions;
use super::indexed::{Wanted, Window};
use kc_ir::kernel::{Access, Index, Instruction, KernelBuilder, MemoryId, Register};
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{Graph, Op, Scalar, Value};
use kc_ir::{DType, Dim, Symbol, TensorType};
use std::collections::{BTreeMap, HashMap};

/// A position on an axis: lane `l` is at `index + l*step`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Coordinate {
    pub index: Index,
    pub step: i64,
}

impl Coordinate {
    /// The same position in every lane.
    pub fn fixed(index: impl Into<Index>) -> Self {
        Coordinate { index: index.into(), step: 0 }
    }
    /// Consecutive positions.
    pub fn lanes(index: impl Into<Index>) -> Self {
        Coordinate { index: index.into(), step: 1 }
    }
}

/// Where an op's value is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum At {
    /// At a row-major position among all elements.
    Flat(Coordinate),
    /// At a position on each axis.
    Multi(Vec<Coordinate>),
}

impl At {
    fn is_fixed(&self) -> bool {
        match self {
            At::Flat(coordinate) => coordinate.step == 0,
            At::Multi(coordinates) => coordinates.iter().all(|c| c.step == 0),
        }
    }
}

/// The expression cannot be emitted for several lanes at once, or not at a flat position: another loop nest is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unsuited;

pub(super) type Emitted = Result<Register, Unsuited>;

/// Whether an op is arithmetic whose result changes little where its operands do.
fn is_arithmetic(op: &Op) -> bool {
    use {Binary::*, Unary::*};
    match op {
        Op::Binary(function) => matches!(function, Add | Subtract | Multiply | Divide | Maximum | Minimum),
        Op::Unary(function) => {
            matches!(function, Negate | Abs | Sqrt | Rsqrt | Exp | Expm1 | Log | Log1p | Tanh | Logistic | Erf | Erfc)
        }
        // a conversion to f32 of what is not rounded, or one from it
        Op::Convert(_) => true,
        _ => false,
    }
}

/// Emits one kernel.
#[derive(Clone)]
pub(super) struct Emitter<'a> {
    pub graph: &'a Graph,
    pub b: KernelBuilder,
    /// Symbols behind the kernel's dimension parameters.
    pub dims: Vec<Symbol>,
    /// Lanes of the expressions that are emitted now.
    pub lanes: u32,
    /// Lanes that count, where not all do.
    pub count: Option<Index>,
    /// Memory of values that the kernel reads from buffers.
    readable: BTreeMap<Value, MemoryId>,
    /// What is known in the open scopes, innermost last.
    known: Vec<Known>,
    /// Whether the kernel gathers.
    pub gathers: bool,
    /// The windows that a loop on trial asks for.
    pub wanted: Option<Wanted>,
    /// Where parts of values meet along the last axis.
    pub seams: Seams,
    /// Whether values of half precision are known that are not rounded.
    is_unrounded: bool,
}

/// Positions along a last axis where what is computed changes: the ends of what is padded and of concatenated parts. Between two of
/// them vectors need no condition.
#[derive(Clone, Debug, Default)]
pub(super) struct Seams {
    /// The axis' extent.
    pub extent: i64,
    /// The positions, ascending, within the extent.
    pub at: Vec<i64>,
}

/// What is known in a scope.
#[derive(Clone, Default)]
struct Known {
    values: HashMap<(Value, At, u32), Register>,
    /// Values of half precision as f32, not yet rounded.
    unrounded: HashMap<(Value, At, u32), Register>,
    /// The first and the last position that an index has in all rounds and lanes.
    ranges: HashMap<Index, (i64, i64)>,
    windows: HashMap<(Value, Vec<Index>), Window>,
}

impl<'a> Emitter<'a> {
    /// An emitter of a kernel whose buffer parameters are `buffers`: name, dtype, access.
    pub fn new(graph: &'a Graph, name: &str, buffers: &[(String, DType, Access)]) -> Self {
        let mut b = KernelBuilder::new(name);
        for (name, dtype, access) in buffers {
            b.parameter(name, *dtype, *access);
        }
        Emitter {
            graph,
            b,
            dims: vec![],
            lanes: 1,
            count: None,
            readable: BTreeMap::new(),
            known: vec![Known::default()],
            gathers: false,
            wanted: None,
            seams: Seams::default(),
            is_unrounded: false,
        }
    }

    /// Says that a value is to be loaded from memory.
    pub fn set_readable(&mut self, value: Value, memory: MemoryId) {
        self.readable.insert(value, memory);
    }

    /// The memory that a value is to be loaded from.
    pub fn memory(&self, value: Value) -> Option<MemoryId> {
        self.readable.get(&value).copied()
    }

    /// Whether a value is to be loaded from that memory.
    pub fn lies_in(&self, value: Value, memory: MemoryId) -> bool {
        self.readable.get(&value) == Some(&memory)
    }

    /// An extent as an index.
    pub fn extent(&mut self, dim: &Dim) -> Index {
        Index::from_dim(dim, &mut self.dims)
    }

    /// An index held in a register, so that its arithmetic is done once.
    pub fn hold(&mut self, index: Index) -> Index {
        match index {
            Index::Constant(_) | Index::Axis(_) | Index::Dim(_) | Index::Register(_) => index,
            other => {
                Index::Register(self.b.instruction(DType::I64, 1, Instruction::Position { index: other, step: 0 }))
            }
        }
    }

    /// Executes `body` in a scope: values that become known in it are forgotten after it.
    pub fn scope<T>(&mut self, body: impl FnOnce(&mut Self) -> T) -> T {
        self.known.push(Known::default());
        let result = body(self);
        self.known.pop();
        result
    }

    /// A loop with carried values.
    pub fn for_carrying(
        &mut self,
        start: impl Into<Index>,
        end: impl Into<Index>,
        step: i64,
        initial: &[Register],
        body: impl FnOnce(&mut Self, Index, &[Register]) -> Result<Vec<Register>, Unsuited>,
    ) -> Result<Vec<Register>, Unsuited> {
        let (axis, carried) = self.b.open_loop(start, end, step, initial);
        let next = self.scope(|this| body(this, axis, &carried))?;
        Ok(self.b.close_loop(next))
    }

    /// A loop that carries nothing.
    pub fn for_each(
        &mut self,
        start: impl Into<Index>,
        end: impl Into<Index>,
        step: i64,
        body: impl FnOnce(&mut Self, Index) -> Result<(), Unsuited>,
    ) -> Result<(), Unsuited> {
        self.for_carrying(start, end, step, &[], |this, axis, _| body(this, axis).map(|()| vec![]))?;
        Ok(())
    }

    /// A branch with one value.
    pub fn branch(
        &mut self,
        condition: Register,
        then: impl FnOnce(&mut Self) -> Emitted,
        otherwise: impl FnOnce(&mut Self) -> Emitted,
    ) -> Emitted {
        self.b.open_branch(condition);
        let value = self.scope(then)?;
        self.b.open_otherwise(vec![value]);
        let value = self.scope(otherwise)?;
        Ok(self.b.close_branch(vec![value])[0])
    }

    /// Says between which positions an index lies in the innermost scope, in all lanes.
    pub fn bind_range(&mut self, index: &Index, first: i64, last: i64) {
        if let Some(scope) = self.known.last_mut() {
            scope.ranges.insert(index.clone(), (first, last));
        }
    }

    /// The first and the last position that an index has, where that is known.
    fn range(&self, index: &Index) -> Option<(i64, i64)> {
        if let Some(&range) = self.known.iter().rev().find_map(|scope| scope.ranges.get(index)) {
            return Some(range);
        }
        match index {
            Index::Constant(n) => Some((*n, *n)),
            Index::Add(a, b) => {
                let (a, b) = (self.range(a)?, self.range(b)?);
                Some((a.0.checked_add(b.0)?, a.1.checked_add(b.1)?))
            }
            Index::Multiply(a, b) => {
                let (a, b) = (self.range(a)?, self.range(b)?);
                let products =
                    [a.0.checked_mul(b.0)?, a.0.checked_mul(b.1)?, a.1.checked_mul(b.0)?, a.1.checked_mul(b.1)?];
                Some((products.into_iter().min()?, products.into_iter().max()?))
            }
            _ => None,
        }
    }

    /// The number of open scopes.
    pub fn depth(&self) -> usize {
        self.known.len()
    }

    /// The window of an op for an index of its batch axes, where it is known.
    pub fn known_window(&self, op: Value, batch: &[Index]) -> Option<Window> {
        let key = (op, batch.to_vec());
        self.known.iter().rev().find_map(|scope| scope.windows.get(&key)).cloned()
    }

    /// Says that a window is known in the innermost scope.
    pub fn bind_window(&mut self, op: Value, batch: &[Index], window: &Window) {
        if let Some(scope) = self.known.last_mut() {
            scope.windows.insert((op, batch.to_vec()), window.clone());
        }
    }

    /// Says that a value is known at an index in the innermost scope.
    pub fn bind(&mut self, value: Value, at: At, register: Register) {
        let lanes = self.b.register_type(register).lanes;
        if let Some(scope) = self.known.last_mut() {
            scope.values.insert((value, at, lanes), register);
        }
    }

    /// The value of an op at an index, in `self.lanes` lanes.
    pub fn value(&mut self, value: Value, at: &At) -> Emitted {
        let key = (value, at.clone(), self.lanes);
        if let Some(&register) = self.known.iter().rev().find_map(|scope| scope.values.get(&key)) {
            return Ok(register);
        }
        if let Some(register) = self.known_unrounded(&key) {
            let register = self.b.convert(self.ty(value).dtype, register);
            self.bind(value, at.clone(), register);
            return Ok(register);
        }
        if self.lanes > 1 && at.is_fixed() {
            let scalar = self.scalar(value, at)?;
            let register = self.b.splat(self.lanes, scalar);
            self.bind(value, at.clone(), register);
            return Ok(register);
        }
        let register = match self.readable.get(&value) {
            Some(&memory) => self.load(value, memory, at)?,
            None => self.compute(value, at)?,
        };
        self.bind(value, at.clone(), register);
        Ok(register)
    }

    /// Says that a value is known at an index in the innermost scope: of half precision as f32, so that functions of it are computed in f32
    /// until one is stored.
    pub fn bind_unrounded(&mut self, value: Value, at: At, register: Register) {
        if self.b.register_type(register).dtype == self.ty(value).dtype {
            return self.bind(value, at, register);
        }
        self.is_unrounded = true;
        let lanes = self.b.register_type(register).lanes;
        if let Some(scope) = self.known.last_mut() {
            scope.unrounded.insert((value, at, lanes), register);
        }
    }

    fn known_unrounded(&self, key: &(Value, At, u32)) -> Option<Register> {
        self.known.iter().rev().find_map(|scope| scope.unrounded.get(key)).copied()
    }

    /// The value of an op at an index, of half precision as f32: not rounded where this kernel computes it by arithmetic.
    fn unrounded(&mut self, value: Value, at: &At) -> Emitted {
        let node = self.graph.node(value);
        let key = (value, at.clone(), self.lanes);
        if let Some(register) = self.known_unrounded(&key) {
            return Ok(register);
        }
        let dtype = accumulator(self.ty(value).dtype);
        let is_computed = !self.readable.contains_key(&value) && is_arithmetic(&node.op);
        if dtype == self.ty(value).dtype || !is_computed {
            let register = self.value(value, at)?;
            return Ok(self.b.convert(dtype, register));
        }
        let register = if self.lanes > 1 && at.is_fixed() {
            let (lanes, count) = (std::mem::replace(&mut self.lanes, 1), self.count.take());
            let scalar = self.unrounded(value, at);
            (self.lanes, self.count) = (lanes, count);
            self.b.splat(lanes, scalar?)
        } else {
            let inputs = node.operands.iter().map(|&operand| self.unrounded(operand, at));
            let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
            self.elementwise(&node.op, dtype, &inputs)
        };
        self.bind_unrounded(value, at.clone(), register);
        Ok(register)
    }

    /// The value of an op at an index that is the same in all lanes, as a scalar.
    pub fn scalar(&mut self, value: Value, at: &At) -> Emitted {
        let (lanes, count) = (std::mem::replace(&mut self.lanes, 1), self.count.take());
        let scalar = self.value(value, at);
        (self.lanes, self.count) = (lanes, count);
        scalar
    }

    /// The type of a tensor.
    pub fn ty(&self, value: Value) -> &'a TensorType {
        self.graph.tensor_type(value)
    }

    /// The row-major position of an index.
    pub fn position(&mut self, shape: &[Dim], at: &At) -> Result<Coordinate, Unsuited> {
        let coordinates = match at {
            At::Flat(coordinate) => return Ok(coordinate.clone()),
            At::Multi(coordinates) => coordinates,
        };
        let mut position = Coordinate::fixed(0);
        for (coordinate, stride) in coordinates.iter().zip(strides(shape)) {
            // one lane takes no steps
            if coordinate.step != 0 && self.lanes > 1 {
                position.step += coordinate.step * stride.as_constant().ok_or(Unsuited)?;
            }
            let stride = self.extent(&stride);
            position.index = position.index + coordinate.index.clone() * stride;
        }
        Ok(position)
    }

    fn load(&mut self, value: Value, memory: MemoryId, at: &At) -> Emitted {
        let shape = &self.ty(value).shape;
        let position = self.position(shape, at)?;
        match position.step {
            1 => Ok(self.b.load(memory, position.index, self.lanes, self.count.clone())),
            _ if self.lanes == 1 => Ok(self.b.load(memory, position.index, 1, None)),
            0 => {
                let scalar = self.b.load(memory, position.index, 1, None);
                Ok(self.b.splat(self.lanes, scalar))
            }
            _ => Err(Unsuited),
        }
    }

    /// The index on each axis.
    pub fn multi(&mut self, value: Value, at: &At) -> Result<Vec<Coordinate>, Unsuited> {
        let flat = match at {
            At::Multi(coordinates) => return Ok(coordinates.clone()),
            At::Flat(flat) => flat,
        };
        let shape = &self.ty(value).shape;
        if shape.len() == 1 {
            return Ok(vec![flat.clone()]);
        }
        if self.lanes > 1 && flat.step != 0 {
            return Err(Unsuited);
        }
        Ok(self.unravel(shape, flat.index.clone()).into_iter().map(Coordinate::fixed).collect())
    }

    /// The index on each axis of a row-major position.
    pub fn unravel(&mut self, shape: &[Dim], position: Index) -> Vec<Index> {
        let mut rest = self.hold(position);
        let mut indices = vec![Index::Constant(0); shape.len()];
        for axis in (0..shape.len()).rev() {
            // of an axis without elements there is no position
            if shape[axis].is(1) || shape[axis].is(0) {
                continue;
            }
            if shape[..axis].iter().all(|dim| dim.is(1)) {
                indices[axis] = rest.clone();
                break;
            }
            let extent = self.extent(&shape[axis]);
            indices[axis] = self.hold(rest.clone().modulo(extent.clone()));
            rest = self.hold(rest.floor_div(extent));
        }
        indices
    }

    fn compute(&mut self, value: Value, at: &At) -> Emitted {
        let node = self.graph.node(value);
        let (ty, operands) = (self.ty(value), &node.operands);
        let is_half = |dtype: DType| accumulator(dtype) != dtype;
        if self.is_unrounded && is_half(ty.dtype) && is_arithmetic(&node.op) {
            let register = self.unrounded(value, at)?;
            return Ok(self.b.convert(ty.dtype, register));
        }
        if self.is_unrounded
            && matches!(node.op, Op::Convert(_))
            && ty.dtype == DType::F32
            && is_half(self.ty(operands[0]).dtype)
        {
            return self.unrounded(operands[0], at);
        }
        if role(&node.op) == Role::Elementwise {
            let inputs = operands.iter().map(|&operand| self.value(operand, at)).collect::<Result<Vec<_>, _>>()?;
            // by a constant amount or divisor, integer shifts and divisions are single instructions
            if let Op::Binary(function @ (Binary::ShiftLeft | Binary::ShiftRight | Binary::Divide)) = &node.op
                && ty.dtype.is_integer()
                && self.constant(operands[1]).is_some_and(|n| {
                    if *function == Binary::Divide { n > 0 } else { (0..i128::from(ty.dtype.bits())).contains(&n) }
                })
            {
                return Ok(self.b.binary(*function, inputs[0], inputs[1]));
            }
            return Ok(self.elementwise(&node.op, ty.dtype, &inputs));
        }
        match &node.op {
            Op::Constant(constant) => {
                let splat = constant.value.splat_value().ok_or(Unsuited)?;
                Ok(self.b.constant(ty.dtype, self.lanes, splat))
            }
            Op::Dimension(dimension) => {
                let index = self.extent(&dimension.dim);
                let extent = self.b.instruction(DType::I64, 1, Instruction::Position { index, step: 0 });
                let extent = self.b.convert(ty.dtype, extent);
                Ok(self.b.splat(self.lanes, extent))
            }
            Op::Iota(iota) => {
                let coordinate = self.multi(value, at)?.swap_remove(iota.axis);
                let dtype = if ty.shape[iota.axis].as_constant().is_some_and(|n| n < 1 << 31) {
                    DType::I32
                } else {
                    DType::I64
                };
                let position = self.b.instruction(
                    dtype,
                    self.lanes,
                    Instruction::Position { index: coordinate.index, step: coordinate.step },
                );
                Ok(self.b.convert(ty.dtype, position))
            }
            Op::Broadcast(broadcast) => {
                let operand_ty = self.ty(operands[0]);
                if matches!(at, At::Flat(_)) && operand_ty.shape == ty.shape {
                    return self.value(operands[0], at);
                }
                let coordinates =
                    if operand_ty.shape.iter().all(|dim| dim.is(1)) { vec![] } else { self.multi(value, at)? };
                let picked = broadcast.axes.iter().zip(&operand_ty.shape).map(|(&axis, extent)| match extent.is(1) {
                    true => Coordinate::fixed(0),
                    false => coordinates[axis].clone(),
                });
                self.value(operands[0], &At::Multi(picked.collect()))
            }
            Op::Reshape(_) => {
                // dropping or adding unit axes keeps the index on the others
                let operand_shape = &self.ty(operands[0]).shape;
                let without_units = |shape: &[Dim]| shape.iter().filter(|dim| !dim.is(1)).cloned().collect::<Vec<_>>();
                if let At::Multi(coordinates) = at
                    && without_units(operand_shape) == without_units(&ty.shape)
                {
                    let mut kept =
                        ty.shape.iter().zip(coordinates).filter(|(dim, _)| !dim.is(1)).map(|(_, c)| c.clone());
                    let mapped = operand_shape.iter().map(|dim| {
                        if dim.is(1) { Coordinate::fixed(0) } else { kept.next().unwrap_or(Coordinate::fixed(0)) }
                    });
                    let at = At::Multi(mapped.collect());
                    return self.value(operands[0], &at);
                }
                let mut flat = self.position(&ty.shape, at)?;
                flat.index = self.hold(flat.index);
                self.value(operands[0], &At::Flat(flat))
            }
            Op::Transpose(transpose) => {
                let coordinates = self.multi(value, at)?;
                let mut moved = vec![Coordinate::fixed(0); coordinates.len()];
                transpose.permutation.iter().zip(coordinates).for_each(|(&axis, coordinate)| moved[axis] = coordinate);
                self.value(operands[0], &At::Multi(moved))
            }
            Op::Slice(slice) => {
                let coordinates = self.multi(value, at)?;
                let mut moved = Vec::with_capacity(coordinates.len());
                for (axis, coordinate) in coordinates.into_iter().enumerate() {
                    let start = self.extent(&slice.start[axis]);
                    moved.push(Coordinate {
                        index: coordinate.index * slice.stride[axis] + start,
                        step: coordinate.step * slice.stride[axis],
                    });
                }
                self.value(operands[0], &At::Multi(moved))
            }
            Op::Reverse(reverse) => {
                let mut coordinates = self.multi(value, at)?;
                for &axis in &reverse.axes {
                    let last = self.extent(&(ty.shape[axis].clone() - Dim::constant(1)));
                    coordinates[axis] =
                        Coordinate { index: last - coordinates[axis].index.clone(), step: -coordinates[axis].step };
                }
                self.value(operands[0], &At::Multi(coordinates))
            }
            Op::Pad(pad) => self.pad(value, pad, at),
            Op::Concatenate(concatenate) => {
                let coordinates = self.multi(value, at)?;
                self.concatenated(operands, concatenate.axis, coordinates, Dim::default())
            }
            Op::Gather(gather) => self.gather(value, gather, at),
            Op::RandomBits(_) => self.random_bits(operands[0], ty, at),
            // their values are bound where the cluster's loops have computed them
            Op::Parameter(_)
            | Op::Reduce(_)
            | Op::ArgReduce(_)
            | Op::Cumulative(_)
            | Op::Recurrence(_)
            | Op::DotGeneral(_)
            | Op::Convolution(_)
            | Op::ReduceWindow(_)
            | Op::SelectAndScatter(_)
            | Op::Scatter(_)
            | Op::Sort(_)
            | Op::TopK(_)
            | Op::CustomCall(_) => Err(Unsuited),
            Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Select(_)
            | Op::Convert(_)
            | Op::BitcastConvert(_)
            | Op::StopGradient(_) => Err(Unsuited),
            Op::Composite(_) | Op::Gradient(_) | Op::Projection(_) => Err(Unsuited),
            Op::Cond(_) | Op::While(_) | Op::Scan(_) | Op::Remat(_) | Op::CustomGradient(_) => Err(Unsuited),
            Op::OptimizationBarrier(_) => self.value(operands[0], at),
        }
    }

    /// The integer that all elements are, where that is known.
    fn constant(&self, value: Value) -> Option<i128> {
        match &self.graph.node(value).op {
            Op::Constant(constant) => constant.value.splat_value().map(Scalar::to_i128),
            Op::Broadcast(_) | Op::Reshape(_) => self.constant(self.graph.node(value).operands[0]),
            _ => None,
        }
    }

    fn elementwise(&mut self, op: &Op, dtype: DType, inputs: &[Register]) -> Register {
        match op {
            Op::Unary(function) => functions::unary(&mut self.b, *function, inputs[0]),
            Op::Binary(function) => functions::binary(&mut self.b, *function, inputs[0], inputs[1]),
            Op::Compare(function) => self.b.compare(*function, inputs[0], inputs[1]),
            Op::Select(_) => self.b.select(inputs[0], inputs[1], inputs[2]),
            Op::Convert(_) => self.b.convert(dtype, inputs[0]),
            Op::BitcastConvert(_) => self.b.bitcast(dtype, inputs[0]),
            _ => inputs[0],
        }
    }

    /// A register with the truth of `left < right`.
    pub fn less(&mut self, left: Index, right: Index) -> Register {
        let [left, right] =
            [left, right].map(|index| self.b.instruction(DType::I64, 1, Instruction::Position { index, step: 0 }));
        self.b.compare(Compare::Less, left, right)
    }

    fn pad(&mut self, value: Value, pad: &Pad, at: &At) -> Emitted {
        let coordinates = self.multi(value, at)?;
        let (operand, filler) = (self.graph.node(value).operands[0], self.graph.node(value).operands[1]);
        let shape = &self.ty(operand).shape;
        let mut inside: Option<Register> = None;
        let mut moved = Vec::with_capacity(shape.len());
        for (axis, coordinate) in coordinates.into_iter().enumerate() {
            let (low, high, interior) = (pad.low[axis], pad.high[axis], pad.interior[axis]);
            if (low, high, interior) == (0, 0, 0) {
                moved.push(coordinate);
                continue;
            }
            let range = self.range(&coordinate.index).map(|(first, last)| (first - low, last - low));
            if let (Some((first, last)), Some(extent), 0) = (range, shape[axis].as_constant(), interior) {
                if last < 0 || first >= extent {
                    return self.value(filler, &At::Multi(vec![]));
                }
                if first >= 0 && last < extent {
                    moved.push(Coordinate { index: coordinate.index - low, step: coordinate.step });
                    continue;
                }
            }
            if coordinate.step != 0 && self.lanes > 1 {
                return Err(Unsuited);
            }
            let shifted = self.hold(coordinate.index - low);
            let spread = self.extent(&(shape[axis].clone() * Dim::constant(interior + 1) - Dim::constant(interior)));
            let mut conditions = vec![];
            if low > 0 {
                conditions.push(self.less(Index::Constant(-1), shifted.clone()));
            }
            conditions.push(self.less(shifted.clone(), spread));
            if interior > 0 {
                conditions.push(self.less(shifted.clone().modulo(interior + 1), Index::Constant(1)));
            }
            for condition in conditions {
                inside = Some(match inside {
                    Some(others) => self.b.binary(Binary::And, others, condition),
                    None => condition,
                });
            }
            moved.push(Coordinate::fixed(shifted.floor_div(interior + 1)));
        }
        let moved = At::Multi(moved);
        match inside {
            None => self.value(operand, &moved),
            Some(inside) => {
                self.branch(inside, |this| this.value(operand, &moved), |this| this.value(filler, &At::Multi(vec![])))
            }
        }
    }

    /// The operand in which the position on the axis lies, tried one after the other.
    fn concatenated(&mut self, operands: &[Value], axis: usize, coordinates: Vec<Coordinate>, start: Dim) -> Emitted {
        let first = self.extent(&start);
        let mut moved = coordinates.clone();
        moved[axis].index = coordinates[axis].index.clone() - first;
        let [operand, rest @ ..] = operands else { return Err(Unsuited) };
        if rest.is_empty() {
            return self.value(*operand, &At::Multi(moved));
        }
        let end = start + self.ty(*operand).shape[axis].clone();
        if let (Some((first, last)), Some(end)) = (self.range(&coordinates[axis].index), end.as_constant()) {
            if last < end {
                return self.value(*operand, &At::Multi(moved));
            }
            if first >= end {
                return self.concatenated(rest, axis, coordinates, Dim::constant(end));
            }
        }
        if coordinates[axis].step != 0 && self.lanes > 1 {
            return Err(Unsuited);
        }
        let limit = self.extent(&end);
        let condition = self.less(coordinates[axis].index.clone(), limit);
        self.branch(
            condition,
            |this| this.value(*operand, &At::Multi(moved)),
            |this| this.concatenated(rest, axis, coordinates, end),
        )
    }

    fn random_bits(&mut self, key: Value, ty: &TensorType, at: &At) -> Emitted {
        let counter = self.position(&ty.shape, at)?;
        let lanes = self.lanes;
        let small = ty.elements().as_constant().is_some_and(|n| n <= 1 << 32);
        let (high, low) = if small {
            let low = self.b.instruction(
                DType::U32,
                lanes,
                Instruction::Position { index: counter.index, step: counter.step },
            );
            (self.b.constant(DType::U32, lanes, Scalar::Int(0)), low)
        } else {
            let wide = self.b.instruction(
                DType::U64,
                lanes,
                Instruction::Position { index: counter.index, step: counter.step },
            );
            let low = self.b.convert(DType::U32, wide);
            let thirty_two = self.b.constant(DType::U64, lanes, Scalar::Int(32));
            let shifted = self.b.binary(Binary::ShiftRight, wide, thirty_two);
            (self.b.convert(DType::U32, shifted), low)
        };
        let k0 = self.value(key, &At::Multi(vec![Coordinate::fixed(0)]))?;
        let k1 = self.value(key, &At::Multi(vec![Coordinate::fixed(1)]))?;
        Ok(functions::threefry(&mut self.b, k0, k1, high, low))
    }

    /// Writes a value at consecutive positions of a tensor of that shape.
    pub fn store(&mut self, memory: MemoryId, shape: &[Dim], at: &At, register: Register) -> Result<(), Unsuited> {
        let position = self.position(shape, at)?;
        if self.lanes > 1 && position.step != 1 {
            return Err(Unsuited);
        }
        self.b.store(memory, position.index, register, self.count.clone());
        Ok(())
    }
}
