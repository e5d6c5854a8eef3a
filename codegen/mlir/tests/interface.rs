//! The C interface: what it gives, and its errors.

use kc_abi::DType;
use kc_ir::kernel::{Access, Index, Kernel, KernelBuilder, print_kernels};
use kc_ir::tensor::ops::Unary;
use kc_mlir::interface::{API_VERSION, Blob, Failure, Options, Output, decode_image};

/// Status and bytes of a call.
fn call(kernels: &[u8], options: &[u8]) -> (i32, Vec<u8>) {
    let mut blob = Blob { data: std::ptr::null_mut(), length: 0, capacity: 0 };
    // SAFETY: the inputs are live, the blob is filled by the call and given back once.
    unsafe {
        let status =
            kc_mlir::kc_mlir_compile(kernels.as_ptr(), kernels.len(), options.as_ptr(), options.len(), &mut blob);
        let bytes = std::slice::from_raw_parts(blob.data, blob.length).to_vec();
        kc_mlir::kc_mlir_free(&mut blob);
        (status, bytes)
    }
}

fn failure(kernels: &[Kernel], options: &str) -> Failure {
    let (status, bytes) = call(print_kernels(kernels).as_bytes(), options.as_bytes());
    assert_eq!(status, 1);
    serde_json::from_slice(&bytes).expect("a failure is JSON")
}

/// Applies a function to sixteen elements.
fn kernel(name: &str, function: Unary) -> Kernel {
    let mut builder = KernelBuilder::new(name);
    let x = builder.parameter("x", DType::F32, Access::ReadWrite);
    let value = builder.load(x, Index::Constant(0), 16, None);
    let value = builder.unary(function, value);
    builder.store(x, Index::Constant(0), value, None);
    builder.finish(0)
}

#[test]
fn an_image_has_every_kernel() {
    assert_eq!(kc_mlir::kc_mlir_api_version(), API_VERSION);
    let kernels: Vec<Kernel> = (0..11).map(|i| kernel(&format!("k{i}"), Unary::Negate)).collect();
    let (status, bytes) = call(print_kernels(&kernels).as_bytes(), b"{}");
    let (header, code) = decode_image(&bytes).expect("an image");
    assert_eq!((status, header.kernel_offsets.len()), (0, 11));
    let mut offsets = header.kernel_offsets.clone();
    offsets.sort_unstable();
    offsets.dedup();
    assert_eq!(offsets.len(), 11);
    assert!(offsets.iter().all(|&offset| offset < code.len() as u64));
    assert!(header.features.is_sorted());
    let (status, bytes) = call(b"", b"{}");
    assert_eq!((status, decode_image(&bytes).expect("an image").0.kernel_offsets.len()), (0, 0));
}

#[test]
fn errors_say_what_was_expected() {
    let fine = kernel("fine", Unary::Negate);
    assert_eq!(call(&[0xff], b"{}").0, 1);
    let unreadable: Failure = serde_json::from_slice(&call(b"kernel", b"{}").1).expect("a failure is JSON");
    assert_eq!(unreadable.kernel, None);
    assert!(unreadable.message.starts_with("the kernels cannot be read: line 1: "), "{}", unreadable.message);
    let options = failure(&[], r#"{"speed": 11}"#).message;
    assert!(
        options.starts_with("the options cannot be read: unknown field `speed`, expected one of `output`"),
        "{options}"
    );
    assert_eq!(
        failure(&[], r#"{"triple": "riscv64-unknown-linux-gnu"}"#).message,
        "the plug-in makes code for x86_64 and aarch64 with ELF objects, and for wasm32 and nvptx64, not for `riscv64-unknown-linux-gnu`"
    );
    let feature = failure(&[], r#"{"triple": "x86_64-unknown-linux-gnu", "features": ["avx1024"]}"#).message;
    let start = "`avx1024` is no instruction set that code for `x86_64-unknown-linux-gnu` uses; known are: avx, avx2, avx512bf16, avx512bitalg, ";
    assert!(feature.starts_with(start), "{feature}");
    assert_eq!(
        failure(&[fine.clone(), kernel("curve", Unary::Tanh)], "{}"),
        Failure { kernel: Some("curve".into()), message: "`tanh` of f32 is not lowered to basic functions".into() }
    );
}

#[test]
fn the_image_does_not_depend_on_the_number_of_threads() {
    let functions = [Unary::Negate, Unary::Abs, Unary::Sqrt, Unary::Trunc];
    let kernels: Vec<Kernel> = (0..20).map(|i| kernel(&format!("k{i}"), functions[i % 4])).collect();
    let image = |threads| {
        kc_mlir::compile(&kernels, &Options { threads: Some(threads), ..Options::default() }).expect("they compile")
    };
    let one = image(1);
    assert_eq!(one, image(3));
    assert_eq!(one, image(1));
}

/// The constants that an AArch64 image loads by page and offset are where the instructions look for them.
#[test]
fn references_between_pages_are_resolved() {
    let numbers: Vec<u8> = (0..4u32).flat_map(|lane| (lane * 7).to_le_bytes()).collect();
    let kernels: Vec<Kernel> = (0..40)
        .map(|i| {
            let mut builder = KernelBuilder::new(&format!("k{i}"));
            let x = builder.parameter("x", DType::I32, Access::Write);
            let position = builder.task() * 4;
            let value = builder.instruction(
                DType::I32,
                4,
                kc_ir::kernel::Instruction::Position { index: builder.task(), step: 7 },
            );
            for part in 0..30 {
                builder.store(x, position.clone() * (part + 3) + i64::from(part as i32) * 4096, value, None);
            }
            builder.finish(0)
        })
        .collect();
    let options = Options { triple: Some("aarch64-unknown-linux-gnu".into()), ..Options::default() };
    let bytes = kc_mlir::compile(&kernels, &options).expect("they compile");
    let (header, code) = decode_image(&bytes).expect("an image");
    assert_eq!(header.features, Vec::<String>::new());
    assert!(code.len() > 4096);
    let word = |place: usize| u32::from_le_bytes(code[place..place + 4].try_into().expect("four bytes"));
    let mut pages = std::collections::HashMap::new();
    let mut found = 0;
    for place in (0..code.len() - 3).step_by(4) {
        let instruction = word(place);
        let register = |shift: u32| instruction >> shift & 31;
        if instruction & 0x9f00_0000 == 0x9000_0000 {
            let pages_away = ((instruction >> 5 & 0x7_ffff) << 2 | instruction >> 29 & 3) as i32;
            pages.insert(register(0), ((place as i64 >> 12) + i64::from(pages_away << 11 >> 11)) << 12);
        } else if instruction & 0xffc0_0000 == 0x3dc0_0000 {
            let Some(page) = pages.get(&register(5)) else { continue };
            let at = *page as usize + ((instruction >> 10 & 0xfff) << 4) as usize;
            found += usize::from(code.get(at..at + 16) == Some(&numbers[..]));
        }
    }
    assert_eq!(found, 40);
}

#[test]
fn text_forms_are_made_for_other_machines_too() {
    let options =
        Options { triple: Some("aarch64-unknown-linux-gnu".into()), output: Output::Asm, ..Options::default() };
    let text = String::from_utf8(kc_mlir::compile(&[kernel("k", Unary::Sqrt)], &options).expect("it compiles"))
        .expect("UTF-8");
    assert!(text.contains("fsqrt\tv") && text.contains("kernel_0:"), "{text}");
}
