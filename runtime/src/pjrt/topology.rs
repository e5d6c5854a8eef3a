//! Devices that are described, not present: compiling ahead of time.

use super::api::{Plugin, arguments, call, mlir, text};
use super::bindings::*;
use super::executable::Program;
use super::{Analysis, CompileOptions, PjrtError};

/// A description of devices, such as `v5e:2x2`.
pub struct Topology {
    plugin: &'static Plugin,
    topology: *mut PJRT_TopologyDescription,
    kinds: Vec<String>,
}

impl Drop for Topology {
    fn drop(&mut self) {
        let mut destroy = arguments!(PJRT_TopologyDescription_Destroy_Args { topology: self.topology });
        let _ = call!(self.plugin, PJRT_TopologyDescription_Destroy, destroy);
    }
}

/// A program that was compiled for devices that are not here.
pub struct Compiled(Program);

impl Compiled {
    /// The program as bytes, for [`Client::load`](super::Client::load) where the devices are.
    pub fn serialize(&self) -> Result<Vec<u8>, PjrtError> {
        self.0.serialize()
    }

    /// What XLA says that it costs.
    pub fn analysis(&self) -> Analysis {
        self.0.analysis()
    }

    /// The program after XLA's passes: an `HloModuleProto`.
    pub fn optimised(&self) -> Result<Vec<u8>, PjrtError> {
        self.0.optimised()
    }
}

impl Topology {
    /// The devices of that name.
    pub fn new(plugin: &'static Plugin, name: &str) -> Result<Self, PjrtError> {
        let unknown = |message: String| PjrtError::Topology { name: name.into(), message };
        if name.is_empty() {
            return Err(unknown("the name is empty".into()));
        }
        let mut create = arguments!(PJRT_TopologyDescription_Create_Args {
            topology_name: name.as_ptr().cast(),
            topology_name_size: name.len(),
        });
        call!(plugin, PJRT_TopologyDescription_Create, create).map_err(|error| match error {
            PjrtError::Xla { message, .. } => unknown(message),
            other => other,
        })?;
        let mut topology = Topology { plugin, topology: create.fields.topology, kinds: Vec::new() };
        let mut descriptions =
            arguments!(PJRT_TopologyDescription_GetDeviceDescriptions_Args { topology: topology.topology });
        call!(plugin, PJRT_TopologyDescription_GetDeviceDescriptions, descriptions)?;
        for i in 0..descriptions.fields.num_descriptions {
            // SAFETY: within the list.
            let device_description = unsafe { *descriptions.fields.descriptions.add(i) };
            let mut kind = arguments!(PJRT_DeviceDescription_Kind_Args { device_description: device_description });
            call!(plugin, PJRT_DeviceDescription_Kind, kind)?;
            // SAFETY: what the plug-in gave.
            topology.kinds.push(unsafe { text(kind.fields.device_kind, kind.fields.device_kind_size) });
        }
        Ok(topology)
    }

    /// The kind of each device, such as `TPU v5 lite`.
    pub fn kinds(&self) -> &[String] {
        &self.kinds
    }

    /// Compiles StableHLO text for the devices.
    pub fn compile(&self, code: &str, options: &CompileOptions) -> Result<Compiled, PjrtError> {
        let mut code = code.as_bytes().to_vec();
        let mut name = arguments!(PJRT_TopologyDescription_PlatformName_Args { topology: self.topology });
        call!(self.plugin, PJRT_TopologyDescription_PlatformName, name)?;
        // SAFETY: what the plug-in gave, which lives as long as the topology.
        let platform = unsafe { text(name.fields.platform_name, name.fields.platform_name_size) };
        let devices: Vec<u64> = (0..options.partitions as u64).collect();
        let options = options.encode(&platform, &devices);
        let program = mlir(&mut code);
        let mut compile = arguments!(PJRT_Compile_Args {
            topology: self.topology,
            program: &raw const program.fields,
            compile_options: options.as_ptr().cast(),
            compile_options_size: options.len(),
        });
        call!(self.plugin, PJRT_Compile, compile)?;
        Ok(Compiled(Program::new(self.plugin, compile.fields.executable)?))
    }
}
