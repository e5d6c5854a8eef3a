use crate::cli::{Explain, ExplainFormat};
use crate::failure::{Failure, Outcome};
use crate::{compile, model, output, table};
use kc_codegen::{Options, optimise, schedule_function};
use kc_ir::kernel::{Program, Step};
use kc_ir::tensor::{Graph, Op};
use std::fmt::Write;

/// `kc explain`: how one entry point was optimised.
pub fn explain(arguments: &Explain) -> Outcome {
    let traced = model::trace(&arguments.model)?;
    let function = traced.module.function(&arguments.entry).ok_or_else(|| {
        let names: Vec<&str> = traced.module.functions.iter().map(|function| function.name.as_str()).collect();
        Failure::new(format_args!("the model has no entry point `{}`; there are {}", arguments.entry, names.join(", ")))
    })?;
    let backend = compile::open(arguments.code.backend)?;
    let mut options = Options::default();
    options.saturation.explain = true;
    let optimised = optimise(function, backend.target(), &options, &mut |_, _| {}).map_err(Failure::new)?;
    match arguments.format {
        ExplainFormat::Dot => output::print(&dot(&arguments.entry, &optimised.function.graph)),
        ExplainFormat::Text => {
            let program = schedule_function(&optimised.function, backend.target()).map_err(Failure::new)?;
            let head = format!("{} on {} ({})", arguments.entry, backend.name(), backend.target().name);
            output::print(&format!("{head}\n\n{}\n{}", optimised.report, launches(&program)))
        }
    }
}

/// The launches in order, with what they compute.
fn launches(program: &Program) -> String {
    let mut rows = vec![["step  kernel", "tasks", "work"].map(str::to_owned).to_vec()];
    rows_of(program, &program.steps, "", &mut rows);
    format!(
        "kernels in order; work: estimate of bytes moved and arithmetic operations, - where there is none\n{}",
        table::columns(&rows)
    )
}

/// The rows of steps; `around` is the number of the step that they are in.
fn rows_of(program: &Program, steps: &[Step], around: &str, rows: &mut Vec<Vec<String>>) {
    for (number, step) in steps.iter().enumerate() {
        let number = format!("{around}{number}");
        let mut inner = |what: String, blocks: &[&[Step]]| {
            rows.push(vec![format!("{number:>4}  {what}"), String::new(), String::new()]);
            blocks.iter().for_each(|steps| rows_of(program, steps, &format!("{number}."), rows));
        };
        match step {
            Step::Launches(launches) => {
                for launch in launches {
                    let kernel = program.kernels.get(launch.kernel).map_or("", |kernel| &kernel.name);
                    let work = if launch.work.is(0) { "-".to_owned() } else { launch.work.to_string() };
                    rows.push(vec![format!("{number:>4}  {kernel}"), launch.tasks.to_string(), work]);
                }
            }
            Step::Loop { rounds, .. } => inner(format!("loop of {rounds} rounds"), &step.blocks()),
            Step::While { .. } => inner("loop while the condition holds".into(), &step.blocks()),
            Step::Branch { branches, .. } => inner(format!("one of {} branches", branches.len()), &step.blocks()),
        }
    }
}

/// The graph for Graphviz.
fn dot(name: &str, graph: &Graph) -> String {
    let mut text = format!("digraph \"{name}\" {{\n  node [shape=box, fontname=\"monospace\"];\n");
    for value in graph.values() {
        let node = graph.node(value);
        let label = match &node.op {
            Op::Parameter(parameter) => format!("parameter {}", parameter.name),
            op => op.operation().name().to_string(),
        };
        let label = format!("{label}\n{}", node.ty).replace('"', "'");
        let _ = writeln!(text, "  n{} [label={label:?}];", value.index());
        for operand in &node.operands {
            let _ = writeln!(text, "  n{} -> n{};", operand.index(), value.index());
        }
    }
    for (number, result) in graph.results.iter().enumerate() {
        let _ = writeln!(
            text,
            "  r{number} [label=\"result {number}\", shape=ellipse];\n  n{} -> r{number};",
            result.index()
        );
    }
    text + "}\n"
}
