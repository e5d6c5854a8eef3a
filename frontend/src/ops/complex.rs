//! Complex numbers: pairs of tensors.

use super::arguments::wrong;
use super::declare::functions;
use super::formulas::{at, concatenate, with_axis};
use super::promotion::promote_float;
use super::tensor::Tensor;

/// A tensor of complex numbers: its real and its imaginary part, of one floating-point dtype and one shape.
#[derive(Clone, Debug)]
pub struct Complex {
    /// The real part.
    pub real: Tensor,
    /// The imaginary part.
    pub imag: Tensor,
}

impl<R: Into<Tensor>, I: Into<Tensor>> From<(R, I)> for Complex {
    fn from((real, imag): (R, I)) -> Self {
        Complex { real: real.into(), imag: imag.into() }
    }
}

impl From<[Tensor; 2]> for Complex {
    fn from([real, imag]: [Tensor; 2]) -> Self {
        Complex { real, imag }
    }
}

impl From<&Complex> for Complex {
    fn from(complex: &Complex) -> Self {
        complex.clone()
    }
}

impl Complex {
    /// The conjugate.
    #[track_caller]
    pub fn conj(&self) -> Complex {
        Complex { real: self.real.clone(), imag: super::negative(&self.imag) }
    }

    /// The angle of each number in radians, from -pi to pi.
    #[track_caller]
    pub fn angle(&self) -> Tensor {
        super::arctan2(&self.imag, &self.real)
    }

    /// The distance of each number from 0.
    #[track_caller]
    pub fn abs(&self) -> Tensor {
        super::hypot(&self.real, &self.imag)
    }
}

/// The complex numbers whose real and imaginary parts are pairs along the last axis.
#[track_caller]
pub fn view_as_complex(x: impl Into<Tensor>) -> Complex {
    declared::view_as_complex(x).results::<2>().into()
}

/// The real and imaginary parts of complex numbers as pairs along a new last axis.
#[track_caller]
pub fn view_as_real(x: impl Into<Complex>) -> Tensor {
    let Complex { real, imag } = x.into();
    declared::view_as_real(real, imag)
}

/// The complex numbers at distances `abs_` from 0 in directions `angle`: `abs_ (cos angle + i sin angle)`.
#[track_caller]
pub fn polar(abs_: impl Into<Tensor>, angle: impl Into<Tensor>) -> Complex {
    declared::polar(abs_, angle).results::<2>().into()
}

pub use declared::{Polar, ViewAsComplex, ViewAsReal};

/// The functions on parts.
mod declared {
    use super::*;

    functions! {
        /// The real and the imaginary parts, which are pairs along the last axis.
        view_as_complex ViewAsComplex(x) {} = |_, &[x]| {
            let [x] = promote_float([x]);
            let shape = x.shape();
            let Some(axis) = shape.len().checked_sub(1).filter(|&axis| shape[axis].is(2)) else {
                return Err(wrong("expected a last axis of 2 elements, the real and the imaginary part"));
            };
            Ok([at(x, axis, 0i64), at(x, axis, 1i64)])
        };
        /// The real and the imaginary parts as pairs along a new last axis.
        view_as_real ViewAsReal(real, imag) = |scope, &[real, imag]| {
            let parts = promote_float([real, imag]);
            let axis = real.shape().len();
            concatenate(scope, &parts.map(|part| with_axis(part, axis)), axis)
        };
        /// The complex numbers of lengths and angles.
        polar Polar(abs_, angle) {} = |_, &[length, angle]| {
            let [length, angle] = promote_float([length, angle]);
            [length * angle.cos(), length * angle.sin()]
        };
    }
}
