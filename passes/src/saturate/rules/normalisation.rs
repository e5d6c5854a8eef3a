//! Scales and shifts after contractions, as inference makes of batch normalisation: into the weights, which are smaller.

use super::*;

#[rustfmt::skip]
rules! {
    "batch-norm-infer": "(batch_norm_infer ?n ?x ?m ?v ?g ?b)" => "(!body ?n ?x ?m ?v ?g ?b)", EXACT, "normalisation by given statistics is x * inverse + offset";
    "batch-norm-infer-without-one": "(batch_norm_infer ?n ?x ?m ?v ?g)" => "(!body ?n ?x ?m ?v ?g)", EXACT, "the same without a scale or a centre";
    "batch-norm-infer-without-both": "(batch_norm_infer ?n ?x ?m ?v)" => "(!body ?n ?x ?m ?v)", EXACT, "the same without a scale and a centre";
    "scale-into-weights": "(multiply (dot_general ?d ?x ?w) (broadcast ?s ?c))" => "(dot_general ?d ?x (multiply ?w (broadcast (!along_columns ?d ?s ?c ?w) ?c)))", REASSOCIATES, "(x w) diag c = x (w diag c)";
    "scale-into-kernel": "(multiply (convolution ?v ?x ?k) (broadcast ?s ?c))" => "(convolution ?v ?x (multiply ?k (broadcast (!along_filters ?v ?s ?c ?k) ?c)))", REASSOCIATES, "(x * k) c = x * (k c) for each filter";
    "scale-into-half-kernel": "(convert ?h (add (multiply (convert ?f (add (convolution ?v ?x ?k) (broadcast ?s ?b))) (broadcast ?s ?c)) (broadcast ?s ?d)))" => "(convert ?h (add (convert ?f (convolution ?v ?x (convert ?h (multiply (convert ?f ?k) (broadcast (!along_filters ?v ?s ?c ?k) ?c))))) (broadcast ?s (add (multiply (convert ?f ?b) ?c) ?d))))" if "half ?x" and "widens ?f", all_within(16.0, "filters rounded, sums not"), "(x * k + b) c + d = x * (k c) + (b c + d) for each filter, where f32 normalises what half precision convolves";
    "scale-through-shift": "(multiply (add ?x (broadcast ?s ?b)) (broadcast ?s ?c))" => "(add (multiply ?x (broadcast ?s ?c)) (broadcast ?s (multiply ?b ?c)))", REASSOCIATES, "(x + b) c = x c + b c";
    "merge-shifts": "(add (add ?x (broadcast ?s ?a)) (broadcast ?s ?b))" => "(add ?x (broadcast ?s (add ?a ?b)))", REASSOCIATES, "(x + a) + b = x + (a + b)";
}
