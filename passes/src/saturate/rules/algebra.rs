//! Scalar algebra that changes the cost.

use super::*;

#[rustfmt::skip]
rules! {
    "divide-by-power-of-two": "(divide ?x ?c)" => "(multiply ?x (broadcast (!filling ?c) (!inverse ?c)))" if "power_of_two ?c", EXACT, "x / 2^n = x * 2^-n";
    "divide-by-constant": "(divide ?x ?c)" => "(multiply ?x (broadcast (!filling ?c) (!inverse ?c)))" if "invertible ?c", each_within(1.5, "two roundings instead of one"), "x / c = x * (1 / c)";
    "maximum-with-zero": "(maximum ?x ?zero)" => "(relu (!relu_op) ?x)" if "splat ?zero 0", EXACT, "max(x, 0) is relu, whose kernels are known";
}
