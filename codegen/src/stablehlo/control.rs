//! Choices and loops. Regions read nothing but their parameters in loops; a branch reads what stands before it.

use super::write::{Ssa, Writer, dims, names, types};
use kc_ir::tensor::ops::{Binary, Compare, Cond, Scan, Slice, While};
use kc_ir::tensor::{Scalar, TypeError};
use kc_ir::{DType, Dim, TensorType};
use kc_runtime::kc_abi::{Atom, Term};

impl Writer {
    pub(super) fn cond(
        &mut self,
        cond: &Cond,
        operands: &[Ssa],
        results: &[TensorType],
    ) -> Result<Vec<Ssa>, TypeError> {
        let (index, arguments) = operands.split_first().ok_or_else(|| TypeError::new("cond", "it has no index"))?;
        let index = self.branch_index(index, cond.branches.len());
        let head = format!("\"stablehlo.case\"({})", index.name);
        let ty = types(std::slice::from_ref(&index));
        let mut bodies: Vec<_> = cond
            .branches
            .iter()
            .map(|branch| move |writer: &mut Writer, _: &[Ssa]| writer.graph(branch.graph(), arguments))
            .collect();
        let mut regions: Vec<(&[TensorType], &mut dyn FnMut(&mut Writer, &[Ssa]) -> Result<Vec<Ssa>, TypeError>)> =
            Vec::with_capacity(bodies.len());
        for body in &mut bodies {
            regions.push((&[], body));
        }
        self.with_regions(&head, &ty, results, &mut regions)
    }

    /// An index of branches as i32 from 0 to the last.
    fn branch_index(&mut self, index: &Ssa, count: usize) -> Ssa {
        let mut index = index.clone();
        if index.ty.dtype != DType::Bool {
            // within its own dtype, which may be too narrow for the number of branches
            let largest = kc_ir::tensor::integer_range(index.ty.dtype).1.min(count as i128 - 1);
            let (zero, last) =
                (self.scalar(index.ty.dtype, Scalar::Int(0)), self.scalar(index.ty.dtype, Scalar::Int(largest)));
            index = self.same("maximum", &[index, zero]);
            index = self.same("minimum", &[index, last]);
        }
        self.convert(&index, DType::I32)
    }

    pub(super) fn while_loop(
        &mut self,
        this: &While,
        operands: &[Ssa],
        results: &[TensorType],
    ) -> Result<Vec<Ssa>, TypeError> {
        let all: Vec<TensorType> = operands.iter().map(|operand| operand.ty.clone()).collect();
        let head = format!("\"stablehlo.while\"({})", names(operands));
        let mut condition = |writer: &mut Writer, values: &[Ssa]| writer.graph(this.condition.graph(), values);
        let mut body = |writer: &mut Writer, values: &[Ssa]| {
            let mut next = writer.graph(this.body.graph(), values)?;
            next.extend_from_slice(&values[this.carried..]);
            Ok(next)
        };
        let mut values =
            self.with_regions(&head, &types(operands), &all, &mut [(&all, &mut condition), (&all, &mut body)])?;
        values.truncate(results.len());
        Ok(values)
    }

    /// A counter, what is carried, the outputs so far, the sequences and what the body reads besides go around.
    pub(super) fn scan(
        &mut self,
        scan: &Scan,
        operands: &[Ssa],
        results: &[TensorType],
    ) -> Result<Vec<Ssa>, TypeError> {
        let counter = self.scalar(DType::I32, Scalar::Int(0));
        let mut initial = vec![counter];
        initial.extend_from_slice(&operands[..scan.carried]);
        let spare = spare(&scan.length);
        for ty in &results[scan.carried..] {
            let zero = self.zero(ty.dtype);
            let shape = [&[ty.shape[0].clone() + spare.clone()], &ty.shape[1..]].concat();
            initial.push(self.broadcast(&zero, &shape, &[]));
        }
        let (sequences, captures) = operands[scan.carried..].split_at(scan.sequences);
        initial.extend(sequences.iter().map(|sequence| self.with_spare(sequence, &spare)));
        initial.extend_from_slice(captures);
        let all: Vec<TensorType> = initial.iter().map(|value| value.ty.clone()).collect();
        let outputs = results.len() - scan.carried;
        let head = format!("\"stablehlo.while\"({})", names(&initial));
        let mut condition = |writer: &mut Writer, values: &[Ssa]| {
            let length = writer.extent(&scan.length, DType::I32);
            Ok(vec![writer.compare(Compare::Less, &values[0], &length)])
        };
        let mut body = |writer: &mut Writer, values: &[Ssa]| {
            let counter = &values[0];
            let (carried, rest) = values[1..].split_at(scan.carried);
            let (stacked, rest) = rest.split_at(outputs);
            let (sequences, captures) = rest.split_at(scan.sequences);
            let one = writer.scalar(DType::I32, Scalar::Int(1));
            let position = if scan.reverse {
                let length = writer.extent(&scan.length, DType::I32);
                let last = writer.same(binary(Binary::Subtract), &[length, one.clone()]);
                writer.same(binary(Binary::Subtract), &[last, counter.clone()])
            } else {
                counter.clone()
            };
            let mut arguments = carried.to_vec();
            arguments.extend(sequences.iter().map(|sequence| writer.element_at(sequence, &position)));
            arguments.extend_from_slice(captures);
            let given = writer.graph(scan.body.graph(), &arguments)?;
            let (next, elements) = given.split_at(scan.carried);
            let stacked = stacked.iter().zip(elements);
            let stacked: Vec<Ssa> =
                stacked.map(|(stacked, element)| writer.with_element_at(stacked, element, &position)).collect();
            let counter = writer.same(binary(Binary::Add), &[counter.clone(), one]);
            Ok([&[counter], next, &stacked, sequences, captures].concat())
        };
        let values =
            self.with_regions(&head, &types(&initial), &all, &mut [(&all, &mut condition), (&all, &mut body)])?;
        let (carried, stacked) = values[1..=results.len()].split_at(scan.carried);
        let stacked = stacked.iter().zip(&results[scan.carried..]);
        Ok(carried.iter().cloned().chain(stacked.map(|(stacked, ty)| self.without_spare(stacked, ty))).collect())
    }

    fn zero(&mut self, dtype: DType) -> Ssa {
        self.scalar(dtype, if dtype.is_float() { Scalar::Float(0.0) } else { Scalar::Int(0) })
    }

    /// A sequence with as many elements more.
    fn with_spare(&mut self, sequence: &Ssa, spare: &Dim) -> Ssa {
        if spare.is(0) {
            return sequence.clone();
        }
        let zero = self.zero(sequence.ty.dtype);
        let mut ty = sequence.ty.clone();
        ty.shape[0] = ty.shape[0].clone() + spare.clone();
        let none = vec![Dim::default(); ty.rank()];
        let high = [std::slice::from_ref(spare), &none[1..]].concat();
        let attributes = format!("low = [{}], high = [{}], interior = [{}]", dims(&none), dims(&high), dims(&none));
        self.typed("pad", &[sequence.clone(), zero], &attributes, ty)
    }

    /// The first elements of a sequence, as many as a type has.
    fn without_spare(&mut self, sequence: &Ssa, ty: &TensorType) -> Ssa {
        if sequence.ty == *ty {
            return sequence.clone();
        }
        let (start, stride) = (vec![Dim::default(); ty.rank()], vec![1; ty.rank()]);
        self.slice(&Slice { start, limit: ty.shape.clone(), stride }, sequence, ty.clone())
    }
}

/// How many elements a sequence of that length lacks for that one can be sliced: one where it may be empty and is, as slices of an element
/// must fit although no round takes them. Symbols are at least 1.
fn spare(length: &Dim) -> Dim {
    let positive = |term: &Term| term.coefficient > 0 && term.atoms.iter().all(|atom| matches!(atom, Atom::Symbol(_)));
    match !length.terms().is_empty() && length.terms().iter().all(positive) {
        true => Dim::default(),
        false => Dim::constant(1).floor_div(&(length.clone() + Dim::constant(1))),
    }
}

fn binary(function: Binary) -> &'static str {
    function.text()
}
