//! Loop nests that the kernels share.

use super::emit::{At, Coordinate, Emitter, Unsuited};
use kc_ir::kernel::{Index, Instruction, MemoryId, Register};
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::{Compare, Reduction};
use kc_ir::tensor::{Scalar, integer_range};
use kc_ir::{DType, Dim};

/// A value that a kernel writes: where, with which shape.
#[derive(Clone, Debug)]
pub(super) struct Stored<'a> {
    pub value: Value,
    pub memory: MemoryId,
    pub shape: &'a [Dim],
}

impl Emitter<'_> {
    /// A loop over `start..start + length` in steps of `lanes`, the last round with a count of lanes unless the length is
    /// known to be a multiple. In the body `self.lanes` and `self.count` are set.
    pub fn vector_loop(
        &mut self,
        lanes: u32,
        start: Index,
        length: Index,
        initial: &[Register],
        mut body: impl FnMut(&mut Self, Index, &[Register]) -> Result<Vec<Register>, Unsuited>,
    ) -> Result<Vec<Register>, Unsuited> {
        let outer = (std::mem::replace(&mut self.lanes, lanes), self.count.take());
        let step = i64::from(lanes);
        let end = self.hold(start.clone() + length.clone());
        let whole = match length.as_constant() {
            Some(n) => start.clone() + n / step * step,
            None if lanes == 1 => end.clone(),
            None => {
                let whole = length.floor_div(step) * step + start.clone();
                self.hold(whole)
            }
        };
        self.hoist_windows(|this| {
            let round = |this: &mut Self, axis: Index, carried: &[Register]| body(this, axis, carried);
            this.for_carrying(start.clone(), end.clone(), step, initial, round).map(|_| ())
        })?;
        let mut carried = initial.to_vec();
        if whole != start {
            carried = self.for_carrying(start, whole.clone(), step, &carried, &mut body)?;
        }
        if whole != end {
            carried = self.for_carrying(whole, end.clone(), step, &carried, |this, axis, carried| {
                this.count = Some(end.clone() - axis.clone());
                let next = body(this, axis, carried);
                this.count = None;
                next
            })?;
        }
        (self.lanes, self.count) = outer;
        Ok(carried)
    }

    /// The same over a last axis: a loop for each part between two seams.
    pub fn last_axis(
        &mut self,
        lanes: u32,
        extent: &Dim,
        initial: &[Register],
        mut body: impl FnMut(&mut Self, Index, &[Register]) -> Result<Vec<Register>, Unsuited>,
    ) -> Result<Vec<Register>, Unsuited> {
        if lanes == 1 || self.seams.at.is_empty() || !extent.is(self.seams.extent) {
            let length = self.extent(extent);
            return self.vector_loop(lanes, Index::Constant(0), length, initial, body);
        }
        let mut carried = initial.to_vec();
        let mut start = 0;
        for end in self.seams.at.clone().into_iter().chain([self.seams.extent]) {
            let length = Index::Constant(end - start);
            carried = self.vector_loop(lanes, Index::Constant(start), length, &carried, |this, axis, carried| {
                this.bind_range(&axis, start, end - 1);
                body(this, axis, carried)
            })?;
            start = end;
        }
        Ok(carried)
    }

    /// Nested loops over the extents, the last one of several lanes; the body gets the index on each axis.
    pub fn nest(
        &mut self,
        lanes: u32,
        extents: &[Dim],
        initial: &[Register],
        body: &mut dyn FnMut(&mut Self, Vec<Coordinate>, &[Register]) -> Result<Vec<Register>, Unsuited>,
    ) -> Result<Vec<Register>, Unsuited> {
        self.nest_inside(lanes, extents, vec![], initial, body)
    }

    fn nest_inside(
        &mut self,
        lanes: u32,
        extents: &[Dim],
        outer: Vec<Coordinate>,
        initial: &[Register],
        body: &mut dyn FnMut(&mut Self, Vec<Coordinate>, &[Register]) -> Result<Vec<Register>, Unsuited>,
    ) -> Result<Vec<Register>, Unsuited> {
        let [extent, rest @ ..] = extents else { return body(self, outer, initial) };
        if rest.is_empty() {
            return self.last_axis(lanes, extent, initial, |this, axis, carried| {
                let coordinates = outer.iter().cloned().chain([Coordinate::lanes(axis)]).collect();
                body(this, coordinates, carried)
            });
        }
        let end = self.extent(extent);
        self.for_carrying(0, end, 1, initial, |this, axis, carried| {
            let coordinates = outer.iter().cloned().chain([Coordinate::fixed(axis)]).collect();
            this.nest_inside(lanes, rest, coordinates, carried, body)
        })
    }

    /// Computes and writes values at an index.
    pub fn store_all(&mut self, outputs: &[Stored], at: &At) -> Result<(), Unsuited> {
        // all are computed before the first is written: a state tensor's old value is read where its new one is written
        let registers = outputs.iter().map(|output| self.value(output.value, at)).collect::<Result<Vec<_>, _>>()?;
        for (output, register) in outputs.iter().zip(registers) {
            self.store(output.memory, output.shape, at, register)?;
        }
        Ok(())
    }

    /// The neutral element of a reduction, in `self.lanes` lanes.
    pub fn neutral(&mut self, kind: Reduction, dtype: DType) -> Register {
        let (low, high) = match dtype.is_float() {
            true => (Scalar::Float(f64::NEG_INFINITY), Scalar::Float(f64::INFINITY)),
            false => {
                let (low, high) = integer_range(dtype);
                (Scalar::Int(low), Scalar::Int(high))
            }
        };
        let number = |n: i64| if dtype.is_float() { Scalar::Float(n as f64) } else { Scalar::Int(n.into()) };
        let value = match kind {
            Reduction::Sum => number(0),
            Reduction::Product => number(1),
            Reduction::Max => low,
            Reduction::Min => high,
        };
        self.b.constant(dtype, self.lanes, value)
    }

    /// `value` in the lanes that count, `neutral` in the others.
    pub fn masked(&mut self, value: Register, neutral: Register) -> Register {
        let Some(count) = self.count.clone() else { return value };
        let lanes = self.lanes;
        let number =
            self.b.instruction(DType::I32, lanes, Instruction::Position { index: Index::Constant(0), step: 1 });
        let count =
            self.b.instruction(DType::I32, 1, Instruction::Position { index: count.min(i64::from(lanes)), step: 0 });
        let count = self.b.splat(lanes, count);
        let counts = self.b.compare(Compare::Less, number, count);
        self.b.select(counts, value, neutral)
    }

    /// The accumulator combined with one more value.
    pub fn combine(&mut self, kind: Reduction, accumulator: Register, value: Register) -> Register {
        super::functions::binary(&mut self.b, combination(kind), accumulator, value)
    }
}

/// The function that a reduction combines two values with.
pub(super) fn combination(kind: Reduction) -> kc_ir::tensor::ops::Binary {
    use kc_ir::tensor::ops::Binary;
    match kind {
        Reduction::Sum => Binary::Add,
        Reduction::Product => Binary::Multiply,
        Reduction::Max => Binary::Maximum,
        Reduction::Min => Binary::Minimum,
    }
}
