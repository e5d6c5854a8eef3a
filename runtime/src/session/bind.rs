//! From the shapes of the inputs to the values of an entry point's symbols.

use super::Argument;
use super::SessionError;
use crate::array::shape_text;
use crate::heap::*;
use kc_abi::manifest::Entry;
use kc_abi::{Dim, Symbol};

/// An extent of an input's shape.
#[derive(Clone, Debug)]
enum Extent {
    Constant(i64),
    Symbol(usize),
    Other(Dim),
}

/// The extents of an entry point's inputs, in a form that is quick to compare with arrays.
#[derive(Clone, Debug)]
pub(super) struct Signature {
    symbols: Vec<Symbol>,
    inputs: Vec<Vec<Extent>>,
}

impl Signature {
    pub(super) fn new(entry: &Entry) -> Result<Self, SessionError> {
        let symbol_index = |dim: &Dim| entry.symbols.iter().position(|s| *dim == Dim::symbol(&s.0));
        let extent = |dim: &Dim| match (dim.as_constant(), symbol_index(dim)) {
            (Some(value), _) => Extent::Constant(value),
            (None, Some(index)) => Extent::Symbol(index),
            (None, None) => Extent::Other(dim.clone()),
        };
        let inputs: Vec<Vec<Extent>> =
            entry.inputs.iter().map(|input| input.ty.shape.iter().map(extent).collect()).collect();
        for (index, symbol) in entry.symbols.iter().enumerate() {
            if !inputs.iter().flatten().any(|e| matches!(e, Extent::Symbol(i) if *i == index)) {
                return Err(SessionError::Manifest(format!(
                    "the symbol {symbol} of `{}` is no extent of an input",
                    entry.name
                )));
            }
        }
        Ok(Signature { symbols: entry.symbols.clone(), inputs })
    }

    /// Writes the symbols' values; no allocation unless there is an error.
    pub(super) fn bind<A: Argument>(
        &self,
        entry: &Entry,
        inputs: &[A],
        values: &mut Vec<i64>,
    ) -> Result<(), SessionError> {
        if inputs.len() != entry.inputs.len() {
            return Err(SessionError::InputCount {
                entry: entry.name.clone(),
                expected: entry.inputs.len(),
                names: entry.inputs.iter().map(|i| i.name.as_str()).collect::<Vec<_>>().join(", "),
                given: inputs.len(),
            });
        }
        const UNBOUND: i64 = -1;
        values.clear();
        values.resize(self.symbols.len(), UNBOUND);
        for (index, (array, extents)) in inputs.iter().zip(&self.inputs).enumerate() {
            let same = array.dtype() == entry.inputs[index].ty.dtype && array.shape().len() == extents.len();
            let bound = same
                && array.shape().iter().zip(extents).all(|(&actual, extent)| {
                    let Ok(actual) = i64::try_from(actual) else { return false };
                    match extent {
                        Extent::Constant(value) => *value == actual,
                        Extent::Symbol(symbol) if values[*symbol] == UNBOUND => {
                            values[*symbol] = actual;
                            true
                        }
                        Extent::Symbol(symbol) => values[*symbol] == actual,
                        Extent::Other(_) => true,
                    }
                });
            if !bound {
                return Err(self.mismatch(entry, index, array, values));
            }
        }
        for (index, (array, extents)) in inputs.iter().zip(&self.inputs).enumerate() {
            for (&actual, extent) in array.shape().iter().zip(extents) {
                if let Extent::Other(dim) = extent
                    && dim.evaluate(&|s| self.value(s, values)) != i64::try_from(actual).ok()
                {
                    return Err(self.mismatch(entry, index, array, values));
                }
            }
        }
        Ok(())
    }

    /// The value of a symbol.
    pub(super) fn value(&self, symbol: &Symbol, values: &[i64]) -> Option<i64> {
        self.symbols.iter().position(|s| s == symbol).map(|index| values[index])
    }

    fn mismatch(&self, entry: &Entry, index: usize, array: &impl Argument, values: &[i64]) -> SessionError {
        let input = &entry.inputs[index];
        let bound: Vec<String> = self
            .symbols
            .iter()
            .zip(values)
            .filter(|(symbol, value)| **value >= 0 && input.ty.to_string().contains(&*symbol.0))
            .map(|(symbol, value)| format!("{symbol} = {value}"))
            .collect();
        SessionError::Input {
            entry: entry.name.clone(),
            input: input.name.clone(),
            expected: input.ty.to_string(),
            given: format!("{}{}", array.dtype(), shape_text(array.shape())),
            note: if bound.is_empty() { String::new() } else { format!(" ({})", bound.join(", ")) },
        }
    }
}
