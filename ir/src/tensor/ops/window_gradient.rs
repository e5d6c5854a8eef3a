//! What the gradients of window ops are made of.

use super::movement::{known_zeros, padded};
use super::{Binary, Compare, Pad, ReduceWindow, Reduction, Slice, Unary, Window};
use crate::tensor::{Builder, Literal, Scalar, TypeError, Value, integer_range};
use kc_abi::Dim;

/// Positions of a window from which on there are no ops for each of them.
const POSITIONS: usize = 1 << 12;

impl Window {
    /// Number of positions in a window, where it is below a limit.
    pub(super) fn positions_below(&self, limit: usize) -> Option<usize> {
        let product = |product: usize, &size: &i64| product.checked_mul(usize::try_from(size).ok()?);
        self.size.iter().try_fold(1usize, product).filter(|&positions| positions < limit)
    }

    /// Positions between the first and the last of a window.
    fn reach(&self, axis: usize) -> i64 {
        (self.size[axis] - 1) * self.window_dilation[axis]
    }

    /// On each axis how many positions of the dilated and padded tensor `x` lie behind the last window, of which `g` has an
    /// element each.
    fn rest(&self, b: &Builder, x: Value, g: Value) -> Result<Vec<Dim>, TypeError> {
        let (extents, positions) = (&b.tensor_type(x).shape, &b.tensor_type(g).shape);
        let of = |axis: usize| {
            let (low, high) = self.padding[axis];
            let input = padded("reduce_window", &extents[axis], low, high, self.base_dilation[axis] - 1)?;
            let windows = padded("reduce_window", &positions[axis], 0, 0, self.strides[axis] - 1)?;
            Ok(input - windows - Dim::constant(self.reach(axis)))
        };
        (0..extents.len()).map(of).collect()
    }

    /// For each element of `x` the sum of `g` over the windows that the element lies in.
    pub(super) fn spread(&self, b: &mut Builder, x: Value, g: Value) -> Result<Value, TypeError> {
        let rank = b.tensor_type(x).rank();
        let interior = self.strides.iter().map(|stride| stride - 1).collect();
        let rest = self.rest(b, x, g)?;
        let (g, mut pad) = known_zeros(b, g, interior, &vec![Dim::constant(0); rank], &rest)?;
        for axis in 0..rank {
            pad.low[axis] += self.reach(axis) - self.padding[axis].0;
            pad.high[axis] += self.reach(axis) - self.padding[axis].1;
        }
        let zero = b.constant(Literal::scalar(b.tensor_type(g).dtype, 0.0))?;
        let spread = b.add(pad, &[g, zero])?;
        let window = Window {
            size: self.size.clone(),
            strides: self.base_dilation.clone(),
            padding: vec![(0, 0); rank],
            base_dilation: vec![1; rank],
            window_dilation: self.window_dilation.clone(),
        };
        b.add(ReduceWindow { kind: Reduction::Sum, window }, &[spread])
    }

    /// The positions of a window in row-major order.
    fn offsets(&self, op: &str) -> Result<Vec<Vec<i64>>, TypeError> {
        let positions = self.positions_below(POSITIONS).ok_or_else(|| {
            let message =
                format!("with windows of {:?} it has no gradient, which takes ops for each position", self.size);
            TypeError::new(op, message)
        })?;
        let offset = |number: usize| {
            let mut rest = number as i64;
            let mut offset = vec![0; self.size.len()];
            for axis in (0..self.size.len()).rev() {
                (offset[axis], rest) = (rest % self.size[axis], rest / self.size[axis]);
            }
            offset
        };
        Ok((0..positions).map(offset).collect())
    }

    /// For each position of the window the elements of `x` there, one a window; `filler` in the padding.
    fn taken(&self, b: &mut Builder, offsets: &[Vec<i64>], x: Value, filler: Scalar) -> Result<Vec<Value>, TypeError> {
        let ty = b.tensor_type(x).clone();
        let windows = self.infer("reduce_window", &ty)?;
        let filler = b.constant(Literal::scalar(ty.dtype, filler))?;
        let (low, high) = self.padding.iter().copied().unzip();
        let interior = self.base_dilation.iter().map(|dilation| dilation - 1).collect();
        let x = b.add(Pad { low, high, interior }, &[x, filler])?;
        let take = |offset: &Vec<i64>| {
            let start: Vec<Dim> =
                offset.iter().zip(&self.window_dilation).map(|(o, dilation)| Dim::constant(o * dilation)).collect();
            let limit = (0..ty.rank())
                .map(|axis| {
                    Ok(start[axis].clone() + padded("reduce_window", &windows[axis], 0, 0, self.strides[axis] - 1)?)
                })
                .collect::<Result<_, TypeError>>()?;
            b.add(Slice { start, limit, stride: self.strides.clone() }, &[x])
        };
        offsets.iter().map(take).collect()
    }

    /// For each element of `x` the cotangent that reaches it through the product of each window: those of the elements before and
    /// behind it there are multiplied, without a division, so that zeros are no exception.
    pub(super) fn product_cotangent(&self, b: &mut Builder, x: Value, g: Value) -> Result<Value, TypeError> {
        let (shape, rest) = (b.tensor_type(x).shape.clone(), self.rest(b, x, g)?);
        let offsets = self.offsets("reduce_window")?;
        let elements = self.taken(b, &offsets, x, Scalar::Float(1.0))?;
        // behind[i] is the product of the elements behind the one at i
        let mut behind = vec![None; elements.len()];
        for i in (1..elements.len()).rev() {
            behind[i - 1] = Some(match behind[i] {
                Some(product) => b.binary(Binary::Multiply, elements[i], product)?,
                None => elements[i],
            });
        }
        let zero = b.constant(Literal::scalar(b.tensor_type(g).dtype, 0.0))?;
        let (mut before, mut sum): (Value, Option<Value>) = (g, None);
        for ((offset, &element), behind) in offsets.iter().zip(&elements).zip(behind) {
            let cotangent = match behind {
                Some(behind) => b.binary(Binary::Multiply, before, behind)?,
                None => before,
            };
            before = b.binary(Binary::Multiply, before, element)?;
            // back to the place of the element in the dilated and padded tensor, and to that without dilation and padding
            let interior = self.strides.iter().map(|stride| stride - 1).collect();
            let (cotangent, mut pad) =
                known_zeros(b, cotangent, interior, &vec![Dim::constant(0); shape.len()], &rest)?;
            for axis in 0..shape.len() {
                let offset = offset[axis] * self.window_dilation[axis];
                pad.low[axis] += offset - self.padding[axis].0;
                pad.high[axis] += self.reach(axis) - offset - self.padding[axis].1;
            }
            let mut placed = b.add(pad, &[cotangent, zero])?;
            if self.base_dilation.iter().any(|&dilation| dilation != 1) {
                let (start, limit) = (vec![Dim::constant(0); shape.len()], b.tensor_type(placed).shape.clone());
                placed = b.add(Slice { start, limit, stride: self.base_dilation.clone() }, &[placed])?;
            }
            sum = Some(match sum {
                Some(sum) => b.binary(Binary::Add, sum, placed)?,
                None => placed,
            });
        }
        sum.ok_or_else(|| TypeError::new("reduce_window", "a window without elements"))
    }

    /// For each window position the element of `values` where `x` is largest in the window (the first one): position by position
    /// of the window, the better so far is kept.
    pub(super) fn gather_largest(&self, b: &mut Builder, x: Value, values: Value) -> Result<Value, TypeError> {
        let dtype = b.tensor_type(x).dtype;
        let offsets = self.offsets("select_and_scatter")?;
        let lowest = match dtype.is_float() {
            true => Scalar::Float(f64::NEG_INFINITY),
            false => Scalar::Int(integer_range(dtype).0),
        };
        let candidates = self.taken(b, &offsets, x, lowest)?;
        let values = self.taken(b, &offsets, values, Scalar::Float(0.0))?;
        let mut best: Option<(Value, Value)> = None;
        for (candidate, value) in candidates.into_iter().zip(values) {
            best = Some(match best {
                None => (candidate, value),
                Some((best, chosen)) => {
                    // larger, or the first NaN
                    let not_above = b.compare(Compare::LessEqual, candidate, best)?;
                    let is_number = b.compare(Compare::Equal, best, best)?;
                    let above = b.unary(Unary::Not, not_above)?;
                    let better = b.binary(Binary::And, above, is_number)?;
                    (b.select(better, candidate, best)?, b.select(better, value, chosen)?)
                }
            });
        }
        best.map(|(_, value)| value).ok_or_else(|| TypeError::new("select_and_scatter", "a window without elements"))
    }
}
