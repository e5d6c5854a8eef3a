use crate::cli::Inspect;
use crate::failure::{Failure, Outcome};
use crate::{output, table};
use kc_runtime::Package;
use kc_runtime::kc_abi::manifest::{DeviceProgram, ProgramForm, StateRole};

/// `kc inspect`: what a package holds.
pub fn inspect(arguments: &Inspect) -> Outcome {
    let package = Package::read(&arguments.package).map_err(Failure::new)?;
    let manifest = &package.manifest;
    let code = &manifest.code;
    output::print(&format!("{}: {}, {}\n", manifest.model.name, code.backend, code.target))?;
    output::print(&facts(&package))?;
    if let Some(key) = Package::signer(&arguments.package).map_err(Failure::new)? {
        output::print(&format!("{:<10} {key}, not checked\n", "signed by"))?;
    }
    let mut rows = vec![["entry point", "inputs", "outputs", "code"].map(str::to_owned).to_vec()];
    for (number, entry) in manifest.entries.iter().enumerate() {
        let types = |all: Vec<String>| if all.is_empty() { "-".to_owned() } else { all.join(", ") };
        let inputs = entry.inputs.iter().map(|input| format!("{} {}", input.name, input.ty)).collect();
        let outputs = entry.outputs.iter().map(|output| format!("{} {}", output.name, output.ty)).collect();
        let own = code.programs.iter().filter(|program| program.entry == number).count();
        let code = match own {
            0 => {
                let apart: Vec<String> =
                    entry.exact.iter().flat_map(|exact| &exact.values).map(i64::to_string).collect();
                let apart = if apart.is_empty() { String::new() } else { format!(", apart for {}", apart.join(", ")) };
                format!("{} launches{apart}", kc_runtime::kc_abi::manifest::launches(&entry.plan.steps).len())
            }
            count => format!("{count} programs"),
        };
        rows.push(vec![entry.name.clone(), types(inputs), types(outputs), code]);
    }
    output::print(&table::columns(&rows))?;
    let mut rows = vec![PROGRAM.map(str::to_owned).to_vec()];
    for program in &code.programs {
        let name = manifest.entries.get(program.entry).map_or("?", |entry| &entry.name).to_owned();
        rows.push(match &program.form {
            ProgramForm::Stablehlo => {
                let batch = if program.batch_divided { "any, divided" } else { "any" };
                let mut row = vec![name, batch.to_owned(), format!("stablehlo, {} bytes", program.bytes)];
                row.resize(PROGRAM.len(), "-".to_owned());
                row
            }
            ProgramForm::Executable { topology, values, cost, .. } => {
                let batch = values.iter().map(i64::to_string).collect::<Vec<_>>().join(" ");
                let shown = |value: f64| format!("{value:.2}");
                let time = |nanoseconds: Option<f64>| {
                    nanoseconds.map_or_else(|| "-".to_owned(), |nanoseconds| shown(nanoseconds / 1e3))
                };
                vec![
                    name,
                    if batch.is_empty() { "-".to_owned() } else { batch },
                    topology.clone(),
                    shown(cost.compile_nanoseconds as f64 / 1e6),
                    shown(cost.code_bytes as f64 / 1e3),
                    shown(cost.flops as f64 / 1e6),
                    shown(cost.bytes as f64 / 1e6),
                    shown(cost.peak_bytes as f64 / 1e6),
                    time((cost.nanoseconds > 0).then_some(cost.nanoseconds as f64)),
                    time(kc_codegen::stablehlo::roofline_nanoseconds(topology, cost)),
                ]
            }
        });
    }
    if rows.len() == 1 {
        return Ok(());
    }
    output::print(&format!("\n{}", table::columns(&rows)))?;
    let ahead = |program: &DeviceProgram| matches!(program.form, ProgramForm::Executable { .. });
    match code.programs.iter().any(ahead) {
        true => output::print(ESTIMATES),
        false => Ok(()),
    }
}

/// What is said of programs of a plug-in.
const PROGRAM: [&str; 10] = [
    "program",
    "batch",
    "form",
    "compile ms",
    "code kB",
    "MFLOP",
    "MB moved",
    "peak MB",
    "us by XLA",
    "us by roofline",
];

/// What the figures of programs compiled ahead are.
const ESTIMATES: &str = "\nFigures are of one device; operations, bytes and the time \"by XLA\" are XLA's own account. \"By roofline\" is an \
    estimate of kc: the least time that the operations or the bytes take at the chip's published peak.\n";

/// The model card, the machines and the state, line by line.
fn facts(package: &Package) -> String {
    let manifest = &package.manifest;
    let mut text = String::new();
    let mut line = |name: &str, value: String| text += &format!("{name:<10} {value}\n");
    for (name, value) in &manifest.model.fields {
        line(name, value.clone());
    }
    for (name, labels) in &manifest.model.labels {
        line("labels", format!("{name}: {}", labels.join(", ")));
    }
    if let Some(distribution) = &manifest.model.distribution {
        let axes: Vec<String> = distribution.mesh.iter().map(|axis| format!("{} {}", axis.name, axis.size)).collect();
        line("mesh", format!("{} ({} devices)", axes.join(" x "), distribution.devices()));
    }
    line("code for", format!("{}, {} bytes", package.target(), package.code.len()));
    for other in &package.others {
        line("also for", format!("{}, {} bytes", other.target, other.code_bytes()));
    }
    let bytes = |roles: &[StateRole]| -> usize {
        let tensors = package.state.iter().flatten().zip(&manifest.state);
        tensors.filter(|(_, tensor)| roles.contains(&tensor.role)).map(|(array, _)| array.bytes().len()).sum()
    };
    let weights = match package.state {
        None => "none; `kc fit` makes new ones".to_owned(),
        Some(_) => format!(
            "{} bytes, and {} bytes of optimizer state",
            bytes(&[StateRole::Trainable, StateRole::NonTrainable]),
            bytes(&[StateRole::Optimizer, StateRole::LearningRate, StateRole::Iterations])
        ),
    };
    line("weights", weights);
    text
}
