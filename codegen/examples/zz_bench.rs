use kc_codegen::*;
use std::time::Instant;
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let out = std::env::args().nth(2);
    let module = kc_ir::tensor::text::parse_module(&std::fs::read_to_string(path).unwrap()).unwrap();
    let backend = Cranelift::new().unwrap();
    let mut all = vec![];
    for function in &module.functions {
        let t = Instant::now();
        let optimised = optimise(function, backend.target(), &Options::default(), &mut |_, _| {}).unwrap();
        let a = t.elapsed();
        let program = schedule_function(&optimised.function, backend.target()).unwrap();
        let b = t.elapsed();
        kc_ir::kernel::verify_program(&program).unwrap();
        let text = kc_ir::kernel::print_program(&program);
        assert_eq!(kc_ir::kernel::print_program(&kc_ir::kernel::parse_program(&text).unwrap()), text);
        if let Some(out) = &out {
            std::fs::write(format!("{out}/{}.txt", function.name), &text).unwrap();
        }
        let mut best = f64::MAX;
        let mut size = 0;
        for _ in 0..5 {
            let t = Instant::now();
            size = backend.compile(&program.kernels).unwrap().bytes.len();
            best = best.min(t.elapsed().as_secs_f64() * 1e3);
        }
        println!(
            "{}: optimise {a:?} schedule {:?} kernels {} cranelift {best:.2} ms, {size} bytes",
            function.name,
            b - a,
            program.kernels.len()
        );
        if function.name == "train_step" {
            for kernel in &program.kernels {
                let t = Instant::now();
                let n = backend.compile(std::slice::from_ref(kernel)).unwrap().bytes.len();
                println!("   {} {:.2} ms {n} bytes", kernel.name, t.elapsed().as_secs_f64() * 1e3);
            }
        }
        for b in [1, 5, 64] {
            let t = Instant::now();
            if let Err(e) =
                kc_codegen::conformance::programs::check(&backend, &program, &vec![b; program.symbols.len()], 1)
            {
                println!("FAIL {e}");
            }
            println!("  check {b} {:?}", t.elapsed());
        }
        all.extend(program.kernels);
    }
    let t = Instant::now();
    backend.compile(&all).unwrap();
    println!("all {} kernels {:?}", all.len(), t.elapsed());
}
