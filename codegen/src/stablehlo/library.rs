//! Library functions: those that StableHLO has.

use super::write::{Ssa, Writer, dim, tensor_type, types};
use kc_ir::tensor::ops::{Compare, CustomFunction, Diagonal, Triangle};
use kc_ir::tensor::{Scalar, TypeError};
use kc_ir::{DType, TensorType};

impl Writer {
    pub(super) fn custom_call(
        &mut self,
        function: CustomFunction,
        operands: &[Ssa],
        results: &[TensorType],
    ) -> Result<Vec<Ssa>, TypeError> {
        match function {
            CustomFunction::Fft => Ok(self.fft("FFT", operands)),
            CustomFunction::InverseFft => Ok(self.fft("IFFT", operands)),
            CustomFunction::Cholesky => Ok(vec![self.cholesky(&operands[0])]),
            CustomFunction::TriangularSolve { triangle, diagonal } => {
                let attributes = format!(
                    "<{{left_side = true, lower = {}, transpose_a = #stablehlo<transpose NO_TRANSPOSE>, unit_diagonal = {}}}>",
                    triangle == Triangle::Lower,
                    diagonal == Diagonal::Ones
                );
                let body = format!(
                    "\"stablehlo.triangular_solve\"({}) {attributes} : ({}) -> {}",
                    super::write::names(operands),
                    types(operands),
                    tensor_type(&results[0])
                );
                Ok(vec![self.assign(results[0].clone(), &body)])
            }
            CustomFunction::Eig => Err(TypeError::new(
                function.name(),
                "XLA has no eigenvalues of matrices that are not symmetric, so the back end xla cannot compute them; take `eigh` \
                 where the matrix is symmetric, or compile the model for `--target cpu`",
            )),
            CustomFunction::Lu
            | CustomFunction::Qr { .. }
            | CustomFunction::Eigh
            | CustomFunction::Svd { .. }
            | CustomFunction::SingularValues => {
                Err(TypeError::new(function.name(), "it must be expanded before it is written as StableHLO"))
            }
        }
    }

    fn fft(&mut self, kind: &str, operands: &[Ssa]) -> Vec<Ssa> {
        let ty = operands[0].ty.clone();
        let (value, complex) = self.complex(operands);
        let length = ty.shape.last().map(dim).unwrap_or_default();
        let body = format!("stablehlo.fft {value}, type = {kind}, length = [{length}] : ({complex}) -> {complex}");
        let transformed = self.assign_other(&body);
        ["real", "imag"]
            .map(|part| {
                let body = format!("stablehlo.{part} {transformed} : ({complex}) -> {}", tensor_type(&ty));
                self.assign(ty.clone(), &body)
            })
            .to_vec()
    }

    /// XLA says nothing of the elements above the diagonal: they are made zero, and NaN where the matrix has no factor.
    fn cholesky(&mut self, a: &Ssa) -> Ssa {
        let ty = a.ty.clone();
        let body = format!("stablehlo.cholesky {}, lower = true : {}", a.name, tensor_type(&ty));
        let factor = self.assign(ty.clone(), &body);
        let positions = TensorType { dtype: DType::I32, shape: ty.shape.clone() };
        let [rows, columns] = [ty.rank() - 2, ty.rank() - 1].map(|axis| {
            let body = format!("stablehlo.iota dim = {axis} : {}", tensor_type(&positions));
            self.assign(positions.clone(), &body)
        });
        let below = self.compare(Compare::GreaterEqual, &rows, &columns);
        let zero = self.splat_like(&factor, Scalar::Float(0.0));
        self.select(&below, &factor, &zero)
    }
}
