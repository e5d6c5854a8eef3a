//! What compares elements: positions of extrema, sorting.

use super::write::{Ssa, Writer, dims, list, names, tensor_type, types};
use kc_ir::tensor::ops::{ArgReduce, Binary, Compare, Direction, Extremum, Sort, TopK};
use kc_ir::tensor::{Scalar, TypeError};
use kc_ir::{DType, Dim, TensorType};

impl Writer {
    fn logical(&mut self, function: Binary, a: &Ssa, b: &Ssa) -> Ssa {
        self.same(function.text(), &[a.clone(), b.clone()])
    }

    /// Whether `a` comes before `b`; a NaN is the largest of all.
    fn precedes(&mut self, direction: Direction, a: &Ssa, b: &Ssa) -> Ssa {
        let (less, of) = match direction {
            Direction::Ascending => (Compare::Less, [b, a]),
            Direction::Descending => (Compare::Greater, [a, b]),
        };
        let before = self.compare(less, a, b);
        if !a.ty.dtype.is_float() {
            return before;
        }
        // the one is NaN, the other is not
        let [larger, smaller] = of;
        let is_nan = self.compare(Compare::NotEqual, larger, larger);
        let is_number = self.compare(Compare::Equal, smaller, smaller);
        let alone = self.logical(Binary::And, &is_nan, &is_number);
        self.logical(Binary::Or, &before, &alone)
    }

    /// Whether neither comes before the other.
    fn ties(&mut self, a: &Ssa, b: &Ssa) -> Ssa {
        let equal = self.compare(Compare::Equal, a, b);
        if !a.ty.dtype.is_float() {
            return equal;
        }
        let (a, b) = (self.compare(Compare::NotEqual, a, a), self.compare(Compare::NotEqual, b, b));
        let both = self.logical(Binary::And, &a, &b);
        self.logical(Binary::Or, &equal, &both)
    }

    pub(super) fn arg_reduce(&mut self, reduce: &ArgReduce, x: &Ssa, ty: TensorType) -> Result<Ssa, TypeError> {
        // positions are compared as i32 or i64, whatever narrower dtype they are asked for in
        let wide = if ty.dtype.bits() > 32 { DType::I64 } else { DType::I32 };
        let positions_ty = TensorType { dtype: wide, shape: x.ty.shape.clone() };
        let body = format!("stablehlo.iota dim = {} : {}", reduce.axis, tensor_type(&positions_ty));
        let positions = self.assign(positions_ty, &body);
        let kind = match reduce.kind {
            Extremum::Max => kc_ir::tensor::ops::Reduction::Max,
            Extremum::Min => kc_ir::tensor::ops::Reduction::Min,
        };
        let (neutral, first) = (self.neutral(kind, x.ty.dtype), self.scalar(wide, Scalar::Int(0)));
        let operands = [x.clone(), positions, neutral, first];
        let scalars = [TensorType::scalar(x.ty.dtype), TensorType::scalar(wide)];
        let parameters = [&scalars[..], &scalars[..]].concat();
        let results = [
            TensorType { dtype: x.ty.dtype, shape: ty.shape.clone() },
            TensorType { dtype: wide, shape: ty.shape.clone() },
        ];
        let head = format!("\"stablehlo.reduce\"({}) <{{dimensions = array<i64: {}>}}>", names(&operands), reduce.axis);
        let mut better = |writer: &mut Writer, values: &[Ssa]| {
            let [a, i, b, j] = values else { return Err(TypeError::new("arg_reduce", "its region takes four values")) };
            let better = match reduce.kind {
                Extremum::Max => writer.precedes(Direction::Descending, a, b),
                Extremum::Min => {
                    // the smaller, and a NaN before all numbers
                    let less = writer.compare(Compare::Less, a, b);
                    if a.ty.dtype.is_float() {
                        let (is_nan, is_number) =
                            (writer.compare(Compare::NotEqual, a, a), writer.compare(Compare::Equal, b, b));
                        let alone = writer.logical(Binary::And, &is_nan, &is_number);
                        writer.logical(Binary::Or, &less, &alone)
                    } else {
                        less
                    }
                }
            };
            let (ties, earlier) = (writer.ties(a, b), writer.compare(Compare::Less, i, j));
            let earlier = writer.logical(Binary::And, &ties, &earlier);
            let better = writer.logical(Binary::Or, &better, &earlier);
            Ok(vec![writer.select(&better, a, b), writer.select(&better, i, j)])
        };
        let values = self.with_regions(&head, &types(&operands), &results, &mut [(&parameters, &mut better)])?;
        Ok(self.convert(&values[1], ty.dtype))
    }

    pub(super) fn sort(&mut self, sort: &Sort, operands: &[Ssa]) -> Result<Vec<Ssa>, TypeError> {
        self.sorted(sort.axis, sort.keys, sort.direction, operands)
    }

    fn sorted(
        &mut self,
        axis: usize,
        keys: usize,
        direction: Direction,
        operands: &[Ssa],
    ) -> Result<Vec<Ssa>, TypeError> {
        let results: Vec<TensorType> = operands.iter().map(|operand| operand.ty.clone()).collect();
        let parameters: Vec<TensorType> =
            results.iter().flat_map(|ty| [TensorType::scalar(ty.dtype), TensorType::scalar(ty.dtype)]).collect();
        let head = format!("\"stablehlo.sort\"({}) <{{dimension = {axis} : i64, is_stable = true}}>", names(operands));
        let mut comparator = |writer: &mut Writer, values: &[Ssa]| {
            let mut before: Option<Ssa> = None;
            for key in (0..keys).rev() {
                let (a, b) = (&values[2 * key], &values[2 * key + 1]);
                let own = writer.precedes(direction, a, b);
                before = Some(match before {
                    None => own,
                    Some(rest) => {
                        let ties = writer.ties(a, b);
                        let rest = writer.logical(Binary::And, &ties, &rest);
                        writer.logical(Binary::Or, &own, &rest)
                    }
                });
            }
            before.map(|before| vec![before]).ok_or_else(|| TypeError::new("sort", "it has no keys"))
        };
        self.with_regions(&head, &types(operands), &results, &mut [(&parameters, &mut comparator)])
    }

    pub(super) fn top_k(&mut self, top: &TopK, x: &Ssa, results: &[TensorType]) -> Result<Vec<Ssa>, TypeError> {
        let axis = x.ty.rank() - 1;
        let positions_ty = TensorType { dtype: DType::I32, shape: x.ty.shape.clone() };
        let body = format!("stablehlo.iota dim = {axis} : {}", tensor_type(&positions_ty));
        let positions = self.assign(positions_ty, &body);
        let sorted = self.sorted(axis, 1, Direction::Descending, &[x.clone(), positions])?;
        let ranges = x.ty.shape[..axis].iter().cloned().chain([Dim::constant(top.k as i64)]);
        let ranges = list(ranges.map(|limit| format!("0:{}", dims(&[limit]))));
        let taken = sorted.iter().zip(results).map(|(sorted, ty)| {
            let types = (tensor_type(&sorted.ty), tensor_type(ty));
            self.assign(
                ty.clone(),
                &format!("stablehlo.slice {} [{ranges}] : ({}) -> {}", sorted.name, types.0, types.1),
            )
        });
        Ok(taken.collect())
    }
}
