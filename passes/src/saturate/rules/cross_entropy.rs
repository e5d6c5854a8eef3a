//! Softmax and cross-entropy: from the logits, and with the gradient in one pass over the rows.

use super::*;

#[rustfmt::skip]
rules! {
    "cross-entropy-of-softmax": "(categorical_cross_entropy ?l ?t (softmax ?s ?x))" => "(categorical_cross_entropy (!of_logits ?l ?s) ?t ?x)", all_within(16.0, "logarithms of rounded probabilities"), "log(clip(softmax x)) = clip(x - max x - ln sum e^(x - max x))";
    "gradient-of-softmax-cross-entropy": "(softmax_gradient ?d (softmax ?s ?x) (categorical_cross_entropy_gradient ?l ?t (softmax ?s ?x) ?g))" => "(categorical_cross_entropy_gradient (!of_logits ?l ?s ?d) ?t ?x ?g)", all_within(16.0, "probabilities rounded once, not thrice; a probability within rounding of a limit may be clipped on one side only"), "J_softmax^T (-t / p) = p sum t - t";
    "loss-of-pair": "(categorical_cross_entropy ?l ?t ?x)" => "(projection (!first) (categorical_cross_entropy_with_gradient (!with_gradient ?l) ?t ?x))" if "logits ?l", EXACT, "the loss, of the pass that also gives the gradient";
    "gradient-of-pair": "(categorical_cross_entropy_gradient ?l ?t ?x ?g)" => "(multiply (projection (!second) (categorical_cross_entropy_with_gradient (!with_gradient ?l) ?t ?x)) (broadcast (!along_classes ?l ?x) ?g))" if "logits ?l", EXACT, "the gradient, of the pass that also gives the loss";
    "largest-of-softmax": "(arg_reduce ?r (softmax ?s ?x))" => "(arg_reduce (!largest_along ?r ?s) ?x)", all_within(1.0, "of finite logits; another class only among probabilities that round to one number"), "softmax is monotonic";
}
