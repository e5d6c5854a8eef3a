//! Buffers on devices, and events.

use super::api::{Plugin, arguments, call};
use super::bindings::*;
use super::{Client, PjrtError};
use std::fmt;

/// A tensor on a device.
pub struct Buffer {
    client: Client,
    buffer: *mut PJRT_Buffer,
}

// SAFETY: the API's objects may be used from any thread.
unsafe impl Send for Buffer {}

impl fmt::Debug for Buffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Buffer({:?})", self.client)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut destroy = arguments!(PJRT_Buffer_Destroy_Args { buffer: self.buffer });
        let _ = call!(self.client.plugin(), PJRT_Buffer_Destroy, destroy);
    }
}

impl Buffer {
    pub(super) fn new(client: Client, buffer: *mut PJRT_Buffer) -> Self {
        Buffer { client, buffer }
    }

    pub(super) fn raw(&self) -> *mut PJRT_Buffer {
        self.buffer
    }

    /// The elements, row-major, when they are computed.
    pub(super) fn read(&self, bytes: &mut [u8]) -> Result<(), PjrtError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let plugin = self.client.plugin();
        let mut size = arguments!(PJRT_Buffer_ToHostBuffer_Args { src: self.buffer });
        call!(plugin, PJRT_Buffer_ToHostBuffer, size)?;
        if size.fields.dst_size != bytes.len() {
            let message = format!("a buffer has {} bytes, expected {}", size.fields.dst_size, bytes.len());
            return Err(PjrtError::Xla { function: "PJRT_Buffer_ToHostBuffer", message });
        }
        let mut read = arguments!(PJRT_Buffer_ToHostBuffer_Args {
            src: self.buffer,
            dst: bytes.as_mut_ptr().cast(),
            dst_size: bytes.len(),
        });
        call!(plugin, PJRT_Buffer_ToHostBuffer, read)?;
        Event::new(plugin, read.fields.event).wait()
    }
}

/// The end of something that a device does.
pub struct Event {
    plugin: &'static Plugin,
    event: *mut PJRT_Event,
}

// SAFETY: the API's objects may be used from any thread.
unsafe impl Send for Event {}

impl fmt::Debug for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Event")
    }
}

impl Event {
    pub(super) fn new(plugin: &'static Plugin, event: *mut PJRT_Event) -> Self {
        Event { plugin, event }
    }

    /// Waits for it; its error, where it failed.
    pub fn wait(self) -> Result<(), PjrtError> {
        if self.event.is_null() {
            return Ok(());
        }
        let mut wait = arguments!(PJRT_Event_Await_Args { event: self.event });
        call!(self.plugin, PJRT_Event_Await, wait)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if !self.event.is_null() {
            let mut destroy = arguments!(PJRT_Event_Destroy_Args { event: self.event });
            let _ = call!(self.plugin, PJRT_Event_Destroy, destroy);
        }
    }
}
