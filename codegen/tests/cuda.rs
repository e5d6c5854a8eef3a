//! The PTX of the back end `cuda` passes the suite of all back ends, executed thread by thread by `kc-test-device`, where the MLIR plug-in
//! is built.

use kc_codegen::Backend;
use kc_codegen::conformance::{Execute, Subject, files, functions, random};
use kc_codegen::cuda::{Architecture, Cuda};
use kc_codegen::mlir::NotAvailable;
use kc_ir::DType;
use kc_ir::kernel::interpret::MultiplyAddRounding;
use kc_ir::kernel::{Instruction, Kernel, Statement};
use kc_test_device::execute::{Launch, launch};
use kc_test_device::memory::Memory;
use kc_test_device::ptx::{Module, parse};
use std::ops::Range;

/// Bytes of the device's memory.
const MEMORY: u64 = 1 << 30;

/// The back end, and its name with the architecture.
struct OnDevice(Cuda, String);

struct Loaded(Module);

/// Without a plug-in there is nothing to test; one that cannot be used is a failure.
fn subject(architecture: Architecture) -> Option<OnDevice> {
    match Cuda::new(architecture) {
        Ok(backend) => Some(OnDevice(backend, format!("cuda {architecture}"))),
        Err(error @ NotAvailable::Missing(_)) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Whether a GPU has what the statements need; the back end refuses kernels that call the runtime's library, interleave lanes or
/// sum groups of them.
fn has_code(statements: &[Statement]) -> bool {
    statements.iter().all(|statement| match statement {
        Statement::Let(_, Instruction::Interleave(..) | Instruction::MultiplyAddGroups(..)) => false,
        Statement::Let(..) | Statement::Store { .. } | Statement::Prefetch { .. } => true,
        Statement::For(_) | Statement::If(_) => statement.blocks().all(has_code),
        Statement::StoreTiles(..)
        | Statement::StoreSpaced(..)
        | Statement::Copy(_)
        | Statement::CommitCopies
        | Statement::AwaitCopies { .. } => true,
        Statement::Gemm(_) | Statement::Library(_) => false,
    })
}

impl Subject for OnDevice {
    fn name(&self) -> &str {
        &self.1
    }

    fn rounding(&self) -> MultiplyAddRounding {
        MultiplyAddRounding::Once
    }

    fn takes(&self, kernel: &Kernel) -> bool {
        has_code(&kernel.body)
    }

    fn load(&self, kernels: &[Kernel]) -> Result<Box<dyn Execute>, String> {
        let image = self.0.compile(kernels).map_err(|error| error.to_string())?;
        let text = String::from_utf8(image.bytes).map_err(|error| error.to_string())?;
        Ok(Box::new(Loaded(parse(&text)?)))
    }
}

impl Execute for Loaded {
    fn run(
        &self,
        number: usize,
        kernel: &Kernel,
        buffers: &mut [Vec<u8>],
        dims: &[i64],
        tasks: Range<i64>,
    ) -> Result<(), String> {
        let name = format!("kernel_{number}");
        let function = self.0.functions.iter().find(|function| function.name == name);
        let function = function.ok_or_else(|| format!("there is no {name}"))?;
        let mut memory = Memory::new(MEMORY);
        let mut parameters = Vec::new();
        let mut places = Vec::new();
        for bytes in buffers.iter() {
            // an empty buffer has an address too, where nothing may be touched
            let place = memory.allocate(bytes.len().max(1) as u64).ok_or("the device has not enough memory")?;
            memory.bytes(place, bytes.len())?.copy_from_slice(bytes);
            parameters.extend(place.to_le_bytes());
            places.push(place);
        }
        dims.iter().for_each(|dim| parameters.extend(dim.to_le_bytes()));
        let threads = kernel.block_threads();
        if function.required_threads != Some([threads, 1, 1]) {
            return Err(format!("{name} requires {:?} threads, the kernel says {threads}", function.required_threads));
        }
        let (grid, block) = ([tasks.end as u32, 1, 1], [threads, 1, 1]);
        // one after the other: the suite's kernels need not have tasks that are independent
        for task in tasks.start as u64..tasks.end as u64 {
            let given = Launch { function, grid, block, blocks: task..task + 1, parameters: &parameters };
            launch(&mut memory, &given).map_err(|fault| fault.to_string())?;
        }
        for (bytes, place) in buffers.iter_mut().zip(places) {
            let length = bytes.len();
            bytes.copy_from_slice(memory.bytes(place, length)?);
        }
        Ok(())
    }
}

fn passes(result: Result<(), String>) {
    if let Err(failures) = result {
        panic!("{failures}");
    }
}

#[test]
fn kernels_in_files() {
    for architecture in Architecture::ALL {
        if let Some(subject) = subject(architecture) {
            passes(files::run(&subject));
        }
    }
}

#[test]
fn every_basic_function_of_floats() {
    every_basic_function(Architecture::Sm80, DType::is_float);
}

#[test]
fn every_basic_function_of_integers() {
    every_basic_function(Architecture::Sm80, |dtype| !dtype.is_float());
}

/// Later GPUs have instructions of their own for floats.
#[test]
fn every_basic_function_of_floats_on_sm_90a() {
    every_basic_function(Architecture::Sm90a, DType::is_float);
}

#[test]
fn every_basic_function_of_floats_on_sm_100a() {
    every_basic_function(Architecture::Sm100a, DType::is_float);
}

fn every_basic_function(architecture: Architecture, of: impl Fn(DType) -> bool) {
    if let Some(subject) = subject(architecture) {
        let dtypes: Vec<DType> = DType::ALL.iter().copied().filter(|dtype| of(*dtype)).collect();
        passes(functions::run(&subject, &dtypes));
    }
}

#[test]
fn random_kernels() {
    if let Some(subject) = subject(Architecture::Sm80) {
        passes(random::run(&subject, random::seeds()));
    }
}

#[test]
fn random_kernels_on_sm_100a() {
    if let Some(subject) = subject(Architecture::Sm100a) {
        passes(random::run(&subject, random::seeds()));
    }
}
