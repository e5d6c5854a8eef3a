//! The rules, by topic. `README.md` has their laws.
//!
//! A line is: name, pattern, what it equals, conditions, numeric class, the algebra in words. Operands of commutative functions
//! come in the order that [`simplify`](crate::simplify) puts them in (broadcasts, then constants last), so no rule commutes.

use super::rule::{Bound, Numeric, Rule};

macro_rules! rules {
    ($($name:literal: $left:literal => $right:literal $(if $($condition:literal)and+)?, $numeric:expr, $algebra:literal;)*) => {
        /// The rules of this topic.
        pub const RULES: &[Rule] = &[$(Rule {
            name: $name,
            left: $left,
            right: $right,
            conditions: &[$($($condition),+)?],
            numeric: $numeric,
            algebra: $algebra,
        },)*];
    };
}

pub mod algebra;
pub mod attention;
pub mod contraction;
pub mod convolution;
pub mod cross_entropy;
pub mod embedding;
pub mod movement;
pub mod normalisation;
pub mod optimizer;
pub mod reduction;

const EXACT: Numeric = Numeric::Exact;
const REASSOCIATES: Numeric = Numeric::Reassociates;

/// Within so many units in the last place of each result.
const fn each_within(ulps: f64, words: &'static str) -> Numeric {
    Numeric::Approximates(Bound { ulps, elementwise: true, words })
}

/// Within so many units in the last place of the largest result, or of 1.
const fn all_within(ulps: f64, words: &'static str) -> Numeric {
    Numeric::Approximates(Bound { ulps, elementwise: false, words })
}

/// Every rule, in the order of the topics.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    TOPICS.iter().flat_map(|(_, rules)| rules.iter())
}

/// The topics with their rules.
pub const TOPICS: &[(&str, &[Rule])] = &[
    ("algebra", algebra::RULES),
    ("contraction", contraction::RULES),
    ("convolution", convolution::RULES),
    ("normalisation", normalisation::RULES),
    ("cross_entropy", cross_entropy::RULES),
    ("attention", attention::RULES),
    ("reduction", reduction::RULES),
    ("embedding", embedding::RULES),
    ("optimizer", optimizer::RULES),
    ("movement", movement::RULES),
];
