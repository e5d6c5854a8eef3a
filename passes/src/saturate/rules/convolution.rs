//! Convolutions with what follows them.

use super::*;

#[rustfmt::skip]
rules! {
    "convolution-bias": "(add (convolution ?v ?x ?k) (broadcast ?s ?b))" => "(convolution_bias (!convolution_bias ?v ?s ?b) ?x ?k ?b)", EXACT, "x * k + b in one kernel";
    "convolution-relu": "(relu ?r (convolution_bias ?v ?x ?k ?b))" => "(convolution_bias (!relu ?v) ?x ?k ?b)" if "linear ?v", EXACT, "max(x * k + b, 0) in one kernel";
    "convolution-logistic": "(logistic (convolution_bias ?v ?x ?k ?b))" => "(convolution_bias (!logistic ?v) ?x ?k ?b)" if "linear ?v", EXACT, "1 / (1 + e^-(x * k + b)) in one kernel";
    "convolution-tanh": "(tanh (convolution_bias ?v ?x ?k ?b))" => "(convolution_bias (!tanh ?v) ?x ?k ?b)" if "linear ?v", EXACT, "tanh(x * k + b) in one kernel";
    "convolution-silu": "(silu ?s (convolution_bias ?v ?x ?k ?b))" => "(convolution_bias (!silu ?v) ?x ?k ?b)" if "linear ?v", EXACT, "y / (1 + e^-y) of y = x * k + b in one kernel";
}
