//! What elementwise functions cost, for the cost model and for the choice between computing again and storing.

use kc_ir::tensor::ops::{Binary, CustomFunction, Unary};

/// Operations of an elementwise function, in additions.
pub(crate) fn unary(function: Unary) -> f64 {
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
        | Unary::CountLeadingZeros => 1.0,
        Unary::Sqrt | Unary::Rsqrt => 5.0,
        Unary::Exp | Unary::Log | Unary::Logistic | Unary::Tanh | Unary::Expm1 | Unary::Log1p => 12.0,
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
        | Unary::Digamma => 25.0,
    }
}

/// The same for two operands.
pub(crate) fn binary(function: Binary) -> f64 {
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
        | Binary::ShiftRight => 1.0,
        Binary::Divide => 4.0,
        Binary::Remainder => 8.0,
        Binary::Power | Binary::Atan2 => 30.0,
    }
}

/// Operations of a library function for each element of a vector or matrix with these extents.
pub(crate) fn library(function: CustomFunction, extents: &[f64]) -> f64 {
    let least = extents.iter().copied().fold(f64::INFINITY, f64::min).max(1.0);
    match function {
        CustomFunction::Fft | CustomFunction::InverseFft => 5.0 * least.log2().max(1.0),
        CustomFunction::Cholesky | CustomFunction::Lu | CustomFunction::TriangularSolve { .. } => least,
        CustomFunction::Qr { .. } => 4.0 * least,
        CustomFunction::Eigh | CustomFunction::Svd { .. } | CustomFunction::SingularValues => 20.0 * least,
        CustomFunction::Eig => 100.0 * least,
    }
}
