//! What the tests that cross crates share: models from golden cases, and every way to execute a module behind one trait.

pub mod arrays;
pub mod fuzz;
pub mod gaps;
pub mod golden;
pub mod mutate;
pub mod products;
pub mod random;
pub mod runner;
pub mod trials;
