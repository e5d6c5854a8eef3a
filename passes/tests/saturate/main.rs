//! Tests of simplification and of equality saturation.

mod choices;
mod examples;
