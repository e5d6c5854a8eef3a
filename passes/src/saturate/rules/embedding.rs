//! Rows of tables, read at positions that are data.

use super::*;

#[rustfmt::skip]
rules! {
    "product-of-rows": "(dot_general ?d (gather ?g ?t ?i) ?w)" => "(gather (!rows_of_product ?d ?g ?t ?w) (dot_general (!product_of_rows ?d ?g ?t) ?t ?w) ?i)", EXACT, "t[i] w = (t w)[i]";
    "transposed-rows": "(transpose ?p (gather ?g ?t ?i))" => "(gather (!gather_transposed ?p ?g) ?t (transpose (!indices_transposed ?p ?g) ?i))", EXACT, "t[i]^T = t[i^T], which moves indices instead of rows";
}
