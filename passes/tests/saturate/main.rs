//! Tests of simplification and of equality saturation.

mod choices;
mod dot;
mod examples;
mod fuzz;
mod numbers;
mod random;
mod rules;
mod samples;
mod simplify;
