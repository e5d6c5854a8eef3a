//! Attention: its kernels, also where it was written as products and a softmax, or its body where all scores are small; projections of
//! one input side by side.

use super::*;

#[rustfmt::skip]
rules! {
    "attention-of-products": "(dot_general ?e (softmax ?s (dot_general ?d ?q ?k)) ?v)" => "(!attended ?e ?s ?d ?q ?k ?v)", EXACT, "softmax(q k^T) v block by block, without all scores at once";
    "attention-of-scaled-products": "(dot_general ?e (softmax ?s (multiply (dot_general ?d ?q ?k) ?c)) ?v)" => "(!attended_scaled ?e ?s ?d ?c ?q ?k ?v)", EXACT, "the same of softmax(scale q k^T) v";
    "biased-attention-of-products": "(dot_general ?e (softmax ?s (add (dot_general ?d ?q ?k) ?m)) ?v)" => "(!attended ?e ?s ?d ?q ?k ?v ?m)", EXACT, "the same of softmax(q k^T + bias) v";
    "biased-attention-of-scaled-products": "(dot_general ?e (softmax ?s (add (multiply (dot_general ?d ?q ?k) ?c) ?m)) ?v)" => "(!attended_scaled ?e ?s ?d ?c ?q ?k ?v ?m)", EXACT, "the same of softmax(scale q k^T + bias) v";
    "attention-body": "(projection ?i (dot_product_attention ?a ?q ?k ?v))" => "(!part ?i ?a ?q ?k ?v)", EXACT, "softmax(scale q k^T) v, the scores in a buffer";
    "masked-attention-body": "(projection ?i (dot_product_attention ?a ?q ?k ?v ?m))" => "(!part ?i ?a ?q ?k ?v ?m)", EXACT, "the same with a mask or a bias";
    "attention-gradient-body": "(projection ?i (dot_product_attention_gradient ?a ?q ?k ?v ?l ?s ?d ?g))" => "(!part ?i ?a ?q ?k ?v ?l ?s ?d ?g)", EXACT, "e k, e^T q and p^T g of e = scale p (g v^T - d), the scores in a buffer";
    "masked-attention-gradient-body": "(projection ?i (dot_product_attention_gradient ?a ?q ?k ?v ?m ?l ?s ?d ?g))" => "(!part ?i ?a ?q ?k ?v ?m ?l ?s ?d ?g)", EXACT, "the same with a mask or a bias";
    "merge-projections": "(projection ?i (dot_product_attention ?a (add (dot_general ?d ?x ?q) (broadcast ?s ?qb)) (add (dot_general ?d ?x ?k) (broadcast ?s ?kb)) (add (dot_general ?d ?x ?v) (broadcast ?s ?vb))))" => "(projection ?i (dot_product_attention ?a (slice (!first_heads ?s) (add (dot_general ?d ?x (concatenate (!heads_beside ?d ?q) ?q ?k ?v)) (broadcast (!thrice_heads ?s) (concatenate (!biases_beside ?qb) ?qb ?kb ?vb)))) (slice (!second_heads ?s) (add (dot_general ?d ?x (concatenate (!heads_beside ?d ?q) ?q ?k ?v)) (broadcast (!thrice_heads ?s) (concatenate (!biases_beside ?qb) ?qb ?kb ?vb)))) (slice (!third_heads ?s) (add (dot_general ?d ?x (concatenate (!heads_beside ?d ?q) ?q ?k ?v)) (broadcast (!thrice_heads ?s) (concatenate (!biases_beside ?qb) ?qb ?kb ?vb))))))", EXACT, "x [q k v] = [x q, x k, x v]";
}
