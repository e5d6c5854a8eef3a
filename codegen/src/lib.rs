//! From kernels to machine code.
//!
//! * [`Backend`]: what a code generator is; [`CodeImage`]: what it makes.

mod backend;
mod image;

pub use backend::{Backend, CodegenError, Form};
pub use image::CodeImage;
