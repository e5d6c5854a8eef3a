//! The passes of kc: from a traced graph to kernels with planned buffers.
//!
//! A pass is a function from a graph (or a program) and options to a new one; nothing here does I/O, reads a clock or keeps
//! global state.

mod dot;
mod hoist;
mod memory;
mod region;
pub mod saturate;
mod schedule;
mod simplify;
mod target;
mod traffic;

pub use dot::dot;
pub use hoist::hoist;
pub use kc_ir::tensor::differentiate;
pub use memory::plan;
pub use saturate::{MathMode, RuleChoice, Saturation, SaturationOptions, SaturationReport, Takes, saturate};
pub use schedule::{register_tiles, schedule, schedule_apart};
pub use simplify::simplify;
pub use target::{Contraction, CostConstants, Factors, TF32, Target, TileTime, WinogradCost};
pub use traffic::{Counted, Traffic, count, is_part_of_reader, traffic, unfused};
