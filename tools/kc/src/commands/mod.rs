//! The subcommands.

mod summary;

pub use summary::summary;
