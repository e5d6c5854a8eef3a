//! Scalar algebra that changes the cost.

use super::*;

#[rustfmt::skip]
rules! {
    "divide-by-power-of-two": "(divide ?x ?c)" => "(multiply ?x (broadcast (!filling ?c) (!inverse ?c)))" if "power_of_two ?c", EXACT, "x / 2^n = x * 2^-n";
    "divide-by-constant": "(divide ?x ?c)" => "(multiply ?x (broadcast (!filling ?c) (!inverse ?c)))" if "invertible ?c", each_within(1.5, "two roundings instead of one"), "x / c = x * (1 / c)";
    "divide-by-broadcast-root": "(divide ?x (broadcast ?s (sqrt ?y)))" => "(multiply ?x (broadcast ?s (rsqrt ?y)))", each_within(3.0, "three roundings instead of two"), "x / sqrt y = x * y^(-1/2)";
    "maximum-with-zero": "(maximum ?x ?zero)" => "(relu (!relu_op) ?x)" if "splat ?zero 0", EXACT, "max(x, 0) is relu, whose kernels are known";
    "merge-scales": "(multiply (multiply ?x (broadcast ?s ?a)) (broadcast ?s ?b))" => "(multiply ?x (broadcast ?s (multiply ?a ?b)))", REASSOCIATES, "(x * a) * b = x * (a * b)";
}
