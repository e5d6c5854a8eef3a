//! What a library computes better than compiled loops: Fourier transforms and dense linear algebra.

mod algebra;
mod gradient;

pub(crate) use algebra::Transposed;

use super::{Backward, Cotangents, Operation, arity, tensor};
use crate::library::{self, Extents, LibraryFunction, Part};
use crate::tensor::interpret::{Array, Data, Evaluation};
use crate::tensor::{Builder, Type, TypeError, Value};
use kc_abi::{DType, Dim, TensorType};
use serde::{Deserialize, Serialize};

/// A triangle of a matrix, its diagonal included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Triangle {
    /// On and below the diagonal.
    Lower,
    /// On and above the diagonal.
    Upper,
}

impl Triangle {
    /// The triangle of the transposed matrix.
    pub fn transposed(self) -> Self {
        match self {
            Triangle::Lower => Triangle::Upper,
            Triangle::Upper => Triangle::Lower,
        }
    }
}

/// What stands on the diagonal of a triangular matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Diagonal {
    /// The elements of the matrix.
    Given,
    /// Ones, whatever the matrix has there.
    Ones,
}

/// How many orthonormal columns a factor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Factors {
    /// As many as the lesser extent of the matrix.
    Reduced,
    /// As many as make a square matrix.
    Full,
}

/// A function of vectors or matrices: those on the last axis, or the last two, for each index of the axes before. Operands are of f32 or
/// f64, and so are the results but where it is said otherwise. A matrix for which there is no result gives NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CustomFunction {
    /// `sum_j x[j] exp(-2 pi i j k / n)` of real and imaginary parts; the results likewise.
    Fft,
    /// `sum_j x[j] exp(2 pi i j k / n) / n`, likewise.
    InverseFft,
    /// The lower triangular `L` with `L L^T = A` of the symmetric `A` whose lower triangle is given; NaN in the triangle where `A` is not
    /// positive definite.
    Cholesky,
    /// `X` with `A X = B`, of a triangular matrix `A` and `B`.
    TriangularSolve {
        /// Which triangle of `A` is read.
        triangle: Triangle,
        /// What stands on its diagonal.
        diagonal: Diagonal,
    },
    /// `L U = P A` with partial pivoting: `L` below its diagonal of ones and `U` in one matrix; the row that each row was exchanged with, in
    /// order (i32); the rows of `A` in their new order (i32).
    Lu,
    /// `A = Q R` as LAPACK has it.
    Qr {
        /// The columns of `Q`.
        factors: Factors,
    },
    /// Eigenvalues, ascending, and eigenvectors as columns of the symmetric matrix whose lower triangle is given.
    Eigh,
    /// Real and imaginary parts of eigenvalues, in no order, and of right eigenvectors as columns of any matrix.
    Eig,
    /// `A = U diag(s) V^T`: `U`, `s`, descending, and `V^T`.
    Svd {
        /// The columns of `U` and `V`.
        factors: Factors,
    },
    /// The singular values, descending.
    SingularValues,
}

impl CustomFunction {
    /// The name in messages.
    pub fn name(self) -> &'static str {
        match self {
            CustomFunction::Fft => "fft",
            CustomFunction::InverseFft => "inverse_fft",
            CustomFunction::Cholesky => "cholesky",
            CustomFunction::TriangularSolve { .. } => "triangular_solve",
            CustomFunction::Lu => "lu",
            CustomFunction::Qr { .. } => "qr",
            CustomFunction::Eigh => "eigh",
            CustomFunction::Eig => "eig",
            CustomFunction::Svd { .. } => "svd",
            CustomFunction::SingularValues => "singular_values",
        }
    }

    /// The library's function and its attributes.
    pub fn library(self) -> (LibraryFunction, Vec<i64>) {
        match self {
            CustomFunction::Fft => (LibraryFunction::Fft, vec![0]),
            CustomFunction::InverseFft => (LibraryFunction::Fft, vec![1]),
            CustomFunction::Cholesky => (LibraryFunction::Cholesky, vec![]),
            CustomFunction::TriangularSolve { triangle, diagonal } => {
                let attributes = [triangle == Triangle::Upper, diagonal == Diagonal::Ones].map(i64::from);
                (LibraryFunction::TriangularSolve, attributes.to_vec())
            }
            CustomFunction::Lu => (LibraryFunction::Lu, vec![]),
            CustomFunction::Qr { .. } => (LibraryFunction::Qr, vec![]),
            CustomFunction::Eigh => (LibraryFunction::Eigh, vec![]),
            CustomFunction::Eig => (LibraryFunction::Eig, vec![]),
            CustomFunction::Svd { .. } => (LibraryFunction::Svd, vec![]),
            CustomFunction::SingularValues => (LibraryFunction::SingularValues, vec![]),
        }
    }

    /// Axes of each operand that the function works on: the last ones.
    pub fn inner_rank(self) -> usize {
        match self {
            CustomFunction::Fft | CustomFunction::InverseFft => 1,
            _ => 2,
        }
    }

    fn operands(self) -> usize {
        match self {
            CustomFunction::Fft | CustomFunction::InverseFft | CustomFunction::TriangularSolve { .. } => 2,
            _ => 1,
        }
    }

    /// Dtypes and inner extents of the results, from the inner extents of the operands.
    fn results(self, inner: &[&[Dim]], dtype: DType) -> Result<Vec<(DType, Vec<Dim>)>, TypeError> {
        let fail = |message: String| Err(TypeError::new(self.name(), message));
        let list = |shape: &[Dim]| shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ");
        if let CustomFunction::Fft | CustomFunction::InverseFft = self {
            if inner[0] != inner[1] {
                return fail(format!("the parts have {} and {} elements", list(inner[0]), list(inner[1])));
            }
            return Ok(vec![(dtype, inner[0].to_vec()); 2]);
        }
        let (m, n) = (inner[0][0].clone(), inner[0][1].clone());
        let least = || match (m.as_constant(), n.as_constant()) {
            _ if m == n => Ok(m.clone()),
            (Some(a), Some(b)) => Ok(Dim::constant(a.min(b))),
            _ => Err(TypeError::new(
                self.name(),
                format!(
                    "of a matrix of {} it is not known which extent is less; expected known extents",
                    list(inner[0])
                ),
            )),
        };
        let square = matches!(
            self,
            CustomFunction::Cholesky
                | CustomFunction::TriangularSolve { .. }
                | CustomFunction::Eigh
                | CustomFunction::Eig
        );
        if square && m != n {
            return fail(format!("the matrix is {}, expected a square one", list(inner[0])));
        }
        Ok(match self {
            CustomFunction::Fft | CustomFunction::InverseFft => vec![],
            CustomFunction::Cholesky => vec![(dtype, vec![n.clone(), n])],
            CustomFunction::TriangularSolve { .. } => {
                if inner[1][0] != n {
                    return fail(format!("the right side has {} rows, the matrix has {n}", inner[1][0]));
                }
                vec![(dtype, inner[1].to_vec())]
            }
            CustomFunction::Lu => {
                vec![(dtype, vec![m.clone(), n.clone()]), (DType::I32, vec![least()?]), (DType::I32, vec![m])]
            }
            CustomFunction::Qr { factors } => {
                let k = if factors == Factors::Full { m.clone() } else { least()? };
                vec![(dtype, vec![m, k.clone()]), (dtype, vec![k, n])]
            }
            CustomFunction::Eigh => vec![(dtype, vec![n.clone()]), (dtype, vec![n.clone(), n])],
            CustomFunction::Eig => {
                let (values, vectors) = ((dtype, vec![n.clone()]), (dtype, vec![n.clone(), n]));
                vec![values.clone(), values, vectors.clone(), vectors]
            }
            CustomFunction::Svd { factors } => {
                let k = least()?;
                let (p, q) = if factors == Factors::Full { (m.clone(), n.clone()) } else { (k.clone(), k.clone()) };
                vec![(dtype, vec![m, p]), (dtype, vec![k]), (dtype, vec![q, n])]
            }
            CustomFunction::SingularValues => vec![(dtype, vec![least()?])],
        })
    }
}

/// A function of the library, for each index of the leading axes, which all operands have alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomCall {
    /// The function.
    pub function: CustomFunction,
}

impl Operation for CustomCall {
    fn name(&self) -> &'static str {
        "custom_call"
    }

    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let (name, inner_rank) = (self.function.name(), self.function.inner_rank());
        arity(name, operands, self.function.operands())?;
        let first = tensor(name, operands, 0)?;
        let mut inner = Vec::new();
        for position in 0..operands.len() {
            let ty = tensor(name, operands, position)?;
            if !matches!(ty.dtype, DType::F32 | DType::F64) || ty.dtype != first.dtype {
                let given = operands.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                return Err(TypeError::new(
                    name,
                    format!("got {given}; expected f32 or f64, the same for all operands"),
                ));
            }
            let Some(batch) = ty.rank().checked_sub(inner_rank) else {
                return Err(TypeError::new(name, format!("got {ty}, expected at least {inner_rank} axes")));
            };
            if ty.shape[..batch] != first.shape[..first.rank() - inner_rank] {
                return Err(TypeError::new(name, format!("the leading axes of {first} and {ty} differ")));
            }
            inner.push(&ty.shape[batch..]);
        }
        let batch = &first.shape[..first.rank() - inner_rank];
        let types = self.function.results(&inner, first.dtype)?.into_iter().map(|(dtype, own)| {
            let shape = batch.iter().cloned().chain(own).collect();
            TensorType { dtype, shape }
        });
        let types: Vec<TensorType> = types.collect();
        Ok(match <[TensorType; 1]>::try_from(types) {
            Ok([ty]) => Type::Tensor(ty),
            Err(types) => Type::Tuple(types),
        })
    }

    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        gradient::gradient(self.function, b, at)
    }

    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let (function, attributes) = self.function.library();
        let first = at.operands[0].shape();
        let batch = first.len() - self.function.inner_rank();
        let count: usize = first[..batch].iter().product();
        let writes: Vec<Extents> = at.results.iter().map(|(dtype, shape)| extents(*dtype, &shape[batch..])).collect();
        let reads: Vec<Extents> = at.operands.iter().map(|x| extents(x.dtype(), &x.shape()[batch..])).collect();
        let mut results: Vec<Data> = at
            .results
            .iter()
            .map(|(dtype, _)| if dtype.is_float() { Data::Float(vec![]) } else { Data::Int(vec![]) })
            .collect();
        for index in 0..count {
            let part = |(operand, extents): (&Array, &Extents)| {
                let size = (extents.rows * extents.columns) as usize;
                let range = index * size..(index + 1) * size;
                let data = match operand.data() {
                    Data::Float(values) => Data::Float(values[range].to_vec()),
                    Data::Int(values) => Data::Int(values[range].to_vec()),
                };
                Part { extents: *extents, data }
            };
            let parts: Vec<Part> = at.operands.iter().zip(&reads).map(part).collect();
            for (all, own) in results.iter_mut().zip(library::evaluate(function, &attributes, &parts, &writes)?) {
                match (all, own) {
                    (Data::Float(all), Data::Float(own)) => all.extend(own),
                    (Data::Int(all), Data::Int(own)) => all.extend(own),
                    _ => return Err("a result is of another kind than its type".into()),
                }
            }
        }
        let arrays = results.into_iter().zip(at.results);
        arrays.map(|(data, (dtype, shape))| Array::new(*dtype, shape.clone(), data.rounded(*dtype))).collect()
    }
}

/// The region of a vector or matrix.
fn extents(dtype: DType, shape: &[usize]) -> Extents {
    let extent = |position: usize| shape.get(position).map_or(1, |&extent| extent as i64);
    match shape.len() {
        2 => Extents { dtype, rows: extent(0), columns: extent(1) },
        _ => Extents { dtype, rows: 1, columns: extent(0) },
    }
}

impl Builder {
    /// A call of a library function: its results.
    pub fn custom_call(&mut self, function: CustomFunction, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let value = self.add(CustomCall { function }, operands)?;
        self.projections(value)
    }

    /// The same for a function with `N` results.
    pub(crate) fn custom_results<const N: usize>(
        &mut self,
        function: CustomFunction,
        operands: &[Value],
    ) -> Result<[Value; N], TypeError> {
        let results = self.custom_call(function, operands)?;
        let count = results.len();
        <[Value; N]>::try_from(results)
            .map_err(|_| TypeError::new(function.name(), format!("it has {count} results, not {N}")))
    }

    /// Real and imaginary parts of the Fourier transform along the last axis.
    pub fn fft(&mut self, real: Value, imaginary: Value) -> Result<[Value; 2], TypeError> {
        self.custom_results(CustomFunction::Fft, &[real, imaginary])
    }

    /// Real and imaginary parts of the inverse Fourier transform along the last axis.
    pub fn inverse_fft(&mut self, real: Value, imaginary: Value) -> Result<[Value; 2], TypeError> {
        self.custom_results(CustomFunction::InverseFft, &[real, imaginary])
    }

    /// The lower triangular `L` with `L L^T = (A + A^T) / 2`, as `jax.numpy.linalg.cholesky`.
    pub fn cholesky(&mut self, a: Value) -> Result<Value, TypeError> {
        let a = self.symmetric_part(a)?;
        Ok(self.custom_results::<1>(CustomFunction::Cholesky, &[a])?[0])
    }

    /// `X` with `A X = B` for a triangular `A`.
    pub fn triangular_solve(
        &mut self,
        a: Value,
        b: Value,
        triangle: Triangle,
        diagonal: Diagonal,
    ) -> Result<Value, TypeError> {
        Ok(self.custom_results::<1>(CustomFunction::TriangularSolve { triangle, diagonal }, &[a, b])?[0])
    }

    /// The factors in one matrix, pivots and rows: `jax.lax.linalg.lu`.
    pub fn lu(&mut self, a: Value) -> Result<[Value; 3], TypeError> {
        self.custom_results(CustomFunction::Lu, &[a])
    }

    /// `Q` and `R`.
    pub fn qr(&mut self, a: Value, factors: Factors) -> Result<[Value; 2], TypeError> {
        self.custom_results(CustomFunction::Qr { factors }, &[a])
    }

    /// Eigenvalues, ascending, and eigenvectors of `(A + A^T) / 2`, as `jax.numpy.linalg.eigh`.
    pub fn eigh(&mut self, a: Value) -> Result<[Value; 2], TypeError> {
        let a = self.symmetric_part(a)?;
        self.custom_results(CustomFunction::Eigh, &[a])
    }

    /// Real and imaginary parts of eigenvalues, then of eigenvectors.
    pub fn eig(&mut self, a: Value) -> Result<[Value; 4], TypeError> {
        self.custom_results(CustomFunction::Eig, &[a])
    }

    /// `U`, singular values, descending, and `V^T`.
    pub fn svd(&mut self, a: Value, factors: Factors) -> Result<[Value; 3], TypeError> {
        self.custom_results(CustomFunction::Svd { factors }, &[a])
    }

    /// The singular values, descending.
    pub fn singular_values(&mut self, a: Value) -> Result<Value, TypeError> {
        Ok(self.custom_results::<1>(CustomFunction::SingularValues, &[a])?[0])
    }
}
