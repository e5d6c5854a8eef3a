//! How functions are declared: once, with everything that they have.

/// Declares functions of tensors:
///
/// ```text
/// functions! {
///     /// The sum over axes.
///     sum Sum(x) {
///         /// The summed axes (default: all).
///         axis: Axes = Axes::All,
///         /// Whether the result keeps the summed axes, with extent 1.
///         keepdims: bool = false,
///     } = |_, &[x]| sum_over(x, &axis, keepdims);
///     /// The same elements in another shape.
///     reshape Reshape(x; newshape: Shape) = |_, &[x]| ...;
/// }
/// ```
///
/// The name, the name of Keras' operation, the operands; behind `;` required arguments that are no tensors; in braces the
/// optional ones with their defaults. Then the formula scope and the operands as patterns, and the results' formulas: one, an
/// array or a vector of them, or a `Result`. Arguments are known in it by their names.
///
/// A function without optional arguments gives a `Tensor`; with braces it gives a `Call`, which has a method for each. `(..xs)`
/// takes a list of tensors, `(; shape: Shape; x)` has the tensors behind the other arguments. Optional arguments that are tensors
/// stand in brackets before the braces, `(x) [scale, bias] {..}`, and are `Option`s of operands in the formula.
macro_rules! functions {
    ($(
        $(#[$meta:meta])*
        $name:ident $class:ident ( $($operands:tt)* ) $([ $($tensors:tt)* ])? $({ $($options:tt)* })?
            = |$scope:pat_param, $pattern:pat_param| $body:expr;
    )*) => { $(
        $crate::ops::declare::functions! { @parse
            [$(#[$meta])*] $name $class [$($operands)*] [$([$($tensors)*])? $({ $($options)* })?] [$scope] [$pattern] [$body]
        }
    )* };

    // the operands
    (@parse $meta:tt $name:ident $class:ident
        [..$list:ident $(; $($argument:ident: $argument_type:ty),+ $(,)?)?] $options:tt $scope:tt $pattern:tt $body:tt
    ) => {
        $crate::ops::declare::functions! { @options $meta $name $class [list $list] [$($($argument: $argument_type,)+)?]
            $options $scope $pattern $body }
    };
    (@parse $meta:tt $name:ident $class:ident
        [; $($argument:ident: $argument_type:ty),+; $($operand:ident),+] $options:tt $scope:tt $pattern:tt $body:tt
    ) => {
        $crate::ops::declare::functions! { @options $meta $name $class [behind $($operand)*] [$($argument: $argument_type,)*]
            $options $scope $pattern $body }
    };
    (@parse $meta:tt $name:ident $class:ident
        [$($operand:ident),* $(,)? $(; $($argument:ident: $argument_type:ty),+ $(,)?)?] $options:tt $scope:tt $pattern:tt $body:tt
    ) => {
        $crate::ops::declare::functions! { @options $meta $name $class [each $($operand)*]
            [$($($argument: $argument_type,)+)?] $options $scope $pattern $body }
    };

    // the optional arguments
    (@options $meta:tt $name:ident $class:ident $operands:tt $arguments:tt [] $scope:tt $pattern:tt $body:tt) => {
        $crate::ops::declare::functions! { @function [$crate::ops::Tensor] $meta $name $class $operands $arguments [] }
        $crate::ops::declare::functions! { @declaration $name $class $arguments [] [] $scope $pattern $body }
    };
    (@options $meta:tt $name:ident $class:ident $operands:tt $arguments:tt
        [$([ $($(#[$tensor_meta:meta])* $tensor:ident),* $(,)? ])? { $($(#[$option_meta:meta])* $option:ident: $option_type:ty = $default:expr),* $(,)? }]
        $scope:tt $pattern:tt $body:tt
    ) => {
        $crate::ops::declare::functions! { @function [$crate::ops::Call<$class>] $meta $name $class $operands $arguments
            [$($option: $default,)* $($($tensor: None,)*)?] }
        $crate::ops::declare::functions! { @declaration $name $class $arguments [$($option: $option_type,)*]
            [$($($tensor)*)?] $scope $pattern $body }

        impl $crate::ops::Call<$class> { $(
            $(#[$option_meta])*
            pub fn $option(mut self, $option: impl Into<$option_type>) -> Self {
                self.function.$option = $option.into();
                self
            }
        )* $($(
            $(#[$tensor_meta])*
            pub fn $tensor(mut self, $tensor: impl Into<$crate::ops::Tensor>) -> Self {
                match self.function.$tensor {
                    Some(index) => self.operands[index] = $tensor.into(),
                    None => {
                        self.function.$tensor = Some(self.operands.len());
                        self.operands.push($tensor.into());
                    }
                }
                self
            }
        )*)? }
    };

    // the public function
    (@function [$result:ty] [$($meta:tt)*] $name:ident $class:ident [each $($operand:ident)*]
        [$($argument:ident: $argument_type:ty,)*] [$($option:ident: $default:expr,)*]
    ) => {
        $($meta)*
        #[track_caller]
        pub fn $name($($operand: impl Into<$crate::ops::Tensor>,)* $($argument: impl Into<$argument_type>,)*) -> $result {
            let function = $class { $($argument: $argument.into(),)* $($option: $default,)* };
            $crate::ops::Call::new(function, [$($operand.into()),*]).into()
        }
    };
    (@function [$result:ty] [$($meta:tt)*] $name:ident $class:ident [behind $($operand:ident)*]
        [$($argument:ident: $argument_type:ty,)*] [$($option:ident: $default:expr,)*]
    ) => {
        $($meta)*
        #[track_caller]
        pub fn $name($($argument: impl Into<$argument_type>,)* $($operand: impl Into<$crate::ops::Tensor>,)*) -> $result {
            let function = $class { $($argument: $argument.into(),)* $($option: $default,)* };
            $crate::ops::Call::new(function, [$($operand.into()),*]).into()
        }
    };
    (@function [$result:ty] [$($meta:tt)*] $name:ident $class:ident [list $list:ident]
        [$($argument:ident: $argument_type:ty,)*] [$($option:ident: $default:expr,)*]
    ) => {
        $($meta)*
        #[track_caller]
        pub fn $name(
            $list: impl IntoIterator<Item = impl Into<$crate::ops::Tensor>>,
            $($argument: impl Into<$argument_type>,)*
        ) -> $result {
            let function = $class { $($argument: $argument.into(),)* $($option: $default,)* };
            $crate::ops::Call::new(function, $list.into_iter().map(Into::into)).into()
        }
    };

    // its arguments and its formula
    (@declaration $name:ident $class:ident [$($argument:ident: $argument_type:ty,)*] [$($option:ident: $option_type:ty,)*]
        [$($tensor:ident)*] [$scope:pat_param] [$pattern:pat_param] [$body:expr]
    ) => {
        #[doc = concat!("The arguments of `ops::", stringify!($name), "`.")]
        #[derive(Clone, Debug)]
        pub struct $class { $($argument: $argument_type,)* $($option: $option_type,)* $($tensor: Option<usize>,)* }

        impl $crate::ops::Function for $class {
            fn name(&self) -> &'static str {
                stringify!($name)
            }
            fn class(&self) -> &'static str {
                stringify!($class)
            }
            #[allow(irrefutable_let_patterns, unused_variables)]
            fn build<'s, 'b>(
                &self,
                scope: &'s kc_ir::tensor::Scope<'b>,
                operands: &[$crate::ops::Operand<'s, 'b>],
            ) -> Result<Vec<kc_ir::tensor::Tensor<'s, 'b>>, kc_ir::tensor::TypeError> {
                let $scope = scope;
                // optional tensors are behind the others
                let optional = 0 $(+ usize::from(self.$tensor.is_some()))*;
                let $pattern = &operands[..operands.len().saturating_sub(optional)] else {
                    return Err(kc_ir::tensor::TypeError::new(
                        stringify!($name),
                        format!("{} operands are not as many as it takes", operands.len()),
                    ));
                };
                let Self { $($argument,)* $($option,)* $($tensor,)* } = self.clone();
                $(let $tensor = $tensor.and_then(|index: usize| operands.get(index).copied());)*
                $crate::ops::function::IntoResults::into_results($body)
            }
        }
    };
}
pub(in crate::ops) use functions;
