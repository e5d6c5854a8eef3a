//! Names of Keras and ours: layers are the same by their order in the model, whatever they are called.

use super::Case;
use kc_ir::tensor::Module;
use serde::Deserialize;
use std::io::Read;

/// The operations by which Keras computes masks.
const MASKING: [&str; 2] = ["NotEqual", "Any"];

/// Keras' names of a case's layers beside ours.
pub struct Names(Vec<(String, String)>);

#[derive(Deserialize)]
struct Config {
    config: Layers,
}

#[derive(Deserialize)]
struct Layers {
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
struct Layer {
    class_name: String,
    config: Named,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl Names {
    /// Of a case without a model of Keras'.
    pub fn none() -> Self {
        Names(Vec::new())
    }

    /// From the case's `config.json`; the classes of the layers must be the same, one by one.
    pub fn new(case: &Case, module: &Module) -> Result<Self, String> {
        let failed = |error: &dyn ToString| format!("{}: {}", case.keras_file().display(), error.to_string());
        let file = std::fs::File::open(case.keras_file()).map_err(|error| failed(&error))?;
        let mut archive = zip::ZipArchive::new(file).map_err(|error| failed(&error))?;
        let mut text = String::new();
        let mut config = archive.by_name("config.json").map_err(|error| failed(&error))?;
        config.read_to_string(&mut text).map_err(|error| failed(&error))?;
        let config: Config = serde_json::from_str(&text).map_err(|error| failed(&error))?;
        // what computes masks is part of Keras' graphs of layers
        let layers = || config.config.layers.iter().filter(|layer| !MASKING.contains(&layer.class_name.as_str()));
        let theirs: Vec<&str> = layers().map(|layer| layer.class_name.as_str()).collect();
        let ours: Vec<&str> = module.model.layers.iter().map(|layer| layer.class.as_str()).collect();
        if theirs != ours {
            return Err(format!("the layers are {ours:?}, expected {theirs:?}"));
        }
        let pairs = layers().zip(&module.model.layers);
        Ok(Names(pairs.map(|(theirs, ours)| (theirs.config.name.clone(), ours.name.clone())).collect()))
    }

    /// Our name of the weight that a golden array calls `path`: `sequential.dense_2.kernel` -> `dense/kernel`,
    /// `attention.query.bias` -> `attention/query/bias`.
    pub fn weight(&self, path: &str) -> Option<String> {
        let parts: Vec<&str> = path.split('.').collect();
        (0..parts.len().saturating_sub(1)).find_map(|place| {
            let (_, ours) = self.0.iter().find(|(theirs, _)| theirs == parts[place])?;
            Some(format!("{ours}/{}", parts[place + 1..].join("/")))
        })
    }

    /// Our name of an optimizer's variable: `adam.sequential_dense_1_kernel_momentum` -> `adam/dense_1_kernel_momentum`.
    pub fn optimizer_variable(&self, path: &str) -> Option<String> {
        let (optimizer, variable) = path.split_once('.')?;
        match variable {
            "iteration" => return Some(format!("{optimizer}/iterations")),
            "learning_rate" | "step_counter" | "dynamic_scale" => return Some(format!("{optimizer}/{variable}")),
            _ => {}
        }
        let variable = variable.strip_prefix("sequential_").unwrap_or(variable);
        let known = self.0.iter().filter_map(|(theirs, ours)| {
            let rest = variable.strip_prefix(theirs.as_str())?.strip_prefix('_')?;
            Some((theirs.len(), format!("{optimizer}/{ours}_{rest}")))
        });
        known.max().map(|(_, name)| name)
    }
}
