//! Comparisons and logic.

use super::declare::functions;
use super::promotion::promote;

macro_rules! comparisons {
    ($($(#[$doc:meta])* $name:ident $class:ident $method:ident;)*) => { functions! { $(
        $(#[$doc])*
        $name $class(x1, x2) = |_, &[a, b]| {
            let [a, b] = promote([a, b]);
            a.$method(b)
        };
    )* } };
}
comparisons! {
    /// `x1 == x2`, element by element.
    equal Equal equal;
    /// `x1 != x2`, element by element.
    not_equal NotEqual not_equal;
    /// `x1 < x2`, element by element.
    less Less less;
    /// `x1 <= x2`, element by element.
    less_equal LessEqual less_equal;
    /// `x1 > x2`, element by element.
    greater Greater greater;
    /// `x1 >= x2`, element by element.
    greater_equal GreaterEqual greater_equal;
}
