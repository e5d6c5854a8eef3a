//! XLA's plug-ins: a small safe client of the PJRT C API.
//!
//! A plug-in is a shared library that exports `GetPjrtApi`. It compiles StableHLO, holds buffers on its devices and executes.
//!
//! * [`Plugin`]: an opened plug-in; [`find`] looks for one.
//! * [`Client`]: its devices; [`Executable`], [`Buffer`]: what lies on them.
//! * [`Processes`]: several processes whose plug-ins make one client of the devices of all.
//! * [`Topology`]: devices that are not here, which can be compiled for all the same.
//!
//! The API's structs only grow and say their size, so every argument is followed by zeros that a newer plug-in reads as "not
//! given", and a function that an older plug-in lacks is a [`PjrtError::Old`].

mod api;
#[allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    dead_code,
    unused,
    clippy::all,
    clippy::undocumented_unsafe_blocks
)]
mod bindings {
    //! What bindgen makes of `pjrt_c_api.h` of PJRT 0.90.
    include!("bindings.rs");
}
mod buffer;
mod client;
mod error;
mod executable;
mod find;
mod options;
mod processes;
mod store;
mod topology;

pub use api::Plugin;
pub use buffer::{Buffer, Event};
pub use client::{Client, Device};
pub use error::PjrtError;
pub use executable::{Analysis, Executable, Memory};
pub use find::{Found, INSTALL, VARIABLE, candidates, find};
pub use options::CompileOptions;
pub use processes::Processes;
pub use store::{Server, Store, StoreError};
pub use topology::{Compiled, Topology};
