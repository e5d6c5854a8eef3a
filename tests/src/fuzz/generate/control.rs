//! Loops and choices, of elementwise functions or of any ops. Numbers that are carried along stay as small as they are.

use super::{Generator, Made};
use kc_ir::tensor::ops::{Binary, Compare, Reduction, Unary};
use kc_ir::tensor::{Builder, ScanOptions, TracedRegion, TypeError, Value};
use kc_ir::{DType, TensorType};

/// Dtypes that the functions of a body take.
fn suits(dtype: DType) -> bool {
    dtype != DType::Bool
}

impl Generator {
    /// A loop over the leading axis of a value; all its results but the returned one go to the pool.
    pub(super) fn scan(&mut self) -> Made {
        let Some(sequence) = self.any_with_rank(1..=4).filter(|&value| suits(self.ty(value).dtype)) else {
            return Ok(None);
        };
        let all = self.ty(sequence);
        if all.shape[0].as_constant().is_some_and(|rounds| rounds > 40) {
            return Ok(None);
        }
        let element = TensorType { dtype: all.dtype, shape: all.shape[1..].to_vec() };
        let mut sequences = vec![sequence];
        sequences.extend(self.any_where(|other| *other == all).filter(|_| self.random.chance(50)));
        let carried = 1 + self.random.below(2);
        let initial = (0..carried).map(|_| self.of_type(&element)).collect::<Result<Vec<_>, _>>()?;
        let read = [self.of_type(&element)?, self.of_type(&element)?];
        let options = ScanOptions { length: None, reverse: self.random.chance(50) };
        let (_, types) = self.builder.scan_parameters(&initial, &sequences, &options)?;
        let open = self.builder.begin_region(&types);
        let parameters = open.parameters().to_vec();
        let any = self.random.chance(50);
        let (results, made) = if any {
            let made = self.inside(&parameters, 3);
            let next = parameters[..carried].to_vec();
            let next =
                next.into_iter().map(|value| self.carried(&made, &element, value)).collect::<Result<Vec<_>, _>>();
            let outputs = made.into_iter().rev().take(2).chain([parameters[carried]]);
            (next.map(|next| next.into_iter().chain(outputs).collect()), Ok(()))
        } else {
            let mut known = parameters;
            known.extend(read);
            let made = self.body(&mut known, &element);
            let mut results: Vec<Value> = (0..carried).map(|_| self.random.pick(&known[known.len() / 2..])).collect();
            results.extend((0..1 + self.random.below(2)).map(|_| self.random.pick(&known)));
            (Ok(results), made)
        };
        let results = results?;
        let traced = self.builder.end_region(open, &results)?;
        made?;
        let scanned = self.builder.scan_of(&initial, &sequences, &options, &traced)?;
        let mut values = [scanned.carried, scanned.outputs].concat();
        let value = values.pop();
        values.retain(|&value| self.is_small(value));
        self.pool.extend(values);
        Ok(value)
    }

    /// One of several functions of values of one type.
    pub(super) fn choice_of_regions(&mut self) -> Made {
        let x = self.any();
        let ty = self.ty(x);
        if !suits(ty.dtype) {
            return Ok(None);
        }
        let y = self.of_type(&ty)?;
        let index = self.of_type(&TensorType::scalar(DType::I32))?;
        let any = self.random.chance(50);
        let mut result_type = ty.clone();
        let branches = (0..2 + self.random.below(2))
            .map(|position| {
                let open = self.builder.begin_region(&[]);
                let (result, made) = if any {
                    let last = self.inside(&[], 3).pop().unwrap_or(x);
                    if position == 0 {
                        result_type = self.ty(last);
                    }
                    let fits = self.ty(last) == result_type;
                    let result = if fits { Ok(last) } else { self.of_type(&result_type) };
                    result.map_or_else(|error| (x, Err(error)), |result| (result, Ok(())))
                } else {
                    let mut known = vec![x, y];
                    let made = self.body(&mut known, &ty);
                    (self.random.pick(&known), made)
                };
                let traced = self.builder.end_region(open, &[result])?;
                made.map(|()| traced)
            })
            .collect::<Result<Vec<TracedRegion>, TypeError>>()?;
        Ok(self.builder.cond_of(index, &branches)?.pop())
    }

    /// A function applied as often as an argument says, or a number of times that is known.
    pub(super) fn repeated(&mut self) -> Made {
        let x = self.any();
        let ty = self.ty(x);
        if !suits(ty.dtype) {
            return Ok(None);
        }
        let counter = TensorType::scalar(DType::I32);
        let limit = self.of_type(&counter)?;
        let most = self.builder.splat_like(9, limit)?;
        let limit = self.builder.binary(Binary::Minimum, limit, most)?;
        let start = self.builder.splat(DType::I32, 0, &[])?;
        let read = self.of_type(&ty)?;
        let types = [counter, ty.clone()];
        let open = self.builder.begin_region(&types);
        let count = open.parameters()[0];
        let goes_on = self.builder.compare(Compare::Less, count, limit)?;
        let condition = self.builder.end_region(open, &[goes_on])?;
        let open = self.builder.begin_region(&types);
        let [count, value] = open.parameters() else { return Ok(None) };
        let (count, value) = (*count, *value);
        let result = if self.random.chance(40) {
            let made = self.inside(&[value, read], 3);
            self.carried(&made, &ty, value)
        } else {
            let mut known = vec![value, read];
            self.body(&mut known, &ty).map(|()| self.random.pick(&known[1..]))
        };
        let one = self.builder.splat_like(1, count)?;
        let next = self.builder.binary(Binary::Add, count, one)?;
        let traced = self.builder.end_region(open, &[next, *result.as_ref().unwrap_or(&value)])?;
        result?;
        Ok(self.builder.while_of(&[start, x], &condition, &traced)?.pop())
    }

    /// Adds some functions of known values of a type to them.
    pub(super) fn body(&mut self, known: &mut Vec<Value>, ty: &TensorType) -> Result<(), TypeError> {
        for _ in 0..1 + self.random.below(4) {
            let (x, y) = (self.random.pick(known), self.random.pick(known));
            let float = ty.dtype.is_float();
            known.push(match self.random.below(8) {
                0 if float => self.builder.unary(Unary::Tanh, x)?,
                0 => self.nested(x, y, ty)?,
                1 => self.builder.unary(Unary::Negate, x)?,
                2 => {
                    // a row's sum, seen by all its elements
                    let rank = ty.rank();
                    if rank == 0 || float {
                        self.builder.binary(Binary::Add, x, y)?
                    } else {
                        let sum = self.builder.reduce(Reduction::Sum, &[rank - 1], x)?;
                        self.builder.broadcast(sum, &ty.shape, &(0..rank - 1).collect::<Vec<_>>())?
                    }
                }
                3 => {
                    let function = if float { Unary::Sin } else { Unary::Abs };
                    self.builder.unary(function, x)?
                }
                _ if float => {
                    let function = self.random.pick(&[Binary::Add, Binary::Subtract]);
                    let sum = self.builder.binary(function, x, y)?;
                    let half = self.builder.splat_like(0.5, sum)?;
                    self.builder.binary(Binary::Multiply, sum, half)?
                }
                _ => {
                    let function = self.random.pick(&[Binary::Add, Binary::Multiply, Binary::Xor, Binary::Maximum]);
                    self.builder.binary(function, x, y)?
                }
            });
        }
        Ok(())
    }

    /// A choice by integers.
    fn nested(&mut self, x: Value, y: Value, ty: &TensorType) -> Result<Value, TypeError> {
        let axes: Vec<usize> = (0..ty.rank()).collect();
        let sum = self.builder.reduce(Reduction::Sum, &axes, x)?;
        let other = self.builder.splat_like(3, sum)?;
        let predicate = self.builder.compare(Compare::Less, sum, other)?;
        let function = self.random.pick(&[Binary::Add, Binary::Xor]);
        let results = self.builder.cond(
            predicate,
            |b: &mut Builder| Ok::<_, TypeError>(vec![b.binary(function, x, y)?]),
            |_: &mut Builder| Ok(vec![y]),
        )?;
        Ok(results[0])
    }
}
