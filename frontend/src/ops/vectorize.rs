//! Functions of elements, applied to whole tensors.

use super::control::{map, solid};
use super::structure::{Structure, flat, rebuilt};
use super::tensor::Tensor;
use super::{broadcast_to, reshape};
use crate::{Error, Result, shape_text};
use kc_ir::Dim;
use kc_ir::tensor::broadcast_shapes;
use std::collections::BTreeMap;

/// A function of elements that can still be given its optional arguments: `ops::vectorize(f).signature("(n)->()").call(x)`.
#[must_use]
pub struct Vectorize<F> {
    function: F,
    excluded: Vec<usize>,
    signature: Option<String>,
}

/// A function of scalars as one of tensors: the arguments are broadcast together, and it is applied to each of their elements, one
/// after the other: `.call(arguments)`.
///
/// ```
/// use kc::ops::{self, Tensor};
///
/// let sums: Tensor = ops::vectorize(|(a, b): (Tensor, Tensor)| a + b).call(([1, 2, 3].into(), 2.into()))?;
/// assert_eq!(ops::evaluate(&[sums])?[0].as_slice::<i32>()?, [3, 4, 5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn vectorize<X: Structure, Y: Structure, F: FnOnce(X) -> Y>(pyfunc: F) -> Vectorize<F> {
    Vectorize { function: pyfunc, excluded: Vec::new(), signature: None }
}

fn wrong(message: String) -> Error {
    Error::model(format!("`ops::vectorize`: {message}"))
}

impl<F> Vectorize<F> {
    /// The positions of arguments that the function gets as they are, counted over the tensors in order (default: none).
    pub fn excluded(mut self, excluded: impl IntoIterator<Item = usize>) -> Self {
        self.excluded = excluded.into_iter().collect();
        self
    }

    /// The names of the last axes that the function takes of each argument that is not excluded, and gives of each result:
    /// `"(m,n),(n)->(m)"`. Axes of one name have one extent (default: the function takes scalars).
    pub fn signature(mut self, signature: impl Into<String>) -> Self {
        self.signature = Some(signature.into());
        self
    }

    /// What the function gives, stacked along the axes that the arguments are broadcast over.
    ///
    /// # Errors
    /// Where the signature cannot be read or does not fit the arguments or results, the arguments cannot be broadcast together, or what
    /// is wrong with the function's tensors.
    #[track_caller]
    pub fn call<X: Structure, Y: Structure>(self, arguments: X) -> Result<Y>
    where
        F: FnOnce(X) -> Y,
    {
        let all = solid(&arguments)?;
        if let Some(position) = self.excluded.iter().find(|&&position| position >= all.len()) {
            return Err(wrong(format!("argument {position} is excluded, there are {}", all.len())));
        }
        let included: Vec<usize> = (0..all.len()).filter(|position| !self.excluded.contains(position)).collect();
        let signature = self.signature.as_deref().map(Signature::read).transpose()?;
        let tensors: Vec<Tensor> = included.iter().map(|&position| all[position].clone()).collect();
        let mut extents = BTreeMap::new();
        let (around, cores) = shapes(&tensors, signature.as_ref(), &mut extents)?;
        let mut like = None;
        let apply = |elements: Vec<Tensor>| {
            let mut given = all;
            for (&position, element) in included.iter().zip(elements) {
                given[position] = element;
            }
            let output = (self.function)(rebuilt(&arguments, given));
            let results = flat(&output);
            like = Some(output);
            results
        };
        let results = if around.is_empty() {
            apply(tensors)
        } else {
            let rounds: Dim = around.iter().cloned().product();
            let flattened = tensors.iter().zip(&cores).map(|(tensor, core)| {
                let whole = broadcast_to(tensor, [&around[..], core].concat());
                reshape(whole, [std::slice::from_ref(&rounds), core].concat())
            });
            map(apply, flattened.collect::<Vec<Tensor>>())?
        };
        let inner = usize::from(!around.is_empty());
        let mut stacked = Vec::with_capacity(results.len());
        for result in &results {
            let shape = result.result_type()?.shape;
            stacked.push(if inner == 0 {
                result.clone()
            } else {
                reshape(result, [&around[..], &shape[inner..]].concat())
            });
        }
        if let Some(signature) = &signature {
            signature.check_results(&results, inner, &mut extents)?;
        }
        let like = like.ok_or_else(|| wrong("the function was not called".to_string()))?;
        Ok(rebuilt(&like, stacked))
    }
}

/// The axes that the arguments are broadcast over, and what the function takes of each.
fn shapes(
    tensors: &[Tensor],
    signature: Option<&Signature>,
    extents: &mut BTreeMap<String, Dim>,
) -> Result<(Vec<Dim>, Vec<Vec<Dim>>)> {
    if let Some(signature) = signature
        && signature.arguments.len() != tensors.len()
    {
        let (expected, given) = (signature.arguments.len(), tensors.len());
        return Err(wrong(format!("the signature names {expected} arguments, got {given} that are not excluded")));
    }
    let (mut around, mut cores) = (Vec::new(), Vec::new());
    for (position, tensor) in tensors.iter().enumerate() {
        let shape = tensor.result_type()?.shape;
        let names: &[String] = signature.map_or(&[], |signature| &signature.arguments[position]);
        let Some(outer) = shape.len().checked_sub(names.len()) else {
            let shape = shape_text(&shape);
            return Err(wrong(format!("the signature names {} axes of {tensor:?} of shape {shape}", names.len())));
        };
        let (outer, core) = shape.split_at(outer);
        bind(names, core, extents, tensor)?;
        around = broadcast_shapes(&around, outer).ok_or_else(|| {
            let (around, outer) = (shape_text(&around), shape_text(outer));
            wrong(format!("{around} and {outer} of {tensor:?} cannot be broadcast together"))
        })?;
        cores.push(core.to_vec());
    }
    Ok((around, cores))
}

/// Notes the extents of named axes.
fn bind(names: &[String], shape: &[Dim], extents: &mut BTreeMap<String, Dim>, tensor: &Tensor) -> Result<()> {
    for (name, extent) in names.iter().zip(shape) {
        match extents.get(name) {
            Some(known) if known != extent => {
                return Err(wrong(format!(
                    "the axis `{name}` of {tensor:?} has the extent {extent}, expected {known}"
                )));
            }
            Some(_) => {}
            None => {
                extents.insert(name.clone(), extent.clone());
            }
        }
    }
    Ok(())
}

/// The names of axes: of each argument, then of each result.
struct Signature {
    text: String,
    arguments: Vec<Vec<String>>,
    results: Vec<Vec<String>>,
}

impl Signature {
    fn read(text: &str) -> Result<Signature> {
        let packed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let sides: Vec<&str> = packed.split("->").collect();
        let read = match sides[..] {
            [arguments, results] => axes_of(arguments).zip(axes_of(results)),
            _ => None,
        };
        let (arguments, results) =
            read.ok_or_else(|| wrong(format!("`{text}` is no signature, expected one like `(m,n),(n)->(m)`")))?;
        Ok(Signature { text: text.to_string(), arguments, results })
    }

    /// Whether results, behind `inner` axes that they are stacked along, have the axes that the signature names.
    fn check_results(&self, results: &[Tensor], inner: usize, extents: &mut BTreeMap<String, Dim>) -> Result<()> {
        if results.len() != self.results.len() {
            return Err(wrong(format!("the function gives {} results, `{}` names others", results.len(), self.text)));
        }
        for (result, names) in results.iter().zip(&self.results) {
            let shape = result.result_type()?.shape;
            let core = shape.get(inner..).unwrap_or(&[]);
            if core.len() != names.len() {
                let core = shape_text(core);
                return Err(wrong(format!("the function gives the shape {core}, `{}` names other axes", self.text)));
            }
            bind(names, core, extents, result)?;
        }
        Ok(())
    }
}

/// The names in `(m,n),(n),()`.
fn axes_of(side: &str) -> Option<Vec<Vec<String>>> {
    let inner = side.strip_prefix('(')?.strip_suffix(')')?;
    let tensor = |names: &str| {
        let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        let names: Vec<String> = names.split(',').filter(|_| !names.is_empty()).map(str::to_string).collect();
        names.iter().all(|name| is_name(name)).then_some(names)
    };
    inner.split("),(").map(tensor).collect()
}
