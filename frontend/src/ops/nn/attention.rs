//! Attention.

use super::super::arguments::wrong;
use super::super::declare::functions;
use super::super::formulas::with_axis;
use super::super::promotion::promote_float;
use kc_ir::tensor::{Real, Tensor as Formula, TypeError};
use kc_ir::{DType, Dim};

functions! {
    /// `softmax(scale query key + bias) value` of queries `(batch, target, heads, depth)`, keys and values `(batch, source, heads,
    /// depth)`. Where there are fewer heads of keys and values, equally many neighbouring heads of queries share one.
    dot_product_attention DotProductAttention(query, key, value) [
        /// What is added to the scores; broadcast to `(batch, heads, target, source)` (default: nothing).
        bias,
        /// Where a target attends to a source; broadcast likewise (default: everywhere).
        mask,
    ] {
        /// The factor of the products (default: `1 / sqrt(depth)`).
        scale: Option<f64> = None,
        /// Whether no target attends to sources behind it (default: it does).
        is_causal: bool = false,
        /// Whether the scores must not be kept in memory; a wish that changes no result (default: as it is best).
        flash_attention: Option<bool> = None,
    } = |scope, &[query, key, value]| {
        let [query, key, value] = promote_float([query, key, value]);
        if [query, key, value].iter().any(|x| x.shape().len() != 4) {
            return Err(wrong("expected 4 axes of each: the batch, the sequence, heads and depth"));
        }
        let shape = query.shape();
        let heads = &shape[2];
        let (key, value) = (shared(key, heads)?, shared(value, heads)?);
        let scale = match (scale, shape[3].as_constant()) {
            (Some(scale), _) => scale,
            (None, Some(depth)) => 1.0 / (depth.max(1) as f64).sqrt(),
            (None, None) => return Err(wrong("the depth of the queries is not known, expected a `scale`")),
        };
        let scores = [shape[0].clone(), heads.clone(), shape[1].clone(), key.shape()[1].clone()];
        let mut operands = vec![query, key, value];
        operands.extend(bias.map(|bias| bias.convert(query.ty().dtype).broadcast_to(&scores)));
        operands.extend(mask.map(|mask| mask.convert(DType::Bool).broadcast_to(&scores)));
        let op = kc_ir::tensor::composites::DotProductAttention {
            scale: Real(scale),
            causal: is_causal,
            bias: bias.is_some(),
            mask: mask.is_some(),
            zero_excluded: false,
            dropout: Real(0.0),
        };
        let [y, _, _] = scope.ops(op, &operands);
        Ok(y)
    };
}

/// Keys or values with a head for each of the queries.
fn shared<'s, 'b>(x: Formula<'s, 'b>, heads: &Dim) -> Result<Formula<'s, 'b>, TypeError> {
    let mut shape = x.shape();
    if shape[2] == *heads {
        return Ok(x);
    }
    let times = heads.exact_div(&shape[2]).ok_or_else(|| {
        wrong(format!("{heads} heads of queries cannot share {} heads of keys and values evenly", shape[2]))
    })?;
    shape.insert(3, times);
    let wide = with_axis(x, 3).broadcast_to(&shape);
    shape.splice(2..4, [heads.clone()]);
    Ok(wide.reshape(&shape))
}
