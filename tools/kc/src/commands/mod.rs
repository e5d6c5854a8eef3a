//! The subcommands.

mod ablate;
mod bench;
mod compile;
mod doctor;
mod embed;
mod evaluate;
mod explain;
mod fit;
mod inspect;
mod library;
mod package;
mod predict;
mod sign;
mod summary;
mod tune;

/// What tables of kernels and bytes count.
const COUNTED: &str = "kernels: launches a call, in each round of loops, several kernels that are launched as one as one\n\
     MB: what they read and write, each buffer once a kernel\n\
     kept: what a call repeats only when the weights have changed, counted apart";

pub use bench::bench;
pub use compile::compile;
pub use doctor::doctor;
pub use evaluate::evaluate;
pub use explain::explain;
pub use fit::fit;
pub use inspect::inspect;
pub use package::{merge, strip, verify};
pub use predict::predict;
pub use sign::{keygen, sign};
pub use summary::summary;
pub use tune::tune;
