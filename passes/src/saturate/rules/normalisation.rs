//! Scales and shifts after contractions, as inference makes of batch normalisation: into the weights, which are smaller.

use super::*;

#[rustfmt::skip]
rules! {
    "scale-into-weights": "(multiply (dot_general ?d ?x ?w) (broadcast ?s ?c))" => "(dot_general ?d ?x (multiply ?w (broadcast (!along_columns ?d ?s ?c ?w) ?c)))", REASSOCIATES, "(x w) diag c = x (w diag c)";
    "scale-into-kernel": "(multiply (convolution ?v ?x ?k) (broadcast ?s ?c))" => "(convolution ?v ?x (multiply ?k (broadcast (!along_filters ?v ?s ?c ?k) ?c)))", REASSOCIATES, "(x * k) c = x * (k c) for each filter";
    "scale-through-shift": "(multiply (add ?x (broadcast ?s ?b)) (broadcast ?s ?c))" => "(add (multiply ?x (broadcast ?s ?c)) (broadcast ?s (multiply ?b ?c)))", REASSOCIATES, "(x + b) c = x c + b c";
    "merge-shifts": "(add (add ?x (broadcast ?s ?a)) (broadcast ?s ?b))" => "(add ?x (broadcast ?s (add ?a ?b)))", REASSOCIATES, "(x + a) + b = x + (a + b)";
}
