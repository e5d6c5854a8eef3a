//! Tensors beside each other: moved, or computed where they are read.

use super::*;

#[rustfmt::skip]
rules! {
    "neighbours": "(add (pad ?q ?y ?zero) (pad ?p ?x ?zero))" => "(pad (!pad_of_both ?p ?q ?x ?y) (concatenate (!side_by_side ?p ?q ?x ?y) ?x ?y) ?zero)" if "splat ?zero 0", each_within(0.0, "-0 + 0 is 0"), "[0, y] + [x, 0] = [x, y]";
    "three-neighbours": "(concatenate ?c ?x (concatenate ?c ?y ?z))" => "(concatenate ?c ?x ?y ?z)", EXACT, "[x, [y, z]] = [x, y, z]";
    "four-neighbours": "(concatenate ?c ?x (concatenate ?c ?y ?z ?w))" => "(concatenate ?c ?x ?y ?z ?w)", EXACT, "[x, [y, z, w]] = [x, y, z, w]";
}
