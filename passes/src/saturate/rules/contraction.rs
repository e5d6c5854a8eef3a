//! Contractions: the fused dense layer, operands and results that are transposed for nothing.

use super::*;

#[rustfmt::skip]
rules! {
    "dense": "(add (dot_general ?d ?x ?w) (broadcast ?s ?b))" => "(dense (!dense ?d ?s ?b) ?x ?w ?b)", EXACT, "x w + b in one kernel";
    "dense-relu": "(relu ?r (dense ?d ?x ?w ?b))" => "(dense (!relu ?d) ?x ?w ?b)" if "linear ?d", EXACT, "max(x w + b, 0) in one kernel";
    "dense-logistic": "(logistic (dense ?d ?x ?w ?b))" => "(dense (!logistic ?d) ?x ?w ?b)" if "linear ?d", EXACT, "1 / (1 + e^-(x w + b)) in one kernel";
    "dense-tanh": "(tanh (dense ?d ?x ?w ?b))" => "(dense (!tanh ?d) ?x ?w ?b)" if "linear ?d", EXACT, "tanh(x w + b) in one kernel";
    "dense-gelu": "(gelu ?g (dense ?d ?x ?w ?b))" => "(dense (!gelu ?d) ?x ?w ?b)" if "linear ?d", EXACT, "y (1 + erf(y / sqrt 2)) / 2 of y = x w + b in one kernel";
    "dense-of-heads": "(add (dot_general ?d ?x ?w) (broadcast ?s ?b))" => "(reshape (!heads_apart ?s) (dense (!dense_of_heads ?d ?s ?w ?b) ?x (reshape (!heads_joined ?w) ?w) (reshape (!heads_joined_bias ?b) ?b)))", EXACT, "x w + b for heads side by side, as one matrix product";
    "contract-transposed-left": "(dot_general ?d (transpose ?p ?x) ?y)" => "(dot_general (!untransposed_lhs ?d ?p) ?x ?y)", EXACT, "x^T y sums over x's other axis";
    "contract-transposed-right": "(dot_general ?d ?x (transpose ?p ?y))" => "(dot_general (!untransposed_rhs ?d ?p) ?x ?y)", EXACT, "x y^T sums over y's other axis";
    "transposed-contraction": "(transpose ?p (dot_general ?d ?x ?y))" => "(dot_general (!exchanged ?d ?p ?x ?y) ?y ?x)", EXACT, "(x y)^T = y^T x^T";
}
