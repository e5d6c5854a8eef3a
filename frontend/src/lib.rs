//! kc

pub mod datasets;
