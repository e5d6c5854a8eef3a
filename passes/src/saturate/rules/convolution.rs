//! Convolutions with what follows them.

use super::*;

#[rustfmt::skip]
rules! {
    "convolution-bias": "(add (convolution ?v ?x ?k) (broadcast ?s ?b))" => "(convolution_bias (!convolution_bias ?v ?s ?b) ?x ?k ?b)", EXACT, "x * k + b in one kernel";
    "convolution-relu": "(relu ?r (convolution_bias ?v ?x ?k ?b))" => "(convolution_bias (!relu ?v) ?x ?k ?b)" if "linear ?v", EXACT, "max(x * k + b, 0) in one kernel";
    "convolution-by-tiles": "(convolution ?v ?x ?k)" => "(!winograd ?v ?x ?k)", all_within(16.0, "transforms of images and filters rounded, results sums of nine products instead of one"), "A^T ((G k G^T) (B^T x B)) A = x * k for each tile of 2 x 2 results";
}
