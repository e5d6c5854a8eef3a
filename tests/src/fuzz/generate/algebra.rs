//! Calls of the library for dense linear algebra, of matrices whose condition is good.

use super::{Generator, Made};
use kc_ir::tensor::ops::{Binary, Diagonal, Factors, Triangle, Unary};
use kc_ir::tensor::{TypeError, Value};
use kc_ir::{DType, Dim, TensorType};

/// Rows of a matrix at most.
const ROWS: i64 = 17;

impl Generator {
    /// `T^T T + (n + 4) I` for the sines `T` of a value of `n` columns.
    pub(super) fn positive_definite(&mut self) -> Result<Option<Value>, TypeError> {
        let small = |dim: &Dim| dim.as_constant().is_none_or(|extent| (1..=ROWS).contains(&extent));
        let suits = |ty: &TensorType| {
            let columns = ty.shape.last().and_then(Dim::as_constant);
            let float = matches!(ty.dtype, DType::F32 | DType::F64);
            float && (2..=3).contains(&ty.rank()) && columns.is_some() && ty.shape.iter().all(small)
        };
        let Some(x) = self.any_where(suits) else { return Ok(None) };
        let sines = self.builder.unary(Unary::Sin, x)?;
        let transposed = self.builder.matrix_transpose(sines)?;
        let product = self.builder.matrix_product(transposed, sines)?;
        let ty = self.ty(product);
        let (batch, inner) = ty.shape.split_at(ty.rank() - 2);
        let unit = self.builder.unit_matrix(ty.dtype, batch, &inner[0])?;
        let scale = self.builder.splat_like(inner[0].as_constant().unwrap_or(ROWS) as f64 + 4.0, unit)?;
        let diagonal = self.builder.binary(Binary::Multiply, unit, scale)?;
        self.builder.binary(Binary::Add, product, diagonal).map(Some)
    }

    /// A factor, a solution or the singular values of a positive definite matrix.
    pub(super) fn algebra(&mut self) -> Made {
        let Some(matrix) = self.positive_definite()? else { return Ok(None) };
        match self.random.below(4) {
            0 => self.builder.cholesky(matrix).map(Some),
            1 => {
                let mut ty = self.ty(matrix);
                if let Some(columns) = ty.shape.last_mut() {
                    *columns = Dim::constant(self.random.between(1, 5));
                }
                let right = self.of_type(&ty)?;
                let factor = self.builder.cholesky(matrix)?;
                self.builder.triangular_solve(factor, right, Triangle::Lower, Diagonal::Given).map(Some)
            }
            2 => {
                let parts = self.builder.qr(matrix, Factors::Reduced)?;
                Ok(Some(self.random.pick(&parts)))
            }
            _ => self.builder.singular_values(matrix).map(Some),
        }
    }
}
