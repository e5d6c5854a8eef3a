//! Golden cases: what real Keras computed (`golden/README.md`), and how it is compared.

mod check;
mod fit;
mod losses;
mod mixed;
mod models;
mod names;
pub mod ops;
mod quantized;
mod sequences;

pub use check::{check, check_policy, module};

use crate::arrays::Tolerance;
use kc::datasets::read_npz;
use kc::saving::load_keras_weights;
use kc_runtime::Array;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a case is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A model in inference.
    Layer,
    /// A model in training.
    LayerTrain,
    /// Steps of an optimizer.
    Train,
    /// A whole fit.
    Fit,
    /// A table of losses.
    Losses,
}

/// An entry of the manifest.
#[derive(Clone, Debug, Deserialize)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// What it is about.
    pub kind: Kind,
    atol: f64,
    rtol: f64,
    grad_atol: Option<f64>,
    grad_rtol: Option<f64>,
    /// Samples of a step.
    #[serde(default)]
    pub batch: usize,
    /// Number of steps.
    #[serde(default)]
    pub steps: usize,
    /// The optimizer's configuration.
    #[serde(default)]
    pub optimizer: serde_json::Value,
}

#[derive(Deserialize)]
struct Manifest {
    cases: Vec<Case>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// All cases of the manifest.
pub fn cases() -> Result<Vec<Case>, String> {
    let path = folder().join("manifest.json");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let manifest: Manifest = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(manifest.cases)
}

impl Case {
    /// How far outputs, losses and weights may be off.
    pub fn tolerance(&self) -> Tolerance {
        Tolerance { atol: self.atol, rtol: self.rtol }
    }

    /// How far derivatives may be off.
    pub fn gradient_tolerance(&self) -> Tolerance {
        Tolerance { atol: self.grad_atol.unwrap_or(self.atol), rtol: self.grad_rtol.unwrap_or(self.rtol) }
    }

    pub(crate) fn arrays(&self) -> Result<BTreeMap<String, Array>, String> {
        read_npz(&folder().join(format!("{}.npz", self.name))).map_err(|error| error.to_string())
    }

    fn keras_file(&self) -> PathBuf {
        folder().join(format!("{}.keras", self.name))
    }

    fn weights(&self) -> Result<BTreeMap<String, Array>, String> {
        load_keras_weights(self.keras_file()).map_err(|error| error.to_string())
    }
}
