use super::{Axis, Mark, Register};
use kc_abi::{Atom, Dim, Symbol};

/// A position or an extent: integer arithmetic in i64 over loop variables and dimension parameters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Index {
    /// A number.
    Constant(i64),
    /// The dimension parameter of that number.
    Dim(u32),
    /// A loop variable.
    Axis(Axis),
    /// A scalar integer register.
    Register(Register),
    /// Sum.
    Add(Box<Index>, Box<Index>),
    /// Product.
    Multiply(Box<Index>, Box<Index>),
    /// Floor of the quotient, by a divisor above 0.
    FloorDiv(Box<Index>, Box<Index>),
    /// `a - floor(a / b) * b`, by a divisor above 0.
    Modulo(Box<Index>, Box<Index>),
    /// The smaller.
    Min(Box<Index>, Box<Index>),
    /// The larger.
    Max(Box<Index>, Box<Index>),
}

impl Index {
    /// The number, where it is one.
    pub fn as_constant(&self) -> Option<i64> {
        match self {
            Index::Constant(value) => Some(*value),
            _ => None,
        }
    }

    /// Whether all registers and axes in it were defined at a moment of building.
    pub fn is_defined_before(&self, mark: Mark) -> bool {
        match self {
            Index::Constant(_) | Index::Dim(_) => true,
            Index::Axis(axis) => axis.0 < mark.axes,
            Index::Register(register) => register.0 < mark.registers,
            Index::Add(a, b)
            | Index::Multiply(a, b)
            | Index::FloorDiv(a, b)
            | Index::Modulo(a, b)
            | Index::Min(a, b)
            | Index::Max(a, b) => a.is_defined_before(mark) && b.is_defined_before(mark),
        }
    }

    /// `floor(self / divisor)`.
    pub fn floor_div(self, divisor: impl Into<Index>) -> Index {
        match (self, divisor.into()) {
            (Index::Constant(a), Index::Constant(b)) if b > 0 => Index::Constant(a.div_euclid(b)),
            (a, Index::Constant(1)) => a,
            (a, b) => Index::FloorDiv(Box::new(a), Box::new(b)),
        }
    }

    /// The remainder of `floor_div`.
    pub fn modulo(self, divisor: impl Into<Index>) -> Index {
        match (self, divisor.into()) {
            (Index::Constant(a), Index::Constant(b)) if b > 0 => Index::Constant(a.rem_euclid(b)),
            (_, Index::Constant(1)) => Index::Constant(0),
            (a, b) => Index::Modulo(Box::new(a), Box::new(b)),
        }
    }

    /// The smaller.
    pub fn min(self, other: impl Into<Index>) -> Index {
        match (self, other.into()) {
            (Index::Constant(a), Index::Constant(b)) => Index::Constant(a.min(b)),
            (a, b) if a == b => a,
            (a, b) => Index::Min(Box::new(a), Box::new(b)),
        }
    }

    /// The larger.
    pub fn max(self, other: impl Into<Index>) -> Index {
        match (self, other.into()) {
            (Index::Constant(a), Index::Constant(b)) => Index::Constant(a.max(b)),
            (a, b) if a == b => a,
            (a, b) => Index::Max(Box::new(a), Box::new(b)),
        }
    }

    /// A dimension whose symbols are the dimension parameters of these numbers; a symbol that is missing is added.
    pub fn from_dim(dim: &Dim, parameters: &mut Vec<Symbol>) -> Index {
        dim.terms().iter().fold(Index::Constant(0), |sum, term| {
            sum + term.atoms.iter().fold(Index::Constant(term.coefficient), |product, atom| {
                product
                    * match atom {
                        Atom::Symbol(symbol) => {
                            let number = parameters.iter().position(|known| known == symbol).unwrap_or_else(|| {
                                parameters.push(symbol.clone());
                                parameters.len() - 1
                            });
                            Index::Dim(number as u32)
                        }
                        Atom::FloorDiv(n, d) => {
                            Index::from_dim(n, parameters).floor_div(Index::from_dim(d, parameters))
                        }
                    }
            })
        })
    }
}

impl From<i64> for Index {
    fn from(value: i64) -> Self {
        Index::Constant(value)
    }
}
impl From<Axis> for Index {
    fn from(axis: Axis) -> Self {
        Index::Axis(axis)
    }
}

impl<T: Into<Index>> std::ops::Add<T> for Index {
    type Output = Index;
    fn add(self, other: T) -> Index {
        match (self, other.into()) {
            (Index::Constant(0), b) => b,
            (a, Index::Constant(0)) => a,
            (Index::Constant(a), Index::Constant(b)) => Index::Constant(a.wrapping_add(b)),
            // constants stay rightmost and merge
            (Index::Add(a, c), Index::Constant(b)) if c.as_constant().is_some() => {
                *a + Index::Constant(c.as_constant().unwrap_or(0).wrapping_add(b))
            }
            (a @ Index::Constant(_), b) => b + a,
            (a, b) => Index::Add(Box::new(a), Box::new(b)),
        }
    }
}

impl<T: Into<Index>> std::ops::Sub<T> for Index {
    type Output = Index;
    fn sub(self, other: T) -> Index {
        self + other.into() * -1
    }
}

impl<T: Into<Index>> std::ops::Mul<T> for Index {
    type Output = Index;
    fn mul(self, other: T) -> Index {
        match (self, other.into()) {
            (Index::Constant(0), _) | (_, Index::Constant(0)) => Index::Constant(0),
            (Index::Constant(1), b) => b,
            (a, Index::Constant(1)) => a,
            (Index::Constant(a), Index::Constant(b)) => Index::Constant(a.wrapping_mul(b)),
            (a @ Index::Constant(_), b) => b * a,
            (a, b) => Index::Multiply(Box::new(a), Box::new(b)),
        }
    }
}
