//! What the functions of the runtime's library compute, by simple textbook algorithms in f64: both interpreters evaluate them by
//! these, and the runtime's functions are compared with them.

mod complex;
mod eigen;
mod factor;
mod fourier;
mod order;
mod orthogonal;
mod singular;

use crate::tensor::interpret::Data;
use crate::tensor::{Literal, Scalar};
pub use kc_abi::library::{Extents, LibraryFunction, Provider, Reads, Region, dtype_of_number};

/// A matrix that a function reads: its elements in row-major order.
#[derive(Clone, Debug)]
pub struct Part {
    /// Dtype and extents.
    pub extents: Extents,
    /// The elements.
    pub data: Data,
}

/// The results of a function in row-major order, one for each of the regions that it writes, not rounded.
///
/// # Errors
/// Extents or dtypes that the function does not take.
pub fn evaluate(
    function: LibraryFunction,
    attributes: &[i64],
    reads: &[Part],
    writes: &[Extents],
) -> Result<Vec<Data>, String> {
    let extents: Vec<Extents> = reads.iter().map(|part| part.extents).chain(writes.iter().copied()).collect();
    function.check(&extents).map_err(|expected| format!("{}: expected {expected}", function.name()))?;
    let attribute = |position: usize| attributes.get(position).copied().unwrap_or_default() != 0;
    let size = |extents: &Extents| (extents.rows as usize, extents.columns as usize);
    let matrix = |position: usize| -> Matrix {
        let part = &reads[position];
        let (rows, columns) = size(&part.extents);
        let values = match &part.data {
            Data::Float(values) => values.clone(),
            Data::Int(values) => values.iter().map(|&value| value as f64).collect(),
        };
        Matrix { rows, columns, values }
    };
    let positions = |order: Vec<usize>| vec![Data::Int(order.into_iter().map(|position| position as i128).collect())];
    Ok(match function {
        LibraryFunction::Argsort => {
            let keys: Vec<&Data> = reads.iter().map(|part| &part.data).collect();
            positions(order::argsort(&keys, size(&writes[0]).1, attribute(0)))
        }
        LibraryFunction::Argtop => {
            let mut order = order::argsort(&[&reads[0].data], size(&reads[0].extents).1, true);
            order.truncate(size(&writes[0]).1);
            positions(order)
        }
        LibraryFunction::Fft => {
            let (real, imaginary) = fourier::transform(&matrix(0).values, &matrix(1).values, attribute(0));
            vec![Data::Float(real), Data::Float(imaginary)]
        }
        LibraryFunction::Cholesky => vec![factor::cholesky(&matrix(0)).into()],
        LibraryFunction::TriangularSolve => {
            vec![factor::triangular_solve(&matrix(0), matrix(1), attribute(0), attribute(1)).into()]
        }
        LibraryFunction::Lu => {
            let (factors, pivots, rows) = factor::lu(matrix(0));
            [vec![factors.into()], positions(pivots), positions(rows)].concat()
        }
        LibraryFunction::Qr => {
            let (q, r) = orthogonal::qr(&matrix(0), size(&writes[0]).1);
            vec![q.into(), r.into()]
        }
        LibraryFunction::Eigh => {
            let (values, vectors) = eigen::symmetric(&matrix(0));
            vec![Data::Float(values), vectors.into()]
        }
        LibraryFunction::Eig => {
            let (values, vectors) = eigen::general(&matrix(0));
            let parts = |numbers: &[complex::Complex]| {
                let (real, imaginary) = numbers.iter().map(|number| (number.real, number.imaginary)).unzip();
                [Data::Float(real), Data::Float(imaginary)]
            };
            [parts(&values), parts(&vectors)].concat()
        }
        LibraryFunction::Svd => {
            let (u, s, v) = singular::svd(&matrix(0), size(&writes[0]).1, size(&writes[2]).0);
            vec![u.into(), Data::Float(s), v.transposed().into()]
        }
        LibraryFunction::SingularValues => {
            let k = size(&writes[0]).1;
            vec![Data::Float(singular::svd(&matrix(0), k, k).1)]
        }
    })
}

/// The same on bytes: the elements of each region in row-major order, results rounded once.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_bytes(
    function: LibraryFunction,
    attributes: &[i64],
    reads: &[(Extents, Vec<u8>)],
    writes: &[Extents],
) -> Result<Vec<Vec<u8>>, String> {
    let part = |(extents, bytes): &(Extents, Vec<u8>)| {
        let size = extents.dtype.bytes();
        let literal = Literal::from_bytes(extents.dtype, vec![bytes.len() / size], bytes.clone());
        let literal = literal.ok_or_else(|| format!("{} bytes are no elements of {}", bytes.len(), extents.dtype))?;
        Ok(Part { extents: *extents, data: Data::collect(extents.dtype.is_float(), literal.scalars()) })
    };
    let parts = reads.iter().map(part).collect::<Result<Vec<_>, String>>()?;
    let results = evaluate(function, attributes, &parts, writes)?;
    let bytes = results.into_iter().zip(writes).map(|(data, extents)| {
        let scalars: Vec<Scalar> = match data {
            Data::Float(values) => values.into_iter().map(Scalar::Float).collect(),
            Data::Int(values) => values.into_iter().map(Scalar::Int).collect(),
        };
        Literal::from_scalars(extents.dtype, vec![scalars.len()], scalars).bytes().to_vec()
    });
    Ok(bytes.collect())
}

/// A row-major matrix.
#[derive(Clone, Debug, PartialEq)]
struct Matrix {
    rows: usize,
    columns: usize,
    values: Vec<f64>,
}

impl Matrix {
    fn zeros(rows: usize, columns: usize) -> Self {
        Matrix { rows, columns, values: vec![0.0; rows * columns] }
    }

    fn identity(n: usize) -> Self {
        let mut matrix = Matrix::zeros(n, n);
        (0..n).for_each(|i| matrix[(i, i)] = 1.0);
        matrix
    }

    fn transposed(&self) -> Self {
        let mut matrix = Matrix::zeros(self.columns, self.rows);
        for i in 0..self.rows {
            (0..self.columns).for_each(|j| matrix[(j, i)] = self[(i, j)]);
        }
        matrix
    }

    fn column(&self, j: usize) -> Vec<f64> {
        (0..self.rows).map(|i| self[(i, j)]).collect()
    }

    fn is_finite(&self) -> bool {
        self.values.iter().all(|value| value.is_finite())
    }
}

impl std::ops::Index<(usize, usize)> for Matrix {
    type Output = f64;
    fn index(&self, (i, j): (usize, usize)) -> &f64 {
        &self.values[i * self.columns + j]
    }
}

impl std::ops::IndexMut<(usize, usize)> for Matrix {
    fn index_mut(&mut self, (i, j): (usize, usize)) -> &mut f64 {
        &mut self.values[i * self.columns + j]
    }
}

impl From<Matrix> for Data {
    fn from(matrix: Matrix) -> Data {
        Data::Float(matrix.values)
    }
}

/// The position of the component that a vector of free sign or phase is normalised by, to be real and positive: the first whose
/// magnitude is about the largest.
fn leading(magnitudes: impl Iterator<Item = f64> + Clone) -> Option<usize> {
    let largest = magnitudes.clone().fold(0.0, f64::max);
    magnitudes.into_iter().position(|magnitude| magnitude > 0.0 && magnitude >= 0.999 * largest)
}
