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
            Some(extent) => self.combine_halves(&values, axis, extent, combine)?,
            None => self.combine_one_by_one(&values, axis, combine)?,
        };
        Ok(if options.reverse { self.reversed(&values, axis)? } else { values })
    }

    fn reversed(&mut self, values: &[Value], axis: usize) -> Result<Vec<Value>, TypeError> {
        values.iter().map(|&value| self.add(Reverse { axes: vec![axis] }, &[value])).collect()
    }

    /// Every `stride`-th element of `start..limit` on an axis.
    fn elements_of(
        &mut self,
        values: &[Value],
        axis: usize,
        (start, limit, stride): (i64, i64, i64),
    ) -> Result<Vec<Value>, TypeError> {
        let slice = |builder: &mut Builder, &value: &Value| {
            let shape = builder.tensor_type(value).shape.clone();
            let mut slice =
                Slice { start: vec![Dim::default(); shape.len()], stride: vec![1; shape.len()], limit: shape };
            (slice.start[axis], slice.limit[axis], slice.stride[axis]) = (start.into(), limit.into(), stride);
            builder.add(slice, &[value])
        };
        values.iter().map(|value| slice(self, value)).collect()
    }

    fn joined(&mut self, parts: &[&[Value]], axis: usize) -> Result<Vec<Value>, TypeError> {
        let count = parts.first().map_or(0, |part| part.len());
        (0..count)
            .map(|i| self.add(Concatenate { axis }, &parts.iter().map(|part| part[i]).collect::<Vec<_>>()))
            .collect()
    }

    fn combine_halves<E: From<TypeError>>(
        &mut self,
        values: &[Value],
        axis: usize,
        extent: i64,
        combine: &mut Combine<'_, E>,
    ) -> Result<Vec<Value>, E> {
        if extent < 2 {
            return Ok(values.to_vec());
        }
        let pairs = extent / 2;
        let (first, second) = (
            self.elements_of(values, axis, (0, 2 * pairs - 1, 2))?,
            self.elements_of(values, axis, (1, 2 * pairs, 2))?,
        );
        let combined = combine(self, &first, &second)?;
        // at odd positions
        let odd = self.combine_halves(&combined, axis, pairs, combine)?;
        let mut even = self.elements_of(values, axis, (0, 1, 1))?;
        let rest = (extent - 1) / 2;
        if rest > 0 {
            let (before, own) =
                (self.elements_of(&odd, axis, (0, rest, 1))?, self.elements_of(values, axis, (2, 2 * rest + 1, 2))?);
            let combined = combine(self, &before, &own)?;
            even = self.joined(&[&even, &combined], axis)?;
        }
        let paired = self.elements_of(&even, axis, (0, pairs, 1))?;
        let mut all = vec![];
        for (&even, &odd) in paired.iter().zip(&odd) {
            let mut shape = self.tensor_type(odd).shape.clone();
            shape.insert(axis + 1, Dim::constant(1));
            let (even, odd) = (self.reshape(even, &shape)?, self.reshape(odd, &shape)?);
            let pair = self.add(Concatenate { axis: axis + 1 }, &[even, odd])?;
            shape.remove(axis + 1);
            shape[axis] = Dim::constant(2 * pairs);
            all.push(self.reshape(pair, &shape)?);
        }
        if extent % 2 == 1 {
            let last = self.elements_of(&even, axis, (pairs, pairs + 1, 1))?;
            all = self.joined(&[&all, &last], axis)?;
        }
        Ok(all)
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
