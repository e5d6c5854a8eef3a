//! The optimised graph as StableHLO text, for XLA: algebra is kept, kernels are XLA's to make.
//!
//! The text stays within StableHLO 1.13 and is the same byte for byte between two runs. Extents that are not known, such as the
//! batch size, stand in it as `${B}`: [`kc_runtime::stablehlo::instantiate`] puts numbers in their place, so that one text serves
//! every batch and a deployed program needs no compiler of ours for a batch that it has not seen.
//!
//! * `expand`: composites, functions and factors of matrices that StableHLO lacks, in ops that it has.
//! * `write`: names, types, numbers, places in the user's program.
//! * `ops` and the files beside it: the lowering of each op.

mod compile;
mod control;
mod expand;
mod functions;
mod indexed;
mod library;
mod matrices;
mod ops;
mod order;
mod roofline;
mod steps;
mod windows;
mod write;

pub use compile::{NAME, compile, compile_ahead, optimise_for_xla, target, text_for};
pub use roofline::roofline_nanoseconds;

use kc_ir::manifest::{Distribution, Place};
use kc_ir::tensor::{Argument, Function, ResultSlot, TypeError};
use kc_ir::{Symbol, TensorType};
use write::Writer;

/// An entry point as StableHLO.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// A module with one public function `main`; unknown extents are `${..}`.
    pub text: String,
    /// What each parameter of `main` is: state or an input.
    pub arguments: Vec<Place>,
    /// What each result of `main` is: the new value of state, which the parameter of the same state donates its memory to, or an output.
    pub results: Vec<Place>,
}

/// The text of an entry point whose graph is differentiated.
///
/// # Errors
/// Where the graph has an op that XLA has no counterpart of: the library function `eig`.
pub fn print(function: &Function) -> Result<Text, TypeError> {
    print_spread(function, &Distribution::default(), Batch::Whole)
}

/// Which part of a batch a device has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// All of it.
    Whole,
    /// The part that the distribution says.
    Divided,
}

/// The text of an entry point that XLA is to partition: parameters and results are annotated with what each device has of them.
pub fn print_spread(function: &Function, distribution: &Distribution, batch: Batch) -> Result<Text, TypeError> {
    let graph = expand::expand(&function.graph)?;
    let arguments: Vec<Place> = function
        .arguments
        .iter()
        .map(|argument| match *argument {
            Argument::State(index) => Place::State(index),
            Argument::Input(index) => Place::Input(index),
        })
        .collect();
    let results: Vec<Place> = function
        .results
        .iter()
        .map(|slot| match *slot {
            ResultSlot::State(index) => Place::State(index),
            ResultSlot::Output(index) => Place::Output(index),
        })
        .collect();
    let mut writer = Writer::new();
    let parameters: Vec<write::Ssa> =
        graph.parameters.iter().map(|&value| writer.fresh(graph.tensor_type(value).clone())).collect();
    let donated = |place: &Place| match place {
        Place::State(_) => results.iter().position(|result| result == place),
        _ => None,
    };
    let devices = distribution.devices();
    let sharding = |place: &Place| match place {
        _ if devices <= 1 => None,
        Place::State(index) => Some(sharding(distribution, distribution.state.get(*index).map_or(&[], Vec::as_slice))),
        Place::Input(index) if batch == Batch::Divided => {
            let mut axes = vec![None; function.inputs[*index].ty.rank()];
            if let Some(axis) = function.inputs[*index].batch_axis(&function.name) {
                axes[axis] = distribution.batch;
            }
            Some(sharding(distribution, &axes))
        }
        _ => Some(sharding(distribution, &[])),
    };
    let mut heads = Vec::with_capacity(parameters.len());
    for (parameter, place) in parameters.iter().zip(&arguments) {
        let mut attributes: Vec<String> = Vec::new();
        attributes.extend(sharding(place).map(|sharding| format!("mhlo.sharding = \"{sharding}\"")));
        attributes.extend(donated(place).map(|at| format!("tf.aliasing_output = {at} : i32")));
        let attributes = if attributes.is_empty() { String::new() } else { format!(" {{{}}}", attributes.join(", ")) };
        heads.push(format!("{}: {}{attributes}", parameter.name, write::tensor_type(&parameter.ty)));
    }
    let values = writer.graph(&graph, &parameters)?;
    let types: Vec<String> = values.iter().map(|value| write::tensor_type(&value.ty)).collect();
    let annotated: Vec<String> = types
        .iter()
        .zip(&results)
        .map(|(ty, place)| match sharding(place) {
            Some(sharding) => format!("{ty} {{mhlo.sharding = \"{sharding}\"}}"),
            None => ty.clone(),
        })
        .collect();
    let names: Vec<&str> = values.iter().map(|value| value.name.as_str()).collect();
    let end = if names.is_empty() { String::new() } else { format!(" {} : {}", names.join(", "), types.join(", ")) };
    let text = format!(
        "module @{} attributes {{mhlo.num_partitions = {} : i32, mhlo.num_replicas = 1 : i32}} {{\n  func.func public @main({}) -> ({}) {{\n{}    return{end}\n  }}\n}}\n",
        identifier(&function.name),
        devices.max(1),
        heads.join(", "),
        annotated.join(", "),
        writer.finish(),
    );
    Ok(Text { text, arguments, results })
}

/// XLA's text for a tensor whose axes these axes of the mesh divide: `{devices=[1,4,2]<=[2,4]T(1,0) last_tile_dim_replicate}`.
fn sharding(distribution: &Distribution, axes: &[Option<usize>]) -> String {
    let used: Vec<usize> = axes.iter().flatten().copied().filter(|&axis| distribution.parts(Some(axis)) > 1).collect();
    if used.is_empty() {
        return "{replicated}".into();
    }
    let rest: Vec<usize> = (0..distribution.mesh.len()).filter(|axis| !used.contains(axis)).collect();
    let copies: usize = rest.iter().map(|&axis| distribution.mesh[axis].size).product();
    let mut tiles: Vec<usize> = axes.iter().map(|&axis| distribution.parts(axis)).collect();
    if copies > 1 {
        tiles.push(copies);
    }
    let text = |numbers: &mut dyn Iterator<Item = usize>| numbers.map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let order: Vec<usize> = used.iter().chain(&rest).copied().collect();
    // XLA reads the mesh's own extents only where its axes change places
    let devices = match order.is_sorted() {
        true => format!("[{}]", distribution.devices()),
        false => {
            let mesh = text(&mut distribution.mesh.iter().map(|axis| axis.size));
            format!("[{mesh}]T({})", text(&mut order.iter().copied()))
        }
    };
    let last = if copies > 1 { " last_tile_dim_replicate" } else { "" };
    format!("{{devices=[{}]<={devices}{last}}}", text(&mut tiles.into_iter()))
}

/// The symbols of an entry point's inputs that are extents by themselves, in the order in which they occur.
fn symbols(inputs: impl Iterator<Item = TensorType>) -> Vec<Symbol> {
    let mut symbols: Vec<Symbol> = Vec::new();
    for dim in inputs.flat_map(|ty| ty.shape) {
        if let Some(symbol) = dim.as_symbol()
            && !symbols.contains(symbol)
        {
            symbols.push(symbol.clone());
        }
    }
    symbols
}

/// A name that MLIR takes without quotes.
fn identifier(name: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    format!("kc_{}", name.chars().map(word).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kc_ir::manifest::MeshAxis;

    #[test]
    fn shardings_are_written_as_xla_reads_them() {
        let axis = |name: &str, size| MeshAxis { name: name.to_string(), size };
        let mesh = Distribution { mesh: vec![axis("batch", 2), axis("model", 4)], ..Distribution::default() };
        assert_eq!(sharding(&mesh, &[]), "{replicated}");
        assert_eq!(sharding(&mesh, &[None, None]), "{replicated}");
        assert_eq!(sharding(&mesh, &[Some(0), None]), "{devices=[2,1,4]<=[8] last_tile_dim_replicate}");
        assert_eq!(sharding(&mesh, &[None, Some(1)]), "{devices=[1,4,2]<=[2,4]T(1,0) last_tile_dim_replicate}");
        assert_eq!(sharding(&mesh, &[Some(1), Some(0)]), "{devices=[4,2]<=[2,4]T(1,0)}");
        let line = Distribution { mesh: vec![axis("batch", 4)], ..Distribution::default() };
        assert_eq!(sharding(&line, &[Some(0), None]), "{devices=[4,1]<=[4]}");
    }
}
