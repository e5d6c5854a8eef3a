//! Complex numbers.

use std::ops::{Add, Div, Mul, Neg, Sub};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Complex {
    pub real: f64,
    pub imaginary: f64,
}

impl Complex {
    pub const ZERO: Complex = Complex { real: 0.0, imaginary: 0.0 };
    pub const ONE: Complex = Complex { real: 1.0, imaginary: 0.0 };

    pub fn conjugate(self) -> Self {
        Complex { imaginary: -self.imaginary, ..self }
    }

    pub fn magnitude(self) -> f64 {
        libm::hypot(self.real, self.imaginary)
    }

    pub fn scaled(self, by: f64) -> Self {
        Complex { real: self.real * by, imaginary: self.imaginary * by }
    }

    /// The root with a real part that is not negative.
    pub fn sqrt(self) -> Self {
        let magnitude = self.magnitude();
        let real = ((magnitude + self.real) / 2.0).max(0.0).sqrt();
        let imaginary = ((magnitude - self.real) / 2.0).max(0.0).sqrt();
        Complex { real, imaginary: imaginary.copysign(self.imaginary) }
    }
}

impl From<f64> for Complex {
    fn from(real: f64) -> Self {
        Complex { real, imaginary: 0.0 }
    }
}

impl Add for Complex {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Complex { real: self.real + other.real, imaginary: self.imaginary + other.imaginary }
    }
}

impl Sub for Complex {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Neg for Complex {
    type Output = Self;
    fn neg(self) -> Self {
        Complex { real: -self.real, imaginary: -self.imaginary }
    }
}

impl Mul for Complex {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Complex {
            real: self.real * other.real - self.imaginary * other.imaginary,
            imaginary: self.real * other.imaginary + self.imaginary * other.real,
        }
    }
}

impl Div for Complex {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let magnitude = other.magnitude();
        let unit = other.scaled(1.0 / magnitude);
        (self * unit.conjugate()).scaled(1.0 / magnitude)
    }
}
