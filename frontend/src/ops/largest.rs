//! The largest elements.

use super::arguments::wrong;
use super::declare::functions;
use kc_ir::tensor::ops::TopK as Largest;

functions! {
    /// The `k` largest elements along the last axis, the largest first, and their positions (`int32`): two results, `.results()`. Of
    /// equal elements the first come first, and NaN is larger than all others.
    top_k TopK(x; k: i64) {
        /// Whether the elements are sorted; they are in any case (default: yes).
        sorted: bool = true,
    } = |scope, &[x]| {
        let count = usize::try_from(k).map_err(|_| wrong(format!("`k` is {k}, expected at least 0")))?;
        Ok(scope.ops::<2>(Largest { k: count }, &[*x]))
    };
}
