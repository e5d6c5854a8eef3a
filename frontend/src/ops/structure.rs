//! What is made of tensors: what control flow carries and gives.

use super::tensor::Tensor;

/// A tensor, or a tuple, an array or a vector of what is made of tensors: what loops carry and closures give.
pub trait Structure: Sized {
    /// Appends the tensors in order.
    fn tensors(&self, into: &mut Vec<Tensor>);

    /// The same with other tensors in the places of its own; those that are missing are kept.
    fn with(&self, tensors: &mut dyn Iterator<Item = Tensor>) -> Self;
}

impl Structure for Tensor {
    fn tensors(&self, into: &mut Vec<Tensor>) {
        into.push(self.clone());
    }

    fn with(&self, tensors: &mut dyn Iterator<Item = Tensor>) -> Self {
        tensors.next().unwrap_or_else(|| self.clone())
    }
}

impl<T: Structure> Structure for Vec<T> {
    fn tensors(&self, into: &mut Vec<Tensor>) {
        self.iter().for_each(|part| part.tensors(into));
    }

    fn with(&self, tensors: &mut dyn Iterator<Item = Tensor>) -> Self {
        self.iter().map(|part| part.with(tensors)).collect()
    }
}

impl<T: Structure, const N: usize> Structure for [T; N] {
    fn tensors(&self, into: &mut Vec<Tensor>) {
        self.iter().for_each(|part| part.tensors(into));
    }

    fn with(&self, tensors: &mut dyn Iterator<Item = Tensor>) -> Self {
        self.each_ref().map(|part| part.with(tensors))
    }
}

macro_rules! tuples {
    ($(($($part:ident)*))*) => { $(
        #[allow(non_snake_case, unused_variables)]
        impl<$($part: Structure),*> Structure for ($($part,)*) {
            fn tensors(&self, into: &mut Vec<Tensor>) {
                let ($($part,)*) = self;
                $($part.tensors(into);)*
            }

            #[allow(clippy::unused_unit)]
            fn with(&self, tensors: &mut dyn Iterator<Item = Tensor>) -> Self {
                let ($($part,)*) = self;
                ($($part.with(tensors),)*)
            }
        }
    )* };
}
tuples! { () (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) }

/// The tensors of a structure.
pub(super) fn flat<S: Structure>(structure: &S) -> Vec<Tensor> {
    let mut tensors = Vec::new();
    structure.tensors(&mut tensors);
    tensors
}

/// A structure with other tensors.
pub(super) fn rebuilt<S: Structure>(like: &S, tensors: Vec<Tensor>) -> S {
    like.with(&mut tensors.into_iter())
}
