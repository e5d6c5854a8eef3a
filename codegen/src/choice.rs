use crate::mlir::Mlir;
use crate::{Backend, CodegenError, Cranelift};
use std::fmt;
use std::str::FromStr;

/// Which back end makes the code of a CPU (`--backend`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum BackendChoice {
    /// The MLIR plug-in where it is there, else Cranelift.
    #[default]
    Auto,
    /// The MLIR plug-in.
    Mlir,
    /// Cranelift.
    Cranelift,
}

impl BackendChoice {
    /// The back end, ready to compile.
    pub fn open(self) -> Result<Box<dyn Backend>, CodegenError> {
        let mlir = || {
            Mlir::find().map_err(|missing| CodegenError::Unavailable {
                backend: "mlir".to_string(),
                reason: missing.to_string(),
            })
        };
        match self {
            BackendChoice::Mlir => Ok(Box::new(mlir()?)),
            BackendChoice::Cranelift => Ok(Box::new(Cranelift::new()?)),
            BackendChoice::Auto => match mlir() {
                Ok(mlir) => Ok(Box::new(mlir)),
                Err(_) => Ok(Box::new(Cranelift::new()?)),
            },
        }
    }
}

impl fmt::Display for BackendChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            BackendChoice::Auto => "auto",
            BackendChoice::Mlir => "mlir",
            BackendChoice::Cranelift => "cranelift",
        })
    }
}

impl FromStr for BackendChoice {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(BackendChoice::Auto),
            "mlir" => Ok(BackendChoice::Mlir),
            "cranelift" => Ok(BackendChoice::Cranelift),
            _ => Err(format!("unknown back end `{text}`; expected auto, mlir or cranelift")),
        }
    }
}
