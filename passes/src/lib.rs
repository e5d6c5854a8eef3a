//! kc-passes
