//! kc-macros
