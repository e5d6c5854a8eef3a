//! What elementwise functions cost, for the cost model and for the choice between computing again and storing.

use super::Op;
use super::ops::{Binary, CustomFunction, Unary};

/// What a load and a store of an element cost, in the same unit.
pub const LOAD_AND_STORE: f64 = 4.0;

/// What an elementwise function executes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Executed {
    /// So many additions.
    Operations(f64),
    /// So many exponential functions.
    Exponentials(f64),
}

/// Additions that cost as much as an exponential function, about.
const EXPONENTIAL: f64 = 12.0;

impl Executed {
    /// In additions, about.
    pub fn operations(self) -> f64 {
        match self {
            Executed::Operations(count) => count,
            Executed::Exponentials(count) => EXPONENTIAL * count,
        }
    }
}

/// What an elementwise op executes for an element; `None` for other ops.
pub fn elementwise(op: &Op) -> Option<Executed> {
    match op {
        Op::Unary(function) => Some(unary(*function)),
        Op::Binary(function) => Some(binary(*function)),
        Op::Compare(_) | Op::Select(_) | Op::Convert(_) => Some(Executed::Operations(1.0)),
        _ => None,
    }
}

/// What an elementwise function of one operand executes.
fn unary(function: Unary) -> Executed {
    match function {
        Unary::Negate
        | Unary::Abs
        | Unary::Sign
        | Unary::Floor
        | Unary::Ceil
        | Unary::Trunc
        | Unary::RoundEven
        | Unary::IsFinite
        | Unary::Not
        | Unary::PopulationCount
        | Unary::CountLeadingZeros => Executed::Operations(1.0),
        Unary::Sqrt | Unary::Rsqrt => Executed::Operations(5.0),
        Unary::Exp | Unary::Log | Unary::Logistic | Unary::Tanh | Unary::Expm1 | Unary::Log1p => {
            Executed::Exponentials(1.0)
        }
        Unary::Cbrt
        | Unary::Sin
        | Unary::Cos
        | Unary::Tan
        | Unary::Asin
        | Unary::Acos
        | Unary::Atan
        | Unary::Sinh
        | Unary::Cosh
        | Unary::Asinh
        | Unary::Acosh
        | Unary::Atanh
        | Unary::Erf
        | Unary::Erfc
        | Unary::ErfInv
        | Unary::Lgamma
        | Unary::Digamma => Executed::Exponentials(2.0),
    }
}

/// The same for two operands.
fn binary(function: Binary) -> Executed {
    match function {
        Binary::Add
        | Binary::Subtract
        | Binary::Multiply
        | Binary::Maximum
        | Binary::Minimum
        | Binary::And
        | Binary::Or
        | Binary::Xor
        | Binary::ShiftLeft
        | Binary::ShiftRight => Executed::Operations(1.0),
        Binary::Divide => Executed::Operations(4.0),
        Binary::Remainder => Executed::Operations(8.0),
        Binary::Power | Binary::Atan2 => Executed::Exponentials(2.5),
    }
}

/// Operations of a library function for each element of a vector or matrix with these extents.
pub fn library(function: CustomFunction, extents: &[f64]) -> f64 {
    let least = extents.iter().copied().fold(f64::INFINITY, f64::min).max(1.0);
    match function {
        CustomFunction::Fft | CustomFunction::InverseFft => 5.0 * least.log2().max(1.0),
        CustomFunction::Cholesky | CustomFunction::Lu | CustomFunction::TriangularSolve { .. } => least,
        CustomFunction::Qr { .. } => 4.0 * least,
        CustomFunction::Eigh | CustomFunction::Svd { .. } | CustomFunction::SingularValues => 20.0 * least,
        CustomFunction::Eig => 100.0 * least,
    }
}
