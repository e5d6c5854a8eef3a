//! Compiled programs.

use super::api::{Plugin, arguments, call, named_values};
use super::bindings::*;
use super::{Buffer, Client, Event, PjrtError};
use std::fmt;

/// A program that is loaded onto devices.
pub struct Executable {
    client: Client,
    loaded: *mut PJRT_LoadedExecutable,
    program: Program,
}

// SAFETY: the API's objects may be used from any thread.
unsafe impl Send for Executable {}

impl fmt::Debug for Executable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Executable({:?}, {} results)", self.client, self.program.results)
    }
}

impl Drop for Executable {
    fn drop(&mut self) {
        let mut destroy = arguments!(PJRT_LoadedExecutable_Destroy_Args { executable: self.loaded });
        let _ = call!(self.client.plugin(), PJRT_LoadedExecutable_Destroy, destroy);
    }
}

/// What XLA says that a program costs; what it does not say is 0 or absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Analysis {
    /// Floating-point operations of one execution.
    pub flops: f64,
    /// Bytes that one execution moves.
    pub bytes_accessed: f64,
    /// Seconds that one execution takes, by XLA's model of the device.
    pub seconds: Option<f64>,
    /// Memory, where XLA says it.
    pub memory: Option<Memory>,
}

/// Bytes of a program on a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Its code.
    pub code: i64,
    /// Its arguments.
    pub arguments: i64,
    /// Its results.
    pub results: i64,
    /// Results that lie where donated arguments do.
    pub donated: i64,
    /// What it needs besides.
    pub temporary: i64,
    /// The most at one time.
    pub peak: i64,
}

/// A compiled program, loaded or not.
pub(super) struct Program {
    plugin: &'static Plugin,
    executable: *mut PJRT_Executable,
    results: usize,
}

impl Drop for Program {
    fn drop(&mut self) {
        let mut destroy = arguments!(PJRT_Executable_Destroy_Args { executable: self.executable });
        let _ = call!(self.plugin, PJRT_Executable_Destroy, destroy);
    }
}

impl Program {
    pub(super) fn new(plugin: &'static Plugin, executable: *mut PJRT_Executable) -> Result<Self, PjrtError> {
        let mut program = Program { plugin, executable, results: 0 };
        let mut outputs = arguments!(PJRT_Executable_NumOutputs_Args { executable: executable });
        call!(plugin, PJRT_Executable_NumOutputs, outputs)?;
        program.results = outputs.fields.num_outputs;
        Ok(program)
    }

    pub(super) fn serialize(&self) -> Result<Vec<u8>, PjrtError> {
        let mut serialize = arguments!(PJRT_Executable_Serialize_Args { executable: self.executable });
        call!(self.plugin, PJRT_Executable_Serialize, serialize)?;
        let given = &serialize.fields;
        // SAFETY: what the plug-in gave, which lives until its deleter is called, once.
        unsafe {
            let bytes = given.serialized_bytes.cast::<u8>();
            let copied = if bytes.is_null() {
                Vec::new()
            } else {
                std::slice::from_raw_parts(bytes, given.serialized_bytes_size).to_vec()
            };
            if let Some(delete) = given.serialized_executable_deleter {
                delete(given.serialized_executable);
            }
            Ok(copied)
        }
    }

    pub(super) fn analysis(&self) -> Analysis {
        let mut analysis = Analysis::default();
        let mut cost = arguments!(PJRT_Executable_GetCostAnalysis_Args { executable: self.executable });
        if call!(self.plugin, PJRT_Executable_GetCostAnalysis, cost).is_ok() {
            // SAFETY: what the plug-in gave, which lives as long as the executable.
            let values = unsafe { named_values(cost.fields.properties, cost.fields.num_properties) };
            let number = |name: &str| values.get(name).and_then(|value| value.parse::<f64>().ok());
            analysis.flops = number("flops").unwrap_or_default();
            analysis.bytes_accessed = number("bytes accessed").unwrap_or_default();
            analysis.seconds = number("optimal_seconds").filter(|seconds| *seconds > 0.0);
        }
        let mut memory = arguments!(PJRT_Executable_GetCompiledMemoryStats_Args { executable: self.executable });
        if call!(self.plugin, PJRT_Executable_GetCompiledMemoryStats, memory).is_ok() {
            let given = &memory.fields;
            analysis.memory = Some(Memory {
                code: given.generated_code_size_in_bytes,
                arguments: given.argument_size_in_bytes,
                results: given.output_size_in_bytes,
                donated: given.alias_size_in_bytes,
                temporary: given.temp_size_in_bytes,
                peak: given.peak_memory_in_bytes,
            });
        }
        analysis
    }

    /// The program after XLA's passes: an `HloModuleProto`.
    pub(super) fn optimised(&self) -> Result<Vec<u8>, PjrtError> {
        // asked without a place, it says how long it is
        let mut size = arguments!(PJRT_Program {});
        let mut get = arguments!(PJRT_Executable_OptimizedProgram_Args {
            executable: self.executable,
            program: &raw mut size.fields,
        });
        call!(self.plugin, PJRT_Executable_OptimizedProgram, get)?;
        let mut bytes = vec![0u8; size.fields.code_size];
        let mut program = arguments!(PJRT_Program { code: bytes.as_mut_ptr().cast(), code_size: bytes.len() });
        get.fields.program = &raw mut program.fields;
        call!(self.plugin, PJRT_Executable_OptimizedProgram, get)?;
        Ok(bytes)
    }
}

impl Executable {
    pub(super) fn new(client: Client, loaded: *mut PJRT_LoadedExecutable) -> Result<Self, PjrtError> {
        let plugin = client.plugin();
        let mut get = arguments!(PJRT_LoadedExecutable_GetExecutable_Args { loaded_executable: loaded });
        if let Err(error) = call!(plugin, PJRT_LoadedExecutable_GetExecutable, get) {
            let mut destroy = arguments!(PJRT_LoadedExecutable_Destroy_Args { executable: loaded });
            let _ = call!(plugin, PJRT_LoadedExecutable_Destroy, destroy);
            return Err(error);
        }
        let program = Program::new(plugin, get.fields.executable)?;
        Ok(Executable { client, loaded, program })
    }

    /// Number of its results.
    pub fn results(&self) -> usize {
        self.program.results
    }

    /// The program as bytes, for [`Client::load`].
    pub fn serialize(&self) -> Result<Vec<u8>, PjrtError> {
        self.program.serialize()
    }

    /// What XLA says that it costs.
    pub fn analysis(&self) -> Analysis {
        self.program.analysis()
    }

    /// The program after XLA's passes: an `HloModuleProto`.
    pub fn optimised(&self) -> Result<Vec<u8>, PjrtError> {
        self.program.optimised()
    }

    /// Starts an execution: `arguments` has a list of buffers for each device, and so has the result. Buffers that the program was told
    /// to be donated are consumed: they must not be read again. Returns before the results are computed; the event is the end.
    pub fn execute(&self, arguments: &[Vec<&Buffer>]) -> Result<(Vec<Vec<Buffer>>, Vec<Event>), PjrtError> {
        let devices = arguments.len();
        let count = arguments.first().map_or(0, Vec::len);
        if arguments.iter().any(|list| list.len() != count) {
            let message = "the devices were given different numbers of arguments".into();
            return Err(PjrtError::Xla { function: "PJRT_LoadedExecutable_Execute", message });
        }
        let lists: Vec<Vec<*mut PJRT_Buffer>> =
            arguments.iter().map(|list| list.iter().map(|buffer| buffer.raw()).collect()).collect();
        let list_pointers: Vec<*const *mut PJRT_Buffer> = lists.iter().map(|list| list.as_ptr()).collect();
        let mut outputs = vec![vec![std::ptr::null_mut::<PJRT_Buffer>(); self.program.results]; devices];
        let output_pointers: Vec<*mut *mut PJRT_Buffer> = outputs.iter_mut().map(|list| list.as_mut_ptr()).collect();
        let mut events = vec![std::ptr::null_mut::<PJRT_Event>(); devices];
        let mut options = arguments!(PJRT_ExecuteOptions {});
        let mut execute = arguments!(PJRT_LoadedExecutable_Execute_Args {
            executable: self.loaded,
            options: &raw mut options.fields,
            argument_lists: list_pointers.as_ptr(),
            num_devices: devices,
            num_args: count,
            output_lists: output_pointers.as_ptr(),
            device_complete_events: events.as_mut_ptr(),
        });
        let plugin = self.client.plugin();
        call!(plugin, PJRT_LoadedExecutable_Execute, execute)?;
        let buffers = |list: Vec<*mut PJRT_Buffer>| {
            list.into_iter().map(|buffer| Buffer::new(self.client.clone(), buffer)).collect()
        };
        Ok((
            outputs.into_iter().map(buffers).collect(),
            events.into_iter().map(|event| Event::new(plugin, event)).collect(),
        ))
    }
}
