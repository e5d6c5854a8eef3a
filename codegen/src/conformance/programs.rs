//! Whole programs, launch by launch.

use super::Subject;
use super::compare::Case;
use super::generate::Random;
use kc_ir::kernel::{Launch, Program, Role, launches, parse_program, verify_program};
use kc_ir::tensor::{Literal, Scalar};
use kc_ir::{DType, Dim};
use std::fs;
use std::path::PathBuf;

/// Runs the programs in `tests/programs`; an error is the text of all failures. The first line of a file, `# sizes 3, 66`, gives
/// the values that every symbol takes, one run each.
pub fn run(backend: &dyn Subject) -> Result<(), String> {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "programs"].iter().collect();
    let entries = fs::read_dir(&folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let mut paths: Vec<PathBuf> =
        entries.map_err(|error| format!("{}: {error}", folder.display()))?.iter().map(|entry| entry.path()).collect();
    paths.sort();
    let mut failures = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let result = fs::read_to_string(&path).map_err(|error| error.to_string()).and_then(|text| {
            let program = parse_program(&text).map_err(|error| error.to_string())?;
            let sizes = text.lines().next().and_then(|line| line.strip_prefix("# sizes "));
            let sizes = sizes.ok_or("expected a first line such as `# sizes 3, 66`")?.split(", ");
            let sizes: Vec<i64> = sizes.map(str::parse).collect::<Result<_, _>>().map_err(|_| "expected sizes")?;
            sizes.iter().try_for_each(|&size| check(backend, &program, &vec![size; program.symbols.len()], 1))
        });
        if let Err(failure) = result {
            failures.push(format!("{name}: {failure}"));
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// Executes each launch of a program by itself, on random contents of its buffers, with the interpreter and with the back end's
/// code. `symbols` are the values of the program's symbols in order.
pub fn check(backend: &dyn Subject, program: &Program, symbols: &[i64], seed: u64) -> Result<(), String> {
    verify_program(program).map_err(|error| error.to_string())?;
    let loaded = backend.load(&program.kernels)?;
    let mut random = Random(seed);
    for launch in launches(&program.steps) {
        let name = &program.kernels[launch.kernel].name;
        case(program, launch, symbols, &mut random)
            .and_then(|case| {
                let expected = case.interpreted(backend.rounding())?;
                case.compare(&*loaded, launch.kernel, &expected)
            })
            .map_err(|error| format!("{}: launch of `{name}` with {symbols:?}: {error}", backend.name()))?;
    }
    Ok(())
}

fn case(program: &Program, launch: &Launch, symbols: &[i64], random: &mut Random) -> Result<Case, String> {
    let extent = |dim: &Dim| {
        let value = dim.evaluate(&|symbol| {
            let position = program.symbols.iter().position(|known| known == symbol)?;
            symbols.get(position).copied()
        });
        value.ok_or_else(|| format!("`{dim}` has no value"))
    };
    let kernel = program.kernels[launch.kernel].clone();
    let mut buffers = Vec::new();
    for &number in &launch.buffers {
        let buffer = &program.buffers[number];
        buffers.push(match &buffer.role {
            Role::Constant(literal) => literal.bytes().to_vec(),
            Role::Input(_) | Role::Output(_) | Role::State(_) | Role::Temporary | Role::Part { .. } => {
                let elements = extent(&buffer.ty.elements())?;
                (0..elements).flat_map(|_| element(random, buffer.ty.dtype)).collect()
            }
        });
    }
    let dims = launch.dims.iter().map(extent).collect::<Result<Vec<_>, _>>()?;
    Ok(Case { kernel, buffers, dims, tasks: 0..extent(&launch.tasks)? })
}

/// A float between -2 and 2, a small integer (a class, a position), a bool.
fn element(random: &mut Random, dtype: DType) -> Vec<u8> {
    let value = match dtype {
        DType::Bool => Scalar::Int(random.below(2) as i128),
        _ if dtype.is_float() => Scalar::Float((random.below(4001) as f64 - 2000.0) / 1000.0),
        DType::U32 => Scalar::Int(i128::from(random.bits() as u32)),
        _ => Scalar::Int(random.below(10) as i128),
    };
    Literal::scalar(dtype, value).bytes().to_vec()
}
