//! Errors with their messages beside them, without the crates of a derive macro: a deployed program's tree of crates is short.

/// Declares an enumeration of errors. Each variant has its documentation, then `#[error("message", arguments)]`, in which fields are
/// known by their names; the one field of a tuple is `{0}`. A `#[cfg(..)]` may follow.
macro_rules! errors {
    ($(#[$meta:meta])* pub enum $name:ident { $(
        $(#[doc = $doc:literal])+ #[error($($message:tt)+)] $(#[cfg($condition:meta)])? $variant:ident
        $({ $($(#[doc = $field_doc:literal])+ $field:ident: $field_type:ty),+ $(,)? })?
        $(($type:ty))?
    ),+ $(,)? }) => {
        $(#[$meta])*
        pub enum $name { $(
            $(#[doc = $doc])+
            $(#[cfg($condition)])?
            $variant $({ $($(#[doc = $field_doc])+ $field: $field_type),+ })? $(($type))?
        ),+ }

        impl core::fmt::Display for $name {
            fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self { $(
                    $(#[cfg($condition)])?
                    #[allow(unused_variables)]
                    $name::$variant $({ $($field),+ })? $((errors!(@only it $type)))? =>
                        write!(formatter, $($message)+ $(, errors!(@only it $type))?),
                )+ }
            }
        }

        impl core::error::Error for $name {}
    };
    (@only $it:ident $type:ty) => { $it };
}
pub(crate) use errors;

/// An error's text with those of the errors behind it, which some texts leave out.
#[cfg(feature = "std")]
pub fn with_sources(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Errors that are passed on as a variant of another.
macro_rules! from_errors {
    ($($error:ty => $name:ident::$variant:ident),+ $(,)?) => { $(
        impl From<$error> for $name {
            fn from(error: $error) -> Self {
                $name::$variant(error)
            }
        }
    )+ };
}
pub(crate) use from_errors;
