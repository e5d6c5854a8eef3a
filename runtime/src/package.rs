//! [`Package`]: a compiled model.

use crate::array::Array;
use kc_abi::manifest::Manifest;

/// A compiled model: what it is, its machine code, its constants and its state.
#[derive(Clone, Debug)]
pub struct Package {
    /// Entry points, state, kernels.
    pub manifest: Manifest,
    /// A flat position-independent image.
    pub code: Vec<u8>,
    /// What [`kc_abi::manifest::Place::Constant`] points into.
    pub constants: Vec<u8>,
    /// The state tensors in the manifest's order; `None` where `init` has not run.
    pub state: Option<Vec<Array>>,
}
