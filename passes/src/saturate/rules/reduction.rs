//! Sums over what is repeated, and maxima: on the smaller side.

use super::*;

#[rustfmt::skip]
rules! {
    "relu-gradient-before-pooling": "(select (greater ?x ?zero) (select_and_scatter ?s ?x ?g) ?zero)" => "(select_and_scatter ?s ?x (select (greater (reduce_window (!largest_of_windows ?s) ?x) (broadcast (!filling ?g) (!element ?zero))) ?g (broadcast (!filling ?g) (!element ?zero))))" if "splat ?zero 0", EXACT, "what is largest in a window is above 0 where the window's maximum is";
    "contraction-of-repeated": "(dot_general ?d (broadcast ?s ?x) ?y)" => "(broadcast (!repeated_product ?d ?s ?x ?y) (dot_general (!product_of_one ?d ?s ?x) ?x ?y))", EXACT, "[x, x, ...] y = [x y, x y, ...]";
    "sum-of-products-with-repeated": "(dot_general ?d ?x (broadcast ?s ?y))" => "(dot_general (!product_of_sums ?d ?s ?y ?x) (reduce (!sum_along_repeated ?d ?s ?y) ?x) ?y)", REASSOCIATES, "x1 y + x2 y + ... = (x1 + x2 + ...) y";
}
