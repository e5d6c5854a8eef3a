//! `keras.utils`.

pub use crate::base::clear_session;
