//! MLIR text to machine code: MLIR's conversion to LLVM IR, LLVM's passes, LLVM's code generation.

use crate::cpu::Cpu;
use inkwell::OptimizationLevel;
use inkwell::attributes::AttributeLoc;
use inkwell::context::{AsContextRef, Context as LlvmContext};
use inkwell::llvm_sys::core::LLVMSetPersonalityFn;
use inkwell::memory_buffer::MemoryBuffer;
use inkwell::module::{Linkage, Module as LlvmModule};
use inkwell::passes::PassBuilderOptions;
use inkwell::targets::{
    CodeModel, FileType, InitializationConfig, RelocMode, Target, TargetMachine, TargetMachineOptions, TargetTriple,
};
use inkwell::values::{AsValueRef, FunctionValue};
use melior::Context;
use melior::dialect::DialectRegistry;
use melior::ir::Module;
use melior::pass::PassManager;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Once;

/// LLVM's passes. Loops and vectors come as they shall be: nothing is unrolled, vectorised or interleaved here.
pub const PASSES: &str = "function(early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,\
    loop-mssa(loop-rotate,licm<allowspeculation>),gvn,instcombine<no-verify-fixpoint>,simplifycfg,\
    loop(loop-instsimplify,indvars))";

/// The scalar functions of the runtime's table for GPUs, as LLVM's bitcode: see `device/`.
pub const DEVICE_MATH: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/device_math.bc"));

/// MLIR or LLVM refused what it was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{stage}: {message}")]
pub struct MachineError {
    /// Which step failed.
    pub stage: &'static str,
    /// What it said.
    pub message: String,
}

fn fail(stage: &'static str) -> impl Fn(String) -> MachineError {
    move |message| MachineError { stage, message }
}

/// Makes the functions that are not named, and all data, invisible outside of the module.
pub fn export_only(module: &LlvmModule, names: &[String]) {
    for function in module.get_functions() {
        let exported = function.get_name().to_str().is_ok_and(|name| names.iter().any(|exported| exported == name));
        if function.count_basic_blocks() > 0 && !exported {
            function.set_linkage(Linkage::Internal);
        }
    }
}

/// Compiles modules, one after the other, on one thread.
pub struct Machine {
    mlir: Context,
    diagnostics: Rc<RefCell<Vec<String>>>,
    llvm: LlvmContext,
    target: TargetMachine,
    triple: TargetTriple,
}

impl Machine {
    /// A compiler for that CPU.
    pub fn new(cpu: &Cpu) -> Result<Self, MachineError> {
        static TARGETS: Once = Once::new();
        TARGETS.call_once(|| {
            Target::initialize_x86(&InitializationConfig::default());
            Target::initialize_aarch64(&InitializationConfig::default());
            Target::initialize_webassembly(&InitializationConfig::default());
            Target::initialize_nvptx(&InitializationConfig::default());
        });
        let triple = TargetTriple::create(cpu.triple());
        let options = TargetMachineOptions::default()
            .set_cpu(cpu.base())
            .set_features(&cpu.llvm_features())
            .set_level(OptimizationLevel::Aggressive)
            .set_reloc_mode(if cpu.is_wasm() { RelocMode::Static } else { RelocMode::PIC })
            .set_code_model(CodeModel::Small);
        let target = Target::from_triple(&triple)
            .map_err(|error| fail("target")(error.to_string()))?
            .create_target_machine_from_options(&triple, options)
            .ok_or_else(|| fail("target")(format!("LLVM makes no code for `{}`", cpu.triple())))?;
        let registry = DialectRegistry::new();
        melior::utility::register_all_dialects(&registry);
        let mlir = Context::new_with_registry(&registry, false);
        melior::utility::register_all_llvm_translations(&mlir);
        let diagnostics = Rc::new(RefCell::new(Vec::new()));
        let sink = diagnostics.clone();
        mlir.attach_diagnostic_handler(move |diagnostic| {
            sink.borrow_mut().push(format!("{}: {diagnostic}", diagnostic.location()));
            true
        });
        Ok(Machine { mlir, diagnostics, llvm: LlvmContext::create(), target, triple })
    }

    fn diagnosed(&self, stage: &'static str) -> MachineError {
        let messages: Vec<String> = self.diagnostics.borrow_mut().drain(..).collect();
        fail(stage)(messages.join("\n"))
    }

    /// Parses and verifies MLIR text and converts it to LLVM IR.
    pub fn module(&self, text: &str) -> Result<LlvmModule<'_>, MachineError> {
        let mut module = Module::parse(&self.mlir, text).ok_or_else(|| self.diagnosed("MLIR"))?;
        let passes = PassManager::new(&self.mlir);
        passes.enable_verifier(cfg!(debug_assertions));
        passes.add_pass(melior::pass::conversion::create_scf_to_control_flow());
        passes.add_pass(melior::pass::conversion::create_to_llvm());
        passes.add_pass(melior::pass::conversion::create_reconcile_unrealized_casts());
        passes.run(&mut module).map_err(|_| self.diagnosed("conversion to LLVM"))?;
        // SAFETY: the module is in the LLVM dialect, the context outlives the result, which the caller of the translation owns.
        let module = unsafe {
            let raw = mlir_sys::mlirTranslateModuleToLLVMIR(
                module.as_operation().to_raw(),
                (&self.llvm).as_ctx_ref() as *mut _,
            );
            if raw.is_null() {
                return Err(self.diagnosed("translation to LLVM IR"));
            }
            LlvmModule::new(raw as *mut _)
        };
        module.set_triple(&self.triple);
        module.set_data_layout(&self.target.get_target_data().get_data_layout());
        Ok(module)
    }

    /// Links the scalar functions that kernels for a GPU call with them.
    pub fn link_device_math<'m>(&'m self, module: &LlvmModule<'m>) -> Result<(), MachineError> {
        let names: Vec<String> = module
            .get_functions()
            .filter(|function| function.count_basic_blocks() > 0)
            .map(|function| function.get_name().to_string_lossy().into_owned())
            .collect();
        let is_called = |function: &FunctionValue<'_>| function.get_name().to_bytes().starts_with(b"kc_math_");
        if !module.get_functions().any(|function| is_called(&function)) {
            return Ok(());
        }
        let bitcode = MemoryBuffer::create_from_memory_range_copy(DEVICE_MATH, "device math");
        let math = self.llvm.create_module_from_ir(bitcode).map_err(|error| fail("device math")(error.to_string()))?;
        // the standard library's functions come with places of its source
        math.strip_debug_info();
        math.set_triple(&self.triple);
        math.set_data_layout(&self.target.get_target_data().get_data_layout());
        for function in math.get_functions() {
            // what the processor has that the bitcode was made on
            for attribute in ["target-cpu", "target-features", "probe-stack"] {
                function.remove_string_attribute(AttributeLoc::Function, attribute);
            }
            // threads that jump by a table part from each other, for tables as short as these
            let branches = self.llvm.create_string_attribute("no-jump-tables", "true");
            function.add_attribute(AttributeLoc::Function, branches);
            if function.has_personality_function() {
                // SAFETY: the function is the module's; without a personality nothing is unwound, and nothing is
                unsafe { LLVMSetPersonalityFn(function.as_value_ref(), std::ptr::null_mut()) };
            }
        }
        module.link_in_module(math).map_err(|error| fail("device math")(error.to_string()))?;
        export_only(module, &names);
        self.optimize(module, "globaldce")
    }

    /// Runs LLVM's passes.
    pub fn optimize(&self, module: &LlvmModule, passes: &str) -> Result<(), MachineError> {
        module
            .run_passes(passes, &self.target, PassBuilderOptions::create())
            .map_err(|error| fail("LLVM's passes")(error.to_string()))
    }

    /// The module as an object file.
    pub fn object(&self, module: &LlvmModule) -> Result<Vec<u8>, MachineError> {
        self.emit(module, FileType::Object)
    }

    /// The module as assembly text.
    pub fn assembly(&self, module: &LlvmModule) -> Result<String, MachineError> {
        let bytes = self.emit(module, FileType::Assembly)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_string())
    }

    fn emit(&self, module: &LlvmModule, form: FileType) -> Result<Vec<u8>, MachineError> {
        let buffer = self.target.write_to_memory_buffer(module, form);
        let buffer = buffer.map_err(|error| fail("code generation")(error.to_string()))?;
        Ok(buffer.as_slice().to_vec())
    }
}
