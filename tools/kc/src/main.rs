//! kc-tool
fn main() {}
