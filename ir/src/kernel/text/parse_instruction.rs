use super::lex::Token;
use super::parse::{Parsed, Parser};
use crate::kernel::*;
use crate::tensor::Scalar;
use crate::tensor::ops::{Binary, Compare, Reduction, Unary};

impl Parser<'_> {
    pub fn scalar(&mut self) -> Parsed<Scalar> {
        let negative = self.eat("-");
        let sign = if negative { -1.0 } else { 1.0 };
        let Token::Number(digits) = self.peek().clone() else {
            return if self.eat("inf") {
                Ok(Scalar::Float(sign * f64::INFINITY))
            } else if self.eat("nan") {
                Ok(Scalar::Float(f64::NAN))
            } else {
                self.expected("a number, `inf` or `nan`")
            };
        };
        let digits = if negative { format!("-{digits}") } else { digits };
        let scalar = if digits.contains(['.', 'e', 'E']) {
            digits.parse().ok().map(Scalar::Float)
        } else {
            digits.parse().ok().map(Scalar::Int)
        };
        let Some(scalar) = scalar else { return self.expected("a number of at most 128 bits") };
        self.next();
        Ok(scalar)
    }

    pub fn instruction(&mut self) -> Parsed<Instruction> {
        let Token::Word(word) = self.peek().clone() else { return self.expected("an instruction such as `add`") };
        match word.as_str() {
            "constant" => {
                self.next();
                Ok(Instruction::Constant(self.scalar()?))
            }
            "position" => {
                self.next();
                let index = self.index()?;
                self.expect("step")?;
                Ok(Instruction::Position { index, step: self.number("the step from lane to lane")? })
            }
            "load" => {
                self.next();
                let (memory, position) = self.access()?;
                self.expect("]")?;
                Ok(Instruction::Load { memory, position, count: self.count()? })
            }
            "math" => {
                self.next();
                let function = match self.peek() {
                    Token::Word(name) => MathFunction::from_name(name),
                    _ => None,
                };
                let Some(function) = function else { return self.expected("a function such as `exp`") };
                self.next();
                self.expect("(")?;
                Ok(Instruction::Math(function, self.separated(")", Self::register)?))
            }
            "load_spaced" => {
                self.next();
                Ok(Instruction::LoadSpaced(Box::new(self.spaced()?)))
            }
            "load_left_tiles" => self.load_tiles(Side::Left),
            "load_right_tiles" => self.load_tiles(Side::Right),
            "multiply_tiles" => self.operands().map(|[a, b, c]| Instruction::MultiplyTiles(a, b, c)),
            "splat" => self.operands().map(|[x]| Instruction::Splat(x)),
            "multiply_add" => self.operands().map(|[a, b, c]| Instruction::MultiplyAdd(a, b, c)),
            "multiply_add_groups" => self.operands().map(|[a, b, c]| Instruction::MultiplyAddGroups(a, b, c)),
            "select" => self.operands().map(|[condition, a, b]| Instruction::Select(condition, a, b)),
            "convert" => self.operands().map(|[x]| Instruction::Convert(x)),
            "bitcast" => self.operands().map(|[x]| Instruction::Bitcast(x)),
            "reduce_sum" => self.operands().map(|[x]| Instruction::ReduceLanes(Reduction::Sum, x)),
            "reduce_product" => self.operands().map(|[x]| Instruction::ReduceLanes(Reduction::Product, x)),
            "reduce_max" => self.operands().map(|[x]| Instruction::ReduceLanes(Reduction::Max, x)),
            "reduce_min" => self.operands().map(|[x]| Instruction::ReduceLanes(Reduction::Min, x)),
            "interleave_low" => self.operands().map(|[a, b]| Instruction::Interleave(Half::Low, a, b)),
            "interleave_high" => self.operands().map(|[a, b]| Instruction::Interleave(Half::High, a, b)),
            name => {
                if let Some(function) = Unary::from_text(name) {
                    self.operands().map(|[x]| Instruction::Unary(function, x))
                } else if let Some(function) = Binary::from_text(name) {
                    self.operands().map(|[a, b]| Instruction::Binary(function, a, b))
                } else if let Some(function) = Compare::from_text(name) {
                    self.operands().map(|[a, b]| Instruction::Compare(function, a, b))
                } else {
                    self.expected("an instruction such as `add`")
                }
            }
        }
    }

    fn load_tiles(&mut self, side: Side) -> Parsed<Instruction> {
        self.next();
        Ok(Instruction::LoadTiles(Box::new(self.tiles()?), side))
    }

    /// The instruction's name, then that many registers.
    fn operands<const N: usize>(&mut self) -> Parsed<[Register; N]> {
        self.next();
        let mut operands = [Register(0); N];
        for (i, operand) in operands.iter_mut().enumerate() {
            if i > 0 {
                self.expect(",")?;
            }
            *operand = self.register()?;
        }
        Ok(operands)
    }
}
