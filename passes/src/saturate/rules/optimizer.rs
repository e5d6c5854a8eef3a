//! Updates of parameters: only where they have a gradient.

use super::*;

#[rustfmt::skip]
rules! {
    "descent-of-rows": "(sgd_update ?a ?p (scatter ?s ?zero ?i ?g) ?r)" => "(scatter ?s ?p ?i (multiply ?g (broadcast (!filling ?g) (negate ?r))))" if "splat ?zero 0" and "adds ?s", REASSOCIATES, "p - r sum of g at i = p with -r g added at i, which touches those rows only";
}
