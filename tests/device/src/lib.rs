//! A GPU for tests. [`ptx`] reads what the back end writes, [`execute`] executes a launch of it thread by thread and finds what a GPU
//! would leave undefined, and `driver` stands in the place of NVIDIA's `libcuda.so`, so that the runtime which real devices see is
//! tested where there is none. It computes as the PTX ISA says, but knows only the instructions that the back end emits, has no notion of
//! time, and is no proof that NVIDIA's own driver accepts a program: `ptxas` is asked for that.

mod driver;
pub mod execute;
mod matrix;
pub mod memory;
pub mod ptx;
