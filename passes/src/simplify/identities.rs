//! Identities of elementwise ops that hold for every value, zeros, infinities and NaNs included.

use super::{Simplifier, Step, becomes, holds};
use kc_ir::tensor::ops::{Binary, Broadcast, Compare, Convert, Unary};
use kc_ir::tensor::{Op, Scalar, TypeError, Value};
use kc_ir::{DType, Dim};

impl Simplifier {
    pub(super) fn elementwise(&mut self, op: &Op, operands: &[Value]) -> Result<Step, TypeError> {
        match op {
            Op::Unary(function) => Ok(self.unary(*function, operands[0])),
            Op::Binary(function) => self.binary(*function, operands[0], operands[1]),
            Op::Compare(function) => Ok(self.compare(*function, operands[0], operands[1])),
            Op::Select(_) => Ok(self.select(operands)),
            Op::Convert(convert) => Ok(self.convert(convert, operands[0])),
            Op::BitcastConvert(convert) if convert.dtype == self.ty(operands[0]).dtype => Ok(Step::Is(operands[0])),
            _ => Ok(Step::Keep),
        }
    }

    fn unary(&self, function: Unary, x: Value) -> Step {
        let Op::Unary(inner) = *self.op(x) else { return Step::Keep };
        match (function, inner) {
            (Unary::Negate, Unary::Negate) | (Unary::Not, Unary::Not) => Step::Is(self.operand(x)),
            (Unary::Abs, Unary::Abs) => Step::Is(x),
            (Unary::Abs, Unary::Negate) => becomes(Unary::Abs, vec![self.operand(x)]),
            (Unary::Floor | Unary::Ceil | Unary::Trunc | Unary::RoundEven, _) if is_rounding(inner) => Step::Is(x),
            _ => Step::Keep,
        }
    }

    fn binary(&mut self, function: Binary, a: Value, b: Value) -> Result<Step, TypeError> {
        let dtype = self.ty(a).dtype;
        let commutes = matches!(
            function,
            Binary::Add | Binary::Multiply | Binary::Maximum | Binary::Minimum | Binary::And | Binary::Or | Binary::Xor
        );
        if commutes && self.order(b) < self.order(a) {
            return Ok(becomes(function, vec![b, a]));
        }
        let right = self.splat(b);
        let is = |float: f64, int: i128| match right {
            Some(Scalar::Float(x)) => x.to_bits() == float.to_bits(),
            Some(Scalar::Int(i)) => i == int,
            None => false,
        };
        let integer = !dtype.is_float();
        Ok(match function {
            // x + -0 and x - 0 are x for both zeros; x + 0 is not
            Binary::Add if is(-0.0, 0) => Step::Is(a),
            Binary::Add if is(0.0, 0) && self.is_never_negative(a, 8) => Step::Is(a),
            Binary::Subtract if is(0.0, 0) => Step::Is(a),
            Binary::Add if let Op::Unary(Unary::Negate) = self.op(b) => {
                becomes(Binary::Subtract, vec![a, self.operand(b)])
            }
            Binary::Subtract if let Op::Unary(Unary::Negate) = self.op(b) => {
                becomes(Binary::Add, vec![a, self.operand(b)])
            }
            Binary::Multiply | Binary::Divide if is(1.0, 1) => Step::Is(a),
            Binary::Multiply | Binary::Divide if !integer && is(-1.0, -1) => becomes(Unary::Negate, vec![a]),
            Binary::Multiply | Binary::And if integer && is(0.0, 0) => Step::Is(b),
            Binary::Power if is(1.0, 1) => Step::Is(a),
            Binary::Subtract | Binary::Xor if integer && a == b => {
                let ty = self.ty(a).clone();
                Step::Is(self.filled(&ty, Scalar::Int(0))?)
            }
            Binary::Or | Binary::Xor | Binary::ShiftLeft | Binary::ShiftRight if integer && is(0.0, 0) => Step::Is(a),
            Binary::Maximum | Binary::Minimum | Binary::And | Binary::Or if a == b => Step::Is(a),
            _ => Step::Keep,
        })
    }

    fn compare(&self, function: Compare, a: Value, b: Value) -> Step {
        let mirrored = match function {
            Compare::Equal | Compare::NotEqual => function,
            Compare::Less => Compare::Greater,
            Compare::LessEqual => Compare::GreaterEqual,
            Compare::Greater => Compare::Less,
            Compare::GreaterEqual => Compare::LessEqual,
        };
        // only a constant on the left moves: `x < y` reads better as it was written
        let swaps = self.splat(a).is_some() && self.splat(b).is_none();
        if swaps { becomes(mirrored, vec![b, a]) } else { Step::Keep }
    }

    fn select(&self, operands: &[Value]) -> Step {
        let (condition, on_true, on_false) = (operands[0], operands[1], operands[2]);
        match self.splat(condition) {
            Some(value) => Step::Is(if value.is_true() { on_true } else { on_false }),
            None if on_true == on_false => Step::Is(on_true),
            None => match self.op(condition) {
                Op::Unary(Unary::Not) => {
                    becomes(kc_ir::tensor::ops::Select {}, vec![self.operand(condition), on_false, on_true])
                }
                _ => Step::Keep,
            },
        }
    }

    fn convert(&self, convert: &Convert, x: Value) -> Step {
        let dtype = self.ty(x).dtype;
        if dtype == convert.dtype {
            return Step::Is(x);
        }
        if let Op::Convert(_) = self.op(x) {
            let source = self.operand(x);
            let from = self.ty(source).dtype;
            // what the middle dtype holds exactly it does not change; but integers wrap where floats saturate
            let wraps = from.is_integer() && dtype.is_float() && convert.dtype.is_integer();
            if holds(dtype, from) && (!wraps || holds(convert.dtype, from)) {
                return becomes(convert.clone(), vec![source]);
            }
        }
        Step::Keep
    }

    /// Whether no element can be -0 or below (it may be NaN), as far as that many ops up say.
    fn is_never_negative(&self, value: Value, depth: u32) -> bool {
        if depth == 0 {
            return false;
        }
        let operand = |position: usize| self.builder.graph().node(value).operands[position];
        match self.op(value) {
            Op::Constant(constant) => constant.value.scalars().all(|x| x.to_f64().is_sign_positive()),
            Op::Convert(_) => {
                let from = self.ty(operand(0)).dtype;
                from.is_unsigned_integer() || from == DType::Bool
            }
            Op::Unary(Unary::Abs | Unary::Exp | Unary::Logistic) => true,
            Op::Unary(Unary::Sqrt) | Op::Broadcast(_) | Op::Reshape(_) | Op::Transpose(_) => {
                self.is_never_negative(operand(0), depth - 1)
            }
            Op::Binary(Binary::Multiply | Binary::Add | Binary::Divide) => {
                self.is_never_negative(operand(0), depth - 1) && self.is_never_negative(operand(1), depth - 1)
            }
            _ => false,
        }
    }

    /// The order of a commutative function's operands: tensors, broadcasts, constants; then first come, first.
    fn order(&self, value: Value) -> (u8, Value) {
        let class = match self.op(value) {
            _ if self.splat(value).is_some() => 3,
            Op::Constant(_) => 2,
            Op::Broadcast(_) => 1,
            _ => 0,
        };
        (class, value)
    }

    /// An elementwise function of broadcasts alone is the broadcast of the function.
    pub(super) fn before_broadcast(&mut self, op: &Op, operands: &[Value]) -> Result<Step, TypeError> {
        let mut common: Option<(Vec<usize>, Vec<Dim>)> = None;
        for &operand in operands {
            let Op::Broadcast(broadcast) = self.op(operand) else { return Ok(Step::Keep) };
            let inner = self.ty(self.operand(operand)).shape.clone();
            match &common {
                _ if inner.is_empty() => {}
                None => common = Some((broadcast.axes.clone(), inner)),
                Some((axes, shape)) if *axes == broadcast.axes && *shape == inner => {}
                Some(_) => return Ok(Step::Keep),
            }
        }
        let (axes, inner) = common.unwrap_or_default();
        let shape = self.ty(operands[0]).shape.clone();
        let mut narrow = Vec::with_capacity(operands.len());
        for &operand in operands {
            let source = self.operand(operand);
            let scalar = self.ty(source).rank() == 0;
            narrow.push(if scalar { self.builder.broadcast(source, &inner, &[])? } else { source });
        }
        let value = self.add(op.clone(), narrow)?;
        Ok(becomes(Broadcast { shape, axes }, vec![value]))
    }
}

fn is_rounding(function: Unary) -> bool {
    matches!(function, Unary::Floor | Unary::Ceil | Unary::Trunc | Unary::RoundEven)
}
