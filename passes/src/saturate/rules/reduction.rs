//! Maxima of windows: on the smaller side.

use super::*;

#[rustfmt::skip]
rules! {
    "relu-gradient-before-pooling": "(select (greater ?x ?zero) (select_and_scatter ?s ?x ?g) ?zero)" => "(select_and_scatter ?s ?x (select (greater (reduce_window (!largest_of_windows ?s) ?x) (broadcast (!filling ?g) (!element ?zero))) ?g (broadcast (!filling ?g) (!element ?zero))))" if "splat ?zero 0", EXACT, "what is largest in a window is above 0 where the window's maximum is";
}
