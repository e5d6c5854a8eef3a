//! Computing expressions of arrays.

use super::build::{Known, address, build, is_symbolic};
use super::tensor::{Source, Tensor};
use crate::error::caller;
use crate::{Error, Result};
use kc_ir::manifest::{Input, InputRole, Output};
use kc_ir::tensor::{Argument, Builder, Function, Module, ResultSlot};
use kc_runtime::Array;

/// The name of the entry point of an expression's module.
const ENTRY: &str = "call";

/// The module that computes tensors, and the arrays that its inputs are: the arrays in the expressions, each once. Its only
/// function is `call`; numbers are constants.
pub fn module(tensors: &[Tensor]) -> Result<(Module, Vec<Array>)> {
    let mut builder = Builder::new();
    let (mut inputs, mut arrays) = (Vec::new(), Vec::new());
    let results =
        build(&mut builder, tensors, &mut Known::new(), None, &mut |builder, tensor| match &tensor.node.source {
            Source::Array(array) => {
                let (name, ty) = (format!("x{}", inputs.len()), tensor.result_type()?);
                let value = builder.parameter(&name, ty.clone())?;
                inputs.push(Input { name, role: InputRole::Feature, ty, checks: Vec::new() });
                arrays.push(array.clone());
                Ok(value)
            }
            Source::Number(number) => Ok(builder.constant(number.beside(&[]))?),
            Source::Symbolic(_) => Err(is_symbolic(tensor)),
            Source::Traced { .. } => Err(Error::model(format!(
                "{tensor:?} of a layer has a value only when the model runs: use `Scope::build`"
            ))),
            Source::Call { .. } | Source::Error => tensor.result_type().and_then(|_| Err(Error::model("no leaf"))),
        })?;
    let output =
        |(index, tensor): (usize, &Tensor)| Ok(Output { name: format!("y{index}"), ty: tensor.result_type()? });
    let function = Function {
        name: ENTRY.to_string(),
        outputs: tensors.iter().enumerate().map(output).collect::<Result<_>>()?,
        arguments: (0..inputs.len()).map(Argument::Input).collect(),
        results: (0..tensors.len()).map(ResultSlot::Output).collect(),
        inputs,
        graph: builder.finish(results),
    };
    Ok((Module { functions: vec![function], ..Module::default() }, arrays))
}

/// Computes several tensors in one graph: what they share is computed once.
#[track_caller]
pub fn evaluate(tensors: &[Tensor]) -> Result<Vec<Array>> {
    let here = caller();
    all(tensors).map_err(|error| error.at(here))
}

fn all(tensors: &[Tensor]) -> Result<Vec<Array>> {
    // what is an array already needs no graph
    let wanted: Vec<Tensor> = tensors.iter().filter(|tensor| tensor.as_array().is_none()).cloned().collect();
    let mut computed = Vec::new();
    if !wanted.is_empty() {
        let (module, arrays) = module(&wanted)?;
        computed = run(&module, &arrays)?;
    }
    let mut computed = computed.into_iter();
    tensors
        .iter()
        .map(|tensor| match tensor.as_array() {
            Some(array) => Ok(array.clone()),
            None => computed.next().ok_or_else(|| Error::run(format!("{:?} was not computed", address(tensor)))),
        })
        .collect()
}

/// Computes one tensor.
pub(super) fn one(tensor: &Tensor) -> Result<Array> {
    let mut arrays = all(std::slice::from_ref(tensor))?;
    arrays.pop().ok_or_else(|| Error::run("nothing was computed"))
}

/// Runs a module in compiled code, which is kept by the graph's text for the next expression of that form.
#[cfg(feature = "compile")]
fn run(module: &Module, arrays: &[Array]) -> Result<Vec<Array>> {
    use kc_runtime::pool::Pool;
    use kc_runtime::{Session, SessionOptions};
    use std::collections::HashMap;
    use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

    /// Compiled expressions that are kept.
    const KEPT: usize = 256;
    type Sessions = Mutex<HashMap<String, Arc<Mutex<Session>>>>;
    /// The threads of all of them.
    static POOL: OnceLock<Arc<Pool>> = OnceLock::new();
    static SESSIONS: LazyLock<Sessions> = LazyLock::new(Sessions::default);

    let failed = |error: &dyn std::error::Error| Error::run(error.to_string());
    let key = kc_ir::tensor::text::print_module(module);
    let known = SESSIONS.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
    let session = match known {
        Some(session) => session,
        None => {
            let package = crate::model::compile_module(module)?;
            let mut session = Session::new(&package, &SessionOptions::default()).map_err(|error| failed(&error))?;
            session.share_pool(POOL.get_or_init(|| session.pool().clone()));
            let session = Arc::new(Mutex::new(session));
            let mut sessions = SESSIONS.lock().unwrap_or_else(PoisonError::into_inner);
            if sessions.len() >= KEPT {
                sessions.clear();
            }
            sessions.insert(key, session.clone());
            session
        }
    };
    let arrays: Vec<&Array> = arrays.iter().collect();
    let mut session = session.lock().unwrap_or_else(PoisonError::into_inner);
    session.run(ENTRY, &arrays).map_err(|error| failed(&error))
}

/// Runs a module in the interpreter.
#[cfg(not(feature = "compile"))]
fn run(module: &Module, arrays: &[Array]) -> Result<Vec<Array>> {
    let arguments = arrays.iter().map(super::build::literal).collect::<Result<Vec<_>>>()?;
    let graph = kc_ir::tensor::differentiate(&module.functions[0].graph)?;
    let results = kc_ir::tensor::interpret(&graph, &arguments).map_err(|error| Error::run(error.to_string()))?;
    let array = |literal: &kc_ir::tensor::Literal| Array::from_bytes(literal.dtype(), literal.shape(), literal.bytes());
    results.iter().map(|literal| array(literal).map_err(|error| Error::run(error.to_string()))).collect()
}
