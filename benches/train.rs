//! A process that compiles a workload's model and trains it: `train MODEL STEPS`. Prints `first` at the end of the first step, and at the end of
//! that many more the greatest memory that it had resident, in bytes. `cargo xtask bench --processes` measures it beside other frameworks.

use kc::prelude::*;

#[path = "models/a.rs"]
mod a;
#[path = "models/c.rs"]
mod c;

const BATCH_SIZE: usize = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let (model, shape): (_, &[usize]) = match name.as_str() {
        "a" => (a::kc_model(), &[784]),
        "c" => (c::kc_model(), &[28, 28, 1]),
        other => return Err(format!("unknown model `{other}`, expected a or c").into()),
    };
    let steps: usize = arguments.next().ok_or("expected a number of steps")?.parse()?;
    let mut model = model?;
    let values: Vec<f32> = (0..BATCH_SIZE * 784).map(|i| (i * 31 % 251) as f32 / 251.0).collect();
    let labels: Vec<i32> = (0..BATCH_SIZE).map(|i| (i % 10) as i32).collect();
    let x = Array::from_slice(&values, &[&[BATCH_SIZE], shape].concat())?;
    let y = Array::from_slice(&labels, &[BATCH_SIZE])?;
    // an epoch is a step
    let options = |epochs| Fit::new().batch_size(BATCH_SIZE).epochs(epochs).verbose(Verbose::Silent);
    model.fit(&x, &y, options(1))?;
    println!("first");
    if steps > 0 {
        model.fit(&x, &y, options(steps))?;
    }
    println!("{}", resident()?);
    Ok(())
}

/// The greatest number of bytes that this process had resident.
fn resident() -> Result<u64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in /proc/self/status")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024)
}
