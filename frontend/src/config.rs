//! `keras.config`: what holds for everything that a thread makes.

pub use crate::dtype_policies::{dtype_policy, set_dtype_policy};
