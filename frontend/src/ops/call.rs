//! A call whose optional arguments can still be given, and what tensors and calls have in common.

use super::function::Function;
use super::tensor::Tensor;
use crate::error::caller;
use crate::{Error, KerasTensor, Result};
use kc_ir::{DType, Dim, TensorType};
use kc_runtime::Array;
use std::ops::{Add, Div, Mul, Neg, Rem, Sub};
use std::panic::Location;
use std::sync::Arc;

/// A function of tensors with its operands. Methods named after Keras' optional arguments set them: `ops::max(&x).axis(-1)`; it
/// is a tensor wherever one is expected.
#[derive(Clone, Debug)]
pub struct Call<F> {
    pub(super) function: F,
    pub(super) operands: Vec<Tensor>,
    pub(super) place: &'static Location<'static>,
}

impl<F: Function> Call<F> {
    /// The call of a function, made at the caller's place.
    #[track_caller]
    pub fn new(function: F, operands: impl IntoIterator<Item = Tensor>) -> Self {
        Call { function, operands: operands.into_iter().collect(), place: Location::caller() }
    }

    /// The results of a function that has several: `let [mean, variance] = ops::moments(&x, 0).results();`. An error is in all of
    /// them.
    pub fn results<const N: usize>(self) -> [Tensor; N] {
        let (name, place) = (self.function.name(), self.place);
        let results = Tensor::calls(Arc::new(self.function), self.operands, place);
        let found = results.len();
        results.try_into().unwrap_or_else(|results: Vec<Tensor>| {
            let instead = match results.into_iter().next() {
                Some(result) if result.result_type().is_err() => result,
                _ => Tensor::error(
                    Error::model(format!("`ops::{name}` has {found} results, expected {N}"))
                        .at((place.file(), place.line())),
                ),
            };
            std::array::from_fn(|_| instead.clone())
        })
    }

    /// The results of a function that has as many as its arguments say: `ops::split(&x, 3).tensors()?`.
    pub fn tensors(self) -> Result<Vec<Tensor>> {
        let results = Tensor::calls(Arc::new(self.function), self.operands, self.place);
        results.iter().try_for_each(|result| result.result_type().map(|_| ()))?;
        Ok(results)
    }
}

impl<F: Function> From<Call<F>> for Tensor {
    fn from(call: Call<F>) -> Tensor {
        Tensor::call(Arc::new(call.function), call.operands, call.place)
    }
}

impl<F: Function + Clone> From<&Call<F>> for Tensor {
    fn from(call: &Call<F>) -> Tensor {
        call.clone().into()
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident;)*) => { $(
        $(#[$doc])*
        #[track_caller]
        fn $name(&self, other: impl Into<Tensor>) -> Tensor {
            super::$name(self.tensor(), other)
        }
    )* };
}

/// What can be done with a tensor, and with a call that gives one.
pub trait Expression {
    /// The tensor.
    fn tensor(&self) -> Tensor;

    /// Computes it, where it depends on arrays and numbers alone: the whole expression in one compiled graph, which is kept for the
    /// next expression of its form.
    #[track_caller]
    fn eval(&self) -> Result<Array> {
        let here = caller();
        super::evaluate::one(&self.tensor()).map_err(|error| error.at(here))
    }

    /// Dtype and shape, or what is wrong with the expression.
    fn ty(&self) -> Result<TensorType> {
        self.tensor().result_type()
    }

    /// The shape; an extent that is not known yet is a symbol.
    fn shape(&self) -> Result<Vec<Dim>> {
        Ok(self.ty()?.shape)
    }

    /// The dtype.
    fn dtype(&self) -> Result<DType> {
        Ok(self.ty()?.dtype)
    }

    methods! {
        /// Elementwise `self == other`.
        equal;
        /// Elementwise `self != other`.
        not_equal;
        /// Elementwise `self < other`.
        less;
        /// Elementwise `self <= other`.
        less_equal;
        /// Elementwise `self > other`.
        greater;
        /// Elementwise `self >= other`.
        greater_equal;
    }
}

impl Expression for Tensor {
    fn tensor(&self) -> Tensor {
        self.clone()
    }
}

impl<F: Function + Clone> Expression for Call<F> {
    fn tensor(&self) -> Tensor {
        self.into()
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $function:ident;)*) => { $(
        operators! { @left $trait $method $function; [] Tensor; [] &Tensor; [] KerasTensor; [] &KerasTensor; [F: Function] Call<F>; }
        operators! { @right $trait $method $function; f64; i32; Array; &Array; }
    )* };
    (@left $trait:ident $method:ident $function:ident; $([$($parameters:tt)*] $left:ty;)*) => { $(
        impl<T: Into<Tensor>, $($parameters)*> $trait<T> for $left {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: T) -> Tensor {
                super::$function(self, other)
            }
        }
    )* };
    (@right $trait:ident $method:ident $function:ident; $($number:ty;)*) => { $(
        impl $trait<Tensor> for $number {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                super::$function(self, other)
            }
        }
        impl $trait<&Tensor> for $number {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                super::$function(self, other)
            }
        }
        impl<F: Function> $trait<Call<F>> for $number {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Call<F>) -> Tensor {
                super::$function(self, other)
            }
        }
    )* };
}
operators! { Add add add; Sub sub subtract; Mul mul multiply; Div div divide; Rem rem mod_; }

macro_rules! negations {
    ($([$($parameters:tt)*] $ty:ty;)*) => { $(
        impl<$($parameters)*> Neg for $ty {
            type Output = Tensor;
            #[track_caller]
            fn neg(self) -> Tensor {
                super::negative(self)
            }
        }
    )* };
}
negations! { [] Tensor; [] &Tensor; [] KerasTensor; [] &KerasTensor; [F: Function] Call<F>; }
