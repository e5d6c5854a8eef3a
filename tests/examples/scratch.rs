use kc::prelude::*;
use kc_runtime::{Array, Session, SessionOptions};
fn main() {
    let mut model = Sequential::new()
        .add(Input::new([784]))
        .add(Dense::new(128).activation("relu"))
        .add(Dropout::new(0.2))
        .add(Dense::new(10).activation("softmax"));
    model.compile(Adam::new(), "sparse_categorical_crossentropy", ["accuracy"]).unwrap();
    let module = model.module().unwrap();
    let mode = std::env::args().nth(1).unwrap_or_default();
    if mode == "ir" {
        println!("{}", kc_ir::tensor::text::print_module(&module));
        return;
    }
    let backend = kc_codegen::mlir::Mlir::find().unwrap();
    let target = kc_codegen::Backend::target(&backend);
    let options = kc_codegen::Options::default();
    if mode == "opt" || mode == "kernels" {
        let which = std::env::args().nth(2).unwrap();
        let f = module.function(&which).unwrap();
        let o = kc_codegen::optimise(f, target, &options, &mut |_, _| {}).unwrap();
        if mode == "opt" {
            println!("{}", kc_ir::tensor::text::print_function(&o.function));
            return;
        }
        println!("{}", kc_ir::kernel::print_program(&kc_codegen::schedule_function(&o.function, target).unwrap()));
        return;
    }
    let t = std::time::Instant::now();
    let mut last = (String::new(), std::time::Instant::now());
    let mut times = std::collections::BTreeMap::new();
    let package = kc_codegen::compile_observed(&module, &backend, &options, &mut |stage, f| {
        *times.entry(last.0.clone()).or_insert(0.0) += last.1.elapsed().as_secs_f64();
        last = (stage.name().to_string() + " " + f, std::time::Instant::now());
    })
    .unwrap();
    println!(
        "compile {:?} {times:?} lower {:?} {} kernels {} bytes",
        t.elapsed(),
        last.1.elapsed(),
        package.manifest.code.kernels.len(),
        package.code.len()
    );
    for threads in [1, 2] {
        let mut session = Session::new(&package, &SessionOptions { threads, profile: false }).unwrap();
        session.init(42).unwrap();
        let x: Vec<f32> = (0..64 * 784).map(|i| ((i * 7919) % 255) as f32 / 255.0).collect();
        let x = Array::from_slice(&x, &[64, 784]).unwrap();
        let y = Array::from_slice(&(0..64).map(|i| i % 10).collect::<Vec<i32>>(), &[64]).unwrap();
        let w = Array::from_slice(&[1f32; 64], &[64]).unwrap();
        let entry = package.manifest.entry("train_step").unwrap();
        println!("{:?}", entry.inputs.iter().map(|i| (&i.name, i.ty.to_string())).collect::<Vec<_>>());
        for step in 0..2000 {
            if step % 200 == 0 {
                let m = session.run("metric_results", &[] as &[&Array]).unwrap();
                println!("{step} {:?}", m.iter().map(|a| a.as_slice::<f32>().unwrap()[0]).collect::<Vec<_>>());
            }
            session.run("train_step", &[&x, &y, &w]).unwrap();
        }
        let t = std::time::Instant::now();
        for _ in 0..2000 {
            session.run("train_step", &[&x, &y, &w]).unwrap();
        }
        println!("threads {threads}: {:.1} us/step", t.elapsed().as_secs_f64() * 1e6 / 2000.0);
        let mut session = Session::new(&package, &SessionOptions { threads, profile: true }).unwrap();
        session.init(42).unwrap();
        for _ in 0..500 {
            session.run("train_step", &[&x, &y, &w]).unwrap();
        }
        for l in session.profile().unwrap().launches("train_step") {
            println!("{:40} {:8.2} us", l.kernel, l.time.as_secs_f64() * 1e6 / l.calls as f64);
        }
    }
}
