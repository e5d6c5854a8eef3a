//! Tests of simplification and of equality saturation.

mod choices;
mod examples;
mod random;
mod rules;
mod samples;
mod simplify;
