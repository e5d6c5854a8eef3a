//! kc-tests
