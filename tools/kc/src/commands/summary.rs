use crate::cli::Summary;
use crate::compile::is_package;
use crate::failure::{Failure, Outcome};
use crate::{model, output};
use kc_runtime::{Package, summary_text};

/// `kc summary`: the layers as Keras' `summary()` lists them.
pub fn summary(arguments: &Summary) -> Outcome {
    if is_package(&arguments.model) {
        let manifest = Package::read_manifest(&arguments.model).map_err(Failure::new)?;
        output::print(&summary_text(&manifest.model, &manifest.state))
    } else {
        let module = model::trace(&arguments.model)?.module;
        output::print(&summary_text(&module.model, &module.state))
    }
}
