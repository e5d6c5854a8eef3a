//! The Cranelift back end passes the suite of all back ends.

#![cfg(unix)]

use kc_codegen::conformance::{files, functions, programs, random};
use kc_codegen::{Backend, CodeImage, CodegenError, Cranelift, Form};
use kc_ir::DType;
use kc_ir::kernel::{Kernel, parse_kernel, parse_kernels, print_kernels};
use kc_passes::Target;

fn passes(result: Result<(), String>) {
    if let Err(failures) = result {
        panic!("{failures}");
    }
}

#[test]
fn kernels_in_files() {
    passes(files::run(&Cranelift::new().unwrap()));
}

#[test]
fn every_basic_function() {
    passes(functions::run(&Cranelift::new().unwrap(), DType::ALL));
}

#[test]
fn whole_programs() {
    passes(programs::run(&Cranelift::new().unwrap()));
}

#[test]
fn random_kernels() {
    passes(random::run(&Cranelift::new().unwrap(), random::seeds()));
}

#[test]
fn images_are_the_same_each_time() {
    let kernels: Vec<_> = (0..9)
        .map(|i| {
            let text = format!(
                "kernel k{i}(x: f32 readwrite; dims 1) task t0 {{
                   %0: f32x8 = load x[t0*8] count d0
                   %1: f32x8 = constant {i}.0
                   %2: f32x8 = add %0, %1
                   store x[t0*8], %2 count d0
                 }}"
            );
            parse_kernel(&text).unwrap()
        })
        .collect();
    let backend = Cranelift::new().unwrap();
    let image = backend.compile(&kernels).unwrap();
    assert_eq!(image, backend.compile(&kernels).unwrap());
    assert_eq!(image.kernel_offsets.len(), kernels.len());
    assert!(image.kernel_offsets.iter().all(|offset| offset % 64 == 0));
    let clif = backend.emit(&kernels[..1], Form::Clif).unwrap();
    assert!(clif.contains("; kernel k0\n") && clif.contains("fadd"), "{clif}");
    let assembly = backend.emit(&kernels[..1], Form::Asm).unwrap();
    assert!(assembly.contains("; kernel k0\n") && assembly.contains("ret"), "{assembly}");
    let error = backend.emit(&kernels, Form::Llvm).unwrap_err().to_string();
    assert_eq!(error, "the back end cranelift has no form `llvm`; expected one of: clif, asm");
}

#[test]
fn what_cannot_be_translated_is_an_error() {
    let backend = Cranelift::new().unwrap();
    let refusal = |body: &str| {
        let text = format!("kernel k(x: f32 readwrite; dims 0) task t0 {{\n%0: f32 = load x[0]\n{body}\n}}");
        backend.compile(&[parse_kernel(&text).unwrap()]).unwrap_err().to_string()
    };
    assert_eq!(
        refusal("%1: f32 = exp %0"),
        "the back end cranelift cannot translate kernel `k`: `exp` is not lowered to basic functions"
    );
    assert_eq!(
        refusal("%1: f32 = power %0, %0"),
        "the back end cranelift cannot translate kernel `k`: `power` of f32 is not lowered to basic functions"
    );
    assert_eq!(
        refusal("%1: f32 = negate %2"),
        "the back end cranelift cannot translate kernel `k`: kernel `k`, %1: there is no register %2"
    );
}

/// A back end that translates something else.
struct Mutant {
    backend: Cranelift,
    from: &'static str,
    to: &'static str,
}

impl Backend for Mutant {
    fn name(&self) -> &'static str {
        "mutant"
    }
    fn target(&self) -> &Target {
        self.backend.target()
    }

    fn target_mut(&mut self) -> &mut Target {
        self.backend.target_mut()
    }
    fn compile(&self, kernels: &[Kernel]) -> Result<CodeImage, CodegenError> {
        let text = print_kernels(kernels).replace(self.from, self.to);
        self.backend.compile(&parse_kernels(&text).unwrap())
    }
    fn emit(&self, kernels: &[Kernel], form: Form) -> Result<String, CodegenError> {
        self.backend.emit(kernels, form)
    }
}

#[test]
fn the_suite_catches_mutants() {
    for (from, to) in [
        (" maximum ", " minimum "),
        (" less ", " less_equal "),
        (" add ", " subtract "),
        (" + 1]", "]"),
        ("reduce_max", "reduce_min"),
        (" step 2 ", " step 1 "),
        ("yield %5, %4", "yield %4, %5"),
        ("//", "%"),
        ("+= ", "= "),
    ] {
        let mutant = Mutant { backend: Cranelift::new().unwrap(), from, to };
        assert!(files::run(&mutant).is_err(), "files do not notice `{from}` translated as `{to}`");
    }
    for (from, to) in [
        (" subtract ", " add "),
        (" floor ", " trunc "),
        (" greater_equal ", " greater "),
        (" count_leading_zeros ", " population_count "),
        (" shift_right ", " shift_left "),
        (" reduce_product ", " reduce_sum "),
        (" ceil ", " round_even "),
    ] {
        let mutant = Mutant { backend: Cranelift::new().unwrap(), from, to };
        assert!(
            functions::run(&mutant, &[DType::F32, DType::I32]).is_err(),
            "functions do not notice `{from}` translated as `{to}`"
        );
    }
    for (from, to) in [(" subtract ", " add "), (" reduce_product ", " reduce_sum ")] {
        let mutant = Mutant { backend: Cranelift::new().unwrap(), from, to };
        let failure = random::run(&mutant, 0..60).expect_err("random kernels do not notice");
        assert!(failure.contains(from), "the failure does not show `{from}`:\n{failure}");
        assert!(failure.lines().count() < 30, "the failure is not small:\n{failure}");
    }
}
