//! kc
