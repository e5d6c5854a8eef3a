//! What executes packages that are not for this processor.

#[cfg(feature = "cuda")]
use super::cuda;
use super::execute::Limits;
#[cfg(feature = "pjrt")]
use super::xla;
use super::{Argument, DeviceOptions, SessionError, is_for_gpu};
use crate::array::Array;
use kc_abi::manifest::{Manifest, StateTensor};

/// Where the package runs. The state's present values lie there; what the host has of them, each knows.
pub(super) enum Device {
    /// The devices of a PJRT plug-in.
    #[cfg(feature = "pjrt")]
    Xla(Box<xla::Device>),
    /// A GPU of NVIDIA's.
    #[cfg(feature = "cuda")]
    Cuda(Box<cuda::Device>),
}

/// The same call of whichever it is.
macro_rules! each {
    ($self:ident, $device:ident => $call:expr) => {
        match $self {
            #[cfg(feature = "pjrt")]
            Device::Xla($device) => $call,
            #[cfg(feature = "cuda")]
            Device::Cuda($device) => $call,
        }
    };
}

impl Device {
    pub(super) fn new(
        manifest: &Manifest,
        code: &[u8],
        constants: &[u8],
        options: &DeviceOptions,
    ) -> Result<Self, SessionError> {
        #[cfg(feature = "cuda")]
        if is_for_gpu(&manifest.code) {
            return Ok(Device::Cuda(Box::new(cuda::Device::new(manifest, code, constants)?)));
        }
        #[cfg(feature = "pjrt")]
        if !is_for_gpu(&manifest.code) {
            return Ok(Device::Xla(Box::new(xla::Device::new(manifest, code, options)?)));
        }
        // one of the features is missing
        let _ = (constants, options, code);
        Err(SessionError::OnDevice { target: manifest.code.target.clone() })
    }

    pub(super) fn code(&self) -> &[u8] {
        each!(self, device => device.code())
    }

    /// Brings the value of a state tensor to the host.
    pub(super) fn read(&mut self, index: usize, tensor: &StateTensor, host: &mut Array) -> Result<(), SessionError> {
        match self {
            #[cfg(feature = "pjrt")]
            Device::Xla(device) => device.read(index, tensor, host),
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => {
                let _ = tensor;
                device.read(index, host)
            }
        }
    }

    /// Notes that the host's value of a state tensor is the one that counts.
    pub(super) fn replaced(&mut self, index: usize) {
        each!(self, device => device.replaced(index));
    }

    /// Waits until all that was started has ended.
    pub(super) fn wait(&mut self) -> Result<(), SessionError> {
        each!(self, device => device.wait())
    }

    /// Starts an entry point, and waits for its outputs.
    pub(super) fn run<A: Argument>(
        &mut self,
        manifest: &Manifest,
        entry: usize,
        inputs: &[A],
        state: &[Array],
        outputs: &mut Vec<Array>,
        limits: Limits<'_>,
    ) -> Result<(), SessionError> {
        match self {
            // its devices, once started, look at no limits
            #[cfg(feature = "pjrt")]
            Device::Xla(device) => {
                let _ = limits;
                device.run(manifest, entry, inputs, state, outputs)
            }
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => device.run(manifest, entry, inputs, state, outputs, limits),
        }
    }
}
