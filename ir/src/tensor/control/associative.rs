//! Running combinations by an associative function.

use super::ScanOptions;
use crate::tensor::ops::{Concatenate, Reverse, Slice};
use crate::tensor::{Builder, TypeError, Value};
use kc_abi::Dim;

/// How an associative scan runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AssociativeScanOptions {
    /// The axis along which elements are combined.
    pub axis: usize,
    /// Whether elements are combined from the last to the first.
    pub reverse: bool,
}

/// Tensors along an axis of a known extent, of which [`combined_in_halves`] combines the elements: values of a graph, or expressions.
pub trait Halves {
    /// One of the tensors.
    type Tensor: Clone;
    /// Why they cannot be combined.
    type Error;
    /// Every `stride`-th element of `start..limit` of each.
    fn part(
        &mut self,
        of: &[Self::Tensor],
        start: i64,
        limit: i64,
        stride: i64,
    ) -> Result<Vec<Self::Tensor>, Self::Error>;
    /// Each of the first with its own of the second behind it.
    fn joined(&mut self, first: &[Self::Tensor], second: &[Self::Tensor]) -> Result<Vec<Self::Tensor>, Self::Error>;
    /// So many elements of each of the first, each before its own of the second.
    fn woven(
        &mut self,
        even: &[Self::Tensor],
        odd: &[Self::Tensor],
        extent: i64,
    ) -> Result<Vec<Self::Tensor>, Self::Error>;
    /// The combinations of elements of the first with their own of the second.
    fn combine(&mut self, first: &[Self::Tensor], second: &[Self::Tensor]) -> Result<Vec<Self::Tensor>, Self::Error>;
}

/// For each position the combination of all elements up to it, as `jax.lax.associative_scan` has it: pairs of neighbours are combined, then
/// the running combinations of those; what stands between follows from both. The depth is the logarithm of the extent, the number of
/// combinations is below twice the extent.
pub fn combined_in_halves<H: Halves>(
    halves: &mut H,
    tensors: &[H::Tensor],
    extent: i64,
) -> Result<Vec<H::Tensor>, H::Error> {
    if extent < 2 {
        return Ok(tensors.to_vec());
    }
    let pairs = extent / 2;
    let (first, second) = (halves.part(tensors, 0, 2 * pairs - 1, 2)?, halves.part(tensors, 1, 2 * pairs, 2)?);
    let combined = halves.combine(&first, &second)?;
    let odd = combined_in_halves(halves, &combined, pairs)?;
    let mut even = halves.part(tensors, 0, 1, 1)?;
    let rest = (extent - 1) / 2;
    if rest > 0 {
        let (before, own) = (halves.part(&odd, 0, rest, 1)?, halves.part(tensors, 2, 2 * rest + 1, 2)?);
        let combined = halves.combine(&before, &own)?;
        even = halves.joined(&even, &combined)?;
    }
    let paired = halves.part(&even, 0, pairs, 1)?;
    let woven = halves.woven(&paired, &odd, pairs)?;
    if extent % 2 == 0 {
        return Ok(woven);
    }
    let last = halves.part(&even, pairs, pairs + 1, 1)?;
    halves.joined(&woven, &last)
}

/// Values of a graph, with what combines them.
struct Values<'a, 'c, E> {
    builder: &'a mut Builder,
    axis: usize,
    combine: &'a mut Combine<'c, E>,
}

impl<E: From<TypeError>> Halves for Values<'_, '_, E> {
    type Tensor = Value;
    type Error = E;

    fn part(&mut self, of: &[Value], start: i64, limit: i64, stride: i64) -> Result<Vec<Value>, E> {
        let mut parts = vec![];
        for &value in of {
            let shape = self.builder.tensor_type(value).shape.clone();
            let mut slice =
                Slice { start: vec![Dim::default(); shape.len()], stride: vec![1; shape.len()], limit: shape };
            (slice.start[self.axis], slice.limit[self.axis]) = (start.into(), limit.into());
            slice.stride[self.axis] = stride;
            parts.push(self.builder.add(slice, &[value])?);
        }
        Ok(parts)
    }

    fn joined(&mut self, first: &[Value], second: &[Value]) -> Result<Vec<Value>, E> {
        let axis = self.axis;
        let pairs = first.iter().zip(second);
        Ok(pairs.map(|(&a, &b)| self.builder.add(Concatenate { axis }, &[a, b])).collect::<Result<_, TypeError>>()?)
    }

    fn woven(&mut self, even: &[Value], odd: &[Value], extent: i64) -> Result<Vec<Value>, E> {
        let mut woven = vec![];
        for (&even, &odd) in even.iter().zip(odd) {
            let mut shape = self.builder.tensor_type(odd).shape.clone();
            shape.insert(self.axis + 1, Dim::constant(1));
            let (even, odd) = (self.builder.reshape(even, &shape)?, self.builder.reshape(odd, &shape)?);
            let pair = self.builder.add(Concatenate { axis: self.axis + 1 }, &[even, odd])?;
            shape.remove(self.axis + 1);
            shape[self.axis] = Dim::constant(2 * extent);
            woven.push(self.builder.reshape(pair, &shape)?);
        }
        Ok(woven)
    }

    fn combine(&mut self, first: &[Value], second: &[Value]) -> Result<Vec<Value>, E> {
        (self.combine)(self.builder, first, second)
    }
}

/// What combines two lists of tensors, elementwise along the axis: any number of elements side by side.
pub type Combine<'a, E> = dyn FnMut(&mut Builder, &[Value], &[Value]) -> Result<Vec<Value>, E> + 'a;

impl Builder {
    /// For each position of an axis the combination of all elements up to it. The function must be associative; it gets slices of the
    /// tensors and combines their elements pair by pair. Where the extent of the axis is known, the depth is its logarithm and the number
    /// of combinations is below twice the extent, as `jax.lax.associative_scan` has them; else elements are combined one after the other.
    pub fn associative_scan<E: From<TypeError>>(
        &mut self,
        elements: &[Value],
        options: &AssociativeScanOptions,
        combine: &mut Combine<'_, E>,
    ) -> Result<Vec<Value>, E> {
        let axis = options.axis;
        let mut extent: Option<Dim> = None;
        for &element in elements {
            let ty = self.tensor_type(element);
            let own = ty.shape.get(axis).ok_or_else(|| {
                TypeError::new("associative_scan", format!("{ty} has no axis {axis} along which elements are combined"))
            })?;
            if extent.get_or_insert_with(|| own.clone()) != own {
                let message = format!("{ty} has the extent {own} on axis {axis}, another tensor has another one");
                return Err(TypeError::new("associative_scan", message).into());
            }
        }
        let Some(extent) = extent else { return Ok(vec![]) };
        let mut values = elements.to_vec();
        if options.reverse {
            values = self.reversed(&values, axis)?;
        }
        values = match extent.as_constant() {
            Some(extent) => combined_in_halves(&mut Values { builder: self, axis, combine }, &values, extent)?,
            None => self.combine_one_by_one(&values, axis, combine)?,
        };
        Ok(if options.reverse { self.reversed(&values, axis)? } else { values })
    }

    fn reversed(&mut self, values: &[Value], axis: usize) -> Result<Vec<Value>, TypeError> {
        values.iter().map(|&value| self.add(Reverse { axes: vec![axis] }, &[value])).collect()
    }

    fn combine_one_by_one<E: From<TypeError>>(
        &mut self,
        values: &[Value],
        axis: usize,
        combine: &mut Combine<'_, E>,
    ) -> Result<Vec<Value>, E> {
        let extent = self.tensor_type(values[0]).shape[axis].clone();
        let mut rounds = vec![];
        for &value in values {
            // the axis of the rounds first, an axis of one element where it was
            let rank = self.tensor_type(value).rank();
            let permutation: Vec<usize> =
                std::iter::once(axis).chain((0..rank).filter(|&other| other != axis)).collect();
            let moved = self.transpose(value, &permutation)?;
            let mut shape = self.tensor_type(moved).shape.clone();
            shape.insert(axis + 1, Dim::constant(1));
            rounds.push(self.reshape(moved, &shape)?);
        }
        let first = |builder: &mut Builder, &value: &Value| {
            let shape = builder.tensor_type(value).shape.clone();
            let mut slice =
                Slice { start: vec![Dim::default(); shape.len()], stride: vec![1; shape.len()], limit: shape.clone() };
            slice.limit[0] = Dim::constant(1);
            let element = builder.add(slice, &[value])?;
            builder.reshape(element, &shape[1..])
        };
        let initial = rounds.iter().map(|value| first(self, value)).collect::<Result<Vec<_>, TypeError>>()?;
        let rest = |builder: &mut Builder, &value: &Value| {
            let shape = builder.tensor_type(value).shape.clone();
            let mut slice =
                Slice { start: vec![Dim::default(); shape.len()], stride: vec![1; shape.len()], limit: shape };
            slice.start[0] = Dim::constant(1);
            builder.add(slice, &[value])
        };
        let rest = rounds.iter().map(|value| rest(self, value)).collect::<Result<Vec<_>, TypeError>>()?;
        let options = ScanOptions { length: Some(extent - Dim::constant(1)), reverse: false };
        let scanned = self.scan(&initial, &rest, &options, |builder, carried, elements| {
            let next = combine(builder, carried, elements)?;
            Ok::<_, E>((next.clone(), next))
        })?;
        let mut all = vec![];
        for ((&value, first), &output) in values.iter().zip(initial).zip(&scanned.outputs) {
            let mut shape = self.tensor_type(first).shape.clone();
            shape.insert(0, Dim::constant(1));
            let first = self.reshape(first, &shape)?;
            let stacked = self.add(Concatenate { axis: 0 }, &[first, output])?;
            let mut shape = self.tensor_type(stacked).shape.clone();
            shape.remove(axis + 1);
            let stacked = self.reshape(stacked, &shape)?;
            let rank = self.tensor_type(value).rank();
            let permutation: Vec<usize> =
                (0..rank).map(|own| if own == axis { 0 } else { own + usize::from(own < axis) }).collect();
            all.push(self.transpose(stacked, &permutation)?);
        }
        Ok(all)
    }
}
