//! `keras.mixed_precision`: older names of what [`dtype_policies`](crate::dtype_policies) and [`config`](crate::config) have.

pub use crate::optimizers::LossScaleOptimizer;

pub use crate::dtype_policies::{
    DTypePolicy, DTypePolicy as Policy, dtype_policy, dtype_policy as global_policy, set_dtype_policy,
    set_dtype_policy as set_global_policy,
};
